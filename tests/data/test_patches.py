import jaxtyping
import numpy as np
import pandas as pd
import pytest

from jaxrvae import DataError
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.data.patches import cut_patches


def table(*rows, **columns):
    positions = pd.DataFrame(rows, columns=["frame", "x", "y"])
    return positions.assign(**columns)


def bump(shape, x, y, sigma):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def single(image, pixel_size=None, number=0):
    return Frames((Frame(image, pixel_size, "image", number),))


def test_whole_pixel_cuts_are_the_pixels():
    image = np.random.default_rng(0).normal(size=(40, 50))
    odd = cut_patches(single(image), table((0, 20, 15)), size=9)
    np.testing.assert_allclose(odd.values[0], image[11:20, 16:25], atol=1e-6)
    even = cut_patches(single(image), table((0, 20.5, 15.5)), size=8)
    np.testing.assert_allclose(even.values[0], image[12:20, 17:25], atol=1e-6)


@pytest.mark.parametrize("size", [24, 25])
@pytest.mark.parametrize("window", [None, 0.9])
def test_position_lies_at_the_centre(size, window):
    x, y = 31.37, 28.81
    movie = single(bump((64, 64), x, y, 3.0), pixel_size=0.03)
    patch = cut_patches(movie, table((0, x, y)), size=size, window=window)
    weight = patch.values[0] / patch.values[0].sum()
    rows, columns = np.mgrid[:size, :size]
    centre = (size - 1) / 2
    assert abs((weight * columns).sum() - centre) < 1e-3
    assert abs((weight * rows).sum() - centre) < 1e-3


def test_matches_an_exact_shift_of_a_band_limited_image():
    rows, columns = np.mgrid[:48, :48]

    def wave(x, y):
        return np.sin(0.3 * x + 0.2) * np.cos(0.25 * y) + 0.3 * np.sin(
            0.2 * x + 0.1 * y
        )

    patch = cut_patches(single(wave(columns, rows)), table((0, 23.3, 21.8)), size=16)
    x = 23.3 + np.arange(16) - 7.5
    y = 21.8 + np.arange(16) - 7.5
    expected = wave(x[None, :], y[:, None])
    np.testing.assert_allclose(patch.values[0], expected, atol=2e-3)


def test_windows_mix_pixel_sizes():
    fine = bump((120, 120), 60.2, 59.1, 0.1 / 0.0125)
    coarse = bump((60, 60), 30.4, 29.7, 0.1 / 0.025)
    movie = Frames((Frame(fine, 0.0125, "fine", 4), Frame(coarse, 0.025, "coarse", 9)))
    positions = table((4, 60.2, 59.1), (9, 30.4, 29.7))
    patches = cut_patches(movie, positions, size=24, window=0.6)
    assert patches.pixel_size == pytest.approx(0.025)
    assert patches.table["frame"].tolist() == [4, 9]
    np.testing.assert_allclose(patches.values[0], patches.values[1], atol=0.02)
    with pytest.raises(DataError, match="one pixel size"):
        cut_patches(movie, positions, size=24)


def test_details_too_fine_for_the_patch_do_not_alias():
    columns = np.arange(128)
    stripes = np.tile(np.cos(np.pi * 0.9 * columns), (128, 1))  # 2.2 pixels a period
    movie = single(stripes, pixel_size=0.01)
    patch = cut_patches(movie, table((0, 63.5, 63.5)), size=16, window=0.64)
    assert np.abs(patch.values).max() < 0.05


def test_unsupported_patches_are_dropped_and_counted():
    image = np.random.default_rng(0).normal(size=(32, 32))
    positions = table((0, 3.5, 16), (0, 3.4, 16), (0, 27.5, 27.5), (0, 16, 27.6))
    patches = cut_patches(single(image), positions, size=8)
    assert patches.num_dropped == 2
    assert patches.table["x"].tolist() == [3.5, 27.5]


def test_other_columns_and_order_are_kept():
    image = np.random.default_rng(0).normal(size=(32, 32))
    movie = Frames(tuple(Frame(image + n, number=n) for n in (7, 3)))
    positions = table((3, 15, 15), (7, 16, 16), (3, 17, 17), track=[1, 2, 3])
    patches = cut_patches(movie, positions, size=5)
    assert patches.table["track"].tolist() == [2, 1, 3]  # frames in the movie's order
    assert patches.table["frame"].tolist() == [7, 3, 3]
    np.testing.assert_allclose(patches.values[1], image[13:18, 13:18] + 3, atol=1e-5)


