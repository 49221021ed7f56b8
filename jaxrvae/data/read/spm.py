"""Scanning probe formats: Asylum's ibw, Nanonis' sxm and Gwyddion's gwy.

Every channel of a file becomes one of its frame's; row 0 is the top of the image as the
instrument's own program shows it.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.em import missing
from jaxrvae.data.read.images import (
    Opened,
    Plane,
    size_on_disk,
    square,
    stacked,
    to_nm,
)
from jaxrvae.data.read.metadata import described

HEADER = 2**20  # bytes; a longer sxm header is not looked through
LABEL = 32  # bytes of a dimension label
SIZES_5, WAVE_5 = "i i i i 4i 4i i i i", 384  # Igor's TN003: sizes; start of the pixels
IBW_BYTES = {2: 4, 4: 8, 8: 1, 16: 2, 32: 4}


def open_ibw(path: Path, channel: int | str | None) -> Opened:
    """Asylum's images: an Igor wave (x, y[, channel]) whose y runs upwards.

    Format: WaveMetrics, Technical Note 003; orientation as Gwyddion's igorfile.c.
    """
    names, unit = _ibw_header(path)
    try:
        from igor2 import binarywave
    except ImportError as error:
        raise missing(path, "igor2") from error
    wave: Any = binarywave.load(str(path))["wave"]
    data, header = wave["wData"], wave["wave_header"]
    if data.ndim not in (2, 3):
        raise DataError(
            f"{path}: expected a wave (x, y[, channel]); got shape {data.shape}."
        )
    data = data[..., None] if data.ndim == 2 else data
    names += [f"channel_{i}" for i in range(len(names), data.shape[2])]
    y, x = (to_nm(abs(float(header["sfA"][axis])), unit) for axis in (1, 0))
    note = _ibw_note(wave["note"])

    def image(index: int) -> np.ndarray:
        wave: Any = binarywave.load(str(path))["wave"]
        data = wave["wData"]
        return (data if data.ndim == 2 else data[..., index])[:, ::-1].T

    planes = [
        Plane(
            name=names[i],
            shape=(data.shape[1], data.shape[0]),
            dtype=data.dtype,
            load=lambda i=i: image(i),
            unit=_ibw_unit(names[i]),
            pixel_size=square(path, x, y),
        )
        for i in range(data.shape[2])
    ]
    return stacked(path, planes, channel, described(note))


def _ibw_header(path: Path) -> tuple[list[str], str]:
    """Names of the layers and the unit of x, once all sizes are within the file."""
    with path.open("rb") as file:
        head = file.read(WAVE_5)
        order = "<" if head[:1] == b"\5" else ">"
        if len(head) < WAVE_5 or struct.unpack(f"{order}h", head[:2]) != (5,):
            raise DataError(
                f"{path}: expected an Igor wave of version 5; got something older or"
                " shorter. Save it anew with Igor 6 or later."
            )
        sizes = struct.unpack(f"{order}{SIZES_5}", head[4:64])
        counts = struct.unpack(f"{order}4i", head[132:148])
        (kind,) = struct.unpack(f"{order}h", head[80:82])
        labels_at = 64 + sum(sizes[:8])
        claimed = 64 + sum(sizes[:13])
        shape = [n for n in counts if n > 0]
        pixels = int(np.prod(shape, dtype=object)) * IBW_BYTES.get(kind & 0x3E, 0)
        if min(sizes) < 0 or claimed > size_on_disk(path) or not shape or pixels == 0:
            raise _damaged(path, f"{claimed} bytes, shape {tuple(counts)}")
        if pixels + 320 > sizes[0]:
            raise _damaged(path, f"{pixels} bytes of pixels in {sizes[0]}")
        file.seek(labels_at + sum(sizes[8:10]))
        raw = file.read(sizes[10])
    # the first label is the dimension's own
    fields = [raw[i : i + LABEL] for i in range(LABEL, len(raw), LABEL)]
    names = [field.split(b"\0")[0].decode("latin1") for field in fields]
    unit = head[216:220].split(b"\0")[0].decode("latin1")
    return [name for name in names if name], unit


def _damaged(path: Path, claim: str) -> DataError:
    return DataError(
        f"{path}: expected at most what {size_on_disk(path)} bytes can hold; its header"
        f" claims {claim}. It is truncated or damaged: copy it again from its source."
    )


def _ibw_note(note: bytes) -> dict[str, str]:
    """The wave's note: a line a parameter, `name: value`."""
    lines = note.decode("latin1").replace("\r", "\n").split("\n")
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return {name.strip(): value.strip() for name, value in pairs}


