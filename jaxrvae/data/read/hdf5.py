"""HDF5: which layout a file has, and those of plain arrays.

Layouts of the Si-in-graphene library (AICrystallographer): Ziatdinov et al. 2019, Sci.
Adv. 5, eaaw8989.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read import sid, signals
from jaxrvae.data.read.images import Opened, choose, fits, opened, stacked, to_nm
from jaxrvae.data.read.metadata import described


def open_hdf5(path: Path, channel: int | str | None) -> Opened:
    """NSID, USID and HyperSpy files by what they hold; else `nn_input`, `image_data`.

    Else the only array of numbers, or that which `channel` names.
    """
    import h5py

    with h5py.File(path) as file:
        found = _datasets(path, file)
        if file.attrs.get("file_format") in ("HyperSpy", b"HyperSpy"):
            return signals.open_experiment(path, file, _open_file(path), channel)
        planes = sid.nsid_planes(path, file, found)
        if planes:
            original = sid.nsid_metadata(file, found)
            return stacked(path, planes, channel, described(original))
        mains = [name for name in found if "Position_Indices" in file[name].attrs]
        if mains:
            return sid.open_usid(path, file, mains, channel)
        name = _choose(path, file, found, channel)
        data: Any = file[name]
        shape, dtype = data.shape, data.dtype
        metadata = _metadata(file, name)
    fits(path, shape, dtype)

    def load(index: int) -> np.ndarray:
        with h5py.File(path) as file:
            data: Any = file[name]
            return data[()] if data.ndim == 2 else data[index]

    width = shape[2] if len(shape) > 2 else shape[-1]
    size = _scan_size(name, metadata)
    pixel_size = None if size is None else size / max(width, 1)
    return opened(path, shape, dtype, load, channel, pixel_size, described(metadata))


def _open_file(path: Path) -> Callable[[], Any]:
    import h5py

    return lambda: h5py.File(path)


def _datasets(path: Path, file: Any) -> list[str]:
    """Arrays of numbers with two axes or more, kept in this file alone."""
    import h5py

    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim >= 2:
            if item.external or item.is_virtual:
                raise DataError(
                    f"{path}: expected pixels in the file itself; {name!r} points to"
                    " other files, which are not followed. Copy it with h5repack."
                )
            if item.dtype.kind in "biufc":
                names.append(name)

    file.visititems(visit)
    return names


def _choose(path: Path, file: Any, names: list[str], channel: int | str | None) -> str:
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
