"""Positions to patches: images cut around them, interpolated to sit at the centre."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, at_least, one_of, positive
from jaxrvae._typing import Number
from jaxrvae.data.containers import Frame, Frames, Patches
from jaxrvae.data.patch_store import write_patches

CHUNK = 2_000_000  # sampling points interpolated at a time; bounds the memory
SLACK = 1e-6  # pixels


def cut_patches(
    movie: Frames,
    positions: pd.DataFrame,
    size: int = 48,
    window: Number | None = None,
    *,
    normalize: Literal["frame", "patch"] | None = None,
    to: str | Path | None = None,
) -> Patches:
    """Patches centred exactly on positions, by cubic-spline interpolation.

    A position lies at patch pixel ((size - 1) / 2, (size - 1) / 2). Where the patch's
    pixels are coarser than the frame's, a Gaussian filter keeps details too fine for
    them from aliasing. Positions whose patch reaches beyond the image are dropped and
    counted in `num_dropped`.

    Frames are taken one by one. With `to`, so are their patches: of a movie that is
    read lazily, one frame and its patches are all that is ever in memory.

    Args:
        movie: The frames to cut from.
        positions: Columns frame (a frame's *number*, as in `movie.numbers`), x and y
            (pixels); other columns are passed on to the patches' table.
        size: Pixels along a patch's side.
        window: nm along a patch's side, resampled to `size` pixels, so that frames of
            different pixel size mix. Without it the frames' own pixels are kept.
        normalize: "frame" subtracts each frame's median and divides by its
            interquartile range / 1.349 (the standard deviation of Gaussian values).
            "patch" subtracts each patch's mean and divides by its standard deviation:
            content then says nothing of brightness and contrast. Both stand in the
            table as offset and scale (offset_0 ... with channels).
        to: A folder that is not there yet, into which the patches are written frame by
            frame, 4 bytes a pixel. Those that come back read their pixels from there;
            `Patches.load(to)` opens them again.

    Raises:
        DataError: No patch has full support, pixel sizes differ or are unknown, a
            frame number is not in the movie, or `to` is taken.
        RunError: `to` cannot be written.

    >>> from jaxrvae.simulate import simulate
    >>> movie = simulate("graphene", num_frames=2, size=64)
    >>> middle = pd.DataFrame({"frame": [0, 1], "x": 31.3, "y": 30.8})
    >>> cut_patches(movie, middle, size=24).values.shape
    (2, 24, 24)
    """
    unit = None if window is None else "nm"
    return cut_to(movie, positions, size, window, normalize, to, unit)


def cut_to(
    movie: Frames,
    positions: pd.DataFrame,
    size: int,
    window: Number | None,
    normalize: Literal["frame", "patch"] | None,
    to: str | Path | None,
    unit: str | None,
) -> Patches:
    """As `cut_patches`; the window, and the pixel sizes, in a unit that is told."""
    at_least("size", size, 2)
    one_of("normalize", normalize, ["frame", "patch", None])
    if window is not None:
        positive("window", window, "It is in nm.")
    groups = _by_frame(movie, positions)
    steps = [_step(movie[index], size, window) for index, _ in groups]
    if window is None:
        _same_pixel_size([movie[index] for index, _ in groups])
    tables: list[pd.DataFrame] = []
    pieces = _pieces(movie, groups, steps, size, normalize, tables)
    pixel_size = movie[groups[0][0]].pixel_size if window is None else window / size
    metadata = {"size": size, "window": window, "normalize": normalize}

    def described(values: np.ndarray) -> Patches:
        table = pd.concat(tables, ignore_index=True)
        return Patches(
            values=values,
            table=table,
            pixel_size=pixel_size if unit in (None, "nm") else None,
            channels=movie.channels if values.ndim == 4 else movie.channels[:1],
            num_dropped=len(positions) - len(table),
            metadata=metadata | ({} if unit is None else {"window_unit": unit}),
        )

    if to is not None:
        return write_patches(to, pieces, described)
    return described(np.concatenate(list(pieces)))


def _pieces(
    movie: Frames,
    groups: list[tuple[int, pd.DataFrame]],
    steps: list[float],
    size: int,
    normalize: Literal["frame", "patch"] | None,
    tables: list[pd.DataFrame],
) -> Iterator[np.ndarray]:
    """Patches frame by frame; their rows are put into `tables`."""
    for (index, rows), step in zip(groups, steps, strict=True):
        yield from _piece(movie[index].values, rows, size, step, normalize, tables)
    if not tables:
        raise DataError(_no_support(movie, groups, steps, size))


def _piece(
    image: np.ndarray,
    rows: pd.DataFrame,
    size: int,
    step: float,
    normalize: Literal["frame", "patch"] | None,
    tables: list[pd.DataFrame],
) -> Iterator[np.ndarray]:
    """One frame's patches, if any; neither it nor they outlive their turn."""
    places = rows[["x", "y"]].to_numpy(np.float64)
    kept = _supported(places, image.shape, (size - 1) / 2 * step)
    if not kept.any():
        return
    table = pd.DataFrame(rows[kept])
    cut = _cut(image, places[kept], size, step)
    if normalize is not None:
        offset, scale = _standards(cut, image, normalize)
        cut = ((cut - offset) / scale).astype(np.float32)
        _note(table, offset=offset, scale=scale)
    tables.append(table)
    yield cut


def _by_frame(movie: Frames, positions: pd.DataFrame) -> list[tuple[int, pd.DataFrame]]:
    """Rows of each frame beside its index in the movie, in the movie's order."""
    missing = {"frame", "x", "y"} - set(positions.columns)
    if missing:
        raise DataError(
            f"positions: expected columns frame, x, y; {sorted(missing)} missing."
        )
    if positions.empty:
        raise DataError("positions: expected at least one row; the table is empty.")
    if not np.isfinite(positions[["x", "y"]].to_numpy(np.float64)).all():
        raise DataError("positions: expected finite x and y; drop rows with NaN.")
    index = movie.index_by_number()
    unknown = sorted(set(positions["frame"]) - set(index))
    if unknown:
        raise DataError(
            f"positions: frame {unknown[0]} is not in the movie; its numbers are"
            f" {sorted(index)[:8]}{' ...' if len(index) > 8 else ''}."
        )
    groups = [(index[int(n)], rows) for n, rows in positions.groupby("frame")]  # type: ignore[arg-type]
    return sorted(groups, key=lambda group: group[0])


def _step(frame: Frame, size: int, window: Number | None) -> float:
    """Frame pixels between neighbouring patch pixels."""
    if window is None:
        return 1.0
    if frame.pixel_size is None:
        raise DataError(
            f"{frame.name or 'frame'}: window={window} nm needs the pixel size, which"
            " is not known. Give it: read(..., pixel_size=nm), or leave window out."
        )
    return window / size / frame.pixel_size


def _same_pixel_size(frames: list[Frame]) -> None:
    sizes = {frame.pixel_size for frame in frames}
    stated = [size for size in sizes if size is not None]
    if stated and (None in sizes or max(stated) > 1.001 * min(stated)):
        shown = ", ".join(
            "unknown" if size is None else f"{size:.5g}" for size in sizes
        )
        raise DataError(
            f"expected one pixel size for patches without a window; got {shown} (nm)."
            " Give the patch's side in nm: cut_patches(..., window=1.0)."
        )


def _supported(places: np.ndarray, shape: tuple[int, ...], reach: float) -> np.ndarray:
    last = np.array([shape[1] - 1, shape[0] - 1])
    inside = (places - reach >= -SLACK) & (places + reach <= last + SLACK)
    return np.asarray(inside.all(axis=1))


def _cut(image: np.ndarray, places: np.ndarray, size: int, step: float) -> np.ndarray:
    """(n, size, size[, channel]) by cubic splines, one channel after the other.

    Where all patch pixels are pixels of the frame, as on a grid, those are taken.
    """
    from scipy import ndimage

    corners = places - (size - 1) / 2
    whole = np.rint(corners).astype(int)
    if step == 1.0 and np.abs(corners - whole).max() < SLACK:
        windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), (0, 1))
        cut = np.moveaxis(windows[whole[:, 1], whole[:, 0]], (-2, -1), (1, 2))
        return np.ascontiguousarray(cut, np.float32)
    offsets = (np.arange(size) - (size - 1) / 2) * step
    blur = 0.5 * np.sqrt(max(step**2 - 1, 0.0))
    planes = image[..., None] if image.ndim == 2 else image
    out = np.empty((len(places), size, size, planes.shape[2]), np.float32)
    chunk = max(1, CHUNK // size**2)
    for plane in range(planes.shape[2]):
        values = planes[..., plane].astype(np.float64)
        if blur > 0:
            values = ndimage.gaussian_filter(values, blur, mode="mirror")
        values = ndimage.spline_filter(values, order=3, mode="mirror")
        for start in range(0, len(places), chunk):
            x, y = places[start : start + chunk].T[..., None] + offsets
            rows = np.broadcast_to(y[:, :, None], (len(x), size, size))
            columns = np.broadcast_to(x[:, None, :], (len(x), size, size))
            out[start : start + chunk, ..., plane] = ndimage.map_coordinates(
                values, [rows, columns], order=3, mode="mirror", prefilter=False
            )
    return out[..., 0] if image.ndim == 2 else out


def _standards(
    cut: np.ndarray, image: np.ndarray, normalize: str
) -> tuple[np.ndarray, np.ndarray]:
    """Offset and scale that broadcast over the patches, one or one a patch."""
    if normalize == "patch":
        offset = cut.mean((1, 2), keepdims=True)
        scale = cut.std((1, 2), keepdims=True)
        return offset, np.where(scale > 0, scale, 1.0)
    low, middle, high = np.percentile(image, [25, 50, 75], axis=(0, 1))
    scale = (high - low) / 1.349
    scale = np.where(scale > 0, scale, np.std(image, axis=(0, 1)))
    shape = (1,) * (cut.ndim - np.ndim(middle)) + np.shape(middle)
    return np.reshape(middle, shape), np.reshape(scale, shape)


def _note(table: pd.DataFrame, **standards: np.ndarray) -> None:
    """Writes what was subtracted and divided by into the table, channel by channel."""
    for name, values in standards.items():
        columns = values.reshape(len(values), -1) if values.ndim == 4 else values[:, 0]
        columns = np.broadcast_to(columns, (len(table), columns.shape[1]))
        for i, column in enumerate(columns.T):
            table[name if values.ndim == 3 else f"{name}_{i}"] = column


def _no_support(
    movie: Frames,
    groups: list[tuple[int, pd.DataFrame]],
    steps: list[float],
    size: int,
) -> str:
    index, step = groups[0][0], steps[0]
    frame = movie[index]
    height, width = frame.shape[:2]
    side = (size - 1) * step + 1
    where = frame.name or f"frame {frame.number}"
    if side > min(height, width):
        return (
            f"{where}: expected a patch that fits into the image ({height} x {width}"
            f" pixels); a patch takes {side:.0f} x {side:.0f}. Choose a smaller size or"
            " window."
        )
    return (
        f"{where}: all {sum(len(rows) for _, rows in groups)} positions lie too near"
        f" the edge for patches of {side:.0f} x {side:.0f} pixels. Choose a smaller"
        " size or window."
    )
