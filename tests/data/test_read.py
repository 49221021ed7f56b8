import json
import sys

import h5py
import numpy as np
import pytest
import tifffile

from jaxrvae import DataError
from jaxrvae.data.read import number_in, read


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32)


@pytest.fixture
def movie():
    return np.random.default_rng(1).normal(size=(3, 12, 16)).astype(np.float32)


def save(path, array, **options):
    """The array in the format of the path's ending."""
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, array)
    elif path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, array, **({"photometric": "minisblack"} | options))
    else:
        with h5py.File(path, "w") as file:
            file["image_data"] = array
            file["metadata"] = json.dumps({"scan size": "4", "voltage": 60})
    return path


@pytest.mark.parametrize("ending", [".npy", ".npz", ".tif", ".tiff", ".hdf5", ".h5"])
@pytest.mark.parametrize("lazy", [False, True])
def test_images_and_movies_come_back(tmp_path, ending, lazy, image, movie):
    single = read(save(tmp_path / f"one{ending}", image), lazy=lazy)
    assert len(single) == 1
    np.testing.assert_array_equal(single[0].values, image)
    several = read(save(tmp_path / f"many{ending}", movie), lazy=lazy)
    np.testing.assert_array_equal(several.values, movie)
    assert several.numbers.tolist() == [0, 1, 2]


def test_lazy_frames_are_read_when_looked_at(tmp_path, image):
    frames = read(save(tmp_path / "a.npy", image), lazy=True)
    (tmp_path / "a.npy").unlink()
    with pytest.raises((DataError, OSError), match=r"a\.npy"):
        _ = frames[0].values


def test_numbers_in_names_become_frame_numbers(tmp_path, image):
    for number in (10, 2, 33):
        save(tmp_path / f"scan_{number}.npy", image)
    folder = read(tmp_path)
    assert folder.numbers.tolist() == [2, 10, 33]  # natural order
    assert read(str(tmp_path / "scan_*.npy")).numbers.tolist() == [2, 10, 33]
    given = [tmp_path / "scan_33.npy", tmp_path / "scan_2.npy"]
    assert read(given).numbers.tolist() == [33, 2]  # the order given


def test_repeated_numbers_are_counted_instead(tmp_path, image):
    paths = [save(tmp_path / name, image) for name in ("a_7.npy", "b_7.npy", "c.npy")]
    assert read(paths).numbers.tolist() == [0, 1, 2]
    assert read(paths[0]).numbers.tolist() == [7]


@pytest.mark.parametrize(
    ("name", "number"),
    [("Exp-000-2", 2), ("Si1C3_test-1", 1), ("G-Si-2nm", None), ("img0042", 42)],
)
def test_number_in_a_name(name, number):
    assert number_in(name) == number


def test_equal_names_keep_their_folder(tmp_path, image):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "1.npy", image)
    frames = read([tmp_path / "x", tmp_path / "y"])
    assert [frame.name for frame in frames] == ["x/1.npy", "y/1.npy"]


def test_channels(tmp_path):
    array = np.random.default_rng(0).normal(size=(2, 8, 9, 3)).astype(np.float32)
    path = save(tmp_path / "a.npy", array)
    everything = read(path)
    assert everything[1].shape == (8, 9, 3)
    assert len(everything.channels) == 3
    np.testing.assert_array_equal(read(path, channel=2).values, array[..., 2])
    with pytest.raises(DataError, match="channel below 3; got 3"):
        read(path, channel=3)


def test_colour_samples_of_a_tif_are_channels(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (8, 9, 3)).astype(np.uint8)
    path = save(tmp_path / "a.tif", array, photometric="rgb")
    frames = read(path)
    assert frames[0].shape == (8, 9, 3)
    np.testing.assert_array_equal(frames[0].values, array)


