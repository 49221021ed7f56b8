"""A small valid file of every format that is read, from arrays.

By the library's own writer where it has one, else byte by byte after the format's
description. Pixels are 0.5 nm wide in all that can say so.
"""

import itertools
import struct
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

SIZE = 0.5  # nm


def _signal(movie, unit="nm", navigation=("t",), scale=SIZE):
    """RosettaSciIO's description of a stack of images."""
    names = [*navigation, "y", "x"]
    axes = [
        {
            "name": name,
            "size": size,
            "scale": scale if name in "yx" else 1.0,
            "offset": 0.0,
            "units": unit if name in "yx" else "nm",
            "navigate": name not in ("y", "x"),
            "index_in_array": i,
            "_type": "UniformDataAxis",
            "is_binned": False,
        }
        for i, (name, size) in enumerate(zip(names, movie.shape, strict=True))
    ]
    return {
        "data": movie,
        "axes": axes,
        "metadata": {
            "General": {"title": "images"},
            "Signal": {"signal_type": ""},
            "Acquisition_instrument": {"STEM": {"dwell_time": 2e-6}},
        },
        "original_metadata": {"beam": {"current": 3}},
        "attributes": {"_lazy": False, "ragged": False},
        "tmp_parameters": {},
        "package_info": {},
        "learning_results": {},
        "models": {},
    }


def write_npy(path, movie):
    np.save(path, movie)


def write_npz(path, movie):
    np.savez_compressed(path, images=movie)


def write_tif(path, movie):
    stated = {"axes": "TYX", "PhysicalSizeX": SIZE, "PhysicalSizeXUnit": "nm",
              "PhysicalSizeY": SIZE, "PhysicalSizeYUnit": "nm"}  # fmt: skip
    tifffile.imwrite(path, movie, ome=True, metadata=stated, compression="zlib")


def write_paged_tif(path, movie):
    """A series a page."""
    with tifffile.TiffWriter(path) as file:
        for image in movie:
            stated = {"resolution": (1e7 / SIZE,) * 2, "resolutionunit": "CENTIMETER"}
            file.write(image, contiguous=False, compression="zlib", **stated)


def write_hdf5(path, movie):
    with h5py.File(path, "w") as file:
        file.create_dataset("image_data", data=movie, chunks=(1, *movie.shape[1:]))
        file["image_data"].attrs["scan size"] = SIZE * movie.shape[2]


def _tags(tree, wide):
    """A Gatan tag group: sorted, open, number of tags, tags."""
    length = ">Q" if wide else ">I"
    out = b"\1\0" + struct.pack(length, len(tree))
    for name, value in tree:
        group = isinstance(value, list)
        body = _tags(value, wide) if group else _tag(value, wide)
        out += bytes([20 if group else 21]) + struct.pack(">H", len(name))
        out += name.encode() + (struct.pack(">Q", len(body)) if wide else b"") + body
    return out


def _tag(value, wide):
    if isinstance(value, str):
        value = np.frombuffer(value.encode("utf-16-le"), "<u2")
    kinds = {"u2": 4, "u4": 5, "f4": 6, "i4": 3}
    kind = kinds[value.dtype.str[1:]]
    info = [20, kind, value.size] if value.ndim else [kind]
    return b"%%%%" + struct.pack(
        f">{len(info) + 1}{'Q' if wide else 'I'}", len(info), *info
    ) + value.tobytes()  # fmt: skip


def write_dm(path, movie):
    wide = path.suffix == ".dm4"
    shape = movie.shape[::-1]
    number = np.dtype("<u4").type
    scale = [("Origin", np.float32(0)), ("Scale", np.float32(SIZE)), ("Units", "nm")]
    time = [("Origin", np.float32(0)), ("Scale", np.float32(1)), ("Units", "s")]
    image = [
        ("Calibrations", [
            ("Brightness", [("Origin", np.float32(0)), ("Scale", np.float32(1)),
                            ("Units", "e")]),
            ("Dimension", [("", scale), ("", scale), ("", time)]),
        ]),
        ("Data", movie.ravel()),
        ("DataType", number(2)),
        ("Dimensions", [("", number(n)) for n in shape]),
        ("PixelDepth", number(4)),
    ]  # fmt: skip
    tags = [("DigiScan", [("Sample Time", np.float32(2))])]
    one = [("ImageData", image), ("ImageTags", tags), ("Name", "images")]
    body = _tags([("ImageList", [("", one)])], wide)
    size = struct.pack(">Q" if wide else ">I", len(body))
    end = bytes(8)
    head = struct.pack(">I", 4 if wide else 3)
    path.write_bytes(head + size + struct.pack(">I", 1) + body + end)


