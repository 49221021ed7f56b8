"""From content to one canonical image, pose zero."""

import jax.numpy as jnp
from flax import nnx

from jaxrvae._typing import Array, Float


class DenseDecoder(nnx.Module):
    """Content to the numbers that make the canonical image: coefficients or pixels.

    Args:
        mean_gain: How much faster than by a weight the image common to all contents is
            learned. Where that image is large, as logits are, the hidden layer would
            otherwise make it, at the one content that all images then get.
    """

    def __init__(
        self,
        content_dim: int,
        hidden_dim: int,
        out_dim: int,
        mean_gain: float = 1.0,
        *,
        rngs: nnx.Rngs,
    ):
        self.lift = nnx.Linear(content_dim, hidden_dim, rngs=rngs)
        self.hidden = nnx.Linear(hidden_dim, hidden_dim, rngs=rngs)
        self.out = nnx.Linear(hidden_dim, out_dim, use_bias=False, rngs=rngs)
        self.mean = nnx.Param(jnp.zeros(out_dim))
        self.mean_gain = mean_gain

    def __call__(
        self, content: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch out"]:
        """The canonical image's numbers, unbounded."""
        units = nnx.tanh(self.hidden(nnx.tanh(self.lift(content))))
        return self.out(units) + self.mean_gain * self.mean[...]
