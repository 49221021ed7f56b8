import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrvae.priors.pose import AnglePrior, angle_prior, shift_stds

pytestmark = pytest.mark.usefixtures("strict_numerics")

DRAWS = 20_000
NUM_ANGLES = 7200
PRIORS = [
    None,
    {"concentration": 0.0},
    {"concentration": 3.0, "loc": 1.0},
    {"concentration": 1e4, "loc": -3.1, "fold": 3},
    {"std": 0.01, "loc": 3.1},
    {"std": 0.4, "loc": 3.0, "fold": 3},
    {"std": 1.0, "fold": 3},
    {"std": 1.99},
    {"std": 2.0},
    {"std": 2.01},
    {"std": 1e30, "fold": 3},
]


def angles():
    steps = np.arange(NUM_ANGLES) / NUM_ANGLES
    return jnp.asarray(2 * np.pi * steps - np.pi, jnp.float32)


def log_wrapped_normal(angle, loc, std, fold):
    """Log of 2 pi times the density, by summing many turns."""
    modes = loc + 2 * np.pi * np.arange(-15 * fold, 15 * fold) / fold
    log_each = stats.norm.logpdf(np.asarray(angle, np.float64)[:, None], modes, std)
    return np.logaddexp.reduce(log_each, axis=1) + np.log(2 * np.pi / fold)


