"""The weights of the affine model: copies to pose and content, content to pixels."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from jaxrvae._typing import Array, Float
from jaxrvae.models.steerable import NOISE_GAIN
from jaxrvae.networks.encoders import ContentReader
from jaxrvae.networks.spectra import SpectrumNetworks
from jaxrvae.priors.content import ContentPrior

NUM_POSE = 7  # numbers of a copy: logit, angle and shift with their spreads


class PoseHead(nnx.Module):
    """A copy's units to the numbers of its pose and content."""

    def __init__(
        self,
        hidden_dim: int,
        known_dim: int,
        content_dim: int,
        scaled: bool,
        *,
        rngs: nnx.Rngs,
    ):
        self.hidden = nnx.Linear(hidden_dim + known_dim, hidden_dim, rngs=rngs)
        number = NUM_POSE + 2 * content_dim + 2 * scaled
        self.out = nnx.Linear(hidden_dim, number, rngs=rngs)

    def __call__(self, units: Float[Array, "*n unit"]) -> Float[Array, "*n number"]:
        """The pose's numbers, the content's, then those of the scale."""
        return self.out(nnx.tanh(self.hidden(units)))


class AffineNetworks(nnx.Module):
    """All weights of the affine model.

    Args:
        copies: What the encoder reads to (turn, batch, unit), before activation.
        decoder: Content to pixels, or (points, content) to values at the points.
        guess: Of class and conditions, from the units pooled over the copies.
        noise_shape: () or that of a patch.
    """

    def __init__(
        self,
        copies: Any,
        head: PoseHead,
        decoder: Any,
        background: Float[Array, " channel"],
        noise_shape: tuple[int, ...] = (),
        guess: nnx.Linear | None = None,
    ):
        self.copies, self.head, self.decoder = copies, head, decoder
        self.background = nnx.Param(background)
        self.log_noise = nnx.Param(jnp.zeros(noise_shape))
        self.guess: nnx.Linear | None = nnx.data(guess)
        self.reader: ContentReader | None = nnx.data(None)
        self.spectrum: SpectrumNetworks | None = nnx.data(None)
        self.prior: ContentPrior = None

    @property
    def noise(self) -> Float[Array, "*pixel"]:
        """Standard deviation of the noise, per standardized pixel."""
        return jnp.exp(NOISE_GAIN * self.log_noise[...])
