"""Images that are in memory already: NumPy, dask, xarray, HyperSpy, sidpy.

None of the libraries is imported: what an object is, is told by what it has.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.axes import Layout, layout, picker
from jaxrvae.data.read.images import Opened, opened, square, to_nm
from jaxrvae.data.read.metadata import described


def is_given(item: Any) -> bool:
    """Whether the object holds an array, rather than naming a file."""
    return hasattr(item, "axes_manager") or (
        hasattr(item, "shape") and hasattr(item, "dtype")
    )


def open_given(item: Any, channel: int | str | None) -> Opened:
    """An array or labelled array as frames; frames are computed one by one.

    Plain arrays are (row, col), (frame, row, col) or (frame, row, col, channel);
    labelled ones are sorted by the names of their axes: x and y, channel, all else
    counts frames.
    """
    if hasattr(item, "axes_manager"):
        return _hyperspy(item, channel)
    if hasattr(item, "_axes") and hasattr(item, "quantity"):
        return _sidpy(item, channel)
    if hasattr(item, "dims") and hasattr(item, "coords"):
        return _xarray(item, channel)
    shape, path = tuple(item.shape), Path(type(item).__name__)

    def load(index: int) -> np.ndarray:
        return np.asarray(item if len(shape) == 2 else item[index])

    return opened(path, shape, item.dtype, load, channel)


def _hyperspy(signal: Any, channel: int | str | None) -> Opened:
    title = str(getattr(signal.metadata.General, "title", "") or "HyperSpy signal")
    axes = list(signal.axes_manager.signal_axes)
    if len(axes) != 2:
        raise DataError(
            f"{title}: expected a Signal2D; got {len(axes)} signal axes. Use"
            " signal.as_signal2D(...)."
        )
    x, y = axes
    data = signal.data
    image = [int(y.index_in_array), int(x.index_in_array)]
    frames = [i for i in range(data.ndim) if i not in image]
    count = [int(np.prod([data.shape[i] for i in frames]))] if frames else []
    where = Layout(frames, image, (*count, *(data.shape[i] for i in image)))
    path = Path(title)
    size = square(path, *(to_nm(abs(float(a.scale)), str(a.units)) for a in (x, y)))
    trees = {
        name: getattr(signal, name).as_dictionary()
        for name in ("metadata", "original_metadata")
    }
    return opened(
        path, where.shape, data.dtype, picker(data, where), channel, size,
        described(trees),
    )  # fmt: skip


def _sidpy(data: Any, channel: int | str | None) -> Opened:
    axes = [data._axes[i] for i in range(data.ndim)]
    path = Path(str(getattr(data, "title", "") or "sidpy dataset"))
    where = layout(path, [str(axis.name) for axis in axes], data.shape)
    sizes = [_step(np.asarray(axes[i].values), axes[i].units) for i in where.image[:2]]
    return opened(
        path,
        where.shape,
        np.dtype(data.dtype),
        picker(data, where),
        channel,
        square(path, sizes[1], sizes[0]),
        described(
            getattr(data, "original_metadata", {}), channel_units=(str(data.units),)
        ),
    )


def _xarray(data: Any, channel: int | str | None) -> Opened:
    path = Path(str(data.name or "DataArray"))
    dims = [str(dim) for dim in data.dims]
    where = layout(path, dims, data.shape)
    sizes = []
    for axis in where.image[:2]:
        values = (
            data.coords[data.dims[axis]] if data.dims[axis] in data.coords else None
        )
        unit = "" if values is None else str(values.attrs.get("units", ""))
        sizes.append(None if values is None else _step(np.asarray(values), unit))
    names: list[str] = []
    if len(where.image) == 3 and data.dims[where.image[2]] in data.coords:
        names = [str(v) for v in np.asarray(data.coords[data.dims[where.image[2]]])]
    if isinstance(channel, str) and channel in names:
        channel = names.index(channel)
    return opened(
        path,
        where.shape,
        data.dtype,
        picker(data.data, where),
        channel,
        square(path, sizes[1], sizes[0]),
        described(dict(data.attrs)),
        names,
    )


def _step(values: np.ndarray, unit: str) -> float | None:
    """Distance in nm of evenly spaced coordinates, or None."""
    if len(values) < 2 or values.dtype.kind not in "iuf":
        return None
    steps = np.diff(values.astype(float))
    even = np.allclose(steps, steps.mean(), rtol=1e-3, atol=0)
    return to_nm(abs(float(steps.mean())), unit) if even else None
