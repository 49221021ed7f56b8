"""npy, npz and TIFF."""

import struct
import threading
import weakref
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.axes import Layout, layout, picker
from jaxrvae.data.read.images import (
    Opened,
    choose,
    fits,
    opened,
    size_on_disk,
    square,
    to_nm,
    unreadable,
)
from jaxrvae.data.read.metadata import described

COARSEST = 1e4  # nm; coarser resolution tags are a printer's dpi, not a microscope's


def open_npy(path: Path, channel: int | str | None) -> Opened:
    """One array; objects are refused, never unpickled."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(_numpy_error(path, error)) from error

    def load(index: int) -> np.ndarray:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return array if array.ndim == 2 else array[index]

    return opened(path, array.shape, array.dtype, load, channel)


def open_npz(path: Path, channel: int | str | None) -> Opened:
    """The only array of an archive, or the one that `channel` names."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            member = members[choose(path, list(members), channel)]
            with archive.open(member) as file:
                shape, fortran, dtype = _npy_header(file)
                start = file.tell()
            claimed = archive.getinfo(member).file_size
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(_numpy_error(path, error)) from error
    fits(path, shape, dtype)
    num_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if start + num_bytes > claimed:
        raise DataError(
            f"{path}: expected {num_bytes} bytes of pixels in {member!r}; got"
            f" {claimed - start}. Copy it again from its source."
        )
    whole = len(shape) == 2 or fortran
    stream = _Member(path, member)

    def load(index: int) -> np.ndarray:
        count = num_bytes if whole else num_bytes // shape[0]
        at = start if whole else start + index * count
        data = np.frombuffer(stream.read(at, count), dtype)
        if not whole:
            return data.reshape(shape[1:])
        array = data.reshape(shape, order="F" if fortran else "C")
        return array if len(shape) == 2 else array[index]

    return opened(path, shape, dtype, load, channel)


