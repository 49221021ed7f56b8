import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxrvae.geometry.polar import fourier_bessel, turn
from jaxrvae.networks.encoders import ContentEncoder, TurnedCopies

NOTHING = jnp.zeros((2, 0))  # known beside the pixels, of two images
BASIS = fourier_bessel(16, 16, 0.2)
TWO_CHANNELS = BASIS.orders * 2


def some_coefs(number=5, orders=BASIS.orders, seed=0):
    draws = np.random.default_rng(seed).standard_normal((number, 2 * len(orders)))
    return jnp.asarray(draws, jnp.float32)


def turned(coefs, orders, angle):
    return turn(coefs, jnp.array(orders), jnp.full(coefs.shape[:-1], angle))


def copies_of(orders, num_turns, hidden_dim=7):
    layer = TurnedCopies(orders, num_turns, hidden_dim, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.linspace(-1, 1, hidden_dim)
    return layer


@pytest.mark.parametrize("num_turns", [2, 5, 8])
@pytest.mark.parametrize("orders", [BASIS.orders, TWO_CHANNELS])
def test_a_turn_by_one_copy_permutes_the_copies(orders, num_turns):
    layer = jax.jit(copies_of(orders, num_turns))
    coefs = some_coefs(orders=orders)
    units = layer(coefs)
    assert units.shape == (num_turns, 5, 7)
    for steps in (1, num_turns - 1):
        moved = layer(turned(coefs, orders, 2 * np.pi * steps / num_turns))
        np.testing.assert_allclose(moved, jnp.roll(units, steps, axis=0), atol=2e-5)
    between = layer(turned(coefs, orders, np.pi / num_turns))
    assert np.abs(between - units).max() > 0.1


@pytest.mark.parametrize("num_turns", [2, 3, 8, 40])
def test_copies_against_turning_each_and_applying_the_layer(num_turns):
    layer, coefs = copies_of(BASIS.orders, num_turns), some_coefs()
    real, imag = np.split(np.asarray(layer.weight[...], np.float64), 2)
    weight = real + 1j * imag
    found = np.asarray(layer(coefs))
    for j in range(num_turns):
        copy = turned(coefs, BASIS.orders, -2 * np.pi * j / num_turns)
        real, imag = np.split(np.asarray(copy, np.float64), 2, axis=1)
        expected = ((real + 1j * imag) @ weight).real + np.asarray(layer.bias[...])
        np.testing.assert_allclose(found[j], expected, atol=1e-5)


def encode(encoder):
    return jax.jit(lambda coefs, known: encoder(encoder.pool(coefs), known))


@pytest.mark.parametrize("places", [1, 9])
def test_content_does_not_change_with_a_turn_by_one_copy(places):
    encoder = encode(ContentEncoder(BASIS.orders, 6, 16, 3, rngs=nnx.Rngs(0)))
    coefs = some_coefs(2 * places).reshape(2, places, -1)
    mean, log_std = encoder(coefs, NOTHING)
    assert mean.shape == log_std.shape == (2, 3)
    moved_mean, moved_log_std = encoder(
        turned(coefs, BASIS.orders, 2 * np.pi / 6), NOTHING
    )
    np.testing.assert_allclose(moved_mean, mean, atol=1e-5)
    np.testing.assert_allclose(moved_log_std, log_std, atol=1e-5)
    assert np.abs(np.diff(mean, axis=0)).min() > 1e-4  # images do differ


def test_content_does_not_depend_on_the_order_of_the_places():
    encoder = encode(ContentEncoder(BASIS.orders, 4, 16, 2, rngs=nnx.Rngs(1)))
    coefs = some_coefs(18).reshape(2, 9, -1)
    found = encoder(coefs, NOTHING), encoder(coefs[:, ::-1], NOTHING)
    for first, second in zip(*found, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
