import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae.networks.decoders import DenseDecoder


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