def write_emd(path, movie):
    from rsciio.emd import file_writer

    file_writer(str(path), _signal(movie), chunks=None)


def write_velox(path, movie):
    import json

    def text(value):
        coded = json.dumps(value).encode()
        return np.array([coded], h5py.string_dtype())

    metadata = {
        "BinaryResult": {"PixelSize": {"width": SIZE * 1e-9, "height": SIZE * 1e-9},
                         "PixelUnitX": "m", "PixelUnitY": "m", "Detector": "HAADF"},
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1"}},
        "Scan": {"DwellTime": "2e-06", "FrameTime": "1"},
        "Detectors": {"Detector-0": {"DetectorName": "HAADF", "DetectorType": "A"}},
    }  # fmt: skip
    coded = np.frombuffer(json.dumps(metadata).encode().ljust(4000, b"\0"), "u1")
    with h5py.File(path, "w") as file:
        file["Version"] = text({"format": "Velox", "version": "7"})
        group = file.create_group("Data/Image/0123")
        group.create_dataset(
            "Data", data=np.moveaxis(movie, 0, 2), chunks=(*movie.shape[1:], 1)
        )
        group["Metadata"] = np.repeat(coded[:, None], len(movie), 1)
        display = {"dataPath": "/Data/Image/0123", "display": {"label": "HAADF"}}
        file["Presentation/Displays/ImageDisplay/a"] = text(display)
        stream = {"dataPath": "/Data/Image/0123", "detector": "HAADF"}
        file["Operations/CameraInputOperation/a"] = text(stream)


def write_ser(path, movie, wide=False):
    count, rows, columns = movie.shape
    head = struct.pack("<HHHIIII", 0x4949, 0x197, 0x220 if wide else 0x210, 0x4122,
                       0x4152, count, count)  # fmt: skip
    dim = struct.pack("<IddI", count, 0.0, 1.0, 0) + struct.pack("<II", 0, 0)
    word = "Q" if wide else "I"
    offsets_at = len(head) + struct.calcsize(f"<{word}") + 4 + len(dim)
    first = offsets_at + 2 * count * struct.calcsize(f"<{word}")
    step = 50 + movie[0].nbytes + 8
    starts = [first + i * step for i in range(count)]
    tags = [start + 50 + movie[0].nbytes for start in starts]
    body = b""
    for image in movie:
        body += struct.pack("<ddiddiHII", 0, SIZE * 1e-9, 0, 0, SIZE * 1e-9, 0, 7,
                            columns, rows)  # fmt: skip
        body += image[::-1].tobytes() + struct.pack("<II", 0x4152, 0)
    path.write_bytes(
        head + struct.pack(f"<{word}I", offsets_at, 1) + dim
        + struct.pack(f"<{2 * count}{word}", *starts, *tags) + body
    )  # fmt: skip


def write_mrc(path, movie, order="<"):
    count, rows, columns = movie.shape
    head = struct.pack(f"{order}10I", columns, rows, count, 2, 0, 0, 0,
                       columns, rows, count)  # fmt: skip
    head += struct.pack(f"{order}3f", columns * SIZE * 10, rows * SIZE * 10, 1.0)
    head = head.ljust(208, b"\0") + b"MAP "
    head += (b"\x44\x44" if order == "<" else b"\x11\x11") + b"\0\0"
    path.write_bytes(head.ljust(1024, b"\0") + movie.astype(f"{order}f4").tobytes())


def write_blo(path, movie):
    from rsciio.blockfile import file_writer

    side = min(movie.shape[1:])
    square = np.round(127 + 40 * movie[:, :side, :side]).clip(0, 255).astype("u1")
    signal = _signal(square[None], "cm", ("a", "b"))
    file_writer(str(path), signal, intensity_scaling=None, show_progressbar=False)


