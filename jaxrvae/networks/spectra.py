"""Spectra recorded beside patches: content to spectrum, and spectrum to content."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float
from jaxrvae.networks.decoders import DenseDecoder


class SpectrumNetworks(nnx.Module):
    """A decoder of the spectrum, an encoder that reads it, and its noise.

    Source: Roccapriore et al. 2021, arXiv:2107.02311 (image to spectrum and back).
    """

    def __init__(
        self,
        num_channels: int,
        content_dim: int,
        known_dim: int,
        hidden_dim: int,
        *,
        rngs: nnx.Rngs,
    ):
        self.decoder = DenseDecoder(
            content_dim + known_dim, hidden_dim, num_channels, rngs=rngs
        )
        self.lift = nnx.Linear(num_channels, hidden_dim, rngs=rngs)
        self.hidden = nnx.Linear(hidden_dim, hidden_dim, rngs=rngs)
        self.out = nnx.Linear(hidden_dim, 2 * content_dim, rngs=rngs)
        self.log_noise = nnx.Param(jnp.zeros(()))

    def encode(
        self, spectrum: Float[Array, "*batch energy"]
    ) -> tuple[Float[Array, "*batch latent"], Float[Array, "*batch latent"]]:
        """Mean and log standard deviation of the content."""
        units = nnx.tanh(self.hidden(nnx.tanh(self.lift(spectrum))))
        mean, log_std = jnp.split(self.out(units), 2, axis=-1)
        return mean, jnp.clip(log_std - 1.0, -7.0, 1.0)

    def log_likelihood(
        self, spectrum: Float[Array, "*batch energy"], inputs: Float[Array, "*batch n"]
    ) -> Float[Array, "*batch"]:
        """Gaussian, nats per spectrum, standardized; the noise is learned."""
        log_std = 10.0 * self.log_noise[...]  # moves faster than a weight
        off = (spectrum - self.decoder(inputs)) * jnp.exp(-log_std)
        each = -0.5 * (jnp.square(off) + np.log(2 * np.pi)) - log_std
        return each.sum(-1)
