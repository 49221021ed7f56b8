import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrvae.models.likelihoods import log_likelihood

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
