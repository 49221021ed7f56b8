import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter, shift

from jaxrvae import DataError
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.align import correct_drift, mean_frame

STEPS = [(0, 0), (4, -3), (-2, 5)]


def scene(side=120, smooth=3.0, seed=0):
    return gaussian_filter(
        np.random.default_rng(seed).normal(size=(side, side)), smooth
    )


def movie(lazy=False, number=0, **options):
    images = [scene()[20 - y : 84 - y, 20 - x : 90 - x] for x, y in STEPS]
    frames = tuple(
        Frame((lambda image=image: image) if lazy else image, 0.1, "", number + i)
        for i, image in enumerate(images)
    )
    return Frames(frames, **options)


def table(steps=STEPS, number=0):
    drift = pd.DataFrame(steps, columns=["x", "y"])
    return drift.assign(frame=number + np.arange(len(steps)))


def test_whole_pixels_are_moved_exactly_and_cropped_to_what_all_show():
    still = correct_drift(movie(), table())
    assert still.values.shape == (3, 64 - 8, 70 - 6)
    for frame in still:
        np.testing.assert_array_equal(frame.values, still[0].values)
    first, metadata = movie()[0].values, still[1].metadata
    row, column, rows, columns = metadata["field"]
    np.testing.assert_array_equal(
        still[0].values, first[row : row + rows, column : column + columns]
    )
    assert metadata["drift_removed"] == (4.0, -3.0)
    assert still.pixel_size == 0.1


def test_the_first_field_is_kept_with_holes():
    still = correct_drift(movie(), table(), field="first")
    assert still.values.shape == (3, 64, 70)
    np.testing.assert_array_equal(still[0].values, movie()[0].values)
    empty = np.isnan(still[1].values)
    assert empty[:3].all()
    assert empty[:, -4:].all()
    assert empty.sum() == 3 * 70 + 61 * 4
    expected = np.where(empty, np.nan, movie()[0].values)
    np.testing.assert_allclose(still[1].values, expected, atol=1e-5)


def test_parts_of_a_pixel_by_splines():
    """Within a hundredth of the scene's standard deviation, which is 0.1."""
    whole = scene()
    images = [whole[20:100, 20:100], shift(whole, (0.4, -1.3), order=5)[20:100, 20:100]]
    both = Frames(tuple(Frame(image, number=i) for i, image in enumerate(images)))
    still = correct_drift(both, table([(0, 0), (-1.3, 0.4)]))
    inner = still.values[:, 6:-6, 6:-6]
    assert np.abs(inner[1] - inner[0]).max() < 0.01 * inner.std()


def test_drift_is_found_where_it_is_not_given():
    still = correct_drift(movie())
    assert np.abs(still[1].values - still[0].values).max() < 0.01 * scene().std()


def test_lazy_frames_stay_lazy():
    still = correct_drift(movie(lazy=True), table())
    assert all(callable(frame.source) for frame in still)
    np.testing.assert_array_equal(still.values, correct_drift(movie(), table()).values)


def test_channels_move_together():
    images = movie().values
    both = np.stack([images, -images], axis=-1)
    frames = tuple(Frame(image, number=i) for i, image in enumerate(both))
    steps = [(0.5 * x, 0.5 * y) for x, y in STEPS]
    still = correct_drift(Frames(frames, ("a", "b")), table(steps)).values
    np.testing.assert_allclose(still[..., 0], -still[..., 1], atol=1e-6)


def test_the_mean_of_frames_at_rest_is_any_of_them():
    mean = mean_frame(movie(number=7), table(number=7))
    np.testing.assert_allclose(
        mean.values, correct_drift(movie(), table())[0].values, atol=1e-6
    )
    assert (mean.number, mean.metadata["mean_of"]) == (7, 3)
    whole = mean_frame(movie(), table(), field="first")
    np.testing.assert_allclose(whole.values, movie()[0].values, atol=1e-5)


def test_the_mean_has_less_noise():
    """By sqrt(n); five standard errors of a standard deviation from 4,096 pixels."""
    noise = np.random.default_rng(0).normal(size=(9, 64, 64))
    frames = tuple(Frame(image, number=i) for i, image in enumerate(noise))
    mean = mean_frame(Frames(frames), table([(0, 0)] * 9))
    assert mean.values.std() == pytest.approx(1 / 3, rel=5 / np.sqrt(2 * 4096))


@pytest.mark.parametrize(
    ("drift", "message"),
    [
        (table([(0, 0), (0, 90), (0, 0)]), "leaves none of 64"),
        (table()[:2], "first frame 2"),
        (table().drop(columns="x"), r"\['x'\] of them missing"),
        (table().assign(x=np.nan), "finite"),
    ],
)
def test_drift_that_cannot_be_removed(drift, message):
    with pytest.raises(DataError, match=message):
        correct_drift(movie(), drift)


def test_frames_that_differ_in_shape():
    frames = (Frame(scene(40)), Frame(scene(44), number=1))
    with pytest.raises(DataError, match=r"expected \(40, 40\) pixels"):
        correct_drift(Frames(frames), table(STEPS[:2]))
