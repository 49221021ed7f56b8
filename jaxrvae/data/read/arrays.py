"""npy, npz and TIFF."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.images import Opened, choose, opened, square, to_nm, unreadable

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
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
            name = choose(path, names, channel)
            array = archive[name]
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, KeyError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(_numpy_error(path, error)) from error

    def load(index: int) -> np.ndarray:
        with np.load(path, allow_pickle=False) as archive:
            array = archive[name]
        return array if array.ndim == 2 else array[index]

    return opened(path, array.shape, array.dtype, load, channel)


def _numpy_error(path: Path, error: Exception) -> str:
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return (
            f"{path}: expected an array of numbers; got Python objects, which are not"
            " unpickled for safety. Save it with a numeric dtype."
        )
    return unreadable(path, error)


def open_tif(path: Path, channel: int | str | None) -> Opened:
    """The first series of a TIFF; colour samples and channel axes are channels."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            axes, shape, dtype = series.axes, series.shape, series.dtype
            pixel_size = _tif_pixel_size(path, tif)
    except (tifffile.TiffFileError, ValueError, IndexError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(unreadable(path, error)) from error
    if dtype is None:
        raise DataError(f"{path}: expected numbers; got a TIFF without a pixel type.")
    order, grouped = _frames_first(path, axes, shape)

    def load(index: int) -> np.ndarray:
        with tifffile.TiffFile(path) as tif:
            series = tif.series[0]
            if grouped == series.shape and len(series.pages) == grouped[0] > 1:
                return np.asarray(series.asarray(key=index))
            array = np.transpose(series.asarray(), order).reshape(grouped)
        return array if array.ndim == 2 else array[index]

    return opened(path, grouped, np.dtype(dtype), load, channel, pixel_size)


def _frames_first(
    path: Path, axes: str, shape: tuple[int, ...]
) -> tuple[list[int], tuple[int, ...]]:
    """The order of axes that ends in row, col[, channel], and the shape it gives."""
    if "Y" not in axes or "X" not in axes:
        raise DataError(f"{path}: expected an image; got a TIFF with axes {axes}.")
    last = [axes.index("Y"), axes.index("X")]
    last += [i for i, axis in enumerate(axes) if axis in "CS"]
    first = [i for i in range(len(axes)) if i not in last]
    image = [shape[i] for i in last[:2]]
    num_frames = int(np.prod([shape[i] for i in first], dtype=int))
    if len(last) > 2:
        num_channels = int(np.prod([shape[i] for i in last[2:]], dtype=int))
        return first + last, (num_frames, *image, num_channels)
    return first + last, (num_frames, *image) if first else (image[0], image[1])


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
