import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.geometry.polar import fourier_bessel
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.models.surface import between, covariance, highest, log_peak, surface

SIZE, FREQUENCY, TICKS = 16, 0.2, (-2.0, -1.0, 0.0, 1.0, 2.0)
BASIS = fourier_bessel(SIZE, SIZE, FREQUENCY)
NUM_HARMONICS = 2 * (max(BASIS.orders) + 1)


def make_model(ticks=TICKS):
    one = jnp.ones(1)
    return SteerableModel(BASIS, 0 * one, one, (SIZE, SIZE, 1), FREQUENCY, ticks)


def random_harmonics(num_ticks=5, number=4, seed=0):
    """Of random waves over the places, inside the band."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*2 * [np.arange(num_ticks)]), -1).reshape(-1, 2)
    limit = 2 * np.pi * FREQUENCY / 2**0.5
    waves = rng.uniform(-limit, limit, (50, 2)) @ places.T
    amplitudes = rng.standard_normal((number, 50, NUM_HARMONICS)) / 5
    return jnp.asarray(np.einsum("nwh,wp->nph", amplitudes, np.cos(waves)), jnp.float32)


def parabolic(centre, width, height=500.0):
    """Harmonics of `height - angle^2 / 2 width^2 - ...`, shifts in steps of a grid.

    Over the angle the peak is `height * cos`, of order 1 alone.
    """
    rows, columns = np.mgrid[:5, :5]
    away = (columns - centre[1]) ** 2 / width[1] ** 2
    away = away + (rows - centre[2]) ** 2 / width[2] ** 2
    values = np.zeros((1, 25, NUM_HARMONICS))
    values[0, :, 0] = -0.5 * away.ravel() + height - 1 / width[0] ** 2
    values[0, :, 1] = np.cos(centre[0]) / width[0] ** 2
    values[0, :, 1 + NUM_HARMONICS // 2] = np.sin(centre[0]) / width[0] ** 2
    return jnp.asarray(values, jnp.float32)


def test_surface_passes_through_the_grid():
    model, harmonics = make_model(), random_harmonics()
    grid = model.correlations(harmonics)
    angles, rng = model.angles(), np.random.default_rng(1)
    place, angle = rng.integers(25, size=4), rng.integers(96, size=4)
    pose = np.stack([angles[angle], place % 5, place // 5], axis=1)
    value, _, _ = surface(model, harmonics, jnp.asarray(pose, jnp.float32))
    np.testing.assert_allclose(value, grid[np.arange(4), place, angle], rtol=1e-3)


@pytest.mark.parametrize("num_ticks", [5, 7, 13, 17])
def test_waves_of_the_band_are_followed_up_to_the_ends_of_the_grid(num_ticks):
    phase, place = 2 * np.pi / 3.75, np.linspace(0, num_ticks - 1, 101)
    weights = between(jnp.asarray(place, jnp.float32), num_ticks, phase)[:, 0]
    for share, most in ((0, 1e-4), (0.1, 1e-3), (0.5, 0.03), (0.75, 0.03), (1, 0.15)):
        ticks = np.exp(1j * share * phase * np.arange(num_ticks))
        wave = np.exp(1j * share * phase * place)
        assert np.abs(weights @ ticks - wave).max() < most
    parabola = 0.3 * np.arange(num_ticks) ** 2 - np.arange(num_ticks)
    np.testing.assert_allclose(weights @ parabola, 0.3 * place**2 - place, atol=0.01)


@pytest.mark.parametrize("num_ticks", [1, 5])
def test_slope_and_hessian_against_automatic_ones(num_ticks):
    model, harmonics = make_model(TICKS[:num_ticks]), random_harmonics(num_ticks)
    pose = jnp.array([[0.3, 1.2, 2.7], [2.0, 0.1, 3.9], [-1.0, 2.0, 2.0], [0, 3.3, 1]])

    def value(pose):
        return surface(model, harmonics, pose)[0].sum()

    _, slope, hessian = surface(model, harmonics, pose)
    unit = np.array([2 * np.pi / 96, 1, 1])
    automatic = unit * jax.grad(value)(pose)
    np.testing.assert_allclose(slope, automatic, rtol=1e-3, atol=1e-3)
    full = jax.hessian(value)(pose)
    automatic = unit[:, None] * unit * jnp.stack([full[i, :, i] for i in range(4)])
    np.testing.assert_allclose(hessian, automatic, rtol=1e-3, atol=1e-3)


def test_peak_of_known_place_width_and_integral():
    model, width = make_model(), np.array([0.02, 0.3, 0.2])
    harmonics = parabolic([0.71, 2.3, 1.6], width)
    top = highest(model, harmonics, jnp.array([0.72]), jnp.array([2 * 5 + 2]))
    np.testing.assert_allclose(top[0], [0.71, 2.3, 1.6], atol=1e-3)
    std = np.sqrt(np.diagonal(covariance(model, harmonics, top)[0]))
    np.testing.assert_allclose(std, width, rtol=1e-2)  # a step is a pixel
    log_mean, trust = log_peak(model, harmonics, top)
    integral = (2 * np.pi) ** 1.5 * width.prod() / (2 * np.pi * 25)
    np.testing.assert_allclose(log_mean, 500 + np.log(integral), atol=0.02)
    assert trust[0] == 1


def test_wide_peak_is_left_to_the_grid():
    model = make_model()
    harmonics = parabolic([0.7, 2.3, 1.6], [0.2, 2.0, 2.0], height=5.0)
    top = highest(model, harmonics, jnp.array([0.7]), jnp.array([12]))
    assert log_peak(model, harmonics, top)[1][0] == 0


def test_flat_axis_has_a_finite_spread_of_many_steps():
    model = make_model()
    harmonics = parabolic([0.7, 2.0, 2.0], [0.02, 1e6, 0.2])
    top = highest(model, harmonics, jnp.array([0.7]), jnp.array([12]))
    std = np.sqrt(np.diagonal(covariance(model, harmonics, top)[0]))
    assert 5 < std[1] < 100


def test_pose_without_shift_has_no_spread_of_it():
    model = make_model((0.0,))
    harmonics = random_harmonics(1)
    spread = covariance(model, harmonics, jnp.zeros((4, 3)))
    assert not np.any(spread[:, 1:])
    assert np.all(spread[:, 0, 0] > 0)


def test_prior_of_the_angle_is_a_part_of_the_surface():
    model = make_model((0.0,))
    log_prior = jnp.asarray(3.0 * np.cos(model.angles() - 0.4) - 1.0, jnp.float32)
    harmonics = jnp.broadcast_to(
        model.prior_harmonics(log_prior), (1, 1, NUM_HARMONICS)
    )
    np.testing.assert_allclose(
        model.correlations(harmonics)[0, 0], log_prior, atol=1e-5
    )
