"""Electron microscopes' own formats, through RosettaSciIO (the `io` extra)."""

import importlib
import struct
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.axes import Layout, picker
from jaxrvae.data.read.images import (
    Opened,
    choose,
    fits,
    opened,
    size_on_disk,
    square,
    to_nm,
)
from jaxrvae.data.read.metadata import described

MRC_MODES = {0: 1, 1: 2, 2: 4, 6: 2, 12: 2}  # mode to bytes a pixel (MRC2014)


def missing(path: Path, library: str) -> DataError:
    """The error that names the extra."""
    return DataError(
        f"{path}: reading {path.suffix} files needs {library}, which is not installed."
        ' Install it with: pip install "jaxrvae[io]"'
    )


def open_dm(path: Path, channel: int | str | None) -> Opened:
    """The only image of a Gatan file, or the one whose title `channel` names."""
    return _open(path, channel, "digitalmicrograph")


def open_emd(path: Path, channel: int | str | None) -> Opened:
    """The only image or movie of an EMD file (Velox or NCEM), or the one named."""
    return _open(path, channel, "emd")


def open_mrc(path: Path, channel: int | str | None) -> Opened:
    """The sections of an MRC file, as frames, in the order of its rows."""
    with path.open("rb") as file:
        header = file.read(1024)
    if len(header) < 1024:
        raise _short(path, 1024)
    order = ">" if header[212:214] == b"\x11\x11" else "<"
    columns, rows, sections, mode = struct.unpack(f"{order}4I", header[:16])
    (extended,) = struct.unpack(f"{order}I", header[92:96])
    if mode not in MRC_MODES:
        raise DataError(
            f"{path}: expected an MRC file of mode {', '.join(map(str, MRC_MODES))}"
            f" (real numbers); got {mode}. Is it an MRC file?"
        )
    claimed = 1024 + extended + columns * rows * sections * MRC_MODES[mode]
    if claimed > size_on_disk(path):
        raise _short(path, claimed)
    return _open(path, channel, "mrc", swapped=order == ">", endianness=order)


def open_blo(path: Path, channel: int | str | None) -> Opened:
    """The diffraction patterns of a blockfile, a frame each, row by row of the scan."""
    with path.open("rb") as file:
        header = file.read(30)
    if len(header) < 30:
        raise _short(path, 30)
    start, _, side, _, columns, rows = struct.unpack("<IIHHHH", header[12:28])
    claimed = start + columns * rows * (6 + side * side)
    if min(side, columns, rows) == 0 or claimed > size_on_disk(path):
        raise _short(path, claimed)
    return _open(path, channel, "blockfile")


def _short(path: Path, claimed: int) -> DataError:
    return DataError(
        f"{path}: expected the {claimed} bytes its header claims; the file has"
        f" {size_on_disk(path)}. It is truncated or damaged: copy it again."
    )


def _open(
    path: Path,
    channel: int | str | None,
    reader: str,
    swapped: bool = False,
    **options: Any,
) -> Opened:
    """Images of a file that RosettaSciIO reads; `swapped` turns the pixels' bytes."""
    try:
        module = importlib.import_module(f"rsciio.{reader}")
    except ImportError as error:
        raise missing(path, "RosettaSciIO") from error
    try:
        signals = module.file_reader(str(path), lazy=True, **options)
    except ModuleNotFoundError as error:  # spectrum images beside the images
        raise DataError(
            f"{path}: expected images alone; {error} Install it with: pip install"
            " sparse, or export the images."
        ) from error
    images = {
        str(one["metadata"].get("General", {}).get("title") or i): one
        for i, one in enumerate(signals)
        if len(_image_axes(one)) == 2
    }
    if not images:
        raise DataError(
            f"{path}: expected images; got a spectrum or spectrum image"
            f" ({len(signals)} in the file). Export an image from it."
        )
    signal = images[choose(path, list(images), channel)]
    where, data = _layout(signal), signal["data"]
    fits(path, where.shape, data.dtype)
    load = picker(data, where)
    y, x = (_nm(signal["axes"][axis]) for axis in where.image)
    return opened(
        path,
        where.shape,
        data.dtype,
        (lambda index: load(index).byteswap()) if swapped else load,
        channel,
        square(path, x, y),
        described(signal.get("original_metadata", {})),
    )


def _image_axes(signal: dict[str, Any]) -> list[int]:
    axes = signal["axes"]
    return [i for i, axis in enumerate(axes) if not axis.get("navigate")][-2:]


def _layout(signal: dict[str, Any]) -> Layout:
    shape = [int(n) for n in signal["data"].shape]
    image = _image_axes(signal)
    frames = [i for i in range(len(shape)) if i not in image]
    count = [int(np.prod([shape[i] for i in frames]))] if frames else []
    return Layout(frames, image, (*count, *(shape[i] for i in image)))


def _nm(axis: dict[str, Any]) -> float | None:
    """Size of a pixel along an axis; cm and m are a detector's, not a specimen's."""
    unit = str(axis.get("units") or "")
    return None if unit == "cm" else to_nm(abs(float(axis["scale"])), unit)