def test_named_arrays_of_an_archive(tmp_path, image):
    np.savez(tmp_path / "a.npz", first=image, second=image + 1)
    chosen = read(tmp_path / "a.npz", channel="second")
    np.testing.assert_array_equal(chosen[0].values, image + 1)
    with pytest.raises(DataError, match="found 2"):
        read(tmp_path / "a.npz")
    with pytest.raises(DataError, match="third"):
        read(tmp_path / "a.npz", channel="third")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"imagej": True, "resolution": (50, 50), "metadata": {"unit": "nm"}}, 0.02),
        ({"imagej": True, "resolution": (50, 50), "metadata": {"unit": "um"}}, 20.0),
        ({"imagej": True, "resolution": (50, 50), "metadata": {"unit": "pixel"}}, None),
        ({"resolution": (1e8, 1e8), "resolutionunit": "CENTIMETER"}, 0.1),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),  # a printer's
        ({"resolution": (1, 1), "resolutionunit": "NONE"}, None),
    ],
)
def test_tif_pixel_size(tmp_path, image, options, expected):
    size = read(save(tmp_path / "a.tif", image, **options)).pixel_size
    assert size == (None if expected is None else pytest.approx(expected, rel=1e-4))


def test_ome_tif_pixel_size(tmp_path, image):
    stated = {
        "axes": "YX",
        "PhysicalSizeX": 12.5,
        "PhysicalSizeXUnit": "pm",
        "PhysicalSizeY": 12.5,
        "PhysicalSizeYUnit": "pm",
    }
    path = save(tmp_path / "a.ome.tif", image, metadata=stated, ome=True)
    assert read(path).pixel_size == pytest.approx(0.0125)


def test_pixels_that_are_not_square(tmp_path, image):
    path = save(
        tmp_path / "a.tif", image, imagej=True, resolution=(50, 25),
        metadata={"unit": "nm"},
    )  # fmt: skip
    with pytest.raises(DataError, match="square pixels"):
        read(path)


def test_given_pixel_size_overrides(tmp_path, image):
    path = save(tmp_path / "a.hdf5", image)
    assert read(path).pixel_size == pytest.approx(4 / 16)  # scan size over columns
    assert read(path, pixel_size=0.5).pixel_size == 0.5
    with pytest.raises(ValueError, match="pixel_size"):
        read(path, pixel_size=-1)


def test_library_layout(tmp_path, image):
    with h5py.File(tmp_path / "7.hdf5", "w") as file:
        data = file.create_dataset("nn_input", data=image[None, ..., None])
        data.attrs["scan size"] = 2000.0  # picometres
        file["defect_coord_0"] = np.array([[b"1.0", b"2.0", b"Si"]])
    frames = read(tmp_path / "7.hdf5")
    np.testing.assert_array_equal(frames.values[0], image)
    assert frames.pixel_size == pytest.approx(2.0 / 16)
    assert frames.numbers.tolist() == [7]


