import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats
from scipy.special import logsumexp

from jaxrvae.priors.content import (
    FlowPrior,
    MixturePrior,
    PseudoPrior,
    log_normal,
    log_prior,
    sample_prior,
)

DRAWS = 20_000


def perturbed(prior, seed=1, size=0.7):
    """The prior with all its numbers moved, so that nothing is at its start."""
    graph, params = nnx.split(prior, nnx.Param)
    rng = np.random.default_rng(seed)
    moved = jax.tree.map(
        lambda leaf: leaf + jnp.asarray(size * rng.standard_normal(leaf.shape), "f"),
        params,
    )
    return nnx.merge(graph, moved)


def encode(pseudo):
    """An encoder of pseudo-images of one place and four reals."""
    mean = jnp.stack([pseudo[..., 0].sum(-1), pseudo[..., 1].sum(-1)], axis=-1)
    return mean, 0.3 * jnp.tanh(pseudo[:, 0, 2:4])


PRIORS = {
    "normal": lambda: None,
    "mixture": lambda: perturbed(MixturePrior(2, 3, rngs=nnx.Rngs(0))),
    "vamp": lambda: perturbed(PseudoPrior(jnp.zeros((5, 1, 4)))),
    "flow": lambda: perturbed(FlowPrior(2, 16, rngs=nnx.Rngs(0)), size=0.2),
}


@pytest.mark.parametrize("name", PRIORS)
def test_density_integrates_to_one(name):
    prior, ticks = PRIORS[name](), jnp.linspace(-12, 12, 481)
    grid = jnp.stack(jnp.meshgrid(ticks, ticks), axis=-1)
    density = jnp.exp(log_prior(prior, grid, encode))
    np.testing.assert_allclose(density.sum() * (ticks[1] - ticks[0]) ** 2, 1, atol=5e-3)


@pytest.mark.parametrize("name", PRIORS)
def test_draws_follow_the_density(name):
    """Shares of draws in the quarters of the plane against the density's integrals."""
    prior, ticks = PRIORS[name](), np.linspace(-12, 12, 482)
    drawn = np.asarray(sample_prior(prior, DRAWS, 2, encode, jax.random.key(0)))
    middle = (ticks[1:] + ticks[:-1]) / 2
    grid = jnp.asarray(np.stack(np.meshgrid(middle, middle), axis=-1), jnp.float32)
    density = np.exp(np.asarray(log_prior(prior, grid, encode), float))
    density *= (ticks[1] - ticks[0]) ** 2
    centre = np.median(drawn, axis=0)
    for right in (False, True):
        for above in (False, True):
            inside = (grid[..., 0] > centre[0]) == right
            inside &= (grid[..., 1] > centre[1]) == above
            expected = density[np.asarray(inside)].sum()
            counted = (drawn[:, 0] > centre[0]) == right
            counted &= (drawn[:, 1] > centre[1]) == above
            error = np.sqrt(expected * (1 - expected) / DRAWS)
            cells = 0.02  # the cells that the borders cut
            assert abs(counted.mean() - expected) < 5 * error + cells


def test_mixture_against_scipy():
    prior = PRIORS["mixture"]()
    log_weights, means, log_stds = (
        np.asarray(v, float) for v in prior.components(encode)
    )
    points = np.random.default_rng(2).normal(0, 2, (7, 2))
    expected = logsumexp(
        [
            w + stats.norm(m, np.exp(s)).logpdf(points).sum(-1)
            for w, m, s in zip(log_weights, means, log_stds, strict=True)
        ],
        axis=0,
    )
    found = log_prior(prior, jnp.asarray(points, jnp.float32), encode)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("content_dim", [2, 3, 5])
def test_flow_goes_there_and_back_with_its_own_volume(content_dim):
    prior = perturbed(FlowPrior(content_dim, 16, rngs=nnx.Rngs(0)), size=0.2)
    normal = jax.random.normal(jax.random.key(3), (4, content_dim))
    content = prior.from_normal(normal)
    volume = jax.vmap(jax.jacfwd(prior.from_normal))(normal)
    expected = log_normal(normal) - jnp.linalg.slogdet(volume)[1]
    np.testing.assert_allclose(prior.log_prob(content), expected, atol=1e-4)
    assert np.abs(np.asarray(content - normal)).max() > 0.05


def test_fresh_flow_is_the_standard_normal():
    prior = FlowPrior(3, 8, rngs=nnx.Rngs(0))
    points = jax.random.normal(jax.random.key(0), (5, 3))
    np.testing.assert_allclose(prior.log_prob(points), log_normal(points), atol=1e-5)


def test_no_component_collapses():
    prior = MixturePrior(2, 3, rngs=nnx.Rngs(0))
    prior.log_stds[...] = jnp.full((3, 2), -30.0)
    assert np.exp(prior.components(encode)[2]).min() > 0.04
