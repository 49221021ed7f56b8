import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.geometry.band import place_ticks
from jaxrvae.geometry.circle import wrap
from jaxrvae.geometry.grid import shift_to_unit
from jaxrvae.geometry.polar import fourier_bessel
from jaxrvae.geometry.pose import rotate
from jaxrvae.models.anchors import NUM_ANCHORS, align, choose_anchors
from jaxrvae.models.steerable import SteerableModel

SIZE, FREQUENCY, NUMBER = 24, 0.15, 24


def make_model(max_shift):
    one = jnp.ones(1)
    basis = fourier_bessel(SIZE, SIZE, FREQUENCY)
    ticks = place_ticks(max_shift, FREQUENCY)
    return SteerableModel(basis, 0 * one, one, (SIZE, SIZE, 1), FREQUENCY, ticks)


def blobs(places, heights):
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    square = (columns - places[:, 0, None, None]) ** 2
    square = square + (rows - places[:, 1, None, None]) ** 2
    return (heights[:, None, None] * np.exp(-square / 6)).sum(0)


@pytest.mark.parametrize("max_shift", [0.0, 3.0])
def test_poses_of_one_image_turned_and_moved_at_will(max_shift):
    model, rng = make_model(max_shift), np.random.default_rng(0)
    image = blobs(np.array([[4.0, 0], [-3, 3], [0, -4]]), np.array([1.0, 0.6, -0.8]))
    found = model.compress(model.projection(), jnp.asarray(image[None, ..., None]))
    coefs = model.expand(model.projection(), found)["coefs"]
    canonical = coefs[0, model.num_places // 2]
    angle = jnp.asarray(rng.uniform(-np.pi, np.pi, NUMBER), jnp.float32)
    moved = jnp.asarray(rng.uniform(-0.4, 0.4, (NUMBER, 2)) * max_shift, jnp.float32)
    shift = shift_to_unit(moved, model.shape)
    images = jax.vmap(model.render, (None, 0, 0, 0))(
        canonical, angle, shift, jnp.ones(NUMBER)
    )
    content = rng.standard_normal((NUMBER, 2))  # says nothing of the pose
    gauge = align(model, model.projection(), content, images)
    # One pose is common to all: that of the first, taken from both.
    turn = gauge.angle[0] - angle[0]
    np.testing.assert_allclose(wrap(gauge.angle - angle - turn), 0.0, atol=0.02)
    common = jax.vmap(rotate)(gauge.shift - shift, -angle)
    np.testing.assert_allclose(
        common, jnp.broadcast_to(common[0], common.shape), atol=0.01
    )


def test_lattices_that_differ_by_a_bright_atom_lie_alike():
    """Three-fold images, each with one atom brighter, in two camps 40 degrees apart."""
    model, rng = make_model(0.0), np.random.default_rng(1)
    angle = np.where(np.arange(NUMBER) < NUMBER // 2, 0.0, np.radians(40))
    angle = angle + rng.uniform(-0.03, 0.03, NUMBER)
    images = []
    for turn in angle:
        around = 2 * np.pi / 3 * np.arange(3)
        ring = np.stack([np.cos(around + turn), -np.sin(around + turn)], axis=1)
        outer = np.stack([np.cos(around + turn + 1), -np.sin(around + turn + 1)], 1)
        places = np.concatenate([[[0.0, 0.0]], 5 * ring, 9 * outer])
        heights = np.ones(7)
        heights[rng.integers(1, 4)] = rng.uniform(1.0, 1.5)
        images.append(blobs(places, heights))
    images = jnp.asarray(np.stack(images)[..., None], jnp.float32)
    gauge = align(model, model.projection(), rng.standard_normal((NUMBER, 2)), images)
    error = 3 * (np.asarray(gauge.angle) - angle)
    error = np.angle(np.exp(1j * (error - error[0]))) / 3
    np.testing.assert_allclose(np.degrees(error), 0.0, atol=1.0)


@pytest.mark.parametrize("number", [1, 10, 500])
def test_anchors_are_as_many_as_promised_and_lie_among_the_contents(number):
    content = np.random.default_rng(2).standard_normal((number, 3)).astype(np.float32)
    anchors = choose_anchors(content)
    assert anchors.shape == (NUM_ANCHORS, 3)
    assert np.all(np.abs(anchors) <= np.abs(content).max() + 1e-6)
    np.testing.assert_array_equal(anchors, choose_anchors(content))


def test_images_that_lie_nearly_alike_are_not_moved():
    """What turns about no point in particular must not be moved far to turn there."""
    model, rng = make_model(3.0), np.random.default_rng(3)
    places = np.array([[4.0, 0], [-3, 3], [0, -4]])
    images = [
        blobs(places + rng.normal(0, 0.1, places.shape), np.array([1.0, 0.6, -0.8]))
        for _ in range(NUMBER)
    ]
    images = jnp.asarray(np.stack(images)[..., None], jnp.float32)
    gauge = align(model, model.projection(), rng.standard_normal((NUMBER, 2)), images)
    assert np.abs(gauge.shift).max() < 0.05