def test_integers_keep_their_values(tmp_path):
    small = np.arange(20, dtype=np.uint16).reshape(4, 5)
    large = np.arange(20, dtype=np.uint32).reshape(4, 5) + 2**31
    first = read(save(tmp_path / "a.npy", small))[0].values
    second = read(save(tmp_path / "b.npy", large))[0].values
    assert (first.dtype, second.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(first, small)
    np.testing.assert_array_equal(second, large)


def bad_files(folder):
    """Name to (path, what the message says)."""
    good = np.random.default_rng(0).normal(size=(8, 9))
    whole = folder / "whole.npy"
    np.save(whole, good)
    cut = folder / "cut.npy"
    cut.write_bytes(whole.read_bytes()[:-40])
    tif = save(folder / "whole.tif", good.astype(np.float32), compression="zlib")
    cut_tif = folder / "cut.tif"
    cut_tif.write_bytes(tif.read_bytes()[:-30])
    hdf5 = save(folder / "whole.hdf5", good)
    cut_hdf5 = folder / "cut.hdf5"
    cut_hdf5.write_bytes(hdf5.read_bytes()[:-700])
    (folder / "empty.npy").touch()
    (folder / "text.npy").write_text("x,y\n1,2\n")
    (folder / "table.csv").write_text("x,y\n1,2\n")
    (folder / "renamed.npy").write_bytes(tif.read_bytes())
    (folder / "none").mkdir()
    np.save(folder / "objects.npy", np.array([{"a": 1}]), allow_pickle=True)
    holes = good.copy()
    holes[2, 3] = np.nan
    with h5py.File(folder / "tables.hdf5", "w") as file:
        file["names"] = np.array([b"a", b"b"])
    arrays = {
        "nan.npy": holes,
        "inf.npy": np.where(np.isnan(holes), np.inf, holes),
        "constant.npy": np.full((8, 9), 3.0),
        "complex.npy": good + 1j,
        "line.npy": good[0],
        "many.npy": good[None, None, None],
        "nothing.npy": good[:0],
        "text_array.npy": np.array([["a", "b"]]),
    }
    for name, array in arrays.items():
        np.save(folder / name, array)
    return {
        "absent.npy": "found none",
        "empty.npy": "0 bytes",
        "cut.npy": "truncated",
        "cut.tif": "truncated",
        "cut.hdf5": "truncated",
        "text.npy": "something else",
        "renamed.npy": "TIFF content",
        "table.csv": "'.csv'",
        "none": "found none",
        "*.xyz": "matches none",
        "objects.npy": "not unpickled",
        "nan.npy": "NaN or infinite",
        "inf.npy": "NaN or infinite",
        "constant.npy": "same value",
        "complex.npy": "complex",
        "line.npy": r"shape \(9,\)",
        "many.npy": "shape",
        "nothing.npy": "shape",
        "text_array.npy": "dtype",
        "tables.hdf5": "found none",
    }


BAD = [
    "absent.npy", "empty.npy", "cut.npy", "cut.tif", "cut.hdf5", "text.npy",
    "renamed.npy", "table.csv", "none", "*.xyz", "objects.npy", "nan.npy", "inf.npy",
    "constant.npy", "complex.npy", "line.npy", "many.npy", "nothing.npy",
    "text_array.npy", "tables.hdf5",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("lazy", [False, True])
def test_bad_files_are_named_in_one_line(tmp_path, name, lazy):
    expected = bad_files(tmp_path)[name]

    def look():
        return [frame.values for frame in read(tmp_path / name, lazy=lazy)]

    with pytest.raises(DataError, match=expected) as caught:
        look()
    message = str(caught.value)
    assert "\n" not in message
    assert name in message


def test_different_channels_are_refused(tmp_path, image):
    first = save(tmp_path / "a.npy", image)
    second = save(tmp_path / "b.npy", np.stack([image[None]] * 2, axis=-1))
    with pytest.raises(DataError, match="channel=0"):
        read([first, second])


def test_no_paths():
    with pytest.raises(DataError, match="at least one path"):
        read([])


def test_missing_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.dm3").write_bytes(b"\0\0\0\3" + bytes(100))
    monkeypatch.setitem(sys.modules, "rsciio.digitalmicrograph", None)
    with pytest.raises(DataError, match=r'pip install "jaxrvae\[io\]"'):
        read(tmp_path / "a.dm3")


def test_damaged_dm_files(tmp_path):
    pytest.importorskip("rsciio")
    (tmp_path / "a.dm3").write_bytes(b"\0\0\0\3" + bytes(100))
    with pytest.raises(DataError, match="truncated or damaged"):
        read(tmp_path / "a.dm3")


def test_real_files(shared_data):
    library = read(shared_data / "stem_graphene_si/library/Si1C3", lazy=True)
    assert len(library) == 99
    assert library.numbers[:3].tolist() == [2, 3, 4]
    assert library[0].shape == (256, 256)
    assert library[0].pixel_size == pytest.approx(2 / 256)
    boundary = read(shared_data / "stem_graphene_si/single/G-GrainBoundary-4nm.hdf5")
    assert boundary.pixel_size == pytest.approx(4 / 512)
    unknown = read(shared_data / "stem_graphene_si/single/G-dimSi.hdf5")
    assert unknown.pixel_size is None
    assert read(shared_data / "stem_mos2").values.shape == (2, 512, 512)


@pytest.mark.parametrize("lazy", [False, True])
def test_real_dm3(shared_data, lazy):
    pytest.importorskip("rsciio")
    survey = read(shared_data / "stem_native/SI-Survey.dm3", lazy=lazy)
    assert survey.values.shape == (1, 512, 512)
    assert survey.pixel_size is None
