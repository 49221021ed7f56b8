"""Image files to Frames: one function, whatever the format."""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError, existing_file, nearest, positive
from jaxrvae._typing import Number
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.data.read import arrays, em, given, gwy, hdf5, ser, signals, spm
from jaxrvae.data.read.images import Opened, checked, unreadable

HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK"
FORMATS = {  # ending: what it is, how it may begin (nothing: not told by it), opener
    ".npy": ("NumPy array", (b"\x93NUMPY",), arrays.open_npy),
    ".npz": ("NumPy archive", (ZIP,), arrays.open_npz),
    ".tif": ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), arrays.open_tif),
    ".hdf5": ("HDF5", (HDF5,), hdf5.open_hdf5),
    ".dm3": ("Gatan DM3", (b"\0\0\0\3",), em.open_dm),
    ".dm4": ("Gatan DM4", (b"\0\0\0\4",), em.open_dm),
    ".emd": ("EMD (HDF5)", (HDF5,), em.open_emd),
    ".ser": ("TIA series", (b"II\x97\1",), ser.open_ser),
    ".mrc": ("MRC", (), em.open_mrc),
    ".blo": ("blockfile", (b"IMGBLO",), em.open_blo),
    ".hspy": ("HyperSpy (HDF5)", (HDF5,), signals.open_hspy),
    ".zspy": ("HyperSpy (zarr)", (ZIP,), signals.open_zspy),
    ".zarr": ("zarr", (ZIP,), signals.open_zarr),
    ".ibw": ("Igor wave", (b"\5\0", b"\0\5"), spm.open_ibw),
    ".sxm": ("Nanonis image", (b":NANONIS_VERSION:",), spm.open_sxm),
    ".gwy": ("Gwyddion", (b"GWYP",), gwy.open_gwy),
}
SYNONYMS = {".tiff": ".tif", ".h5": ".hdf5", ".hdf": ".hdf5", ".mrcs": ".mrc"}
STORES = (".zarr", ".zspy")  # that may be folders


def read(
    paths: Any,
    *,
    channel: int | str | None = None,
    lazy: bool = False,
    pixel_size: Number | None = None,
) -> Frames:
    """A movie from image files or from what is in memory already.

    Files: npy, npz, tif (OME, ImageJ), hdf5 (NSID, USID, HyperSpy, plain), dm3, dm4,
    emd, ser, mrc, blo, hspy, zspy, zarr (OME), ibw, sxm, gwy. Objects: NumPy and dask
    arrays, xarray DataArrays, HyperSpy signals, sidpy datasets.

    2-D arrays are one image, 3-D arrays (frame, row, col) a movie, 4-D arrays
    (frame, row, col, channel) a movie with channels. Integers of up to 16 bits and
    single floats come as float32, all else as float64; nothing is rescaled. If every
    file holds one image and has a number of its own in its name, that number becomes
    the frame's number; otherwise frames are counted from 0. Scanning probe files give
    frames (row, col, channel) with all their channels. `frame.metadata` has the file's
    own under "original", and where it states them "dwell_time" (s), "dose" (e/Å²) and
    "channel_units".

    Args:
        paths: A file, a folder, a glob pattern (both in natural order) or an object, or
            a list of these, in the order given.
        channel: An integer keeps that channel of the last axis; a name picks a channel,
            or one of several arrays or images in a file.
        lazy: Read and check pixels at every `.values`, not now.
        pixel_size: nm per pixel for all frames, instead of what the files say.

    Raises:
        DataError: A file is missing, empty, truncated, not what its ending says or of
            an unknown kind; an image has NaN, infinite, complex or constant values.
    """
    if pixel_size is not None:
        positive("pixel_size", pixel_size, "It is in nm per pixel.")
    sources = _expand(paths)
    opened = [_open(source, channel) for source in sources]
    files = [one.path for one in opened]
    names, numbers = _names(files), _numbers(files, [one.num_frames for one in opened])
    sets = sorted({one.channels for one in opened})
    if len(sets) > 1:
        raise DataError(
            f"{files[0]} ...: expected the same channels in all files; got"
            f" {list(sets[0][:8])} and {list(sets[1][:8])}. Pick one:"
            " read(..., channel=0)."
        )
    frames = []
    for name, one in zip(names, opened, strict=True):
        for index in range(one.num_frames):
            load = partial(checked, one, index)
            frames.append(
                Frame(
                    source=load if lazy else load(),
                    pixel_size=one.pixel_size
                    if pixel_size is None
                    else float(pixel_size),
                    name=name if one.num_frames == 1 else f"{name}[{index}]",
                    number=numbers[len(frames)],
                    metadata=one.metadata,
                )
            )
    return Frames(tuple(frames), channels=opened[0].channels)


