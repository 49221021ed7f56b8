import json
import struct

import h5py
import numpy as np
import pytest

from jaxrvae import DataError
from jaxrvae.data.read import FORMATS, read

MOVIES = [
    "a.npy", "a.npz", "a.ome.tif", "paged.tif", "a.hdf5", "a.dm3", "a.dm4", "ncem.emd",
    "velox.emd", "a.ser", "a.mrc", "a.hspy", "a.zspy", "a.zarr",
]  # fmt: skip
CHANNELS = ["nsid.h5", "usid.h5", "a.ibw", "a.sxm", "a.gwy"]
UNSCALED = ("a.npy", "a.npz")


@pytest.mark.parametrize("name", MOVIES)
@pytest.mark.parametrize("lazy", [False, True])
def test_movies_come_back(write, movie, name, lazy):
    frames = read(write(name), lazy=lazy)
    np.testing.assert_array_equal(frames.values, movie)
    if name in UNSCALED:
        assert frames.pixel_size is None
    else:
        assert frames.pixel_size == pytest.approx(0.5)


@pytest.mark.parametrize("name", CHANNELS)
@pytest.mark.parametrize("lazy", [False, True])
def test_channels_come_back_upright(write, movie, name, lazy):
    path = write(name)
    frames = read(path, lazy=lazy)
    assert len(frames) == 1
    assert len(frames.channels) == 3
    assert len(frames[0].metadata["channel_units"]) == 3
    np.testing.assert_array_equal(frames[0].values, np.moveaxis(movie, 0, -1))
    assert frames.pixel_size == pytest.approx(0.5)
    picked = read(path, channel=frames.channels[1])
    assert picked.channels == frames.channels[1:2]
    np.testing.assert_array_equal(picked[0].values, movie[1])
    np.testing.assert_array_equal(read(path, channel=2)[0].values, movie[2])
    with pytest.raises(DataError, match="expected channel among"):
        read(path, channel="nothing of the kind")
    with pytest.raises(DataError, match="channel below 3; got 3"):
        read(path, channel=3)


def test_every_format_is_tried_here():
    endings = {"." + name.rsplit(".", 1)[1] for name in MOVIES + CHANNELS}
    endings = endings - {".h5"} | {".blo"}
    assert endings == set(FORMATS)


@pytest.mark.parametrize(
    ("name", "dwell"), [("a.dm3", 2e-6), ("a.dm4", 2e-6), ("velox.emd", 2e-6),
                        ("a.hspy", 2e-6), ("a.zspy", 2e-6), ("a.sxm", 2e-6)]
)  # fmt: skip
def test_dwell_time_is_in_seconds(write, name, dwell):
    metadata = read(write(name))[0].metadata
    assert metadata["dwell_time"] == pytest.approx(dwell)
    assert metadata["original"]


def test_a_dose_counts_where_its_unit_is_said(write):
    path = write("a.hdf5")
    with h5py.File(path, "a") as file:
        file["image_data"].attrs["dose (e/nm^2)"] = 5e4
        file["image_data"].attrs["dose"] = 3.0
    assert read(path)[0].metadata["dose"] == pytest.approx(500.0)


def test_blockfile_gives_its_patterns_as_frames(write, movie):
    frames = read(write("a.blo"))
    assert frames.values.shape == (3, 12, 12)
    expected = np.round(127 + 40 * movie[:, :12, :12]).clip(0, 255)
    np.testing.assert_array_equal(frames.values, expected)
    assert frames.pixel_size is None  # a detector's centimetres are no specimen's


@pytest.mark.parametrize("wide", [False, True])
def test_ser_agrees_with_rosettasciio(write, wide):
    reader = pytest.importorskip("rsciio.tia").file_reader
    path = write("a.ser", wide=wide)
    theirs = reader(str(path))[0]
    np.testing.assert_array_equal(read(path).values, theirs["data"])
    assert theirs["axes"][-1]["scale"] == pytest.approx(read(path).pixel_size)


def test_hspy_agrees_with_rosettasciio(write):
    reader = pytest.importorskip("rsciio.hspy").file_reader
    path = write("a.hspy")
    np.testing.assert_array_equal(read(path).values, reader(str(path))[0]["data"])
    renamed = path.rename(path.with_suffix(".hdf5"))  # told by what it holds
    assert read(renamed).pixel_size == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["a.mrc", "a.ibw"])
def test_bytes_of_the_other_order(write, name):
    here, there = (read(write(name, order=order)).values for order in "<>")
    np.testing.assert_array_equal(here, there)


def test_nanonis_scans_upwards_are_turned(write, movie):
    frames = read(write("a.sxm", direction="up"))
    np.testing.assert_array_equal(frames[0].values, np.moveaxis(movie, 0, -1))
    assert frames.channels == (
        "Signal_0 forward", "Signal_0 backward", "Signal_2 forward",
    )  # fmt: skip


def test_asylum_names_end_at_their_zero(write):
    path = write("a.ibw")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Signal 1\0\0\0", b"Signal 1\0ce"))
    assert read(path).channels == ("Signal 0", "Signal 1", "Signal 2")


def test_channels_of_different_shapes(write, movie):
    from gwyfile.objects import GwyContainer, GwyDataField

    path = write("a.gwy")
    container = GwyContainer()
    for i, image in enumerate((movie[0].astype(float), movie[1, :5].astype(float))):
        container[f"/{i}/data"] = GwyDataField(image)
    container.tofile(str(path))
    with pytest.raises(DataError, match="channels of one shape"):
        read(path)
    assert read(path, channel="channel_1")[0].shape == (5, 16)


