"""From content to one canonical image, pose zero."""

from flax import nnx

from jaxrvae._typing import Array, Float


class DenseDecoder(nnx.Module):
    """Content to the numbers that make the canonical image: coefficients or pixels."""

    def __init__(
        self, content_dim: int, hidden_dim: int, out_dim: int, *, rngs: nnx.Rngs
    ):
        self.lift = nnx.Linear(content_dim, hidden_dim, rngs=rngs)
        self.hidden = nnx.Linear(hidden_dim, hidden_dim, rngs=rngs)
        self.out = nnx.Linear(hidden_dim, out_dim, rngs=rngs)

    def __call__(
        self, content: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch out"]:
        """The canonical image's numbers, unbounded."""
        return self.out(nnx.tanh(self.hidden(nnx.tanh(self.lift(content)))))
