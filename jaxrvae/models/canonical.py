"""The decoder alone: content to the image at pose zero, and what poses do to it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float, ndarray
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.models.build import Model
from jaxrvae.models.fitted import FittedModel
from jaxrvae.models.steerable import Projection, SteerableModel


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class CanonicalDecoder:
    """A pure function of the content, with its weights, for JAX.

    The image is a vector whose length is that of the pixels, each channel divided by
    its spread: coefficients of the steerable model's basis where its noise is Gaussian,
    pixels elsewhere.

    Attributes:
        known: Numbers of class and conditions, that stand after every content.
    """

    model: Model
    params: Any
    projection: Projection
    known: Float[Array, " known"]
    graph: Any = dataclasses.field(metadata={"static": True})
    content_dim: int = dataclasses.field(metadata={"static": True})

    def image(self, content: Float[Array, " latent"]) -> Float[Array, " number"]:
        """The image at pose zero."""
        networks: Any = nnx.merge(self.graph, self.params)
        inputs = jnp.concatenate([content, self.known])
        values = self.model.canonical(networks, inputs)
        if isinstance(self.model, SteerableModel):
            if self.model.likelihood == "gaussian":
                return values
            none = jnp.zeros(()), jnp.zeros(2), jnp.ones(())
            values = self.model.render(values, *none)
        elif self.model.interpolation == "cubic":
            down, across = (_spline_values(size) for size in self.model.shape[:2])
            values = jnp.einsum("ij,jkc,lk->ilc", down, values, across)
        return (self.model.recorded(networks, values) / self.model.scale).ravel()

    def changes(self, image: Float[Array, " number"]) -> Float[Array, "change number"]:
        """Its derivatives by angle, shift along x and y, and scale, at pose zero.

        Rows of zeros for what the pose does not hold.
        """
        model = self.model
        if isinstance(model, SteerableModel):
            if model.likelihood == "gaussian":
                return model.changes(self.projection, image)
            free = np.array([1.0, *[float(len(model.ticks) > 1)] * 2, 0.0])
        else:
            free = jnp.append(model.free, 0.0)[:4]
        height, width, _ = model.shape
        pixel = 2 / max(height, width)
        values = image.reshape(model.shape)
        along_x = jnp.einsum("ij,kjc->kic", _slopes(width), values) / pixel
        along_y = -jnp.einsum("ij,jkc->ikc", _slopes(height), values) / pixel
        x, y = jnp.moveaxis(pixel_grid(height, width), -1, 0)[..., None]
        rows = jnp.stack(
            [
                y * along_x - x * along_y,
                -along_x,
                -along_y,
                -x * along_x - y * along_y,
            ]
        )
        return rows.reshape(4, -1) * free[:, None]


def canonical_decoder(
    fitted: FittedModel, label: Any = None, condition: Any = None
) -> CanonicalDecoder:
    """The decoder of a fitted model.

    Args:
        label, condition: One, as `RVAE.decode` takes them.
    """
    content_dim = fitted.config.content_dim
    inputs = fitted.known.inputs(np.zeros((1, content_dim)), label, condition)
    moves = {k: v for k, v in fitted.projection.items() if k == "moves"}
    return CanonicalDecoder(
        fitted.model,
        fitted.params,
        moves,
        jnp.asarray(inputs[0, content_dim:]),
        fitted.graph,
        content_dim,
    )


def _spline_values(size: int) -> Float[ndarray, "{size} {size}"]:
    """Values at the nodes of the cubic B-spline with given coefficients."""
    matrix = 4 * np.eye(size) + np.eye(size, k=1) + np.eye(size, k=-1)
    return (matrix / 6).astype(np.float32)


def _slopes(size: int) -> Float[ndarray, "{size} {size}"]:
    """Slopes at the nodes of the cubic spline through values, straight at its ends."""
    if size == 1:
        return np.zeros((1, 1), np.float32)
    values = 4 * np.eye(size) + np.eye(size, k=1) + np.eye(size, k=-1)
    slopes = (np.eye(size, k=1) - np.eye(size, k=-1)) / 2
    values[[0, -1]] = 6 * np.eye(size)[[0, -1]]
    slopes[0, :2], slopes[-1, -2:] = [-1, 1], [-1, 1]
    return (slopes @ np.linalg.inv(values / 6)).astype(np.float32)