def test_usid_steps_of_a_spectrum_are_frames(write, movie):
    path = write("usid.h5", images=movie[:1])
    with h5py.File(path, "a") as file:
        group = file["Measurement_000/Channel_000"]
        attributes = dict(group["Raw_Data"].attrs)
        del group["Raw_Data"]
        group["Raw_Data"] = movie.reshape(3, -1).T
        group["Raw_Data"].attrs.update(attributes)
    np.testing.assert_array_equal(read(path).values, movie)


def test_stores_that_are_folders(tmp_path, movie):
    zarr = pytest.importorskip("zarr")
    whole = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=movie.shape, dtype=movie.dtype,
        chunks=(1, 12, 16),
    )  # fmt: skip
    whole[...] = movie
    np.testing.assert_array_equal(read(tmp_path / "a.zarr").values, movie)
    assert len(read(tmp_path)) == 3


def test_lazy_frames_are_read_one_by_one(tmp_path, movie):
    """Chunks of frames that nobody asks for are not even there."""
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "a.zarr"
    whole = zarr.create_array(
        str(path), shape=movie.shape, dtype=movie.dtype, chunks=(1, 12, 16)
    )
    whole[...] = movie
    frames = read(path, lazy=True)
    for chunk in (path / "c" / "0", path / "c" / "2"):
        for file in sorted(chunk.rglob("*"), reverse=True):
            if file.is_file():
                file.write_bytes(b"damaged")
    np.testing.assert_array_equal(frames[1].values, movie[1])
    with pytest.raises(DataError, match="truncated or damaged"):
        _ = frames[0].values


@pytest.mark.parametrize("name", MOVIES)
def test_a_lazy_frame_costs_one_frame(write, name):
    """Memory for one frame of a movie of 64 is far below that of the movie."""
    import tracemalloc

    noise = np.random.default_rng(0).normal(size=(64, 128, 128)).astype(np.float32)
    frames = read(write(name, images=noise), lazy=True)
    _ = frames[3].values
    tracemalloc.start()
    values = frames[40].values
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(values, noise[40])
    assert peak < noise.nbytes / 2


def test_headers_that_claim_more_than_the_file(write):
    path = write("a.mrc")
    data = bytearray(path.read_bytes())
    data[8:12] = struct.pack("<I", 10**6)
    path.write_bytes(data)
    with pytest.raises(DataError, match="its header claims"):
        read(path)


def test_a_zip_bomb_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("images.npy", "w") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f8", "fortran_order": False, "shape": (10**5,) * 3}
            )
            file.write(bytes(10**6))
    with pytest.raises(DataError, match="claims 8000000000000000 bytes"):
        read(tmp_path / "a.npz")


def test_objects_in_stores_are_refused(tmp_path):
    zarr = pytest.importorskip("zarr")
    numcodecs = pytest.importorskip("numcodecs")
    pickled = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(8, 9), dtype="f4", zarr_format=2,
        filters=[numcodecs.Pickle()],
    )  # fmt: skip
    del pickled
    with pytest.raises(DataError, match="pickle"):
        read(tmp_path / "a.zarr")
    stated = tmp_path / "a.zarr" / ".zarray"
    known = json.loads(stated.read_text()) | {"filters": [{"id": "base64"}]}
    stated.write_text(json.dumps(known))
    with pytest.raises(DataError, match="codecs among"):
        read(tmp_path / "a.zarr")


def test_hdf5_that_points_elsewhere_is_refused(tmp_path, write):
    data = write("a.npy")
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_dataset("image_data", (8, 9), "u1", external=[(str(data), 0, 72)])
    with pytest.raises(DataError, match="points to other files"):
        read(tmp_path / "a.hdf5")


@pytest.mark.parametrize("module", ["rsciio.emd", "zarr", "igor2"])
def test_missing_extra_is_named(write, monkeypatch, module):
    import sys

    name = {"rsciio.emd": "ncem.emd", "zarr": "a.zarr", "igor2": "a.ibw"}[module]
    path = write(name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=r'pip install "jaxrvae\[io\]"'):
        read(path)


def test_real_scanning_probe_files(shared_data):
    pytest.importorskip("igor2")
    scan = read(shared_data / "pfm/scan_0001.ibw")
    assert scan.channels[3:5] == ("Phase1Retrace", "Phase2Retrace")
    assert scan[0].shape == (256, 256, 6)
    assert scan.pixel_size == pytest.approx(5000 / 255)
    assert scan[0].metadata["original"]["ImagingMode"] == "PFM Mode"
    films = read(shared_data / "pfm/nsid/PZT_final*.h5", channel="PhaseRetrace")
    assert films.values.shape == (3, 256, 256)
    assert films.numbers.tolist() == [1, 2, 3]
    assert films.pixel_size == pytest.approx(2000 / 255)
    lead = read(shared_data / "pfm/nsid/PTO_Funakubo0003.h5", lazy=True)
    assert lead[0].shape == (256, 256, 4)


@pytest.mark.parametrize("lazy", [False, True])
def test_real_electron_microscopy_files(shared_data, lazy):
    pytest.importorskip("rsciio")
    velox = read(shared_data / "stem_native/fei_emd_image.emd", lazy=lazy)
    assert velox.values.shape == (1, 512, 512)
    assert velox.pixel_size == pytest.approx(5.3024, rel=1e-4)
    assert velox[0].metadata["dwell_time"] == pytest.approx(2e-5)
    seams = read(shared_data / "stem_native/SI-HAADF.dm3", lazy=lazy)
    assert seams[0].shape == (1568, 192)
