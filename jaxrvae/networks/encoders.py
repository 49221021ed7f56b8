"""From an image's polar coefficients to content, the same whichever way it lies."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float


class TurnedCopies(nnx.Module):
    """Hidden units of K turned copies of an image, in one pass of one shared layer.

    Copy j is the image turned by -2 pi j / K, a phase exp(+2 pi i m j / K) on the
    coefficient of order m. These phases repeat with the order modulo K: the layer is
    applied once, folded by order modulo K, and a K-point Fourier sum gives every copy's
    units. Turning the image by 2 pi / K permutes the copies and does nothing else.
    """

    def __init__(
        self,
        orders: tuple[int, ...],
        num_turns: int,
        hidden_dim: int,
        *,
        rngs: nnx.Rngs,
    ):
        self.orders, self.num_turns = orders, num_turns
        size = int(np.bincount(np.array(orders) % num_turns).max())
        shape = (num_turns, size, hidden_dim)
        scale = len(orders) ** -0.5
        self.real = nnx.Param(scale * jax.random.normal(rngs.params(), shape))
        self.imag = nnx.Param(scale * jax.random.normal(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(hidden_dim))

    def __call__(
        self, coefs: Float[Array, "batch reals"]
    ) -> Float[Array, "batch turn hidden"]:
        """Units before their activation."""
        index = padded_index(self.orders, self.num_turns)
        real, imag = jnp.split(coefs, 2, axis=-1)
        folded = jnp.concatenate(
            [_take_padded(real, index), _take_padded(imag, index)], axis=-1
        )
        weight = jnp.concatenate(
            [
                jnp.concatenate([self.real[...], self.imag[...]], axis=2),
                jnp.concatenate([-self.imag[...], self.real[...]], axis=2),
            ],
            axis=1,
        )
        units = jnp.einsum("brn,rnh->rbh", folded, weight)
        real, imag = jnp.split(units, 2, axis=-1)
        phase = 2 * np.pi / self.num_turns * np.arange(self.num_turns)
        phase = phase[:, None] * np.arange(self.num_turns)
        copies = jnp.einsum("jr,rbh->bjh", np.cos(phase).astype(np.float32), real)
        copies -= jnp.einsum("jr,rbh->bjh", np.sin(phase).astype(np.float32), imag)
        return copies + self.bias


def padded_index(orders: tuple[int, ...], num_turns: int) -> np.ndarray:
    """(residue, place) indices of the orders equal modulo K; -1 where there is none."""
    residues = np.array(orders) % num_turns
    size = int(np.bincount(residues).max())
    index = np.full((num_turns, size), -1)
    for residue in range(num_turns):
        found = np.flatnonzero(residues == residue)
        index[residue, : len(found)] = found
    return index


def _take_padded(
    values: Float[Array, "batch coef"], index: np.ndarray
) -> Float[Array, "batch residue place"]:
    return values[:, np.maximum(index, 0)] * (index >= 0)


class ContentEncoder(nnx.Module):
    """Mean and log standard deviation of the content, by attention over the copies.

    The copies are those of every turn and every place given: attention picks the copy
    that lies as the network likes it, so that content does not depend on the pose.
    """

    def __init__(
        self,
        orders: tuple[int, ...],
        num_turns: int,
        hidden_dim: int,
        content_dim: int,
        *,
        rngs: nnx.Rngs,
    ):
        self.copies = TurnedCopies(orders, num_turns, hidden_dim, rngs=rngs)
        self.score = nnx.Linear(hidden_dim, 1, rngs=rngs)
        self.hidden = nnx.Linear(hidden_dim, hidden_dim, rngs=rngs)
        self.out = nnx.Linear(hidden_dim, 2 * content_dim, rngs=rngs)

    def __call__(
        self, coefs: Float[Array, "batch place reals"]
    ) -> tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]]:
        """Mean and log standard deviation, from the copies at every place given."""
        batch, place, reals = coefs.shape
        units = nnx.tanh(self.copies(coefs.reshape(batch * place, reals)))
        units = units.reshape(batch, -1, units.shape[-1])
        weights = jax.nn.softmax(self.score(units)[..., 0], axis=-1)
        pooled = jnp.einsum("bc,bch->bh", weights, units)
        mean, log_std = jnp.split(self.out(nnx.tanh(self.hidden(pooled))), 2, axis=-1)
        return mean, jnp.clip(log_std - 1.0, -7.0, 1.0)
