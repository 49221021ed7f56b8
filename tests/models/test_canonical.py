"""The decoder alone against the model's own images, and their small turns and moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxrvae as jr
from jaxrvae.config import ModelConfig
from jaxrvae.data.known import learn_known
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.geometry.pose import remove_pose
from jaxrvae.geometry.resample import cubic, spline_coefs
from jaxrvae.models.canonical import canonical_decoder
from jaxrvae.models.fitted import fresh_model

SIZE, STEP = 16, 1e-2


@pytest.fixture(scope="module")
def fresh(compile_once):
    """Models with the weights that training starts from."""
    images = jr.simulate("glyphs", seed=0, num_images=100, size=SIZE).values[..., None]

    def of(decoder, **options):
        given = {"decoder": decoder, "hidden_dim": 32} | options
        config = ModelConfig(**given)
        known = learn_known(config.num_classes, None, len(images), None)
        return fresh_model(config, known, images)

    return of


def standard(fitted, content):
    """Images at the decoder's own pose zero, by the way of `decode`, standardized."""
    networks = nnx.merge(fitted.graph, fitted.params)
    angle, shift = fitted.model.drift(
        networks, fitted.projection, fitted.gauge, jnp.asarray(content)
    )
    pixel = 2 / SIZE
    shift = np.asarray(shift) / pixel * [1, -1]
    images = fitted.decode(content, np.asarray(angle), shift, 1.0)
    return images / np.asarray(fitted.model.scale)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["affine", "affine-cubic", "coordinate"])
def test_pixels_are_those_of_decode(fresh, decoder):
    fitted, content = fresh(decoder), np.array([[0.3, -0.5]], np.float32)
    found = canonical_decoder(fitted).image(jnp.asarray(content[0]))
    expected = standard(fitted, content)[0]
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, atol=2e-3 * np.ptp(expected)
    )


@pytest.mark.slow
def test_steerable_differences_are_those_of_pixels(fresh):
    """Inside the disc the basis is orthonormal: lengths agree with those of pixels."""
    fitted = fresh("steerable")
    decoder = canonical_decoder(fitted)
    content = np.array([[0.3, -0.5], [0.4, -0.45]], np.float32)
    first, second = (decoder.image(jnp.asarray(z)) for z in content)
    pixels = standard(fitted, content)
    expected = np.linalg.norm(pixels[1] - pixels[0])
    # the basis is orthonormal on the pixels order by order only
    np.testing.assert_allclose(jnp.linalg.norm(second - first), expected, rtol=0.15)


@pytest.mark.slow
def test_changes_are_those_of_turned_and_moved_pixels(fresh):
    decoder = canonical_decoder(fresh("affine", pose=("rotation", "shift", "scale")))
    image = decoder.image(jnp.array([0.3, -0.5]))
    points = pixel_grid(SIZE, SIZE)
    coefs = spline_coefs(image.reshape(SIZE, SIZE, 1))

    def posed(pose):
        seen = remove_pose(points, pose[0], pose[1:3], jnp.exp(pose[3]))
        return cubic(coefs, seen)

    expected = jax.jacfwd(posed)(jnp.zeros(4)).reshape(SIZE, SIZE, 4)
    inner = slice(4, -4)  # what lies outside the image differs
    found = decoder.changes(image).reshape(4, SIZE, SIZE)[:, inner, inner]
    expected = jnp.moveaxis(expected, -1, 0)[:, inner, inner]
    scale = float(jnp.abs(expected).max())
    np.testing.assert_allclose(found, expected, atol=0.02 * scale)


@pytest.mark.slow
def test_steerable_changes_are_those_of_rendered_pixels(fresh):
    fitted = fresh("steerable")
    decoder = canonical_decoder(fitted)
    coefs = decoder.image(jnp.array([0.3, -0.5]))

    def pixels(coefs, angle=0.0, shift=(0.0, 0.0)):
        pose = jnp.array(angle), jnp.array(shift), jnp.ones(())
        return fitted.model.render(coefs, *pose)

    turned = (pixels(coefs, STEP) - pixels(coefs, -STEP)) / (2 * STEP)
    found = decoder.changes(coefs)
    expected = pixels(found[0])
    np.testing.assert_allclose(
        turned, expected, atol=0.02 * float(jnp.abs(expected).max())
    )
    for axis in range(2):
        shift = STEP * np.eye(2)[axis]
        moved = (pixels(coefs, 0.0, shift) - pixels(coefs, 0.0, -shift)) / (2 * STEP)
        # what leaves the disc is not in the basis
        change = pixels(found[1 + axis])
        similar = float((moved * change).sum())
        similar /= float(jnp.linalg.norm(moved) * jnp.linalg.norm(change))
        assert similar > 0.9


def test_what_the_pose_does_not_hold_is_no_change(fresh):
    decoder = canonical_decoder(fresh("affine", pose=("rotation",)))
    rows = np.asarray(decoder.changes(decoder.image(jnp.zeros(2))))
    assert np.abs(rows[0]).max() > 0
    assert np.abs(rows[1:]).max() == 0


def test_classes_and_conditions_stand_beside_the_content(fresh):
    fitted = fresh("affine", num_classes=2)
    first, second = (canonical_decoder(fitted, label=i) for i in (0, 1))
    content = jnp.array([0.3, -0.5])
    assert float(jnp.abs(first.image(content) - second.image(content)).max()) > 1e-3
    with pytest.raises(ValueError, match="label"):
        canonical_decoder(fresh("affine"), label=1)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["affine", "steerable"])
def test_of_other_likelihoods_it_is_the_mean_image(fresh, decoder):
    fitted = fresh(decoder, likelihood="bernoulli")
    content = np.array([[0.3, -0.5]], np.float32)
    found = np.asarray(canonical_decoder(fitted).image(jnp.asarray(content[0])))
    scale = float(np.asarray(fitted.model.scale)[0])
    assert found.min() >= 0
    assert found.max() * scale <= 1
    expected = standard(fitted, content)[0]
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, atol=0.02 * np.ptp(expected)
    )
