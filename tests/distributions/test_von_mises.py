import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxrvae.distributions.von_mises import (
    entropy,
    half_width,
    kl_von_mises,
    log_prob,
    rsample,
)

pytestmark = pytest.mark.usefixtures("strict_numerics")

CONCENTRATIONS = np.array([0.1, 0.5, 1, 2, 5, 12, 30, 300], np.float32)
MANY = np.r_[0, CONCENTRATIONS, 1e3, 1e4].astype(np.float32)
DRAWS = 20_000


def mean_length(order, concentration):
    """E cos(order (angle - loc))."""
    concentration = np.asarray(concentration, np.float64)
    return special.ive(order, concentration) / special.ive(0, concentration)


def angles():
    return jnp.linspace(-3.0, 3.0, 181)


@jax.jit
def many_draws(key, loc, concentration):
    """(draw, parameter), with loc and concentration given as vectors."""
    shape = (DRAWS, len(concentration))
    loc, concentration = (
        jnp.broadcast_to(x[None], shape) for x in (loc, concentration)
    )
    return rsample(key, loc, concentration)


@pytest.mark.parametrize("concentration", [0.01, 1.0, 30.0, 1e4])
def test_log_prob_against_scipy(concentration):
    found = log_prob(angles(), 0.4, concentration)
    expected = stats.vonmises.logpdf(angles(), concentration, loc=0.4)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_log_prob_takes_whole_turns_and_is_uniform_at_concentration_0():
    turned = log_prob(angles() + 4 * jnp.pi, 0.4, 3.0)
    np.testing.assert_allclose(turned, log_prob(angles(), 0.4, 3.0), atol=2e-5)
    np.testing.assert_allclose(log_prob(angles(), 0.4, 0.0), -np.log(2 * np.pi))


@pytest.mark.parametrize("concentration", [0.3, 4.0, 80.0])
def test_gradients_of_log_prob_against_finite_differences(concentration):
    at = np.array([0.9, 0.2, concentration])
    found = jax.jit(jax.grad(log_prob, (0, 1, 2)))(*jnp.asarray(at, jnp.float32))
    for axis, slope in enumerate(found):
        step = np.eye(3)[axis] * 1e-5
        ends = [
            stats.vonmises.logpdf(place[0] - place[1], place[2])
            for place in (at + step, at - step)
        ]
        np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-4)


def test_entropy_against_scipy():
    found = entropy(jnp.asarray(MANY[1:]))
    expected = [stats.vonmises.entropy(float(k)) for k in MANY[1:]]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert float(entropy(0.0)) == pytest.approx(np.log(2 * np.pi))


def kl_by_quadrature(loc_q, k_q, loc_p, k_p):
    reach = min(np.pi, 12 / np.sqrt(max(k_q, 1e-3)))
    nodes, weights = np.polynomial.legendre.leggauss(400)
    angle, weights = loc_q + reach * nodes, reach * weights

    def log_density(loc, k):
        height = k * (np.cos(angle - loc) - 1)
        return height - np.log(2 * np.pi * special.ive(0, k))

    log_q = log_density(loc_q, k_q)
    return (weights * np.exp(log_q) * (log_q - log_density(loc_p, k_p))).sum()


@pytest.mark.parametrize("k_q", [0.0, 0.7, 8.0, 300.0, 1e4])
@pytest.mark.parametrize("k_p", [0.0, 2.0, 500.0])
def test_kl_against_quadrature(k_q, k_p):
    found = float(kl_von_mises(2.9, k_q, -2.6, k_p))
    expected = kl_by_quadrature(2.9, k_q, -2.6, k_p)
    assert found == pytest.approx(expected, rel=1e-5, abs=2e-6)


def test_kl_is_zero_between_equals_and_that_of_normals_where_narrow():
    k = jnp.asarray(MANY)
    np.testing.assert_array_equal(kl_von_mises(0.3, k, 0.3, k), 0.0)
    normals = 0.5 * (1e4 / 2e4 + 1e4 * 0.01**2 - 1 + np.log(2e4 / 1e4))
    assert float(kl_von_mises(0.01, 2e4, 0.0, 1e4)) == pytest.approx(normals, rel=1e-3)


def test_kl_gradient_in_the_concentration_from_0_on():
    slope = jax.jit(jax.vmap(jax.grad(lambda k: kl_von_mises(0.5, k, 0.0, 2.0))))
    k = np.r_[0.0, 0.01, CONCENTRATIONS].astype(np.float64)
    length = mean_length(1, k)
    of_length = length_slope(k)
    # KL = k A - log I0(k) - 2 A cos 0.5 + constant, and (log I0)' = A
    expected = of_length * (k - 2 * np.cos(0.5))
    np.testing.assert_allclose(
        slope(jnp.asarray(k, jnp.float32)), expected, rtol=5e-4, atol=1e-6
    )
    assert length[0] == 0


def length_slope(concentration):
    """d A / d concentration, A = I1 / I0."""
    length = mean_length(1, concentration)
    over = np.divide(
        length, concentration, out=np.full_like(length, 0.5), where=concentration > 0
    )
    return 1 - over - length**2


