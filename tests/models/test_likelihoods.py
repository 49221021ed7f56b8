import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrvae.models.likelihoods import (
    FAMILIES,
    log_likelihood,
    mean_of,
    natural_of,
    scoring_weights,
    variance_of,
)

RNG = np.random.default_rng(0)
RENDERED = RNG.normal(size=(3, 5, 4, 2))


def as_float(values):
    return jnp.asarray(values, jnp.float32)


@pytest.mark.parametrize("noise", [0.1, 2.0])
def test_gaussian_against_scipy(noise):
    images = RENDERED + noise * RNG.normal(size=RENDERED.shape)
    found = log_likelihood(
        "gaussian", as_float(images), as_float(RENDERED), as_float(noise)
    )
    expected = stats.norm(RENDERED, noise).logpdf(images).sum((1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bernoulli_against_scipy():
    images = RNG.integers(2, size=RENDERED.shape)
    found = log_likelihood(
        "bernoulli", as_float(images), as_float(RENDERED), as_float(1.0)
    )
    chance = 1 / (1 + np.exp(-RENDERED))
    expected = stats.bernoulli(chance).logpmf(images).sum((1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_bernoulli_takes_grey_levels_and_large_logits():
    grey = as_float(np.full((1, 2, 2, 1), 0.3))
    logits = as_float(np.full((1, 2, 2, 1), 0.5))
    pure = [jnp.full_like(grey, value) for value in (0, 1)]
    parts = [log_likelihood("bernoulli", p, logits, as_float(1)) for p in pure]
    found = log_likelihood("bernoulli", grey, logits, as_float(1.0))
    np.testing.assert_allclose(found, 0.7 * parts[0] + 0.3 * parts[1], rtol=1e-5)
    sure = as_float(np.full((1, 2, 2, 1), 200.0))
    np.testing.assert_allclose(
        log_likelihood("bernoulli", jnp.ones_like(grey), sure, as_float(1)), 0.0
    )


def test_one_image_against_many_renderings():
    image, rendered = as_float(RENDERED[:1])[None], as_float(RENDERED)[None]
    found = log_likelihood("gaussian", image, rendered, as_float(0.5))
    assert found.shape == (1, 3)
    for i in range(3):
        alone = log_likelihood("gaussian", image[0, 0], rendered[0, i], as_float(0.5))
        np.testing.assert_allclose(found[0, i], alone, rtol=1e-6)


def test_poisson_against_scipy():
    counts = RNG.poisson(np.exp(RENDERED))
    found = log_likelihood("poisson", as_float(counts), as_float(RENDERED), as_float(1))
    expected = stats.poisson(np.exp(RENDERED)).logpmf(counts).sum((1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_poisson_gaussian_is_nearly_the_convolution_of_both():
    """Exact density by summing over the counts, at rates where counts are many."""
    rate, noise = np.full((1, 2, 2, 1), 60.0), 3.0
    images = rate + np.array([-9.0, 0.0, 5.0, 11.0]).reshape(rate.shape)
    counts = np.arange(200)
    weights = stats.poisson(60.0).pmf(counts)
    density = weights * stats.norm(counts, noise).pdf(images[..., None])
    found = log_likelihood(
        "poisson-gaussian", as_float(images), as_float(np.log(rate)), as_float(noise)
    )
    np.testing.assert_allclose(found, np.log(density.sum(-1)).sum(), atol=0.15)


@pytest.mark.parametrize("kind", FAMILIES)
def test_families_are_normalized_and_have_the_moments_they_say(kind):
    natural = np.array([-4.0, -0.7, -0.03, 0.0, 0.04, 0.9, 3.0])
    if kind == "continuous-bernoulli":
        values = (np.arange(4000) + 0.5) / 4000
        step = 1 / 4000
    else:
        values, step = np.arange(2 if kind == "bernoulli" else 120.0), 1.0
    both = np.broadcast_arrays(values[:, None], natural)
    images, rendered = (as_float(b)[..., None, None, None] for b in both)
    log_density = log_likelihood(kind, images, rendered, as_float(1.0))
    density = np.exp(np.asarray(log_density, float)) * step
    np.testing.assert_allclose(density.sum(0), 1, rtol=1e-4)
    mean = (density * values[:, None]).sum(0)
    variance = (density * values[:, None] ** 2).sum(0) - mean**2
    np.testing.assert_allclose(mean_of(kind, as_float(natural)), mean, rtol=2e-3)
    found = variance_of(kind, as_float(natural))
    np.testing.assert_allclose(found, variance, rtol=2e-2)


@pytest.mark.parametrize("kind", [*FAMILIES, "gaussian", "poisson-gaussian"])
def test_scoring_weights_are_slope_and_information(kind):
    natural = jnp.linspace(-1.5, 1.5, 7)
    images, noise = jnp.full(7, 0.4), as_float(0.7)

    def alone(value, image):
        shaped = (image.reshape(1, 1, 1), value.reshape(1, 1, 1))
        return log_likelihood(kind, *shaped, noise)

    slope = jax.vmap(jax.grad(alone))(natural, images)
    mean, weight, fisher = scoring_weights(kind, natural, noise)
    if kind == "poisson-gaussian":  # its variance says something, too: left out
        images = mean
        slope = jnp.zeros(7)
    np.testing.assert_allclose(weight * (images - mean), slope, atol=2e-4)
    spread = fisher / jnp.square(weight)  # of a residual
    expected = {
        "gaussian": jnp.full(7, 0.49),
        "poisson-gaussian": jnp.exp(natural) + 0.49,
    }
    expected = expected.get(kind, variance_of(kind, natural))
    np.testing.assert_allclose(spread, expected, rtol=1e-3)


@pytest.mark.parametrize("kind", ["bernoulli", "poisson"])
def test_start_has_the_mean_of_the_edge(kind):
    found = mean_of(kind, as_float(natural_of(kind, np.array([0.2, 0.7]))))
    np.testing.assert_allclose(found, [0.2, 0.7], rtol=1e-5)
