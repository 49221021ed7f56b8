import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae.config import ModelConfig
from jaxrvae.data.known import Known
from jaxrvae.geometry.resample import spline_coefs
from jaxrvae.models.affine_posterior import _put_first, _refine, _sandwich
from jaxrvae.models.build import build_model, build_networks

SIZE = 20
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
PLACES = np.array([[3.0, 0.0], [-2.0, 3.0], [-1.0, -3.0]])
AWAY = [(COLUMNS - x) ** 2 + (ROWS - y) ** 2 for x, y in PLACES]
TRUE = np.exp(-np.stack(AWAY) / 6).sum(0)[..., None].astype(np.float32)


def test_covariance_is_that_of_misspecified_models():
    expected, observed = 4.0 * jnp.eye(3), jnp.diag(jnp.array([4.0, 2.0, 1.0]))
    found = np.diagonal(_sandwich(expected, observed))
    np.testing.assert_allclose(found, [0.25, 1.0, 4.0], rtol=1e-5)
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))
    turn = jnp.asarray(turn, jnp.float32)
    turned = _sandwich(turn @ expected @ turn.T, turn @ observed @ turn.T)
    np.testing.assert_allclose(turned, turn @ np.diag(found) @ turn.T, atol=1e-4)


def test_stated_error_holds_though_the_canonical_image_is_noisy():
    """400 images at one pose: its spread is the stated one, to 3 / sqrt(2 400) = 11 %.

    From the expected information it would be a sixth too small.
    """
    config, rng = ModelConfig(decoder="affine"), np.random.default_rng(0)
    model = build_model(config, TRUE[None])
    networks = build_networks(model, config, TRUE[None], Known(), nnx.Rngs(0))
    noise = 0.03
    networks.log_noise[...] = jnp.log(noise) / 10.0
    canonical = TRUE + 0.01 * rng.standard_normal(TRUE.shape)
    images = TRUE + noise * rng.standard_normal((400, SIZE, SIZE, 1))
    splines = spline_coefs(jnp.asarray(canonical, jnp.float32))
    start = jnp.zeros(3)

    @jax.jit
    @jax.vmap
    def fit(image):
        return _refine(model, networks, splines, image, start)

    pose, covariance = fit(jnp.asarray(images, jnp.float32))
    stated = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)).mean(0)
    np.testing.assert_allclose(np.std(pose, axis=0), stated, rtol=0.11)


def test_mode_that_explains_the_image_comes_first():
    modes = jnp.array([[0.1, 3.0, jnp.nan], [-3.1, 1.0, 0.0]])
    shares = jnp.array([[0.9, 0.1, 0.0], [0.6, 0.3, 0.1]])
    found, weights = _put_first(modes, shares, jnp.array([2.9, 3.1]))
    np.testing.assert_allclose(found, [[3.0, 0.1, np.nan], [-3.1, 1.0, 0.0]])
    np.testing.assert_allclose(weights, [[0.1, 0.9, 0.0], [0.6, 0.3, 0.1]])