def _open(source: Any, channel: int | str | None) -> Opened:
    """The header of a file, or an object's axes."""
    if not isinstance(source, Path):
        return given.open_given(source, channel)
    opener = _opener(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # readers warn of what they then refuse
            return opener(source, channel)
    except DataError:
        raise
    except Exception as error:  # readers raise whatever a damaged file leads them to
        raise DataError(unreadable(source, error)) from error


def _opener(path: Path) -> Callable[[Path, int | str | None], Opened]:
    """The reader of a file, after a look whether it is what its ending says."""
    ending = _ending(path)
    if ending in STORES and path.is_dir():
        return FORMATS[ending][2]
    existing_file(path)
    if ending not in FORMATS:
        known = [*FORMATS, *SYNONYMS]
        raise DataError(
            f"{path}: expected a file ending in {', '.join(known)}; got"
            f" {path.suffix or 'no ending'!r}.{nearest(path.suffix, known)}"
            " Convert it to TIFF or npy."
        )
    kind, magics, opener = FORMATS[ending]
    with path.open("rb") as file:
        start = file.read(32)
    if magics and not start.startswith(magics):
        found = [
            f"{other} content"
            for other, starts, _ in FORMATS.values()
            if starts and start.startswith(starts)
        ]
        raise DataError(
            f"{path}: expected {kind} content; got {(found or ['something else'])[0]}."
            " Give the file its right ending, or copy it again from its source."
        )
    return opener


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    return SYNONYMS.get(ending, ending)


def _expand(paths: Any) -> list[Any]:
    """Files and objects in order: a folder's or a pattern's naturally sorted."""
    several = isinstance(paths, Iterable) and not isinstance(paths, str | Mapping)
    if not several or given.is_given(paths):
        paths = [paths]
    files: list[Any] = []
    for path in paths:
        if given.is_given(path):
            files.append(path)
        elif not isinstance(path, str | Path):
            raise DataError(
                f"expected paths of files or arrays of images; got a"
                f" {type(path).__name__}: {str(path)[:60]!r}."
            )
        elif _ending(Path(path)) in STORES and Path(path).exists():
            files.append(Path(path))
        elif Path(path).is_dir():
            inside = [p for p in Path(path).iterdir() if _ending(p) in FORMATS]
            if not inside:
                raise DataError(
                    f"{path}: expected a folder with image files"
                    f" ({', '.join(FORMATS)}); found none. Check the folder."
                )
            files += sorted(inside, key=_natural)
        elif any(letter in str(path) for letter in "*?[") and not Path(path).exists():
            matches = [Path(p) for p in glob(str(path), recursive=True)]
            if not matches:
                raise DataError(
                    f"{path}: expected a pattern that matches files; it matches none."
                    " Check the folder and the ending."
                )
            matches = [p for p in matches if p.is_file() or _ending(p) in STORES]
            files += sorted(matches, key=_natural)
        else:
            files.append(Path(path))
    if not files:
        raise DataError("read() expected at least one path; got none.")
    return files


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """A sort key by which frame_2 comes before frame_10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def _names(files: list[Path]) -> list[str]:
    """File names, with their folder where two agree."""
    names = [path.name for path in files]
    if len(set(names)) < len(names):
        return [f"{path.parent.name}/{path.name}" for path in files]
    return names


def number_in(stem: str) -> int | None:
    """The last free-standing number of a file's name, or the one at its end.

    >>> number_in("scan-007_HAADF"), number_in("img0012"), number_in("Si-2nm")
    (7, 12, None)
    """
    found = re.findall(r"(?<![A-Za-z0-9.])(\d+)(?![A-Za-z0-9.])", stem)
    found = found or re.findall(r"(\d+)$", stem)
    return int(found[-1]) if found else None


def _numbers(files: list[Path], counts: list[int]) -> list[int]:
    numbers = [number_in(path.stem) for path in files]
    unique = len(set(numbers)) == len(numbers) and None not in numbers
    if unique and max(counts) == 1:
        return [number for number in numbers if number is not None]
    return list(np.arange(sum(counts)).tolist())
