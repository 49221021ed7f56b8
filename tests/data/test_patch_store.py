import dataclasses
import json
import weakref

import numpy as np
import pandas as pd
import pytest

from jaxrvae import DataError, RunError
from jaxrvae.data import batches, patch_store
from jaxrvae.data.batches import as_images
from jaxrvae.data.containers import Frame, Frames, Patches
from jaxrvae.data.patches import cut_patches
from jaxrvae.data.read import read
from jaxrvae.locate.windows import cut_windows
from jaxrvae.simulate import simulate


def noise(num_frames, shape, pixel_sizes=(None,)):
    """Frames of noise, each read only when it is looked at."""
    rng = np.random.default_rng(0)
    images = rng.normal(5, 2, (num_frames, *shape)).astype(np.float32)
    sizes = np.resize(np.array(pixel_sizes), num_frames)
    frames = [
        Frame(lambda image=image: image.copy(), size, f"noise {i}", i)
        for i, (image, size) in enumerate(zip(images, sizes, strict=True))
    ]
    channels = ("intensity",) if len(shape) == 2 else ("a", "b")
    return Frames(tuple(frames), channels)


def scattered(num_frames, number, side):
    """Positions all over the frames, some of them too near an edge."""
    rng = np.random.default_rng(1)
    places = pd.DataFrame(rng.uniform(0, side - 1, (number, 2)), columns=["x", "y"])
    frame = rng.integers(0, num_frames, number)
    return places.assign(frame=frame, track=np.arange(number))


def assert_same(found, expected):
    np.testing.assert_array_equal(found.values, expected.values)
    pd.testing.assert_frame_equal(found.table, expected.table)
    for name in ("pixel_size", "channels", "num_dropped", "metadata"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("normalize", [None, "frame", "patch"])
@pytest.mark.parametrize("shape", [(40, 40), (40, 40, 2)])
@pytest.mark.parametrize("window", [None, 0.3])
def test_patches_on_disk_are_those_in_memory(tmp_path, normalize, shape, window):
    movie = noise(4, shape, (0.02,) if window is None else (0.02, 0.013))
    how = {"size": 9, "window": window, "normalize": normalize}
    positions = scattered(4, 60, 40)
    expected = cut_patches(movie, positions, **how)
    assert 0 < expected.num_dropped < len(positions)
    found = cut_patches(movie, positions, **how, to=tmp_path / "deep" / "patches")
    assert isinstance(found.values, np.memmap)
    assert not found.values.flags.writeable
    assert_same(found, expected)
    assert_same(Patches.load(tmp_path / "deep" / "patches"), expected)
    rows = [17, 3, 3, 12]
    assert_same(found[rows], expected[rows])
    assert not isinstance(found[rows].values, np.memmap)  # read, those alone


def test_windows_on_disk_say_their_unit(tmp_path):
    places = np.stack(np.meshgrid(np.arange(4, 60, 6.0), np.arange(4, 60, 6.0)), -1)
    atoms = pd.DataFrame(places.reshape(-1, 2), columns=["x", "y"]).assign(frame=0)
    movie = noise(1, (64, 64))
    expected = cut_windows(movie, atoms, window="auto")
    assert expected.metadata["window_unit"] == "spacings of neighbouring atoms"
    assert_same(cut_windows(movie, atoms, to=tmp_path / "p"), expected)
    assert_same(Patches.load(tmp_path / "p"), expected)
    known = noise(1, (64, 64), (0.02,))
    expected = cut_windows(known, atoms, window=0.4)
    assert_same(cut_windows(known, atoms, window=0.4, to=tmp_path / "q"), expected)
    pixels = cut_windows(movie, atoms, window=None, size=8, to=tmp_path / "r")
    assert "window_unit" not in pixels.metadata


def test_frames_are_looked_at_one_by_one(tmp_path):
    seen = []

    def load():
        assert all(one() is None for one in seen), "a frame before is still in memory"
        image = np.random.default_rng(0).normal(size=(32, 32))
        seen.append(weakref.ref(image))
        return image

    movie = Frames(tuple(Frame(load, number=i) for i in range(5)))
    patches = cut_patches(movie, scattered(5, 40, 32), size=6, to=tmp_path / "patches")
    assert patches.table["frame"].nunique() == 5


def test_saved_patches_come_back_with_their_truth(tmp_path):
    patches = simulate("glyphs", seed=1, num_images=7, size=16)
    patches.save(tmp_path / "glyphs")
    found = Patches.load(tmp_path / "glyphs")
    plain = json.loads(json.dumps(dict(patches.metadata)))  # lists for tuples
    assert_same(found, dataclasses.replace(patches, metadata=plain))
    pd.testing.assert_frame_equal(found.truth, patches.truth)
    odd = dataclasses.replace(patches, metadata={"who": object()})
    with pytest.raises(DataError, match="metadata; got a object"):
        odd.save(tmp_path / "odd")
    mixed = dataclasses.replace(
        patches, table=patches.table.assign(note=[1, "two", *range(5)])
    )
    with pytest.raises(DataError, match="each of one type; got .*note"):
        mixed.save(tmp_path / "odd")
    assert not (tmp_path / "odd").exists()


def test_a_lazy_file_is_cut_as_one_in_memory(tmp_path):
    movie = noise(3, (32, 32))
    np.save(tmp_path / "movie.npy", movie.values)
    lazy = read(tmp_path / "movie.npy", lazy=True, pixel_size=0.02)
    positions = scattered(3, 20, 32)
    found = cut_patches(lazy, positions, size=8, window=0.1, to=tmp_path / "patches")
    assert_same(found, cut_patches(movie_in_memory(lazy), positions, 8, 0.1))


def movie_in_memory(movie):
    frames = [dataclasses.replace(frame, source=frame.values) for frame in movie]
    return dataclasses.replace(movie, frames=tuple(frames))


def test_models_take_them_without_a_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "CHUNK", 7)
    patches = Patches.load(stored(tmp_path))
    images = as_images(patches)
    assert images.shape == (*patches.values.shape, 1)
    assert np.shares_memory(images, patches.values)
    spoiled = np.array(patches.values)
    spoiled[[1, len(spoiled) - 1], 2, 3] = np.nan, np.inf
    with pytest.raises(DataError, match=f"^2 of {len(spoiled)} patches hold NaN"):
        as_images(spoiled)


