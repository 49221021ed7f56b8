"""What every reader hands over, and the checks that every image passes."""

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError, nearest

MAX_RATIO = 1100  # deflate packs at most 1032 bytes into one (zlib's technical notes)

NM = {
    "m": 1e9, "cm": 1e7, "mm": 1e6, "um": 1e3, "nm": 1.0, "pm": 1e-3,
    "µm": 1e3, "μm": 1e3, "\\u00b5m": 1e3, "micron": 1e3, "microns": 1e3,
    "micrometer": 1e3, "nanometer": 1.0, "nanometers": 1.0, "meter": 1e9, "å": 0.1,
    "angstrom": 0.1, "a": 0.1, "inch": 2.54e7,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """A file whose header was read.

    Attributes:
        load: Frame index to its (row, col) or (row, col, channel) array.
        pixel_size: nm, or None where the file does not state it.
    """

    path: Path
    num_frames: int
    load: Callable[[int], np.ndarray]
    pixel_size: float | None = None
    channels: tuple[str, ...] = ("intensity",)
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def opened(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    load: Callable[[int], np.ndarray],
    channel: int | str | None,
    pixel_size: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    names: Sequence[str] = (),
) -> Opened:
    """A file as frames, for an array of 2, 3 or 4 axes.

    `load` takes a frame's index to array[index], or to the array if it has 2 axes. An
    integer channel keeps that one of the last of 4 axes; else all are kept. `names` are
    the channels', where the file has them.
    """
    if dtype.hasobject or dtype.kind not in "biuf":
        raise DataError(
            f"{path}: expected real numbers; got dtype {dtype}. Save the image as"
            " float or integer numbers (of complex ones the magnitude)."
        )
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise DataError(
            f"{path}: expected an image (row, col), a movie (frame, row, col) or one"
            f" with channels (frame, row, col, channel); got shape {shape}."
        )
    num_channels = shape[3] if len(shape) == 4 else 1
    if isinstance(channel, int) and not -num_channels <= channel < num_channels:
        raise DataError(
            f"{path}: expected channel below {num_channels}; got {channel}."
            " Channels are counted from 0."
        )
    kept = channel if isinstance(channel, int) else (0 if num_channels == 1 else None)
    channels = tuple(names) or tuple(f"channel_{i}" for i in range(num_channels))
    if kept is not None:
        channels = (channels[kept],) if names else ("intensity",)

    def one(index: int) -> np.ndarray:
        image = np.asarray(load(index))
        return image[..., kept] if len(shape) == 4 and kept is not None else image

    return Opened(
        path=path,
        num_frames=1 if len(shape) == 2 else shape[0],
        load=one,
        pixel_size=pixel_size,
        channels=channels,
        metadata=metadata or {},
    )


def checked(one: Opened, index: int) -> np.ndarray:
    """The image as floats, refused where it cannot be used."""
    where = str(one.path) if one.num_frames == 1 else f"{one.path}, image {index}"
    try:
        image = one.load(index)
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise DataError(unreadable(one.path, error)) from error
    small = image.dtype.kind in "biu" and image.dtype.itemsize <= 2
    small = small or (image.dtype.kind == "f" and image.dtype.itemsize <= 4)
    image = np.ascontiguousarray(image, dtype=np.float32 if small else np.float64)
    bad = image.size - int(np.isfinite(image).sum())
    if bad:
        raise DataError(
            f"{where}: expected finite numbers; got {bad} NaN or infinite pixels of"
            f" {image.size}. Crop or repair the image."
        )
    flat = image.reshape(-1, 1 if image.ndim == 2 else image.shape[2])
    if bool((flat == flat[:1]).all(axis=0).any()):
        raise DataError(
            f"{where}: expected an image with contrast; got the same value"
            f" {flat[0].tolist()} in every pixel. Leave it out or pick another channel."
        )
    return image


def unreadable(path: Path, error: Exception) -> str:
    """One line for a file that breaks off or is damaged."""
    reason = " ".join(str(error).split())[:120]
    return (
        f"{path}: expected a whole file; it is truncated or damaged ({reason})."
        " Copy it again from its source."
    )


def choose(path: Path, names: list[str], channel: int | str | None) -> str:
    """The one array or image of a file that is to be read."""
    if isinstance(channel, str):
        if channel not in names:
            raise DataError(
                f"{path}: expected channel among {names[:12]}; got {channel!r}."
            )
        return channel
    if len(names) != 1:
        raise DataError(
            f"{path}: expected one array of images; found {len(names)}:"
            f" {names[:12]}. Pick one: read(..., channel='name')."
        )
    return names[0]


def to_nm(size: float, unit: str) -> float | None:
    """nm, or None where the unit is no length (or the size no size)."""
    factor = NM.get(str(unit).strip().lower())
    usable = factor is not None and np.isfinite(size) and size > 0
    return float(size * factor) if usable and factor else None


def square(path: Path, x: float | None, y: float | None) -> float | None:
    """The pixel size, where both axes agree within 1 %."""
    if x is None or y is None:
        return None
    if abs(x - y) > 0.01 * max(x, y):
        raise DataError(
            f"{path}: expected square pixels; got {x:.5g} x {y:.5g} nm. Resample the"
            " image, or state the size with read(..., pixel_size=nm)."
        )
    return (x + y) / 2


def fits(
    path: Path, shape: Sequence[int], dtype: np.dtype, *, packed: bool = True
) -> None:
    """Refuse a header that claims more pixels than the file can hold.

    Raises:
        DataError: More bytes than the file's own (times deflate's best, if packed), or
            more frames than the file has bytes.
    """
    claimed = math.prod(int(n) for n in shape) * dtype.itemsize
    held = size_on_disk(path)
    num_frames = math.prod(int(n) for n in shape[:-2])
    if claimed > held * (MAX_RATIO if packed else 1) or num_frames > held:
        raise DataError(
            f"{path}: expected at most what a file of {held} bytes can hold; its header"
            f" claims {claimed} bytes, shape {tuple(shape)}. It is truncated or"
            " damaged: copy it again from its source."
        )


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files of a store that is a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Plane:
    """One channel of a scanning probe's file.

    Attributes:
        load: Its (row, col) array, row 0 on top.
        unit: Of its values.
        pixel_size: nm, or None.
    """

    name: str
    shape: tuple[int, int]
    dtype: np.dtype
    load: Callable[[], np.ndarray]
    unit: str = ""
    pixel_size: float | None = None


def stacked(
    path: Path,
    planes: Sequence[Plane],
    channel: int | str | None,
    metadata: Mapping[str, Any],
) -> Opened:
    """One frame whose channels are the planes, or that one which `channel` picks."""
    planes = _unique(planes)
    names = [plane.name for plane in planes]
    if isinstance(channel, str):
        if channel not in names:
            raise DataError(
                f"{path}: expected channel among {names[:12]}; got {channel!r}."
                f"{nearest(channel, names)}"
            )
        planes = [planes[names.index(channel)]]
    elif isinstance(channel, int) and -len(planes) <= channel < len(planes):
        planes, channel = [planes[channel]], None
    shapes = {plane.shape for plane in planes}
    if len(shapes) > 1:
        sizes = [f"{p.name} {p.shape[0]} x {p.shape[1]}" for p in planes[:12]]
        raise DataError(
            f"{path}: expected channels of one shape; got {', '.join(sizes)}."
            " Pick one: read(..., channel='name')."
        )
    stated = {plane.pixel_size for plane in planes} - {None}
    units = tuple(plane.unit for plane in planes)
    return opened(
        path,
        (1, *shapes.pop(), len(planes)) if planes else (),
        np.result_type(*(plane.dtype for plane in planes)) if planes else np.dtype(int),
        lambda _: np.stack([plane.load() for plane in planes], axis=-1),
        channel if isinstance(channel, int) else None,
        stated.pop() if len(stated) == 1 else None,
        {**metadata, "channel_units": units},
        [plane.name for plane in planes],
    )


def _unique(planes: Sequence[Plane]) -> list[Plane]:
    """Planes whose names differ: the second of a name is numbered."""
    seen: dict[str, int] = {}
    named = []
    for plane in planes:
        seen[plane.name] = seen.get(plane.name, 0) + 1
        count = seen[plane.name]
        name = plane.name if count == 1 else f"{plane.name} {count}"
        named.append(dataclasses.replace(plane, name=name))
    return named
