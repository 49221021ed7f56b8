"""TIA's ser series (FEI), an image at a time.

RosettaSciIO reads the whole series at once; this reads the frames that are asked for.
Format: C. Boothroyd, "TIA .ser file format", as RosettaSciIO's `tia` reads it.
"""

import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.images import Opened, opened, size_on_disk, square, to_nm
from jaxrvae.data.read.metadata import described

TYPES = {1: "u1", 2: "u2", 3: "u4", 4: "i1", 5: "i2", 6: "i4", 7: "f4", 8: "f8"}
IMAGE = struct.Struct("<ddiddiHII")  # origin, step, element of x and of y; type, sizes
IMAGES, WIDE = 0x4122, 0x0220  # two-dimensional data; offsets of 8 bytes from here on


def open_ser(path: Path, channel: int | str | None) -> Opened:
    """The images of a series that were recorded; rows are stored bottom up."""
    with path.open("rb") as file:
        version, kind, tag, _, valid = _read(file, path, "<4xHIIII")
        wide = version >= WIDE
        offset, num_dims = _read(file, path, "<QI" if wide else "<II")
        if kind != IMAGES:
            raise DataError(
                f"{path}: expected a series of images; got spectra (type {kind:#x})."
            )
        if valid * (IMAGE.size + 1) > size_on_disk(path) or num_dims > 8:
            raise DataError(
                f"{path}: expected at most what {size_on_disk(path)} bytes can hold;"
                f" its header claims {valid} images. Copy it again from its source."
            )
        file.seek(offset)
        starts = _read(file, path, f"<{valid}{'Q' if wide else 'I'}")
        if not starts:
            raise DataError(f"{path}: expected images; the series was never recorded.")
        first, dtype, shape = _image(file, path, starts[0])

    def load(index: int) -> np.ndarray:
        with path.open("rb") as file:
            _, kind, size = _image(file, path, starts[index])
            if (kind, size) != (dtype, shape):
                raise DataError(
                    f"{path}, image {index}: expected shape {shape} as in the first;"
                    f" got {size}. Split the series."
                )
            data = file.read(shape[0] * shape[1] * dtype.itemsize)
        return np.frombuffer(data, dtype).reshape(shape)[::-1]

    x, y = (to_nm(abs(step), "m") for step in (first[1], first[4]))
    tags = {0x4152: "time", 0x4142: "position"}
    original = {"version": version, "tags": tags.get(tag, tag), "num_images": valid}
    return opened(
        path,
        (len(starts), *shape),
        dtype,
        load,
        channel,
        square(path, x, y),
        described(original),
    )


def _read(file: BinaryIO, path: Path, form: str) -> tuple[Any, ...]:
    data = file.read(struct.calcsize(form))
    if len(data) < struct.calcsize(form):
        raise DataError(
            f"{path}: expected a whole file; it is truncated or damaged (its header"
            " points beyond its end). Copy it again from its source."
        )
    return struct.unpack(form, data)


def _image(
    file: BinaryIO, path: Path, start: int
) -> tuple[tuple[Any, ...], np.dtype, tuple[int, int]]:
    """An image's header, type and shape, checked to lie within the file."""
    size = size_on_disk(path)
    file.seek(min(start, size))
    header = _read(file, path, IMAGE.format)
    kind, columns, rows = header[6:]
    if kind not in TYPES:
        raise DataError(
            f"{path}: expected real numbers; got the ser type {kind} at byte {start}."
        )
    dtype = np.dtype("<" + TYPES[kind])
    if start + IMAGE.size + columns * rows * dtype.itemsize > size:
        raise DataError(
            f"{path}: expected a whole file; it is truncated or damaged ({columns} x"
            f" {rows} pixels at byte {start} of {size}). Copy it again from its source."
        )
    return header, dtype, (rows, columns)
