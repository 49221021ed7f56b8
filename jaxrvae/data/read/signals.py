"""Stores of chunks: zarr and OME-Zarr, and HyperSpy's hspy (HDF5) and zspy (zarr).

hspy and zspy hold the same tree. It is read here, not by RosettaSciIO, whose zspy needs
zarr 2 and whose trees may hold objects: here numbers and attributes alone count.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.read.axes import Layout, layout, picker
from jaxrvae.data.read.em import missing
from jaxrvae.data.read.images import Opened, choose, fits, opened, square, to_nm
from jaxrvae.data.read.metadata import DEPTH, described, plain

CODECS = {  # that decode numbers to numbers; others (pickle, ...) are refused
    "adler32", "astype", "bitround", "blosc", "bytes", "bz2", "crc32", "crc32c",
    "delta", "fixedscaleoffset", "fletcher32", "gzip", "lz4", "lzma", "packbits",
    "quantize", "sharding_indexed", "shuffle", "transpose", "zlib", "zstd",
}  # fmt: skip
LARGEST_CHUNK = 2**30  # bytes; one chunk is decoded whole


def open_hspy(path: Path, channel: int | str | None) -> Opened:
    """The only signal of images in a HyperSpy file, or the one that is named."""
    import h5py

    with h5py.File(path) as file:
        return open_experiment(path, file, lambda: h5py.File(path), channel)


def open_zspy(path: Path, channel: int | str | None) -> Opened:
    """The same, from HyperSpy's zarr store (a folder or a zip file)."""
    with _zarr(path) as root:
        return open_experiment(path, root, lambda: _zarr(path), channel)


def open_experiment(
    path: Path, root: Any, again: Callable[[], Any], channel: int | str | None
) -> Opened:
    """A signal with two image axes; `again` opens the store anew for each frame."""
    names = {}
    experiments = root["Experiments"]
    for title in experiments:
        group = experiments[title]
        if "data" in group and len(group["data"].shape) >= 2:
            names[title] = f"Experiments/{title}"
    name = names[choose(path, list(names), channel)]
    data = root[f"{name}/data"]
    axes = [_axis(root[name], i) for i in range(len(data.shape))]
    image = [i for i, axis in enumerate(axes) if not axis.get("navigate")]
    if len(image) != 2:
        raise DataError(
            f"{path}: expected images; {name!r} has {len(image)} signal axes. Save"
            " signal.as_signal2D((-1, -2)) from HyperSpy."
        )
    _numeric(path, data)
    frames = [i for i in range(len(axes)) if i not in image]
    count = [int(np.prod([data.shape[i] for i in frames]))] if frames else []
    where = Layout(frames, image, (*count, *(data.shape[i] for i in image)))
    fits(path, where.shape, data.dtype)
    y, x = (
        to_nm(abs(float(axes[i].get("scale", 0))), str(axes[i].get("units")))
        for i in image
    )
    tree = {k: _tree(root[name], k) for k in ("metadata", "original_metadata")}

    def load(index: int) -> np.ndarray:
        with again() as root:
            return picker(root[f"{name}/data"], where)(index)

    return opened(
        path, where.shape, data.dtype, load, channel, square(path, x, y),
        described(tree),
    )  # fmt: skip


def _axis(group: Any, index: int) -> dict[str, Any]:
    name = next((n for n in (f"axis-{index}", f"coordinate-{index}") if n in group), "")
    return plain(dict(group[name].attrs)) if name else {}


def _tree(group: Any, name: str, depth: int = DEPTH) -> dict[str, Any]:
    """Attributes of a group and of those in it; arrays are left out."""
    if name not in group or depth == 0 or hasattr(group[name], "shape"):
        return {}
    inner = group[name]
    found = {str(key): plain(value) for key, value in dict(inner.attrs).items()}
    return found | {key: _tree(inner, key, depth - 1) for key in inner}