def test_channels_are_cut_alike():
    image = np.random.default_rng(0).normal(size=(32, 32, 2))
    movie = Frames((Frame(image),), channels=("a", "b"))
    positions = table((0, 15.3, 14.8))
    both = cut_patches(movie, positions, size=6)
    assert both.values.shape == (1, 6, 6, 2)
    assert both.channels == ("a", "b")
    second = cut_patches(single(image[..., 1]), positions, size=6)
    np.testing.assert_allclose(both.values[..., 1], second.values)
    normal = cut_patches(movie, positions, size=6, normalize="frame")
    assert {"offset_0", "offset_1", "scale_0", "scale_1"} <= set(normal.table.columns)


@pytest.mark.parametrize("normalize", ["frame", "patch"])
def test_normalizing_is_recorded_and_can_be_undone(normalize):
    image = np.random.default_rng(0).normal(5.0, 2.0, size=(64, 64))
    positions = table((0, 30.2, 31.7), (0, 20.0, 20.0))
    raw = cut_patches(single(image), positions, size=8)
    normal = cut_patches(single(image), positions, size=8, normalize=normalize)
    offset = normal.table["offset"].to_numpy()[:, None, None]
    scale = normal.table["scale"].to_numpy()[:, None, None]
    np.testing.assert_allclose(normal.values * scale + offset, raw.values, atol=1e-5)
    assert "offset" not in raw.table


def test_a_frame_is_normalized_by_its_noise():
    image = np.random.default_rng(0).normal(5.0, 2.0, size=(64, 64))
    table_ = cut_patches(
        single(image), table((0, 30.2, 31.7)), size=8, normalize="frame"
    ).table
    assert abs(table_["offset"][0] - 5.0) < 5 * 2.0 * 1.25 / 64  # error of a median
    assert abs(table_["scale"][0] - 2.0) < 5 * 2.0 * 1.17 / 64  # of the IQR's scale


def test_the_table_given_is_left_alone():
    positions = table((0, 16, 16))
    cut_patches(
        single(np.random.default_rng(0).normal(size=(32, 32))), positions, size=4,
        normalize="frame",
    )  # fmt: skip
    assert positions.columns.tolist() == ["frame", "x", "y"]


IMAGE = np.random.default_rng(0).normal(size=(32, 32))


@pytest.mark.parametrize(
    ("movie", "positions", "options", "message"),
    [
        (single(IMAGE), table((0, 16, 16)), {"size": 40}, "fits into the image"),
        (single(IMAGE), table((0, 1, 1)), {"size": 8}, "too near the edge"),
        (single(IMAGE), table((5, 16, 16)), {}, "frame 5 is not in the movie"),
        (single(IMAGE), table((0, np.nan, 16)), {}, "finite x and y"),
        (single(IMAGE), table(), {}, "empty"),
        (single(IMAGE), table((0, 1, 1)).drop(columns="x"), {}, r"\['x'\] missing"),
        (single(IMAGE), table((0, 16, 16)), {"window": 1.0}, "needs the pixel size"),
        (Frames((Frame(IMAGE), Frame(IMAGE))), table((0, 9, 9)), {}, "number of its"),
    ],
)
def test_bad_input(movie, positions, options, message):
    with pytest.raises(DataError, match=message) as caught:
        cut_patches(movie, positions, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def no_type_checks():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("no_type_checks")
def test_bad_options():
    movie, positions = single(IMAGE, 0.1), table((0, 16, 16))
    with pytest.raises(ValueError, match="Did you mean 'frame'"):
        cut_patches(movie, positions, size=4, normalize="frames")
    with pytest.raises(ValueError, match="window"):
        cut_patches(movie, positions, size=4, window=0)
    with pytest.raises(ValueError, match="size"):
        cut_patches(movie, positions, size=1)


@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
@pytest.mark.parametrize("size", [6, 7])
def test_windows_on_whole_pixels_are_the_frames_own(shape, size):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    names = ("intensity", "b", "c")[: 1 if len(shape) == 2 else 3]
    movie = Frames((Frame(values),), names)
    half = (size - 1) / 2
    corners = np.array([[0, 0], [17, 13], [5, 9]])
    table = pd.DataFrame(corners + half, columns=["x", "y"]).assign(frame=0)
    found = cut_patches(movie, table, size, normalize=None).values
    for patch, (x, y) in zip(found, corners, strict=True):
        np.testing.assert_array_equal(patch, values[y : y + size, x : x + size])
    beside = table.assign(x=table["x"] + np.array([2e-6, -2e-6, 2e-6]))  # by splines
    near = cut_patches(movie, beside, size, normalize=None).values
    np.testing.assert_allclose(near, found, atol=1e-4)