def write_hspy(path, movie):
    from rsciio.hspy import file_writer

    file_writer(str(path), _signal(movie), show_progressbar=False)


@contextmanager
def _zarr_group(path):
    """The root of a store that is zipped in the end."""
    import zarr

    with tempfile.TemporaryDirectory() as folder:
        yield zarr.create_group(folder, zarr_format=2)
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(Path(folder).rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(folder))


def write_zspy(path, movie):
    with _zarr_group(path) as root:
        root.attrs.update({"file_format": "ZSpy", "file_format_version": "3.3"})
        one = root.create_group("Experiments/images")
        _zarr_array(one, "data", movie)
        for axis in _signal(movie)["axes"]:
            kept = {k: v for k, v in axis.items() if k != "index_in_array"}
            one.create_group(f"axis-{axis['index_in_array']}").attrs.update(kept)
        tree = one.create_group("metadata/Acquisition_instrument")
        tree.attrs["dwell_time"] = 2e-6


def _zarr_array(group, name, movie):
    chunks = (1, *movie.shape[1:])
    data = group.create_array(name, shape=movie.shape, chunks=chunks, dtype=movie.dtype)
    data[...] = movie


def write_zarr(path, movie):
    axes = [{"name": "t"}, {"name": "y", "unit": "nanometer"},
            {"name": "x", "unit": "nanometer"}]  # fmt: skip
    scale = [{"type": "scale", "scale": [1.0, SIZE, SIZE]}]
    level = {"path": "0", "coordinateTransformations": scale}
    with _zarr_group(path) as root:
        _zarr_array(root, "0", movie)
        root.attrs["multiscales"] = [{"axes": axes, "datasets": [level]}]


def write_nsid(path, movie):
    """Channels of one frame, stored (x, y) as sidpy does."""
    with h5py.File(path, "w") as file:
        for i, image in enumerate(movie):
            group = file.create_group(f"Measurement_000/Channel_{i}/Channel_{i}")
            data = group.create_dataset(f"Channel_{i}", data=image.T)
            data.attrs.update({"quantity": f"Signal {i}", "units": "V"})
            for axis, (name, count) in enumerate(zip("xy", image.T.shape, strict=True)):
                group[name] = SIZE * 1e-9 * np.arange(count)
                group[name].attrs["units"] = "m"
                group[name].make_scale(name)
                data.dims[axis].attach_scale(group[name])
                data.dims[axis].label = name
            group.create_group("original_metadata").attrs["gain"] = 2.0


def write_usid(path, movie):
    rows, columns = movie.shape[1:]
    places = np.array([(x, y) for y in range(rows) for x in range(columns)], "u4")
    with h5py.File(path, "w") as file:
        for i, image in enumerate(movie):
            group = file.create_group(f"Measurement_000/Channel_{i:03d}")
            data = group.create_dataset("Raw_Data", data=image.reshape(-1, 1))
            data.attrs.update({"quantity": "Height", "units": "m"})
            group["Position_Indices"] = places
            group["Position_Values"] = places * SIZE
            group["Spectroscopic_Indices"] = np.zeros((1, 1), "u4")
            for name in ("Position_Indices", "Position_Values"):
                group[name].attrs["labels"] = ["X", "Y"]
                group[name].attrs["units"] = ["nm", "nm"]
            for name in ("Position_Indices", "Position_Values",
                         "Spectroscopic_Indices"):  # fmt: skip
                data.attrs[name] = group[name].ref


def write_ibw(path, movie, order="<"):
    """Igor wave (x, y, layer), y upwards, x running fastest (Fortran order)."""
    count, rows, columns = movie.shape
    pixels = movie[:, ::-1].astype(f"{order}f4").tobytes()
    note = b"ScanRate: 1.0\rImagingMode: PFM Mode\r"
    names = [b"", *(f"Signal {i}".encode() for i in range(count))]
    labels = b"".join(name.ljust(32, b"\0") for name in names)
    sizes = [320 + len(pixels), 0, len(note), 0, 0, 0, 0, 0, 0, 0, len(labels), 0]
    head = struct.pack(f"{order}hH12i3i", 5, 0, *sizes, 0, 0, 0)
    wave = struct.pack(f"{order}3IihH6sh", 0, 0, 0, movie.size, 2, 0, b"", 1)
    wave += b"scan".ljust(32, b"\0") + struct.pack(f"{order}iI", 0, 0)
    wave += struct.pack(f"{order}4i", columns, rows, count, 0)
    wave += struct.pack(f"{order}8d", *[SIZE * 1e-9] * 2, 1.0, 1.0, 0, 0, 0, 0)
    wave += b"m\0\0\0" + (b"m\0\0\0" * 2).ljust(16, b"\0")
    path.write_bytes(head + wave.ljust(320, b"\0") + pixels + note + labels)