@pytest.mark.parametrize("error", [DataError("bad"), KeyboardInterrupt()])
def test_what_fails_half_way_leaves_nothing(tmp_path, error):
    def load():
        raise error

    good = noise(2, (32, 32))
    movie = Frames((*good.frames, Frame(load, number=2)))
    with pytest.raises(type(error)):
        cut_patches(movie, scattered(3, 40, 32), size=6, to=tmp_path / "patches")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(patch_store.os, "fsync", full)
    with pytest.raises(RunError, match="could not be written .*No space left"):
        stored(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_support_leaves_nothing(tmp_path):
    edge = pd.DataFrame({"frame": [0], "x": [0.0], "y": [0.0]})
    with pytest.raises(DataError, match="too near the edge"):
        cut_patches(noise(1, (32, 32)), edge, size=8, to=tmp_path / "patches")
    assert list(tmp_path.iterdir()) == []


def stored(tmp_path):
    folder = tmp_path / "patches"
    cut_patches(noise(2, (32, 32)), scattered(2, 30, 32), size=6, to=folder)
    return folder


def test_a_killed_write_does_not_look_complete(tmp_path):
    folder = tmp_path / "patches"

    def pieces():
        yield np.ones((3, 8, 8), np.float32)
        copied = (folder / "values.npy").read_bytes()  # what a kill would leave
        (tmp_path / "values.npy").write_bytes(copied)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        patch_store.write_patches(folder, pieces(), lambda values: None)
    folder.mkdir()
    (tmp_path / "values.npy").rename(folder / "values.npy")
    with pytest.raises(DataError, match="interrupted. Delete it and cut"):
        Patches.load(folder)
    with pytest.raises(DataError, match="being written, or whose writing was inter"):
        stored(tmp_path)


def test_a_folder_that_is_taken_is_refused(tmp_path):
    folder = stored(tmp_path)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(DataError, match="it holds patches already. Read them with"):
        stored(tmp_path)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="there is something else"):
        cut_patches(
            noise(1, (32, 32)), scattered(1, 9, 32), size=6, to=tmp_path / "other"
        )


def shortened(folder):
    path = folder / "values.npy"
    path.write_bytes(path.read_bytes()[:-40])


def with_a_row_less(folder):
    table = pd.read_parquet(folder / "table.parquet")
    table.iloc[1:].to_parquet(folder / "table.parquet")


def in_double(folder):
    values = np.load(folder / "values.npy").astype(np.float64)
    np.save(folder / "values.npy", values)


def of_another_format(folder):
    settings = json.loads((folder / "patches.json").read_text())
    (folder / "patches.json").write_text(json.dumps(settings | {"format": 99}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shortened, "truncated or damaged"),
        (with_a_row_less, "expected float32 values of shape .* a row for each"),
        (of_another_format, "expected patches of format 1; got 99"),
        (lambda f: (f / "patches.json").write_text("{"), "truncated or damaged"),
        (lambda f: (f / "patches.json").write_text("[]"), "truncated or damaged"),
        (lambda f: (f / "patches.json").write_text('{"format": 1}'), "damaged"),
        (lambda f: (f / "values.npy").write_bytes(b"\x93NUMPY"), "truncated"),
        (lambda f: (f / "values.npy").unlink(), "truncated or damaged"),
        (lambda f: (f / "table.parquet").write_bytes(b"PAR1"), "truncated or damaged"),
        (lambda f: (f / "table.parquet").unlink(), "truncated or damaged"),
        (lambda f: np.save(f / "values.npy", np.zeros(3)), "values of shape"),
        (in_double, "expected float32 values .* got float64"),
    ],
)
def test_damage_is_said_in_one_line(tmp_path, damage, message):
    folder = stored(tmp_path)
    damage(folder)
    with pytest.raises(DataError, match=message) as caught:
        Patches.load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_what_is_no_folder_of_patches_is_said(tmp_path):
    with pytest.raises(DataError, match="expected a folder of patches; found none"):
        Patches.load(tmp_path / "none")
    with pytest.raises(DataError, match=r"it has no patches\.json"):
        Patches.load(tmp_path)
