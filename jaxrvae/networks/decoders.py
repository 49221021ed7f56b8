"""From content to one canonical image, pose zero."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._checks import positive, whole
from jaxrvae._typing import Array, Float, Number

DOUBLINGS = 3  # of the coarse grid
FEATURE_SEED = 0  # of the random frequencies: the same in every model


class DenseDecoder(nnx.Module):
    """Content to the numbers that make the canonical image: coefficients or pixels.

    Args:
        activation: Of the second layer, "tanh" or "gelu".
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
        activation: str = "tanh",
        *,
        rngs: nnx.Rngs,
    ):
        self.lift = nnx.Linear(content_dim, hidden_dim, rngs=rngs)
        self.hidden = nnx.Linear(hidden_dim, hidden_dim, rngs=rngs)
        self.out = nnx.Linear(hidden_dim, out_dim, use_bias=False, rngs=rngs)
        self.activation = activation
        self.mean = nnx.Param(jnp.zeros(out_dim))
        self.mean_gain = mean_gain

    def __call__(
        self, content: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch out"]:
        """The canonical image's numbers, unbounded."""
        units = self.hidden(nnx.tanh(self.lift(content)))
        units = nnx.gelu(units) if self.activation == "gelu" else nnx.tanh(units)
        return self.out(units) + self.mean_gain * self.mean[...]


class ConvDecoder(nnx.Module):
    """Content to the pixels of the canonical image, by way of a grid 1/8 as fine.

    For large patches, where dense layers have too many weights. Thrice the grid is
    doubled and convolved; `mean` and its gain are those of `DenseDecoder`.

    Args:
        shape: Rows, columns and channels of the image.
        width: Channels on the coarse grids; the finest has half as many.
    """

    def __init__(
        self,
        content_dim: int,
        hidden_dim: int,
        shape: tuple[int, int, int],
        mean_gain: float = 1.0,
        *,
        rngs: nnx.Rngs,
        width: int = 32,
    ):
        whole("width", width, 2)
        self.shape, self.width = shape, width
        kernel = 1 if shape[0] == 1 else 3, 1 if shape[1] == 1 else 3
        widths = (*[width] * DOUBLINGS, width // 2)
        self.lift = nnx.Linear(content_dim, hidden_dim, rngs=rngs)
        self.hidden = nnx.Linear(hidden_dim, math.prod(self.coarse) * width, rngs=rngs)
        self.convs, self.norms = nnx.List(), nnx.List()
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            self.convs.append(nnx.Conv(inputs, outputs, kernel, rngs=rngs))
            self.norms.append(nnx.GroupNorm(outputs, num_groups=1, rngs=rngs))
        self.out = nnx.Conv(widths[-1], shape[2], kernel, use_bias=False, rngs=rngs)
        self.mean = nnx.Param(jnp.zeros(math.prod(shape)))
        self.mean_gain = mean_gain

    @property
    def coarse(self) -> tuple[int, int]:
        """Rows and columns of the coarse grid."""
        return -(-self.shape[0] // 2**DOUBLINGS), -(-self.shape[1] // 2**DOUBLINGS)

    def __call__(
        self, content: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch out"]:
        """The canonical image's pixels, unbounded, row after row."""
        lifted = nnx.tanh(self.lift(content.reshape(-1, content.shape[-1])))
        coarse = self.hidden(lifted).reshape(-1, *self.coarse, self.width)
        units = nnx.gelu(coarse)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            for axis in (1, 2):
                if self.shape[axis - 1] > 1:
                    units = units.repeat(2, axis=axis)
            units = nnx.gelu(norm(conv(units)))
        pixels = self.out(units)
        for axis, side in enumerate(self.shape[:2], start=1):
            start = (pixels.shape[axis] - side) // 2
            pixels = jax.lax.slice_in_dim(pixels, start, start + side, axis=axis)
        pixels = pixels.reshape(*content.shape[:-1], -1)
        return pixels + self.mean_gain * self.mean[...]


class CoordinateDecoder(nnx.Module):
    """Content and points to the canonical image's values there, for one image.

    One pass of the network a point: far slower than a decoder of whole images, but
    smooth, and free of any grid.

    Args:
        num_layers: Hidden layers after the first.
        num_features: Random frequencies, each a cosine and a sine of the point, that
            the first layer reads in the place of x and y; 0 gives it x and y.
        feature_scale: Standard deviation of the frequencies, cycles per unit length.
            The higher, the finer the detail that is learned early, noise included.
        skip: Whether the first layer's units are added after every hidden layer.

    Source: Bepler et al. 2019, arXiv:1909.11663; random features: Tancik et al. 2020,
    arXiv:2006.10739; skip connections: AtomAI (Ziatdinov et al. 2022).
    """

    def __init__(
        self,
        content_dim: int,
        hidden_dim: int,
        channels: int,
        *,
        rngs: nnx.Rngs,
        num_layers: int = 2,
        num_features: int = 0,
        feature_scale: Number = 1.0,
        skip: bool = False,
    ):
        whole("num_layers", num_layers, 0)
        whole("num_features", num_features, 0)
        positive("feature_scale", feature_scale)
        self.num_features, self.feature_scale = num_features, float(feature_scale)
        self.skip = skip
        # Without biases of its own a fresh network is an odd function of the point.
        self.lift = nnx.Linear(
            2 * num_features or 2,
            hidden_dim,
            bias_init=nnx.initializers.normal(0.5),
            rngs=rngs,
        )
        self.mix = nnx.Linear(content_dim, hidden_dim, use_bias=False, rngs=rngs)
        self.hidden = nnx.List(
            nnx.Linear(hidden_dim, hidden_dim, rngs=rngs) for _ in range(num_layers)
        )
        self.out = nnx.Linear(hidden_dim, channels, rngs=rngs)

    def __call__(
        self, points: Float[Array, "*grid 2"], content: Float[Array, " latent"]
    ) -> Float[Array, "*grid channel"]:
        """Values at points (x, y) in unit lengths, unbounded."""
        first = self.lift(self.features(points)) + self.mix(content)
        units = first if self.skip else nnx.tanh(first)
        for layer in self.hidden:
            units = nnx.tanh(layer(units))
            if self.skip:
                units += first
        return self.out(units)

    def features(
        self, points: Float[Array, "*grid 2"]
    ) -> Float[Array, "*grid feature"]:
        """What the first layer reads of the points."""
        if self.num_features == 0:
            return points
        draws = np.random.default_rng(FEATURE_SEED).normal(size=(2, self.num_features))
        frequencies = (2 * np.pi * self.feature_scale * draws).astype(np.float32)
        phase = points @ frequencies
        return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=-1)