def tail_by_quadrature(angle, concentration):
    """Of the angles the share that is farther from loc than `angle`."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    reach = np.minimum(np.pi, 14 / np.sqrt(np.maximum(concentration, 1e-3)))

    def integral(low, high):
        place = low[..., None] + (high - low)[..., None] * (nodes + 1) / 2
        value = np.exp(-2 * concentration[..., None] * np.sin(place / 2) ** 2)
        return (high - low) * (weights * value).sum(-1)

    return integral(angle, reach) / integral(np.zeros_like(angle), reach)


def test_half_width_leaves_its_tail_outside():
    tail = np.r_[np.logspace(-7, -0.4, 30), 1 - np.logspace(-6, -0.4, 20)]
    tail, k = (
        x.astype(np.float32).ravel() for x in np.meshgrid(tail, np.r_[MANY, 1e6])
    )
    angle = np.asarray(jax.jit(half_width)(tail, k), np.float64)
    assert (angle >= 0).all()
    assert (angle <= np.float32(np.pi)).all()
    # an error in the angle, in standard deviations, rather than in the probability
    k = k.astype(np.float64)
    density = np.exp(-2 * k * np.sin(angle / 2) ** 2) / (np.pi * special.ive(0, k))
    error = (tail_by_quadrature(angle, k) - tail) / density
    assert np.abs(error * np.sqrt(np.maximum(k, 1))).max() < 3e-6


def test_half_width_slopes_against_finite_differences():
    tail, k = np.meshgrid([1e-4, 0.05, 0.3, 0.6, 0.95], np.r_[0.0, CONCENTRATIONS])
    tail, k = tail.ravel().astype(np.float32), k.ravel().astype(np.float32)
    slopes = jax.vmap(jax.grad(half_width, (0, 1)))
    by_tail, by_k = (np.asarray(slope) for slope in jax.jit(slopes)(tail, k))
    angle = np.asarray(jax.jit(half_width)(tail, k), np.float64)
    k = k.astype(np.float64)
    step = 1e-4 * np.maximum(k, 0.1)
    low = np.maximum(k - step, 0)
    at = [tail_by_quadrature(angle, value) for value in (low, k + step)]
    of_tail = (at[1] - at[0]) / (k + step - low)
    density = np.exp(-2 * k * np.sin(angle / 2) ** 2) / (np.pi * special.ive(0, k))
    np.testing.assert_allclose(by_tail, -1 / density, rtol=2e-5)
    np.testing.assert_allclose(by_k, of_tail / density, rtol=2e-3, atol=1e-6)


def test_draws_have_the_right_moments_and_range():
    k = jnp.asarray(MANY)
    loc = jnp.linspace(-3.1, 3.0, len(MANY))  # the last, narrow one off the edge
    draws = np.asarray(many_draws(jax.random.key(0), loc, k), np.float64)
    assert (draws >= -np.float32(np.pi)).all()
    assert (draws < np.float32(np.pi)).all()
    apart = draws - np.asarray(loc, np.float64)
    narrow = apart[:, -1] * MANY[-1] ** 0.5  # a standard normal, nearly
    assert abs((narrow**2).mean() - 1) < 5 * np.sqrt(2 / DRAWS)
    assert abs((narrow**4).mean() - 3) < 5 * np.sqrt(96 / DRAWS)
    for order in (1, 2, 3):
        for values, mean in (
            (np.cos(order * apart), mean_length(order, MANY)),
            (np.sin(order * apart), 0.0),
        ):
            error = 5 * values.std(0) / np.sqrt(DRAWS) + 3e-7  # floats near pi
            assert (np.abs(values.mean(0) - mean) < error).all()


def test_draws_follow_the_distribution_function():
    draws = many_draws(jax.random.key(1), jnp.zeros(len(MANY)), jnp.asarray(MANY))
    columns = np.asarray(draws, np.float64).T
    for column, concentration in zip(columns[1:], MANY[1:], strict=True):
        share = np.sort(stats.vonmises.cdf(column, float(concentration)))
        grid = (np.arange(DRAWS) + 0.5) / DRAWS
        # each share's standard error is at most 0.5 / sqrt(number)
        assert np.abs(share - grid).max() < 5 * 0.5 / np.sqrt(DRAWS)


def test_gradients_of_a_mean_cosine_are_the_exact_ones():
    k, turn = jnp.asarray(CONCENTRATIONS), 0.6
    key = jax.random.key(2)

    @jax.jit
    def slopes(loc, concentration):
        def cosines(loc, concentration):
            return jnp.cos(many_draws(key, loc, concentration) - (1.0 - turn))

        ones, zeros = jnp.ones_like(loc), jnp.zeros_like(loc)
        at = (loc, concentration)
        by_loc = jax.jvp(cosines, at, (ones, zeros))[1]
        return by_loc, jax.jvp(cosines, at, (zeros, ones))[1]

    exact = (
        -mean_length(1, CONCENTRATIONS) * np.sin(turn),
        length_slope(CONCENTRATIONS.astype(np.float64)) * np.cos(turn),
    )
    for slope, mean in zip(slopes(jnp.ones_like(k), k), exact, strict=True):
        slope = np.asarray(slope, np.float64)
        error = 5 * slope.std(0) / np.sqrt(DRAWS)
        assert (np.abs(slope.mean(0) - mean) < error).all()
        assert (error < 0.03).all()


def test_shapes_broadcast_inside_jit_and_vmap():
    key = jax.random.key(6)
    table = jax.eval_shape(rsample, key, jnp.zeros((3, 1)), jnp.ones((1, 2)))
    assert table.shape == (3, 2)
    scalar = jax.eval_shape(lambda key: rsample(key, 0.0, 1), key)
    assert (scalar.shape, scalar.dtype) == ((), jnp.float32)
    each = jax.jit(jax.vmap(jax.value_and_grad(rsample, (1, 2)), (0, None, 0)))
    draws, (by_loc, by_k) = each(jax.random.split(key, 5), 0.5, jnp.arange(5.0))
    assert len(set(draws.tolist())) == 5
    np.testing.assert_allclose(by_loc, 1.0)
    assert np.isfinite(by_k).all()
    # at k = 0 the distribution function is (angle + k sin(angle)) / 2 pi, to k's order
    np.testing.assert_allclose(by_k[0], -np.sin(draws[0] - 0.5), atol=1e-6)