def write_sxm(path, movie, direction="down"):
    """Images alternate forward and backward; the last may stand alone."""
    count, rows, columns = movie.shape
    text = (
        f":NANONIS_VERSION:\n2\n:SCANIT_TYPE:\n FLOAT MSBFIRST\n:SCAN_PIXELS:\n"
        f"  {columns} {rows}\n:SCAN_TIME:\n {columns * 2e-6} {columns * 2e-6}\n"
        f":SCAN_RANGE:\n {columns * SIZE * 1e-9:.6E} {rows * SIZE * 1e-9:.6E}\n"
        f":SCAN_DIR:\n{direction}\n:DATA_INFO:\n"
        "\tChannel\tName\tUnit\tDirection\tCalibration\tOffset\n"
    )
    for i in range(0, count, 2):
        both = "both" if i + 1 < count else "forward"
        text += f"\t{i}\tSignal_{i}\tm\t{both}\t1.0E+0\t0.0E+0\n"
    body = b""
    for image, step in zip(movie, itertools.cycle((1, -1)), strict=False):
        stored = image[::-1] if direction == "up" else image
        body += stored[:, ::step].astype(">f4").tobytes()
    path.write_bytes((text + "\n:SCANIT_END:\n\n\n").encode() + b"\x1a\4" + body)


def write_gwy(path, movie):
    from gwyfile.objects import GwyContainer, GwyDataField

    container = GwyContainer()
    for i, image in enumerate(movie.astype(float)):
        rows, columns = image.shape
        field = GwyDataField(image, columns * SIZE * 1e-9, rows * SIZE * 1e-9,
                             si_unit_xy="m", si_unit_z="V ")  # fmt: skip
        container[f"/{i}/data"] = field
        container[f"/{i}/data/title"] = f"Signal {i}"
    container.tofile(str(path))


MOVIES = {  # frames of one channel
    "a.npy": write_npy, "a.npz": write_npz, "a.ome.tif": write_tif,
    "paged.tif": write_paged_tif,
    "a.hdf5": write_hdf5, "a.dm3": write_dm, "a.dm4": write_dm, "ncem.emd": write_emd,
    "velox.emd": write_velox, "a.ser": write_ser, "a.mrc": write_mrc,
    "a.hspy": write_hspy, "a.zspy": write_zspy, "a.zarr": write_zarr,
}  # fmt: skip
CHANNELS = {  # channels of one frame
    "nsid.h5": write_nsid, "usid.h5": write_usid, "a.ibw": write_ibw,
    "a.sxm": write_sxm, "a.gwy": write_gwy,
}  # fmt: skip
EXTRAS = {".dm3": "rsciio", ".dm4": "rsciio", ".emd": "rsciio", ".mrc": "rsciio",
          ".blo": "rsciio", ".hspy": "rsciio", ".zspy": "zarr", ".zarr": "zarr",
          ".ibw": "igor2", ".gwy": "gwyfile"}  # fmt: skip


@pytest.fixture
def movie():
    return np.random.default_rng(1).normal(size=(3, 12, 16)).astype(np.float32)


@pytest.fixture
def write(tmp_path, movie):
    """A function from a name in these tables to the path of such a file."""

    def one(name, images=movie, **options):
        path = tmp_path / name
        if path.suffix in EXTRAS:
            pytest.importorskip(EXTRAS[path.suffix])
        writer = {**MOVIES, **CHANNELS, "a.blo": write_blo}[name]
        writer(path, images, **options)
        return path

    return one


@pytest.fixture
def tables():
    """(names of movies, names of files with channels)."""
    return list(MOVIES), list(CHANNELS)
