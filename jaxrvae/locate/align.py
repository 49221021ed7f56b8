"""Frames moved back by their drift, and their mean."""

import dataclasses
import functools
import math
from typing import Literal

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, one_of
from jaxrvae._typing import Float, Shaped
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.drift import find_drift
from jaxrvae.locate.position_drift import shift_of_frames
from jaxrvae.locate.tracking import check_positions

FIELDS = ("common", "first")
WHOLE = 1e-4  # pixels: shifts so near a whole number need no interpolation


def correct_drift(
    movie: Frames,
    drift: pd.DataFrame | None = None,
    *,
    field: Literal["common", "first"] = "common",
    channel: int | str = 0,
) -> Frames:
    """The movie with the sample at rest, as in its first frame.

    Frames are moved back by cubic splines; by whole pixels they are moved exactly. Lazy
    frames stay lazy. What was done stands in each frame's metadata: "drift_removed"
    (dx, dy), and "field", the (row, column, rows, columns) of the first frame that the
    images show now: what lay at (x, y) of a frame lies at (x - dx - column,
    y - dy - row) after it. The truth of simulated movies is left behind.

    Args:
        movie: Frames of one shape and pixel size.
        drift: Columns frame, x and y (pixels), as `find_drift` gives; found if None.
        field: "common" crops to what all frames show; "first" keeps the first frame's
            field, with NaN where a frame shows nothing.
        channel: By which drift is found, where it is not given; all are moved.

    Raises:
        DataError: No field is common to all; a frame without drift; shapes or pixel
            sizes that differ.

    >>> scene = np.arange(60.0).reshape(6, 10)
    >>> movie = Frames((Frame(scene[1:, 2:]), Frame(scene[:-1, :-2], number=1)))
    >>> drift = pd.DataFrame({"frame": [0, 1], "x": [0, 2], "y": [0, 1]})
    >>> first, second = correct_drift(movie, drift)
    >>> first.shape, bool((first.values == second.values).all())
    ((4, 6), True)
    """
    one_of("field", field, FIELDS)
    movie.index_by_number()
    if drift is None:
        drift = find_drift(movie, channel=channel)
    check_positions(drift)
    assert movie.pixel_size is None or movie.pixel_size > 0  # raises where they differ
    shifts = shift_of_frames(drift, movie.numbers)
    shape = movie[0].shape[:2]
    box = (0, 0, shape[0], shape[1]) if field == "first" else _common(shifts, shape)
    frames = tuple(
        _moved(frame, shift, box, shape)
        for frame, shift in zip(movie, shifts, strict=True)
    )
    metadata = {**movie.metadata, "drift_removed": True, "field": box}
    return dataclasses.replace(movie, frames=frames, metadata=metadata, truth={})


def mean_frame(
    movie: Frames,
    drift: pd.DataFrame | None = None,
    *,
    field: Literal["common", "first"] = "common",
    channel: int | str = 0,
) -> Frame:
    """The mean of all frames with the sample at rest; one frame in memory at a time.

    Args, errors and metadata are those of `correct_drift`; the mean has the first
    frame's number. Of the field of the first frame every pixel is the mean of those
    frames that show it.

    >>> movie = Frames((Frame(np.eye(4)), Frame(3 * np.eye(4), number=1)))
    >>> still = pd.DataFrame({"frame": [0, 1], "x": 0, "y": 0})
    >>> float(mean_frame(movie, still).values[0, 0])
    2.0
    """
    still = correct_drift(movie, drift, field=field, channel=channel)
    total = count = np.zeros(())
    for frame in still:
        values = np.asarray(frame.values, np.float64)
        seen = np.isfinite(values)
        total, count = total + np.where(seen, values, 0), count + seen
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return Frame(
        mean.astype(np.float32),
        movie.pixel_size,
        f"mean of {len(movie)} frames",
        movie[0].number,
        {**still.metadata, "mean_of": len(movie)},
    )


def _common(
    shifts: Float[np.ndarray, "frame 2"], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """(row, column, rows, columns) of the first frame that every frame shows."""
    start, size = [], []
    for axis, side in ((1, shape[0]), (0, shape[1])):
        low = math.ceil(max(0.0, float(-shifts[:, axis].min())) - WHOLE)
        high = math.floor(side - 1 - max(0.0, float(shifts[:, axis].max())) + WHOLE)
        if high < low:
            raise DataError(
                f"expected a field common to all frames; the drift of"
                f" {np.ptp(shifts[:, axis]):.1f} pixels leaves none of {side}. Take"
                " fewer frames at a time, or field='first'."
            )
        start.append(low)
        size.append(high - low + 1)
    return start[0], start[1], size[0], size[1]


def _moved(
    frame: Frame,
    shift: np.ndarray,
    box: tuple[int, int, int, int],
    shape: tuple[int, ...],
) -> Frame:
    read = functools.partial(
        _cut, frame, (float(shift[1]), float(shift[0])), box, shape
    )
    metadata = {
        **frame.metadata,
        "drift_removed": (float(shift[0]), float(shift[1])),
        "field": box,
    }
    source = read if callable(frame.source) else read()
    return dataclasses.replace(frame, source=source, metadata=metadata)


def _cut(
    frame: Frame,
    shift: tuple[float, float],
    box: tuple[int, int, int, int],
    shape: tuple[int, ...],
) -> Shaped[np.ndarray, "..."]:
    """The box of the frame moved back by (rows, columns)."""
    values = np.asarray(frame.values)
    name = frame.name or f"frame {frame.number}"
    if values.shape[:2] != tuple(shape):
        raise DataError(
            f"{name}: expected {tuple(shape)} pixels as in the first frame; got"
            f" {values.shape[:2]}. Crop the frames to one shape."
        )
    if not np.isfinite(values).all():
        raise DataError(
            f"{name}: expected finite intensities. Fill those that are not."
        )
    corner = (box[0] + shift[0], box[1] + shift[1])
    sides = box[2:]
    inside = all(
        low > -WHOLE and low + size - 1 < side - 1 + WHOLE
        for low, size, side in zip(corner, sides, shape, strict=True)
    )
    whole = [round(low) for low in corner]
    if inside and np.abs(np.subtract(corner, whole)).max() < WHOLE:
        rows, columns = (slice(w, w + n) for w, n in zip(whole, sides, strict=True))
        return values[rows, columns].copy()
    planes = values if values.ndim == 3 else values[..., None]
    moved = np.stack(
        [_spline(planes[..., i], corner, sides) for i in range(planes.shape[2])],
        axis=-1,
    )
    return moved.reshape(*sides, *values.shape[2:])


def _spline(
    image: np.ndarray, corner: tuple[float, float], sides: tuple[int, ...]
) -> np.ndarray:
    from scipy.ndimage import affine_transform

    moved = affine_transform(
        image.astype(np.float32),
        np.ones(2),
        offset=np.array(corner),  # pyright: ignore[reportArgumentType]
        output_shape=sides,
        order=3,
        mode="mirror",
    )
    for axis in range(2):
        place = corner[axis] + np.arange(sides[axis])
        out = (place < -WHOLE) | (place > image.shape[axis] - 1 + WHOLE)
        moved[(out, slice(None)) if axis == 0 else (slice(None), out)] = np.nan
    return moved
