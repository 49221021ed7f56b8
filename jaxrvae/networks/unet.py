"""A small U-Net: from an image to a few maps of the same size."""

import jax
import jax.numpy as jnp
from flax import nnx

from jaxrvae._typing import Array, Float

WIDTHS = (16, 32, 48, 64)  # channels, of the full grid, of half, and so on
FACTOR = 2 ** (len(WIDTHS) - 1)  # sides are multiples of it


class Block(nnx.Module):
    """Two convolutions of three by three places."""

    def __init__(self, inputs: int, width: int, *, rngs: nnx.Rngs):
        self.first = nnx.Conv(inputs, width, (3, 3), rngs=rngs)
        self.second = nnx.Conv(width, width, (3, 3), rngs=rngs)

    def __call__(
        self, units: Float[Array, "batch height width input"]
    ) -> Float[Array, "batch height width channel"]:
        """Units of every place and its surroundings."""
        return nnx.relu(self.second(nnx.relu(self.first(units))))


class UNet(nnx.Module):
    """Maps that see some dozen places around every one.

    Source: Ronneberger, Fischer & Brox 2015, arXiv:1505.04597; smaller, with means in
    place of maxima where the grid gets coarser.
    """

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        dims = (inputs, *WIDTHS)
        self.down = nnx.List(
            Block(*pair, rngs=rngs) for pair in zip(dims, WIDTHS, strict=False)
        )
        self.up = nnx.List(
            Block(fine + coarse, fine, rngs=rngs)
            for fine, coarse in zip(WIDTHS[:-1], WIDTHS[1:], strict=True)
        )
        self.out = nnx.Conv(WIDTHS[0], outputs, (1, 1), rngs=rngs)

    def __call__(
        self, images: Float[Array, "batch height width input"]
    ) -> Float[Array, "batch height width output"]:
        """Of images whose sides are multiples of `FACTOR`."""
        seen, units = [], images
        for block in self.down:
            units = block(units if not seen else halved(units))
            seen.append(units)
        for fine, block in zip(seen[-2::-1], list(self.up)[::-1], strict=True):
            units = block(jnp.concatenate([fine, doubled(units)], axis=-1))
        return self.out(units)


def halved(
    units: Float[Array, "batch height width channel"],
) -> Float[Array, "batch rows columns channel"]:
    """The mean of every two by two places."""
    batch, height, width, channels = units.shape
    split = units.reshape(batch, height // 2, 2, width // 2, 2, channels)
    return split.mean((2, 4))


def doubled(
    units: Float[Array, "batch height width channel"],
) -> Float[Array, "batch rows columns channel"]:
    """Every place twice along both axes, interpolated; `jax.image.resize` is slower."""
    for axis in (1, 2):
        first = jax.lax.slice_in_dim(units, 0, 1, axis=axis)
        last = jax.lax.slice_in_dim(units, -1, None, axis=axis)
        inner = jax.lax.slice_in_dim(units, 0, -1, axis=axis)
        outer = jax.lax.slice_in_dim(units, 1, None, axis=axis)
        before = jnp.concatenate([first, inner], axis)
        after = jnp.concatenate([outer, last], axis)
        pairs = [0.75 * units + 0.25 * beside for beside in (before, after)]
        shape = list(units.shape)
        shape[axis] *= 2
        units = jnp.stack(pairs, axis + 1).reshape(shape)
    return units
