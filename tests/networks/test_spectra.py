import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy import stats

from jaxrvae.networks.spectra import SpectrumNetworks


def test_likelihood_is_that_of_normal_noise():
    networks = SpectrumNetworks(7, 2, 1, 8, rngs=nnx.Rngs(0))
    networks.log_noise[...] = jnp.array(np.log(0.3) / 10)
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.standard_normal((3, 3)), jnp.float32)
    spectra = jnp.asarray(rng.standard_normal((3, 7)), jnp.float32)
    found = jax.jit(lambda s, i: networks.log_likelihood(s, i))(spectra, inputs)
    expected = stats.norm(networks.decoder(inputs), 0.3).logpdf(spectra).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    mean, log_std = networks.encode(spectra)
    assert mean.shape == log_std.shape == (3, 2)