def open_zarr(path: Path, channel: int | str | None) -> Opened:
    """The only array of a store, that which `channel` names, or OME-Zarr's finest."""
    with _zarr(path) as root:
        if hasattr(root, "shape"):
            name, data = "", root
        else:
            scales = _multiscales(root)
            arrays = [key for key, item in root.members(None) if hasattr(item, "shape")]
            if scales and not isinstance(channel, str):
                name = str(scales[0]["datasets"][0]["path"])
            else:
                name = choose(path, sorted(arrays), channel)
            data = root[name]
        _numeric(path, data)
        names, sizes = _ome_axes(root, name) if name else ([], {})
        if not names and len(data.shape) <= 4:
            names = ["t", "y", "x", "c"] if len(data.shape) == 4 else []
        where = layout(path, names, data.shape)
        fits(path, where.shape, data.dtype)
        original = plain(dict(root.attrs)) | plain(dict(data.attrs))
        dtype = data.dtype

    def load(index: int) -> np.ndarray:
        with _zarr(path) as root:
            return picker(root[name] if name else root, where)(index)

    return opened(
        path,
        where.shape,
        dtype,
        load,
        channel,
        square(path, sizes.get("x"), sizes.get("y")),
        described(original),
    )


@contextmanager
def _zarr(path: Path) -> Iterator[Any]:
    """The store's root, opened to read."""
    try:
        import zarr
        from zarr.storage import LocalStore, ZipStore
    except ImportError as error:
        raise missing(path, "zarr") from error
    store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of members that are no part of the store
        try:
            yield zarr.open(store, mode="r")
        finally:
            store.close()


def _numeric(path: Path, data: Any) -> None:
    """Refuse objects, codecs that make them, and chunks beyond reason."""
    if data.dtype.hasobject or data.dtype.kind not in "biufc":
        raise DataError(
            f"{path}: expected real numbers; got dtype {data.dtype}. Objects are not"
            " unpickled for safety: save the images as numbers."
        )
    if not hasattr(data, "metadata"):
        return  # h5py's
    stated = data.metadata.to_dict()
    kinds = ("filters", "compressor", "codecs", "compressors", "serializer")
    found = {name for kind in kinds for name in _codec_names(stated.get(kind))}
    if not found <= CODECS:
        raise DataError(
            f"{path}: expected codecs among {', '.join(sorted(CODECS))}; got"
            f" {', '.join(sorted(found - CODECS))}. Save the array anew with zstd."
        )
    chunk = int(np.prod(data.chunks, dtype=object)) * data.dtype.itemsize
    if chunk > LARGEST_CHUNK:
        raise DataError(
            f"{path}: expected chunks of at most {LARGEST_CHUNK} bytes; got {chunk}."
            " Save the array anew with a chunk a frame."
        )


def _codec_names(stated: Any) -> Iterator[str]:
    """The ids of codecs, and of those within them (sharding)."""
    if isinstance(stated, dict):
        for key, value in stated.items():
            if key in ("id", "name") and isinstance(value, str):
                yield value.removeprefix("numcodecs.")
            else:
                yield from _codec_names(value)
    elif isinstance(stated, list | tuple):
        for one in stated:
            yield from _codec_names(one)


def _multiscales(root: Any) -> list[Any]:
    """OME-Zarr's list of pyramids (0.4: attributes of the root; 0.5: under `ome`)."""
    attributes = dict(root.attrs)
    found = attributes.get("ome", attributes).get("multiscales", [])
    return found if isinstance(found, list) else []


def _ome_axes(root: Any, name: str) -> tuple[list[str], dict[str, float | None]]:
    """Names of the axes and nm a pixel of each, where the store is an OME-Zarr."""
    for pyramid in _multiscales(root):
        for level in pyramid["datasets"]:
            if str(level["path"]) != name:
                continue
            axes = [dict(axis) for axis in pyramid.get("axes", [])]
            scale = next(
                (t["scale"] for t in level["coordinateTransformations"]
                 if t["type"] == "scale"), [0.0] * len(axes),
            )  # fmt: skip
            sizes = {
                str(axis["name"]).lower(): to_nm(float(step), str(axis.get("unit")))
                for axis, step in zip(axes, scale, strict=True)
            }
            return [str(axis["name"]) for axis in axes], sizes
    return [], {}