def _ibw_unit(name: str) -> str:
    """Asylum writes SI units by the kind of channel, and does not say them."""
    for start, unit in (
        ("Height", "m"), ("ZSensor", "m"), ("Amplitude", "m"), ("Deflection", "m"),
        ("Phase", "deg"), ("Frequency", "Hz"), ("Current", "A"), ("UserIn", "V"),
    ):  # fmt: skip
        if name.removeprefix("Nap").startswith(start):
            return unit
    return ""


def open_sxm(path: Path, channel: int | str | None) -> Opened:
    """Nanonis images: named channels, forward and backward.

    A scan upwards is stored bottom row first, a backward image right to left.
    """
    with path.open("rb") as file:
        start = file.read(HEADER)
    end = start.find(b":SCANIT_END:")
    pixels_at = start.find(b"\x1a\x04", max(end, 0)) + 2
    if end < 0 or pixels_at < 2:
        raise _damaged(path, "no end within its first MB")
    header = _sxm_header(start[:end].decode("latin1"))
    columns, rows = (int(n) for n in header["SCAN_PIXELS"].split()[:2])
    x, y = (float(size) for size in header["SCAN_RANGE"].split()[:2])
    order = "<f4" if "LSBFIRST" in header.get("SCANIT_TYPE", "") else ">f4"
    images = _sxm_images(header["DATA_INFO"])
    size = 4 * rows * columns
    claimed = pixels_at + size * len(images)
    if min(rows, columns) < 1 or not images or claimed > size_on_disk(path):
        raise _damaged(path, f"{claimed} bytes, {len(images)} x {rows} x {columns}")
    upwards = header.get("SCAN_DIR", "down").strip().lower() == "up"

    def load(index: int, backward: bool) -> np.ndarray:
        with path.open("rb") as file:
            file.seek(pixels_at + index * size)
            image = np.frombuffer(file.read(size), order).reshape(rows, columns)
        image = image[:, ::-1] if backward else image
        return image[::-1] if upwards else image

    planes = [
        Plane(
            name=f"{name} {direction}",
            shape=(rows, columns),
            dtype=np.dtype(order),
            load=lambda i=i, direction=direction: load(i, direction == "backward"),
            unit=unit,
            pixel_size=square(path, to_nm(x / columns, "m"), to_nm(y / rows, "m")),
        )
        for i, (name, unit, direction) in enumerate(images)
    ]
    line = header.get("SCAN_TIME", "").split()
    dwell = float(line[0]) / columns if line and float(line[0]) > 0 else None
    return stacked(path, planes, channel, described(header, dwell_time=dwell))


def _sxm_header(text: str) -> dict[str, str]:
    """`:KEY:` lines and what follows each, up to the next."""
    header: dict[str, str] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith(":") and line.rstrip().endswith(":") and len(line) > 2:
            key = line.strip().strip(":")
            header[key] = ""
        elif key:
            header[key] += line.strip("\r") + "\n"
    return {key: value.strip("\n") for key, value in header.items()}


def _sxm_images(table: str) -> list[tuple[str, str, str]]:
    """(name, unit, direction) in the order of the pixels."""
    lines = [line.split("\t") for line in table.splitlines() if line.strip()]
    if not lines:
        return []
    titles = [title.strip() for title in lines[0]]
    at = {title: i for i, title in enumerate(titles)}
    images = []
    for line in lines[1:]:
        name, unit, direction = (
            line[at[title]].strip() for title in ("Name", "Unit", "Direction")
        )
        both = direction.lower() == "both"
        for one in ("forward", "backward") if both else (direction.lower(),):
            images.append((name, unit, one))
    return images
