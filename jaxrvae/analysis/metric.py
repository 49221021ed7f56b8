"""The decoder's pulled-back metric: how much the image changes with the content.

The length of a small step of the content is that of the image's change, less what a
turn or a shift of the whole image could have done: the metric of shapes, not of images.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, ndarray
from jaxrvae.analysis.density import SplineEnergy, through
from jaxrvae.models.canonical import CanonicalDecoder
from jaxrvae.models.gauge import RIDGE

MARGIN = 0.15  # of the box, to either side of it, that a grid covers
WALL = 0.05  # of the box: so far outside, the metric is twice as large
BATCH = 128  # contents of which the metric is computed at a time

Decode = Callable[[Array], Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PlainDecoder:
    """Any function of the content to an image as a vector.

    Attributes:
        generate: That vector to its derivatives by the pose, a row each; None where
            there are no poses.
    """

    image: Decode = dataclasses.field(metadata={"static": True})
    generate: Decode | None = dataclasses.field(default=None, metadata={"static": True})

    def changes(self, image: Float[Array, " number"]) -> Float[Array, "change number"]:
        """Derivatives of an image by the pose."""
        if self.generate is None:
            return jnp.zeros((0, len(image)))
        return self.generate(image)


Decoder = CanonicalDecoder | PlainDecoder


def metric(
    decoder: Decoder, content: Float[Array, " latent"]
) -> Float[Array, "latent latent"]:
    """The decoder's pulled-back metric J^T J at a content, without changes of pose.

    Source: Arvanitidis, Hansen & Hauberg 2018, arXiv:1710.11379; Kendall 1984, Bull.
    London Math. Soc. 16, 81 (what is left of a change when poses are taken out).

    >>> metric(PlainDecoder(lambda z: 3.0 * z), jnp.zeros(2)).tolist()
    [[9.0, 0.0], [0.0, 9.0]]
    """

    def along(axis: Float[Array, " latent"]) -> tuple[Array, Array]:
        return jax.jvp(decoder.image, (content,), (axis,))

    image, rows = jax.vmap(along, out_axes=(None, 0))(jnp.eye(len(content)))
    changes = decoder.changes(image)
    size = jnp.square(changes).sum(axis=1)
    floor = jnp.where(size > 0, RIDGE * size, 1.0)
    share = jnp.linalg.solve(changes @ changes.T + jnp.diag(floor), changes @ rows.T)
    rest = rows - share.T @ changes
    return rest @ rest.T


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class DecoderMetric:
    """The metric of the decoder, larger outside a box of contents.

    There the decoder has not been trained; it is flat, and all ways would lead there.
    """

    decoder: Decoder
    box: Float[Array, "2 latent"]

    def __call__(
        self, content: Float[Array, " latent"]
    ) -> Float[Array, "latent latent"]:
        """The metric at one content."""
        low, high = self.box
        over = jnp.maximum(low - content, 0.0) + jnp.maximum(content - high, 0.0)
        share = over / (WALL * (high - low))
        return metric(self.decoder, content) * (1 + jnp.square(share).sum())


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class GridMetric:
    """A metric in two dims from a grid: splines of the entries of its square root."""

    entries: tuple[SplineEnergy, SplineEnergy, SplineEnergy]

    def __call__(self, content: Float[Array, "2"]) -> Float[Array, "2 2"]:
        """The metric at one content."""
        x, xy, y = (entry(content) for entry in self.entries)
        root = jnp.stack([jnp.stack([x, xy]), jnp.stack([xy, y])])
        return root @ root


Metric = DecoderMetric | GridMetric


def box_around(around: Float[ndarray, "n latent"]) -> Float[ndarray, "2 latent"]:
    """The box of the contents; no side less than half of the longest."""
    low, high = around.min(axis=0), around.max(axis=0)
    half = 0.5 * np.maximum(high - low, 0.5 * (high - low).max() + 1e-9)
    middle = (low + high) / 2
    return np.stack([middle - half, middle + half])


def grid_axes(box: Float[ndarray, "2 2"], num_nodes: int) -> Float[ndarray, "2 node"]:
    """Contents of a grid's nodes over the box and its margin, along either axis."""
    margin = MARGIN * (box[1] - box[0])
    return np.linspace(box[0] - margin, box[1] + margin, num_nodes).T


def metrics_at(
    found: Metric, contents: Float[ndarray, "*n latent"]
) -> Float[ndarray, "*n latent latent"]:
    """The metric at many contents."""
    flat = jnp.asarray(contents.reshape(-1, contents.shape[-1]), jnp.float32)
    values = np.asarray(_metrics(found, flat), np.float64)
    return values.reshape(*contents.shape, contents.shape[-1])


def through_metrics(
    values: Float[ndarray, "node node 2 2"], axes: Float[ndarray, "2 node"]
) -> GridMetric:
    """The metric that has these values on the grid."""
    eigenvalues, vectors = np.linalg.eigh(values)
    roots = np.sqrt(np.maximum(eigenvalues, 0))
    root = np.einsum("xyik,xyk,xyjk->xyij", vectors, roots, vectors)
    low, step = axes[:, 0], axes[:, 1] - axes[:, 0]
    x, xy, y = (
        through(root[..., i, j], low, step) for i, j in ((0, 0), (0, 1), (1, 1))
    )
    return GridMetric((x, xy, y))


@jax.jit
def _metrics(found: Metric, contents: Float[Array, "m latent"]) -> Array:
    return jax.lax.map(found, contents, batch_size=BATCH)