class _Member:
    """Bytes of a packed member; those asked for in order are unpacked but once."""

    def __init__(self, path: Path, member: str):
        self._path, self._member = path, member
        self._file: Any = None
        self._lock = threading.Lock()

    def read(self, start: int, count: int) -> bytes:
        with self._lock:
            if self._file is None or self._file.tell() > start:
                with zipfile.ZipFile(self._path) as archive:
                    self._file = archive.open(self._member)
            while (ahead := start - self._file.tell()) > 0:
                # the file's own seek would unpack 16 MB at a time
                if not self._file.read(min(ahead, 2**16)):
                    raise EOFError("the archive's member ends early")
            data = self._file.read(count)
            if len(data) < count:
                raise EOFError("the archive's member ends early")
            return data


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """(shape, Fortran order, dtype) of an npy file; leaves it at the pixels."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version[0] > 1:
        read = np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("Python objects")
    return shape, fortran, dtype


def _numpy_error(path: Path, error: Exception) -> str:
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return (
            f"{path}: expected an array of numbers; got Python objects, which are not"
            " unpickled for safety. Save it with a numeric dtype."
        )
    return unreadable(path, error)


def open_tif(path: Path, channel: int | str | None) -> Opened:
    """Images of a TIFF; colour samples and channel axes are channels.

    Those of its first series and of all others whose images have the same shape and
    type, in order: a movie written page by page has a series a page. Thumbnails and
    levels of a pyramid, which differ in shape, are left out.
    """
    import tifffile

    _check_pages(path)
    try:
        with tifffile.TiffFile(path) as tif:
            if tif.series[0].dtype is None:
                raise DataError(
                    f"{path}: expected numbers; got a TIFF without a pixel type."
                )
            dtype = np.dtype(tif.series[0].dtype)
            stored = dtype.newbyteorder(tif.byteorder)
            stacks = _stacks(path, tif)
            pixel_size = _tif_pixel_size(path, tif)
            metadata = described(_tif_metadata(tif))
    except (tifffile.TiffFileError, ValueError, IndexError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(unreadable(path, error)) from error
    ends = np.cumsum([stack.num_frames for stack in stacks])
    shape = stacks[0].where.shape
    if len(stacks) > 1:
        shape = (int(ends[-1]), *stacks[0].image)
    fits(path, shape, dtype)
    pages = _Pages(path)

    def load(index: int) -> np.ndarray:
        which = int(np.searchsorted(ends, index, side="right"))
        stack, at = stacks[which], index - int(ends[which]) + stacks[which].num_frames
        if stack.offset is not None:  # one run of bytes
            array = np.memmap(path, stored, "r", stack.offset, stack.shape)
            return np.array(picker(array, stack.where)(at))
        if stack.paged:
            return pages.read(stack.series, at)
        return picker(pages.read(stack.series, None), stack.where)(at)

    return opened(path, shape, dtype, load, channel, pixel_size, metadata)


class _Stack(NamedTuple):
    """A series of a TIFF: its number, shape, axes, and where its pixels lie.

    `offset` is that of its one run of bytes, or None; `paged`: a page is a frame.
    """

    series: int
    shape: tuple[int, ...]
    where: Layout
    offset: int | None
    paged: bool

    @property
    def image(self) -> tuple[int, ...]:
        """(row, col[, channel]) of a frame."""
        shape = self.where.shape
        return shape[-2:] if len(shape) < 4 else shape[1:]

    @property
    def num_frames(self) -> int:
        """One for an image alone."""
        return 1 if len(self.where.shape) == 2 else self.where.shape[0]


def _stacks(path: Path, tif: Any) -> list[_Stack]:
    """The first series, and all others of such images."""
    stacks: list[_Stack] = []
    for number, series in enumerate(tif.series):
        axes, shape = series.axes, tuple(series.shape)
        if "Y" not in axes or "X" not in axes:
            if stacks:
                continue
            raise DataError(f"{path}: expected an image; got a TIFF with axes {axes}.")
        if stacks and series.dtype != tif.series[0].dtype:
            continue
        where = layout(path, axes, shape)
        paged = where.shape == shape and len(series.pages) == shape[0] > 1
        stack = _Stack(number, shape, where, series.dataoffset, paged)
        if not stacks or stack.image == stacks[0].image:
            stacks.append(stack)
    return stacks


class _Pages:
    """Pages of a TIFF that stays open, since each opening walks through all of them."""

    def __init__(self, path: Path):
        self._path, self._file = path, None
        self._lock = threading.Lock()

    def read(self, series: int, index: int | None) -> np.ndarray:
        """One page of a series, or None: the whole of it."""
        import tifffile

        with self._lock:
            if self._file is None:
                self._file = tifffile.TiffFile(self._path)
                weakref.finalize(self, self._file.close)
            stack = self._file.series[series]
            for page in stack.pages if index is None else [stack.pages[index]]:
                _check_strips(self._path, page)
            return np.asarray(stack.asarray(key=index))


def _check_pages(path: Path) -> None:
    """Refuse pages that lead back to one before: tifffile follows them for ever."""
    end = size_on_disk(path)
    with path.open("rb") as file:
        head = file.read(16)
        order, wide = "<" if head[:2] == b"II" else ">", b"+" in head[2:4]
        count, size, step = ("Q", 8, 20) if wide else ("H", 2, 12)
        word, width = ("Q", 8) if wide else ("I", 4)
        at = _unpack(path, order + word, head[8:16] if wide else head[4:8])
        seen: set[int] = set()
        while 0 < at < end:
            if at in seen:
                raise DataError(
                    f"{path}: expected pages one after another; the one at byte {at}"
                    " comes twice. It is damaged: copy it again from its source."
                )
            seen.add(at)
            file.seek(at)
            tags = _unpack(path, order + count, file.read(size))
            file.seek(at + size + tags * step)
            after = file.read(width)
            at = _unpack(path, order + word, after) if len(after) == width else 0


def _check_strips(path: Path, page: Any) -> None:
    """Refuse a page with strips beyond the file: tifffile makes room for them first."""
    end = size_on_disk(path)
    if page is None or sum(page.databytecounts) > end or max(page.dataoffsets) > end:
        raise DataError(unreadable(path, EOFError("its strips lie beyond its end")))


def _unpack(path: Path, form: str, data: bytes) -> int:
    if len(data) < struct.calcsize(form):
        raise DataError(unreadable(path, EOFError("it ends in its header")))
    return struct.unpack(form, data)[0]


def _tif_pixel_size(path: Path, tif: Any) -> float | None:
    """nm, from OME, ImageJ or resolution tags, in this order."""
    if tif.ome_metadata:
        import xml.etree.ElementTree as ElementTree

        root = ElementTree.fromstring(tif.ome_metadata)
        pixels = next((e for e in root.iter() if e.tag.endswith("}Pixels")), None)
        if pixels is None or "PhysicalSizeX" not in pixels.attrib:
            return None
        stated = pixels.attrib
        x, y = (
            to_nm(
                float(stated.get(f"PhysicalSize{axis}", stated["PhysicalSizeX"])),
                stated.get(f"PhysicalSize{axis}Unit", "um"),  # OME's default unit
            )
            for axis in "XY"
        )
        return square(path, x, y)
    tags = tif.pages[0].tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    (a, b), (c, d) = tags["XResolution"].value, tags["YResolution"].value
    if not (a and b and c and d):
        return None
    if tif.imagej_metadata:
        unit = str(tif.imagej_metadata.get("unit", ""))
        return square(path, to_nm(b / a, unit), to_nm(d / c, unit))
    unit = tags["ResolutionUnit"].value if "ResolutionUnit" in tags else 2
    unit = {2: "inch", 3: "cm"}.get(int(unit), "")
    x, y = to_nm(b / a, unit), to_nm(d / c, unit)
    return square(path, x, y) if x is not None and x < COARSEST else None


def _tif_metadata(tif: Any) -> dict[str, Any]:
    """OME's XML, ImageJ's table, or the first page's description."""
    if tif.ome_metadata:
        return {"ome": tif.ome_metadata}
    if tif.imagej_metadata:
        return dict(tif.imagej_metadata)
    description = tif.pages[0].description
    return {"description": description} if description else {}