@pytest.mark.parametrize("settings", PRIORS)
def test_density_is_normalized_and_periodic(settings):
    prior = angle_prior(settings)
    log_density = np.asarray(prior.log_density(angles()), np.float64)
    assert np.exp(log_density).mean() == pytest.approx(1, abs=2e-4)
    fold = (settings or {}).get("fold", 1)
    turned = np.roll(log_density, NUM_ANGLES // fold)
    # a float's digits of the angle move the height by so much
    edge = 3e-6 * np.abs(np.gradient(log_density, 2 * np.pi / NUM_ANGLES)).max()
    np.testing.assert_allclose(turned, log_density, atol=edge + 1e-6)


@pytest.mark.parametrize("settings", [None, {"concentration": 0}, {"std": 100.0}])
def test_uniform_and_very_wide_priors_are_0_everywhere(settings):
    np.testing.assert_array_equal(angle_prior(settings).log_density(angles()), 0.0)


@pytest.mark.parametrize(("k", "loc"), [(0.2, 0.0), (7.0, 2.0), (1e3, -3.0)])
def test_von_mises_against_scipy(k, loc):
    found = angle_prior({"concentration": k, "loc": loc}).log_density(angles())
    expected = stats.vonmises.logpdf(angles(), k, loc=loc) + np.log(2 * np.pi)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_folded_von_mises_is_an_exponential_of_a_folded_cosine():
    prior = angle_prior({"concentration": 4.0, "loc": 0.3, "fold": 3})
    height = 4 * np.cos(3 * (np.asarray(angles(), np.float64) - 0.3))
    expected = height - np.log(np.exp(height).mean())
    np.testing.assert_allclose(prior.log_density(angles()), expected, atol=2e-5)


@pytest.mark.parametrize("std", [0.05, 0.5, 1.9, 2.1, 6.0])
@pytest.mark.parametrize("fold", [1, 3])
def test_wrapped_normal_against_many_turns(std, fold):
    prior = angle_prior({"std": std / fold, "loc": 3.0, "fold": fold})
    found = prior.log_density(angles())
    expected = log_wrapped_normal(angles(), 3.0, std / fold, fold)
    # a float's digits of the angle, fold times, over the variance
    tolerance = {"rtol": 1e-5, "atol": 1e-5 + 1e-6 * fold / std**2}
    np.testing.assert_allclose(found, expected, **tolerance)


@pytest.mark.parametrize("settings", PRIORS)
def test_draws_follow_the_density(settings):
    prior = angle_prior(settings)
    draws = draw(prior, jax.random.key(0))
    assert (draws >= -np.float32(np.pi)).all()
    assert (draws < np.float32(np.pi)).all()
    fold = (settings or {}).get("fold", 1)
    density = np.exp(np.asarray(prior.log_density(angles()), np.float64)) / NUM_ANGLES
    draws, grid = np.asarray(draws, np.float64), np.asarray(angles(), np.float64)
    for order in {1, 2, fold}:
        for wave in (np.cos, np.sin):
            values = wave(order * draws)
            expected = (density * wave(order * grid)).sum()
            error = 5 * values.std() / np.sqrt(DRAWS)
            assert abs(values.mean() - expected) < error + 2e-4  # the grid's own


@pytest.mark.parametrize("settings", PRIORS)
def test_gradients_are_finite(settings):
    prior = angle_prior(settings)
    assert all(np.isfinite(part).all() for part in slopes(prior, angles()))


@jax.jit
def slopes(prior, angle):
    by_prior, by_angle = jax.vmap(jax.grad(AnglePrior.log_density, (0, 1)), (None, 0))(
        prior, angle
    )
    return by_prior.loc, by_prior.concentration, by_angle


@jax.jit
def draw(prior, key):
    return prior.sample(key, (DRAWS,))


@pytest.mark.parametrize("settings", [{"concentration": 2.0}, {"std": 0.5}])
def test_gradients_reach_loc_and_concentration(settings):
    prior, step = angle_prior(settings | {"loc": 0.2, "fold": 3}), jnp.float32(0.01)
    by_loc, by_concentration, _ = slopes(prior, angles())
    for slope, name in ((by_loc, "loc"), (by_concentration, "concentration")):
        up, down = (
            dataclasses.replace(prior, **{name: getattr(prior, name) + change})
            for change in (step, -step)
        )
        ends = np.asarray(up.log_density(angles()) - down.log_density(angles()))
        np.testing.assert_allclose(slope, ends / (2 * step), rtol=1e-2, atol=2e-2)


def test_a_prior_is_a_pytree_whose_arrays_are_its_parameters():
    prior = angle_prior({"loc": 7.0, "std": 0.5, "fold": 3})
    leaves, treedef = jax.tree.flatten(prior)
    np.testing.assert_allclose(leaves, [7 - 2 * np.pi, 4.0], rtol=1e-6)
    again = jax.tree.unflatten(treedef, leaves)
    assert (again.fold, again.kind) == (3, "normal")


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"concentraton": 1.0}, TypeError, "Did you mean 'concentration'"),
        ({}, ValueError, "either concentration"),
        ({"loc": 1.0}, ValueError, "either concentration"),
        ({"concentration": 1.0, "std": 1.0}, ValueError, "Give one of the two"),
        ({"concentration": -1.0}, ValueError, "0 is uniform"),
        ({"concentration": float("inf")}, ValueError, "finite"),
        ({"std": 0.0}, ValueError, "> 0"),
        ({"std": "wide"}, ValueError, "finite number; got 'wide'"),
        ({"std": 0.1, "loc": float("nan")}, ValueError, "loc must be a finite"),
        ({"std": 0.1, "loc": True}, ValueError, "loc must be a finite"),
        ({"std": 0.1, "fold": 0}, ValueError, "fold must be >= 1"),
        ({"std": 0.1, "fold": 2.0}, ValueError, "fold must be a whole"),
    ],
)
def test_angle_prior_refuses_with_advice(settings, error, message):
    with pytest.raises(error, match=message) as caught:
        angle_prior(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, (0.1, 0.1)),
        ({"std": 0.03}, (0.03, 0.03)),
        ({"std": [0.03, 0.01]}, (0.03, 0.01)),
        ({"std": (0, 0.01)}, (0.0, 0.01)),
        ({"std": np.array([0.5, 0.25])}, (0.5, 0.25)),
    ],
)
def test_shift_stds(setting, expected):
    found = shift_stds(setting, 0.2)
    assert found == expected
    assert all(type(value) is float for value in found)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"sd": 0.1}, TypeError, "Did you mean 'std'"),
        ({}, ValueError, "needs std"),
        ({"std": 0.0}, ValueError, "> 0"),
        ({"std": float("inf")}, ValueError, "finite number"),
        ({"std": "0.1"}, ValueError, "finite number"),
        ({"std": None}, ValueError, "finite number"),
        ({"std": [0.1, -0.1]}, ValueError, ">= 0"),
        ({"std": [0.1, float("nan")]}, ValueError, "finite number"),
        ({"std": [0, 0]}, ValueError, "along x or y"),
        ({"std": [0.1]}, ValueError, "one number or"),
        ({"std": [0.1, 0.1, 0.1]}, ValueError, "one number or"),
    ],
)
def test_shift_stds_refuse_with_advice(setting, error, message):
    with pytest.raises(error, match=message) as caught:
        shift_stds(setting, 0.2)
    assert "\n" not in str(caught.value)
