import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from jaxrvae import DataError
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.lines import correct_lines, find_line_shifts, move_lines
from jaxrvae.simulate.graphene import Scan, Sheet, simulate_graphene


def sheared(image, shifts):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
    return map_coordinates(image, [y, x - shifts[:, None]], order=3, mode="mirror")


def graphene(angle=0.26, seed=0, size=192):
    scan = Scan(num_frames=1, size=size, dose=1e9)
    return simulate_graphene(seed, Sheet(angle=angle), scan)[0].values / 1e9


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def jitter(size, spread=1.0, seed=1):
    return np.random.default_rng(seed).normal(0, spread, size)


@pytest.mark.parametrize("angle", [0.0, 0.26, 0.8])
def test_jitter_of_a_lattice_is_found(angle):
    shifts = jitter(192)
    image = np.random.default_rng(2).poisson(1e6 * sheared(graphene(angle), shifts))
    found = find_line_shifts(image.astype(float))
    assert rms(found - shifts) < 0.4 * rms(shifts)  # slow jitter stays: 13 % of white


def test_jitter_of_a_scene_without_lattice_is_found():
    scene = gaussian_filter(np.random.default_rng(0).normal(size=(160, 160)), 4.0)
    shifts = jitter(160)
    found = find_line_shifts(sheared(scene, shifts))
    assert rms(found - shifts) < 0.5 * rms(shifts)


@pytest.mark.parametrize("dose", [1e4, 1e5, 1e6])
@pytest.mark.parametrize("angle", [0.0, 0.26])
def test_lines_that_do_not_jitter_stay(angle, dose):
    image = np.random.default_rng(2).poisson(dose * graphene(angle)).astype(float)
    assert rms(find_line_shifts(image)) < 0.15


def test_shear_stays():
    """Drift within the frame, half a pixel a line at most, is not jitter."""
    slow = 0.05 * np.arange(192) + 4 * np.sin(np.arange(192) / 60)
    image = sheared(graphene(), slow)
    assert rms(find_line_shifts(image)) < 0.1
    shifts = jitter(192)
    found = find_line_shifts(sheared(graphene(), slow + shifts))
    assert rms(found - shifts) < 0.4 * rms(shifts)


def test_no_shift_on_the_whole():
    found = find_line_shifts(sheared(graphene(), jitter(192)))
    trend = np.polyfit(np.arange(192), found, 1)
    assert abs(trend[0]) < 0.002  # pixels a line
    assert abs(found.mean()) < 0.05


def test_moved_lines_come_back():
    image = gaussian_filter(np.random.default_rng(0).normal(size=(40, 64)), 2.0)
    shifts = jitter(40)
    back = move_lines(move_lines(image, shifts), -shifts)
    np.testing.assert_allclose(back[:, 8:-8], image[:, 8:-8], atol=0.02 * image.std())
    np.testing.assert_allclose(move_lines(image, np.zeros(40)), image, atol=1e-6)
    whole = move_lines(image, np.full(40, 3.0))
    np.testing.assert_allclose(whole[:, 3:], image[:, :-3], atol=1e-6)


def test_frames_and_channels_are_corrected():
    shifts = jitter(192)
    image = sheared(graphene(), shifts).astype(np.float32)
    both = np.stack([np.ones_like(image), image], axis=-1)
    lazy = Frame(lambda: both, number=3)
    movie = Frames((Frame(both, 0.1, "one", 2), lazy), channels=("a", "b"))
    still = correct_lines(movie, channel="b")
    found = still[0].metadata["line_shifts"]
    assert rms(found - shifts) < 0.4 * rms(shifts)
    assert callable(still[1].source)
    np.testing.assert_array_equal(still[0].values, still[1].values)
    np.testing.assert_allclose(still[0].values[..., 0], 1, atol=1e-5)
    truth = graphene()
    inner = (slice(None), slice(8, -8))
    left, right = still[0].values[..., 1][inner] - truth[inner], image - truth
    assert rms(left) < 0.5 * rms(right[inner])
    alone = correct_lines(movie[0], channel=1)
    np.testing.assert_array_equal(alone.values, still[0].values)


def test_bad_input():
    with pytest.raises(ValueError, match="max_shift"):
        correct_lines(Frame(graphene()), max_shift=0.0)
    with pytest.raises(DataError, match="equal values"):
        correct_lines(Frame(np.ones((32, 32))))
    with pytest.raises(DataError, match="finite"):
        correct_lines(Frame(np.full((32, 32), np.nan)))
