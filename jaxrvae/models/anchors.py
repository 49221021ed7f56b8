"""Anchors of the gauge: contents whose canonical images are laid on one another.

Each pair's images are correlated at all angles and places. The pairs that agree best
make a tree (the minimum spanning tree of one minus the normalized correlation); along
its branches, from the anchor that resembles the others most, the poses add up. Every
anchor's best partners, tree or not, then settle them by least squares.

Source: Prim 1957, Bell Syst. Tech. J. 36, 1389 (the tree); Singer 2011, Appl. Comput.
Harmon. Anal. 30, 20 (poses from those of pairs).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._compile import compile_lightly
from jaxrvae._typing import Array, Complex, Float, Int, Shaped, ndarray
from jaxrvae.geometry.grid import shift_to_unit
from jaxrvae.models.gauge import NUM_ANCHORS, Gauge
from jaxrvae.models.steerable import Projection, SteerableModel
from jaxrvae.models.surface import highest, in_pixels

NUM_PARTNERS = 8
ASTRAY = 0.35  # radians off the tree's poses: a pair that was laid another way
EPSILON = 1e-4  # of a correlation; what two images in agreement still differ by
SHARP = 1e4  # nats that two images laid on each other would gain: any large number


def choose_anchors(
    content: Float[ndarray, "n latent"], among: bool = False
) -> Float[ndarray, "anchor latent"]:
    """Centres of `NUM_ANCHORS` clusters; repeated where there are fewer contents.

    Args:
        among: Take the contents nearest to the centres: those between two classes
            have no image.
    """
    from scipy.cluster.vq import kmeans2

    distinct = np.unique(content, axis=0)
    if len(distinct) <= NUM_ANCHORS:
        return np.resize(distinct, (NUM_ANCHORS, content.shape[1]))
    centres, _ = kmeans2(distinct, NUM_ANCHORS, minit="++", rng=0)
    if not among:
        return centres
    square = np.square(distinct[:, None] - centres).sum(-1)
    return distinct[square.argmin(0)]


def align(
    model: SteerableModel,
    projection: Projection,
    content: Float[ndarray, "anchor latent"],
    images: Float[Array, "anchor height width channel"],
    weight: Float[ndarray, " latent"] | float = 1.0,
) -> Gauge:
    """The gauge in which these images lie alike.

    Args:
        model: Whose basis and grid of poses the images are compared in.
        projection: The model's own.
        images: The canonical ones of the contents.
        weight: As `Gauge` has it.
    """
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    coefs, own, likeness, peaks = _pairs(model, projection, images)
    likeness, peaks = np.minimum(np.asarray(likeness), 1.0), np.asarray(peaks)
    both = np.maximum(likeness, likeness.T)
    # A branch of no length would be none to scipy.
    tree = minimum_spanning_tree(1.0 + EPSILON - both)
    order, parents = breadth_first_order(tree, int(both.sum(0).argmax()), False)
    partners = np.argsort(-likeness, axis=1)[:, : NUM_PARTNERS + 1]
    rows = np.concatenate([order[1:], np.repeat(np.arange(len(own)), NUM_PARTNERS + 1)])
    columns = np.concatenate([parents[order[1:]], partners.ravel()])
    turn, move = _poses(
        model, coefs[rows], own[columns], jnp.asarray(peaks[rows, columns])
    )
    turn = np.asarray(turn, np.float64)
    move = np.asarray(move, np.float64) @ np.array([1.0, 1.0j])
    angle = np.zeros(len(own))
    for branch, child in enumerate(order[1:]):
        angle[child] = turn[branch] + angle[parents[child]]
    trust = 1 / (1.0 + EPSILON - likeness[rows, columns])
    residual = np.angle(np.exp(1j * (turn - angle[rows] + angle[columns])))
    trust[np.abs(residual) > ASTRAY] = 0.0
    angle += np.real(_settle(rows, columns, np.ones(len(rows)), residual, trust))
    # With the settled turns, a displacement common to all is left free, and is none.
    turn = angle[rows] - angle[columns]
    shift = _settle(rows, columns, np.exp(1j * turn), move, trust)
    return Gauge(
        jnp.asarray(content, jnp.float32),
        jnp.asarray(angle, jnp.float32),
        jnp.asarray(np.stack([np.real(shift), np.imag(shift)], axis=1), jnp.float32),
        jnp.broadcast_to(jnp.asarray(weight, jnp.float32), content.shape[1:]),
    )


def _settle(
    rows: Int[ndarray, " pair"],
    columns: Int[ndarray, " pair"],
    factor: Shaped[ndarray, " pair"],
    target: Shaped[ndarray, " pair"],
    weight: Float[ndarray, " pair"],
) -> Complex[ndarray, " anchor"]:
    """The values v that come nearest to `v[row] - factor v[column] = target`.

    Of all that come as near, those of the least norm.
    """
    matrix = np.zeros((len(rows), rows.max() + 1), complex)
    pairs = np.arange(len(rows))
    matrix[pairs, rows] += 1.0
    matrix[pairs, columns] -= factor
    root = np.sqrt(weight)
    values, *_ = np.linalg.lstsq(matrix * root[:, None], target * root)
    return np.asarray(values, complex)


@compile_lightly
def _pairs(
    model: SteerableModel,
    projection: Projection,
    images: Float[Array, "anchor height width channel"],
) -> tuple[
    Float[Array, "anchor place reals"],
    Float[Array, "anchor reals"],
    Float[Array, "anchor anchor"],
    Int[Array, "anchor anchor"],
]:
    """Coefficients at every place and at none; likeness of each pair, and where.

    The likeness is the highest normalized correlation of an image (row) with another.
    """
    coefs = model.expand(projection, model.compress(projection, images))["coefs"]
    own = coefs[:, model.num_places // 2]

    def row(image: Float[Array, "place reals"]) -> tuple[Array, Array]:
        spread = jnp.broadcast_to(image, (len(own), *image.shape))
        grid = model.correlations(model.fold(spread, own)).reshape(len(own), -1)
        return grid.max(-1), grid.argmax(-1)

    height, peak = jax.lax.map(row, coefs)
    size = jnp.linalg.norm(own, axis=-1)
    return coefs, own, height / jnp.maximum(size[:, None] * size, 1e-12), peak


@compile_lightly
def _poses(
    model: SteerableModel,
    coefs: Float[Array, "branch place reals"],
    parent: Float[Array, "branch reals"],
    peak: Int[Array, " branch"],
) -> tuple[Float[Array, " branch"], Float[Array, "branch 2"]]:
    """The pose (unit lengths, y up) of the parent's image in the child's."""
    size = jnp.square(parent).sum(-1)[:, None, None]
    harmonics = SHARP * model.fold(coefs, parent) / jnp.maximum(size, 1e-12)
    place, angle = jnp.divmod(peak, model.num_angles)
    start = jnp.asarray(model.angles(), jnp.float32)[angle]
    pose = highest(model, harmonics, start, place)
    return pose[:, 0], shift_to_unit(in_pixels(model, pose), model.shape)
