import jax.numpy as jnp
import numpy as np
import pytest

import jaxrvae as jr
from jaxrvae._checks import DataError
from jaxrvae.analysis.geodesics import find_geodesics, grid_geodesics
from jaxrvae.analysis.metric import PlainDecoder, metric
from jaxrvae.config import ModelConfig
from jaxrvae.data.known import learn_known
from jaxrvae.models.canonical import canonical_decoder
from jaxrvae.models.fitted import fresh_model


def sphere(z):
    """Longitude and latitude to a point of the unit sphere."""
    flat = jnp.cos(z[1])
    return jnp.array([jnp.cos(z[0]) * flat, jnp.sin(z[0]) * flat, jnp.sin(z[1])])


def great_circle(ends):
    points = [np.array([sphere(jnp.array(z)) for z in pair]) for pair in ends]
    return np.array([np.arccos(first @ second) for first, second in points])


POINTS = np.random.default_rng(0).uniform(-1, 1, (20, 2))


def turning(z):
    """A cloud with one number of shape, that the other only turns."""
    cos, sin = jnp.cos(2.0 * z[0]), jnp.sin(2.0 * z[0])
    points = jnp.asarray(POINTS, jnp.float32) * jnp.array([1.0, 1.0 + 0.1 * z[1]])
    x, y = points.T
    return jnp.stack([cos * x - sin * y, sin * x + cos * y], axis=1).ravel()


def turn(cloud):
    x, y = cloud.reshape(-1, 2).T
    return jnp.stack([-y, x], axis=1).reshape(1, -1)


def test_metric_of_the_sphere():
    found = metric(PlainDecoder(sphere), jnp.array([0.4, 0.7]))
    np.testing.assert_allclose(found, np.diag([np.cos(0.7) ** 2, 1.0]), atol=1e-6)


def test_what_merely_turns_the_image_has_no_length():
    plain = metric(PlainDecoder(turning), jnp.array([0.2, 0.3]))
    free = metric(PlainDecoder(turning, turn), jnp.array([0.2, 0.3]))
    assert free[0, 0] < 1e-5 * plain[0, 0]
    assert free[1, 1] > 0.5 * plain[1, 1]


@pytest.mark.slow
def test_great_circles():
    ends = np.random.default_rng(0).uniform(-1.1, 1.1, (6, 2, 2))
    found = find_geodesics(PlainDecoder(sphere), ends)
    assert found.converged.all()
    np.testing.assert_allclose(found.length, great_circle(ends), rtol=2e-3)
    assert (found.straight >= found.length * (1 - 1e-3)).all()
    np.testing.assert_allclose(found.points[:, [0, -1]], ends, atol=1e-5)
    curve = np.array([sphere(jnp.array(z)) for z in found.points[0]])
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.02)  # of constant speed
    assert len(found.to_dataframe()) == len(found) == 6


@pytest.mark.slow
def test_dense_graph_comes_down_to_the_geodesic():
    content = np.array([[-1.2, -1.2], [1.2, 1.2]])
    axis = np.linspace(-1.2 - 0.36, 1.2 + 0.36, 49)
    ends = np.array([[[axis[8], axis[36]], [axis[40], axis[30]]]])
    decoder = PlainDecoder(sphere)
    expected = great_circle(ends)[0]
    errors = []
    for reach in (1, 2, 4):
        _, (length,) = grid_geodesics(decoder, content, ends, 49, reach)
        errors.append(length / expected - 1)
    assert errors[0] > errors[1] > errors[2] > -1e-3
    assert errors[2] < 1 / (8 * 4**2)
    found = find_geodesics(decoder, ends, content)
    assert abs(found.length[0] / length - 1) < 0.01


@pytest.mark.slow
def test_one_and_three_dims():
    line = find_geodesics(
        PlainDecoder(lambda z: jnp.array([jnp.cos(z[0]), jnp.sin(z[0])])),
        np.array([[[0.0], [2.0]]]),
    )
    np.testing.assert_allclose(line.length, 2.0, rtol=1e-3)
    content = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    ends = np.array([[[-0.8, 0.7, 0.1], [0.8, 0.7, -0.1]]])
    found = find_geodesics(
        PlainDecoder(lambda z: jnp.append(sphere(z[:2]), z[2])), ends, content
    )
    expected = np.hypot(great_circle(ends[..., :2]), 0.2)
    assert found.converged.all()
    np.testing.assert_allclose(found.length, expected, rtol=3e-3)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["steerable", "affine"])
def test_of_a_model_it_is_no_longer_than_a_graph(decoder, compile_once):
    images = jr.simulate("glyphs", seed=0, num_images=100, size=16).values[..., None]
    known = learn_known(1, None, len(images), None)
    config = ModelConfig(decoder=decoder, hidden_dim=32)
    of_model = canonical_decoder(fresh_model(config, known, images))
    content = 2 * np.random.default_rng(0).normal(size=(100, 2))
    ends = content[np.array([[0, 50], [10, 80]])]
    found = find_geodesics(of_model, ends, content)
    assert found.converged.all()
    assert (found.length <= found.straight * 1.001).all()
    _, lengths = grid_geodesics(of_model, content, ends, 97, 5)
    # its directions make the graph longer; its ends are off by half a node each
    np.testing.assert_allclose(found.length, lengths, rtol=0.04)


def test_refusals():
    decoder, ends = PlainDecoder(sphere), np.zeros((1, 2, 2)) + 0.1
    with pytest.raises(ValueError, match="need the decoder"):
        find_geodesics(None, ends)
    with pytest.raises(ValueError, match="pairs of contents"):
        find_geodesics(decoder, ends[0])
    with pytest.raises(DataError, match="finite ends"):
        find_geodesics(decoder, ends * np.nan)
    with pytest.raises(DataError, match="ends among the contents"):
        find_geodesics(decoder, ends + 5, np.random.default_rng(0).normal(size=(9, 2)))
    with pytest.raises(ValueError, match="as the ends"):
        find_geodesics(decoder, ends, np.zeros((4, 3)))
