import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxrvae._compile import compile_lightly
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.networks.decoders import ConvDecoder, CoordinateDecoder, DenseDecoder

POINTS = pixel_grid(5, 4)
OPTIONS = [{}, {"num_features": 6}, {"skip": True, "num_layers": 3}]


@functools.cache
def conv_decoder(shape):
    """Not to be changed: tests share it. Weights made by one compiled program."""
    graphs = []

    @compile_lightly
    def weights():
        decoder = ConvDecoder(2, 6, shape, 5.0, rngs=nnx.Rngs(0), width=8)
        graph, params = nnx.split(decoder, nnx.Param)
        graphs.append(graph)
        return params

    params = weights()
    return nnx.merge(graphs[0], params)


def coordinates(**options):
    return CoordinateDecoder(3, 7, 2, rngs=nnx.Rngs(0), **options)


def contents(number, dim, seed=0):
    draws = np.random.default_rng(seed).standard_normal((number, dim))
    return jnp.asarray(draws, jnp.float32)


def test_decoder_against_numpy_for_any_leading_axes():
    decoder = DenseDecoder(2, 5, 9, rngs=nnx.Rngs(0))
    content = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)
    hidden = content
    for layer in (decoder.lift, decoder.hidden):
        hidden = np.tanh(
            hidden @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias)
        )
    expected = hidden @ np.asarray(decoder.out.kernel[...])
    found = decoder(jnp.asarray(content))
    assert found.shape == (3, 4, 9)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_module_keeps_parameters_and_nothing_else():
    decoder = DenseDecoder(2, 5, 9, rngs=nnx.Rngs(0))
    _, params, rest = nnx.split(decoder, nnx.Param, ...)
    assert not rest
    assert len(nnx.to_flat_state(params)) == 6


@pytest.mark.parametrize("shape", [(24, 16, 1), (13, 37, 2), (1, 40, 1)])
def test_conv_decoder_fills_every_shape_and_varies_everywhere(shape):
    graph, params = nnx.split(conv_decoder(shape), nnx.Param)

    @compile_lightly
    def decode(params, content):
        return nnx.merge(graph, params)(content)

    content = contents(6, 2)
    pixels = decode(params, content.reshape(2, 3, 2))
    assert pixels.shape == (2, 3, np.prod(shape))
    assert (pixels.reshape(6, -1).std(0) > 1e-3).all()


def test_conv_decoder_takes_one_content_and_adds_its_mean():
    decoder = conv_decoder((13, 37, 2))
    image = jnp.arange(13.0 * 37 * 2)
    moved = nnx.clone(decoder)
    moved.mean[...] = image
    content = contents(3, 2)
    found = compile_lightly(lambda z: moved(z) - decoder(z))(content)
    np.testing.assert_allclose(found, 5.0 * jnp.tile(image, (3, 1)), rtol=1e-5, atol=1)
    alone = compile_lightly(decoder)(content[1])
    assert alone.shape == (13 * 37 * 2,)
    np.testing.assert_allclose(alone, compile_lightly(decoder)(content)[1], atol=1e-5)


def test_conv_decoder_learns_an_image_for_each_content():
    shape = (16, 24, 1)
    graph, params = nnx.split(conv_decoder(shape), nnx.Param)
    rows, columns = np.mgrid[:16, :24]
    target = np.stack([rows < 8, columns < 12, rows + columns < 20]).reshape(3, -1)
    target, content = jnp.asarray(target, jnp.float32), contents(3, 2)

    def loss(params):
        return jnp.square(nnx.merge(graph, params)(content) - target).mean()

    def update(carry, _):
        params, pace = carry
        value, grads = jax.value_and_grad(loss)(params)
        pace = jax.tree.map(lambda old, new: 0.9 * old + new, pace, grads)
        params = jax.tree.map(lambda p, step: p - 0.01 * step, params, pace)
        return (params, pace), value

    @compile_lightly
    def learn(params):
        still = jax.tree.map(jnp.zeros_like, params)
        return jax.lax.scan(update, (params, still), length=60)[1]

    losses = learn(params)
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("options", OPTIONS)
def test_coordinate_decoder_against_numpy(options):
    decoder, content = coordinates(**options), contents(1, 3)[0]
    seen = np.asarray(POINTS, np.float64).reshape(-1, 2)
    if "num_features" in options:
        frequencies = np.random.default_rng(0).normal(size=(2, 6))
        phase = 2 * np.pi * seen @ frequencies
        seen = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    first = seen @ np.asarray(decoder.lift.kernel) + np.asarray(decoder.lift.bias)
    first = first + np.asarray(content @ decoder.mix.kernel[...])
    skip = "skip" in options
    units = first if skip else np.tanh(first)
    assert len(decoder.hidden) == options.get("num_layers", 2)
    for layer in decoder.hidden:
        units = np.tanh(units @ np.asarray(layer.kernel)) + skip * first
    expected = (units @ np.asarray(decoder.out.kernel)).reshape(5, 4, 2)
    found = compile_lightly(lambda points: decoder(points, content))(POINTS)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_coordinate_decoder_for_one_point_and_for_many_images():
    decoder, content = coordinates(), contents(4, 3)
    images = jax.vmap(decoder, (None, 0))(POINTS, content)
    assert images.shape == (4, 5, 4, 2)
    one = decoder(POINTS[2, 3], content[1])
    np.testing.assert_allclose(one, images[1, 2, 3], atol=1e-6)


def test_finer_features_vary_faster():
    along = jnp.stack([jnp.linspace(-1, 1, 401), jnp.zeros(401)], axis=-1)
    slopes = [
        float(jnp.abs(jnp.diff(coordinates(**options).features(along), axis=0)).mean())
        for options in (
            {"num_features": 64, "feature_scale": 0.5},
            {"num_features": 64, "feature_scale": 2.0},
        )
    ]
    assert 3.0 < slopes[1] / slopes[0] < 5.0


def test_a_fresh_coordinate_decoder_is_no_odd_function_of_the_point():
    decoder = coordinates()
    image = decoder(POINTS, jnp.zeros(3))
    assert np.abs(image + image[::-1, ::-1]).max() > 0.05 * np.abs(image).max()


@pytest.mark.parametrize("options", OPTIONS)
def test_coordinate_gradients_are_finite_and_reach_every_weight(options):
    graph, params = nnx.split(coordinates(**options), nnx.Param)

    def loss(params, points, content):
        return jnp.square(nnx.merge(graph, params)(points, content) - 1.0).sum()

    slope = compile_lightly(jax.grad(loss, (0, 1, 2)))
    for leaf in jax.tree.leaves(slope(params, POINTS, contents(1, 3)[0])):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


def test_new_decoders_keep_parameters_and_nothing_else():
    for make in (
        lambda: coordinates(num_features=6, skip=True),
        lambda: conv_decoder((16, 24, 1)),
    ):
        graph, params, rest = nnx.split(make(), nnx.Param, ...)
        assert not rest
        assert hash(graph) == hash(nnx.split(make())[0])  # fit to be compiled for
        assert len(nnx.to_flat_state(params)) == len(jax.tree.leaves(params))


def test_decoder_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="num_layers"):
        coordinates(num_layers=-1)
    with pytest.raises(ValueError, match="feature_scale"):
        coordinates(num_features=4, feature_scale=0.0)
    with pytest.raises(ValueError, match="width"):
        ConvDecoder(2, 6, (16, 16, 1), rngs=nnx.Rngs(0), width=1)
