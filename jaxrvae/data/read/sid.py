"""NSID and USID: the HDF5 layouts of pycroscopy's scanning probe data.

Sources: pyNSID's and pyUSID's data format pages; Somnath et al. 2019, arXiv:1903.09515.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.axes import COLUMNS, ROWS, layout, picker
from jaxrvae.data.read.images import (
    Opened,
    Plane,
    choose,
    fits,
    opened,
    square,
    stacked,
    to_nm,
)
from jaxrvae.data.read.metadata import described, plain


def nsid_planes(path: Path, file: Any, names: Sequence[str]) -> list[Plane]:
    """Images that are NSID's main datasets, in the order of their channels' numbers.

    Rows are the axis `y`, columns the axis `x`, whichever is stored first; the first
    value of y is the top row, as sidpy shows it.
    """
    planes, steps = [], []
    for name in sorted(names, key=_numbers):
        data = file[name]
        if data.ndim == 2 and {"quantity", "DIMENSION_LIST"} <= set(data.attrs):
            planes.append(_nsid_plane(path, name, data))
            steps.append(tuple(_step(scale) for _, scale in _scales(data)))
    # SciFiReaders gives the axes of a channel in degrees that unit: ask its neighbours
    stated = {
        step: plane.pixel_size
        for plane, step in zip(planes, steps, strict=True)
        if plane.pixel_size is not None
    }
    return [
        replace(plane, pixel_size=plane.pixel_size or stated.get(step))
        for plane, step in zip(planes, steps, strict=True)
    ]


def nsid_metadata(file: Any, names: Sequence[str]) -> dict[str, Any]:
    """`original_metadata` of the first channel, where it was written."""
    for name in sorted(names, key=_numbers):
        group = file[name].parent
        if "original_metadata" in group:
            return plain(dict(group["original_metadata"].attrs))
    return {}


def _numbers(name: str) -> list[int]:
    digits = [part.rsplit("_", 1)[-1] for part in name.split("/")]
    return [int(part) for part in digits if part.isdigit()]


def _nsid_plane(path: Path, name: str, data: Any) -> Plane:
    import h5py

    scales = _scales(data)
    where = layout(path, [label for label, _ in scales], data.shape)
    fits(path, data.shape, data.dtype)
    y, x = (_spacing(scales[axis][1]) for axis in where.image)

    def load() -> np.ndarray:
        with h5py.File(path) as file:
            return picker(file[name], where)(0)

    return Plane(
        name=_text(data.attrs["quantity"]),
        shape=(where.shape[0], where.shape[1]),
        dtype=data.dtype,
        load=load,
        unit=_text(data.attrs.get("units", "")),
        pixel_size=square(path, x, y),
    )


def _scales(data: Any) -> list[tuple[str, Any]]:
    """Label and dimension scale of every axis, from the attributes themselves.

    h5py's `dims` frees memory twice where a file's labels are damaged.
    """
    labels = [_text(label) for label in data.attrs.get("DIMENSION_LABELS", [])]
    found = []
    for axis, references in enumerate(data.attrs["DIMENSION_LIST"]):
        scale = data.file[references[0]] if len(references) else None
        label = labels[axis] if axis < len(labels) else ""
        if not label and scale is not None:
            label = str(scale.name).rsplit("/", 1)[-1]
        found.append((label, scale))
    return found


def _spacing(scale: Any) -> float | None:
    """Distance in nm between the values of a dimension scale."""
    if scale is None:
        return None
    return to_nm(_step(scale), _text(scale.attrs.get("units", "")))


def _step(scale: Any) -> float:
    """The same in the scale's own unit; 0 where there is none."""
    if scale is None or scale.ndim != 1 or scale.shape[0] < 2:
        return 0.0
    return abs(float(scale[-1]) - float(scale[0])) / (scale.shape[0] - 1)


def open_usid(
    path: Path, file: Any, names: Sequence[str], channel: int | str | None
) -> Opened:
    """Main datasets (position, spectrum) as images over the positions.

    One value a position: every dataset is a channel. Several: each step of the spectrum
    is a frame of the one dataset, or of that which `channel` names.
    """
    names = sorted(names, key=_numbers)
    if all(file[name].shape[1] == 1 for name in names):
        planes = [_usid_plane(path, file[name], name) for name in names]
        original = plain(dict(file[names[0]].parent.attrs))
        return stacked(path, planes, channel, described(original))
    titles = {_title(file[name], name): name for name in names}
    name = titles[choose(path, list(titles), channel)]
    plane = _usid_plane(path, file[name], name)
    return opened(
        path,
        (file[name].shape[1], *plane.shape),
        plane.dtype,
        lambda index: _usid_image(path, name, index),
        channel,
        plane.pixel_size,
        described(plain(dict(file[name].parent.attrs)), channel_units=(plane.unit,)),
    )


def _title(data: Any, name: str) -> str:
    channel = next((p for p in name.split("/") if p.startswith("Channel")), name)
    return f"{_text(data.attrs.get('quantity', 'intensity'))} {channel}"


def _usid_plane(path: Path, data: Any, name: str) -> Plane:
    fits(path, data.shape, data.dtype)
    rows, columns, shape = _places(path, data)
    values = data.file[data.attrs["Position_Values"]]
    units = [_text(unit) for unit in np.atleast_1d(values.attrs.get("units", []))]
    sizes = []
    for axis in (columns, rows):
        found = np.unique(values[:, axis])
        step = float(found[-1] - found[0]) / max(len(found) - 1, 1)
        sizes.append(to_nm(step, units[axis] if axis < len(units) else ""))
    return Plane(
        name=_title(data, name),
        shape=shape,
        dtype=data.dtype,
        load=lambda: _usid_image(path, name, 0),
        unit=_text(data.attrs.get("units", "")),
        pixel_size=square(path, sizes[0], sizes[1]),
    )


def _places(path: Path, data: Any) -> tuple[int, int, tuple[int, int]]:
    """Which columns of the position indices are rows and columns, and the shape."""
    indices = data.file[data.attrs["Position_Indices"]]
    if indices.ndim != 2 or indices.shape[1] != 2 or len(indices) != len(data):
        raise DataError(
            f"{path}: expected two position axes for {len(data)} positions; got"
            f" indices of shape {indices.shape}. Reduce the data to images."
        )
    fits(path, indices.shape, indices.dtype)
    labels = [_text(x).lower() for x in np.atleast_1d(indices.attrs.get("labels", []))]
    rows = next((i for i, label in enumerate(labels) if label in ROWS), None)
    columns = next((i for i, label in enumerate(labels) if label in COLUMNS), None)
    if rows is None or columns is None:
        columns, rows = 0, 1  # USID: the fastest axis stands first
    counts = indices[()].max(axis=0).astype(int) + 1
    shape = (int(counts[rows]), int(counts[columns]))
    if shape[0] * shape[1] != len(data):
        raise DataError(
            f"{path}: expected a full grid of positions; got {len(data)} of"
            f" {shape[0]} x {shape[1]}. Complete the scan, or crop it."
        )
    return rows, columns, shape


def _usid_image(path: Path, name: str, step: int) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        data: Any = file[name]
        rows, columns, shape = _places(path, data)
        indices: Any = file[data.attrs["Position_Indices"]]
        places = indices[()].astype(int)
        image = np.empty(shape, data.dtype)
        image[places[:, rows], places[:, columns]] = data[:, step]
    return image


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
