import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.distributions.projected_normal import log_prob, rsample

pytestmark = pytest.mark.usefixtures("strict_numerics")

LENGTHS = [0.0, 1e-3, 0.5, 2.0, 5.0, 50.0]
DRAWS = 20_000
NUM_ANGLES = 720


def mean_of(length, direction=0.7):
    return length * jnp.array([np.cos(direction), np.sin(direction)], jnp.float32)


def angles():
    steps = np.arange(NUM_ANGLES) / NUM_ANGLES
    return jnp.asarray(2 * np.pi * steps - np.pi, jnp.float32)


def log_radial(along):
    """Log of int r exp(-(r - along)^2 / 2) dr in double precision, by quadrature."""
    peak = (along + np.sqrt(along**2 + 4)) / 2
    high = peak + np.where(along < 0, np.minimum(60 / (1 - along), 14), 14)
    low = np.maximum(peak - 14, 0)
    nodes, weights = np.polynomial.legendre.leggauss(400)
    radius = low[:, None] + (high - low)[:, None] * (nodes + 1) / 2
    power = -0.5 * (radius - along[:, None]) ** 2
    top = power.max(axis=1, keepdims=True)
    total = (weights * radius * np.exp(power - top)).sum(1) * (high - low) / 2
    return top[:, 0] + np.log(total)


def log_density(angle, mean):
    """In double precision."""
    angle, (x, y) = np.asarray(angle, np.float64), np.asarray(mean, np.float64)
    cos, sin = np.cos(angle), np.sin(angle)
    across = y * cos - x * sin
    return log_radial(x * cos + y * sin) - across**2 / 2 - np.log(2 * np.pi)


@pytest.mark.parametrize("length", LENGTHS)
def test_log_prob_against_quadrature(length):
    mean = mean_of(length)
    found = np.asarray(log_prob(angles(), mean))
    # a float's digits of a component across, up to its length, times that component
    tolerance = {"rtol": 5e-6, "atol": 5e-6 * (1 + length)}
    np.testing.assert_allclose(found, log_density(angles(), mean), **tolerance)


@pytest.mark.parametrize("length", LENGTHS)
def test_density_is_normalized(length):
    total = np.exp(np.asarray(log_prob(angles(), mean_of(length)), np.float64)).mean()
    assert 2 * np.pi * total == pytest.approx(1, abs=1e-5)


def test_mean_0_is_uniform_and_a_long_mean_is_normal():
    uniform = log_prob(angles(), jnp.zeros(2))
    np.testing.assert_allclose(uniform, -np.log(2 * np.pi), rtol=1e-6)
    offset = jnp.linspace(-0.1, 0.1, NUM_ANGLES)
    found = log_prob(0.7 + offset, mean_of(50.0))
    normal = -0.5 * (50 * np.sin(offset)) ** 2 + np.log(50 * np.cos(offset))
    np.testing.assert_allclose(found, normal - 0.5 * np.log(2 * np.pi), atol=2e-5)


@jax.jit
def slopes(angle, mean):
    return jax.vmap(jax.grad(log_prob, (0, 1)), (0, None))(angle, mean)


@pytest.mark.parametrize("length", LENGTHS)
def test_gradients_of_log_prob_against_finite_differences(length):
    grid, mean = angles(), mean_of(length)
    by_angle, by_mean = (np.asarray(slope) for slope in slopes(grid, mean))
    at, step = np.asarray(grid, np.float64), 1e-5
    expected = (log_density(at + step, mean) - log_density(at - step, mean)) / 2e-5
    tolerance = {"rtol": 2e-4, "atol": 2e-5 * (1 + length)}
    np.testing.assert_allclose(by_angle, expected, **tolerance)
    for axis in (0, 1):
        move, start = step * np.eye(2)[axis], np.asarray(mean, np.float64)
        up, down = (log_density(at, moved) for moved in (start + move, start - move))
        np.testing.assert_allclose(by_mean[:, axis], (up - down) / 2e-5, **tolerance)


def test_gradients_are_smooth_where_the_form_changes():
    found = [
        slopes(jnp.zeros(NUM_ANGLES), jnp.array([along, 0.0]))[1][0, 0]
        for along in np.array([-2 - 2e-7, -2, -2 + 2e-7], np.float32)
    ]
    np.testing.assert_allclose(np.ptp(found), 0, atol=1e-5)


def draw(key, mean):
    return rsample(key, jnp.broadcast_to(mean[None], (DRAWS, 2)))


@jax.jit
def moving_draws(key, mean):
    """Draws, and how each turns with the mean: (draw,), (draw, 2)."""
    return draw(key, mean), jax.jacfwd(draw, 1)(key, mean)


@pytest.mark.parametrize("length", LENGTHS)
def test_draws_have_the_right_moments(length):
    mean = mean_of(length)
    draws, _ = moving_draws(jax.random.key(0), mean)
    assert (draws >= -np.float32(np.pi)).all()
    assert (draws < np.float32(np.pi)).all()
    grid = np.asarray(angles(), np.float64)
    density = np.exp(log_density(grid, mean)) * 2 * np.pi / len(grid)
    for wave in (np.cos, np.sin):
        for order in (1, 2):
            values = wave(order * np.asarray(draws, np.float64))
            expected = (density * wave(order * grid)).sum()
            error = 5 * values.std() / np.sqrt(DRAWS)
            assert abs(values.mean() - expected) < error


@pytest.mark.parametrize("length", LENGTHS)
def test_gradients_of_a_mean_cosine_are_the_exact_ones(length):
    mean = mean_of(length)
    draws, turns = (np.asarray(x) for x in moving_draws(jax.random.key(1), mean))
    found = -np.sin(draws.astype(np.float64) - 0.2)[:, None] * turns
    assert np.isfinite(found).all()
    grid = np.asarray(angles(), np.float64)
    weight = np.cos(grid - 0.2) * 2 * np.pi / len(grid)
    for axis in (0, 1):
        step = 1e-4 * np.eye(2)[axis]
        at = np.asarray(mean, np.float64)
        up, down = (np.exp(log_density(grid, at + s)) for s in (step, -step))
        expected = (weight * (up - down)).sum() / 2e-4
        error = 5 * found[:, axis].std() / np.sqrt(DRAWS) + 1e-6
        assert abs(found[:, axis].mean() - expected) < error


def test_gradients_of_draws_have_a_bound_where_the_mean_is_0():
    _, turns = moving_draws(jax.random.key(2), jnp.zeros(2))
    lengths = np.linalg.norm(turns, axis=-1)
    # all points at one angle turn alike: by the mean of 1 / r, sqrt(pi / 2)
    np.testing.assert_allclose(lengths, np.sqrt(np.pi / 2), rtol=1e-5)


def test_works_in_jit_vmap_and_grad():
    @jax.jit
    def slope(keys, mean):
        def loss(mean):
            drawn = jax.vmap(rsample, (0, None))(keys, mean)
            return jax.vmap(log_prob, (0, None))(drawn, mean).mean()

        return jax.grad(loss)(mean)

    keys = jax.random.split(jax.random.key(3), 8)
    for length in (0.0, 3.0, 50.0):
        assert np.isfinite(slope(keys, mean_of(length))).all()
