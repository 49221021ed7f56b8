"""HDF5: the Si-in-graphene library's layouts, and plain single arrays.

Layouts: Ziatdinov et al. 2019, Sci. Adv. 5, eaaw8989 (AICrystallographer).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.images import Opened, choose, opened, to_nm, unreadable


def open_hdf5(path: Path, channel: int | str | None) -> Opened:
    """`nn_input`, `image_data`, or the array that `channel` names."""
    import h5py

    try:
        with h5py.File(path) as file:
            name = _dataset(path, file, channel)
            data: Any = file[name]
            shape, dtype = data.shape, data.dtype
            metadata = _metadata(file, name)
    except (OSError, KeyError, RuntimeError) as error:
        raise DataError(unreadable(path, error)) from error

    def load(index: int) -> np.ndarray:
        with h5py.File(path) as file:
            data: Any = file[name]
            return data[()] if data.ndim == 2 else data[index]

    width = shape[2] if len(shape) > 2 else shape[-1]
    size = _scan_size(name, metadata)
    pixel_size = None if size is None else size / width
    return opened(path, shape, dtype, load, channel, pixel_size, metadata)


def _dataset(path: Path, file: Any, channel: int | str | None) -> str:
    import h5py

    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim >= 2:
            if item.dtype.kind in "biufc":
                names.append(name)

    file.visititems(visit)
    if not names:
        raise DataError(
            f"{path}: expected a dataset of images (nn_input, image_data or any array"
            f" of numbers); found none among {list(file)[:8]}."
        )
    if not isinstance(channel, str):
        for known in ("nn_input", "image_data"):
            if known in names:
                return known
    return choose(path, names, channel)


def _metadata(file: Any, name: str) -> dict[str, Any]:
    """The JSON beside the image, and the image's own attributes."""
    text = file[name].attrs.get("metadata")
    if text is None and "metadata" in file and file["metadata"].shape == ():
        text = file["metadata"][()]
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    stated: Any = {}
    try:
        stated = json.loads(text) if text else {}
    except ValueError:
        stated = {"metadata": text}
    metadata = dict(stated) if isinstance(stated, dict) else {"metadata": stated}
    for key, value in file[name].attrs.items():
        if key != "metadata":
            metadata[key] = value.item() if isinstance(value, np.generic) else value
    return metadata


def _scan_size(name: str, metadata: dict[str, Any]) -> float | None:
    """Width of the field in nm: picometres beside nn_input, nm beside image_data."""
    unit = {"nn_input": "pm", "image_data": "nm"}.get(name)
    try:
        return to_nm(float(metadata["scan size"]), unit) if unit else None
    except (KeyError, TypeError, ValueError):
        return None
