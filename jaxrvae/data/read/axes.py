"""Arrays with named axes to frames: which axis is row, column, channel, frame."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrvae._checks import DataError

ROWS = ("y", "row", "rows", "height")
COLUMNS = ("x", "col", "cols", "column", "columns", "width")
CHANNELS = ("c", "s", "channel", "channels", "band", "rgb")


class Layout(NamedTuple):
    """Axes of an array: those that count frames, those of one image, and the shape.

    `image` is row, column and then the channels' axes; `shape` is
    ([frame, ]row, col[, channel]).
    """

    frames: list[int]
    image: list[int]
    shape: tuple[int, ...]


def layout(path: Path | str, names: Sequence[str], shape: Sequence[int]) -> Layout:
    """Where frames, rows, columns and channels are, by the names of the axes.

    Axes that are none of the others become frames, the first the slowest. Without names
    for both row and column, the last two axes are meant.

    >>> layout("a.tif", "TCYX", (5, 2, 8, 9)).shape
    (5, 8, 9, 2)
    """
    if len(shape) < 2:
        raise DataError(f"{path}: expected an image; got axes {list(names)}.")
    lower = [str(name).lower() for name in names]
    row = next((i for i, name in enumerate(lower) if name in ROWS), None)
    col = next((i for i, name in enumerate(lower) if name in COLUMNS), None)
    if row is None or col is None:
        row, col = len(shape) - 2, len(shape) - 1
    channels = [i for i, n in enumerate(lower) if n in CHANNELS and i not in (row, col)]
    frames = [i for i in range(len(shape)) if i not in (row, col, *channels)]
    grouped = [int(shape[row]), int(shape[col])]
    if frames or channels:
        grouped.insert(0, math.prod([int(shape[i]) for i in frames]))
    if channels:
        grouped.append(math.prod(int(shape[i]) for i in channels))
    return Layout(frames, [row, col, *channels], tuple(grouped))


def picker(array: Any, where: Layout) -> Callable[[int], np.ndarray]:
    """From a frame's index to its (row, col[, channel]), reading that frame alone.

    `array` is anything with a shape that is indexed like NumPy's: h5py, zarr, dask,
    whose chunks are read one after the other: several at once may hold the whole movie.
    """
    counts = tuple(int(array.shape[i]) for i in where.frames)
    order = [sorted(where.image).index(axis) for axis in where.image]  # once indexed
    shape = where.shape[-2:] if len(where.shape) < 4 else where.shape[1:]

    def load(index: int) -> np.ndarray:
        places: list[Any] = [slice(None)] * len(array.shape)
        for axis, at in zip(where.frames, np.unravel_index(index, counts), strict=True):
            places[axis] = int(at)
        part = array[tuple(places)]
        if hasattr(part, "compute"):
            part = part.compute(scheduler="synchronous")
        return np.transpose(np.asarray(part), order).reshape(shape)

    return load
