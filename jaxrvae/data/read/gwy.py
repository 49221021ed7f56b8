"""Gwyddion's gwy: a tree of named components, read without trust in its sizes.

The library gwyfile never ends on some damaged files and copies the file once a
component; this walks the same tree by positions. Format: Gwyddion user guide, "Gwyddion
native data files" (GWYP).
"""

import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.images import Opened, Plane, square, stacked, to_nm
from jaxrvae.data.read.metadata import described

DEEPEST = 16
NUMBERS = {"b": "?", "c": "<b", "i": "<i", "q": "<q", "d": "<d"}
ARRAYS = {"C": "S1", "I": "<i4", "Q": "<i8", "D": "<f8"}


class Damaged(ValueError):
    """A component that does not lie within the one that holds it."""


def open_gwy(path: Path, channel: int | str | None) -> Opened:
    """The data fields of a Gwyddion file, named by their titles, in their order."""
    with path.open("rb") as file:
        bytes_ = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with bytes_:
        try:
            name, tree, _ = _object(bytes_, 4, len(bytes_), 0)
        except (Damaged, struct.error, UnicodeDecodeError) as error:
            raise DataError(
                f"{path}: expected a whole file; it is truncated or damaged ({error})."
                " Copy it again from its source."
            ) from error
    if name != "GwyContainer":
        raise DataError(f"{path}: expected a GwyContainer; got {name[:40]!r}.")
    numbers = sorted(
        int(found[1]) for key in tree if (found := re.fullmatch(r"/(\d+)/data", key))
    )
    planes = [_plane(path, tree, number) for number in numbers]
    if not planes:
        raise DataError(f"{path}: expected images; got a file without data fields.")
    original = {key: value for key, value in tree.items() if _kept(value)}
    return stacked(path, planes, channel, described(original))


def _kept(value: Any) -> bool:
    return not isinstance(value, dict) or "data" not in value


def _plane(path: Path, tree: dict[str, Any], number: int) -> Plane:
    field = tree[f"/{number}/data"]
    columns, rows = int(field["xres"]), int(field["yres"])
    start, count, dtype = field["data"]
    if rows < 1 or columns < 1 or rows * columns != count:
        raise DataError(
            f"{path}: expected {rows} x {columns} pixels in channel {number}; got"
            f" {count}. It is damaged: copy it again from its source."
        )
    unit = str(field.get("si_unit_xy", {}).get("unitstr", ""))
    x, y = (
        to_nm(float(field.get(f"{axis}real", 0.0)) / size, unit)
        for axis, size in (("x", columns), ("y", rows))
    )

    def load() -> np.ndarray:
        return np.fromfile(path, dtype, count, offset=start).reshape(rows, columns)

    return Plane(
        name=str(tree.get(f"/{number}/data/title", f"channel_{number}")),
        shape=(rows, columns),
        dtype=np.dtype(dtype),
        load=load,
        unit=str(field.get("si_unit_z", {}).get("unitstr", "")),
        pixel_size=square(path, x, y),
    )


def _object(data: mmap.mmap, at: int, end: int, depth: int) -> tuple[str, Any, int]:
    """(type, components, where it ends); arrays as (start, count, dtype)."""
    if depth > DEEPEST:
        raise Damaged("nested too deep")
    name, at = _string(data, at, end)
    size, at = _number(data, at, end, "<I")
    stop = at + size
    if stop > end:
        raise Damaged(f"{name[:40]!r} ends beyond what holds it")
    return name, dict(_components(data, at, stop, depth)), stop


def _components(
    data: mmap.mmap, at: int, end: int, depth: int
) -> Iterator[tuple[str, Any]]:
    while at < end:
        name, at = _string(data, at, end)
        kind, at = chr(data[at]) if at < end else "", at + 1
        value, at = _value(data, at, end, kind, depth)
        yield name, value


def _value(
    data: mmap.mmap, at: int, end: int, kind: str, depth: int
) -> tuple[Any, int]:
    if kind in NUMBERS:
        return _number(data, at, end, NUMBERS[kind])
    if kind == "s":
        return _string(data, at, end)
    if kind == "o":
        _, value, at = _object(data, at, end, depth + 1)
        return value, at
    count, at = _number(data, at, end, "<I")
    if kind in ARRAYS:
        stop = at + count * np.dtype(ARRAYS[kind]).itemsize
        if stop > end:
            raise Damaged(f"an array of {count} ends beyond what holds it")
        return (at, count, ARRAYS[kind]), stop
    if kind not in ("S", "O") or count > end - at:
        raise Damaged(f"an unknown component {kind!r} of {count}")
    values = []
    for _ in range(count):
        value, at = _value(data, at, end, kind.lower(), depth)
        values.append(value)
    return values, at


def _string(data: mmap.mmap, at: int, end: int) -> tuple[str, int]:
    stop = data.find(b"\0", at, end)
    if stop < 0:
        raise Damaged("text without an end")
    return data[at:stop].decode(), stop + 1


def _number(data: mmap.mmap, at: int, end: int, form: str) -> tuple[Any, int]:
    stop = at + struct.calcsize(form)
    if stop > end:
        raise Damaged("a number beyond what holds it")
    return struct.unpack(form, data[at:stop])[0], stop
