"""Geodesics: ways between contents on which the decoded image changes least."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, whole
from jaxrvae._typing import Array, Bool, Float, ndarray
from jaxrvae.analysis.curves import grid_edges, near_edges, resample, shortest_paths
from jaxrvae.analysis.metric import (
    MARGIN,
    Decoder,
    DecoderMetric,
    GridMetric,
    Metric,
    box_around,
    grid_axes,
    metrics_at,
    through_metrics,
)
from jaxrvae.analysis.paths import check_ends
from jaxrvae.models.canonical import CanonicalDecoder

NUM_POINTS = 64
NUM_STEPS, NUM_ROUNDS = 5, 20
CHUNK = 16  # curves that are relaxed at a time
NUM_NODES = 97  # of the grid of metrics, along either axis
COARSER, REACH = 2, 3  # every so many of them in the starting graph; of its edges
MOST_NODES = 400  # of contents in it, in more than two dims
AT_REST = 1e-4  # share of the energy that the next step would save
TINY = 1e-20
SINGULAR = 1e-6  # of the metric's trace, where a content changes nothing


@dataclasses.dataclass(frozen=True, eq=False)
class Geodesics:
    """Geodesics of the decoder, one a pair of ends.

    Attributes:
        points: (p, k, d) contents, at equal lengths apart.
        length: (p,) of the image's change: root of the sum over the pixels of squares,
            each channel in units of its spread.
        straight: (p,) the same along the straight line between the ends.
        converged: (p,) whether the points had come to rest.
    """

    points: Float[ndarray, "p k latent"]
    length: Float[ndarray, " p"]
    straight: Float[ndarray, " p"]
    converged: Bool[ndarray, " p"]

    def __len__(self) -> int:
        return len(self.points)

    def to_dataframe(self) -> pd.DataFrame:
        """A row a geodesic."""
        columns: dict[str, ndarray] = {"geodesic": np.arange(len(self))}
        ends = self.points[:, 0], self.points[:, -1]
        for name, contents in zip(("start", "end"), ends, strict=True):
            for i, values in enumerate(contents.T):
                columns[f"{name}_{i}"] = values
        columns["length"], columns["straight"] = self.length, self.straight
        columns["converged"] = self.converged
        return pd.DataFrame(columns)


def find_geodesics(
    decoder: Decoder | None,
    ends: ndarray,
    content: Float[ndarray, "n latent"] | None = None,
    *,
    num_points: int = NUM_POINTS,
    num_rounds: int = NUM_ROUNDS,
) -> Geodesics:
    """Shortest ways between contents, by how much the decoded image changes.

    Each starts as the shortest way on a graph over the contents; then its points come
    to rest where its energy (the sum of the squared lengths of its steps) is least,
    all of them at once.

    Args:
        decoder: Of `canonical_decoder`, or a `PlainDecoder`.
        ends: (p, 2, d) contents.
        content: Contents of patches, among which the ways may go; without them, around
            the ends.
        num_points: Of each curve.
        num_rounds: Of eight steps, at most, for curves that are not at rest.

    Raises:
        ValueError: Without a decoder: contents alone do not say how images change.
        DataError: For ends that are not finite, or lie outside all contents.

    Source: Shao, Kumar & Fletcher 2018, arXiv:1711.08014.

    >>> from jaxrvae.analysis.metric import PlainDecoder
    >>> cone = PlainDecoder(lambda z: z[0] * jnp.array([jnp.cos(z[1]), jnp.sin(z[1])]))
    >>> found = find_geodesics(cone, np.array([[[1.0, 0.0], [1.0, 1.5]]]))
    >>> chord = 2 * np.sin(0.75)
    >>> bool(abs(found.length[0] / chord - 1) < 1e-3)
    True
    """
    whole("num_points", num_points, 3)
    whole("num_rounds", num_rounds, 1)
    if decoder is None:
        raise ValueError(
            "geodesics need the decoder: contents alone do not say how images change."
            " Give the fitted model."
        )
    dim = np.shape(ends)[-1] if np.ndim(ends) else 0
    if isinstance(decoder, CanonicalDecoder):
        dim = decoder.content_dim
    ends = check_ends(ends, dim)
    around = ends.reshape(-1, dim)
    if content is not None:
        around = _checked(content, ends)
    found = DecoderMetric(decoder, jnp.asarray(box_around(around), jnp.float32))
    of_steps, points = _starts(found, ends, around, num_points)
    gain = np.full(len(ends), np.inf)
    for _ in range(num_rounds):
        left = np.flatnonzero(gain >= AT_REST)
        for start in range(0, len(left), CHUNK):
            own = left[start : start + CHUNK]
            full = np.resize(own, CHUNK)  # of one size, and so compiled once
            curves = jnp.asarray(points[full], jnp.float32)
            relaxed, saved = _relaxed(of_steps, curves)
            points[own] = np.asarray(relaxed)[: len(own)]
            gain[own] = np.asarray(saved)[: len(own)]
    part = np.linspace(0, 1, num_points)[:, None]
    lines = ends[:, :1] * (1 - part) + ends[:, 1:] * part
    length, straight = (_lengths(found, curves) for curves in (points, lines))
    return Geodesics(points, length, straight, gain < AT_REST)


def grid_geodesics(
    decoder: Decoder,
    content: Float[ndarray, "n 2"],
    ends: Float[ndarray, "p 2 2"],
    num_nodes: int = NUM_NODES,
    reach: int = REACH,
) -> tuple[list[Float[ndarray, "_ 2"]], Float[ndarray, " p"]]:
    """The shortest ways on a grid over the contents, and their lengths.

    The metric is taken at the nodes and linear between them. A way is longer than the
    geodesic by what its few directions cost, at most 1 / (8 reach^2) where the metric
    is alike in all directions; and by what the nodes nearest to the ends are off.

    Args:
        ends: Contents; the ways go between the nodes nearest to them.
        reach: Of the edges, in nodes along either axis.
    """
    box = box_around(content)
    found = DecoderMetric(decoder, jnp.asarray(box, jnp.float32))
    axes = grid_axes(box, num_nodes)
    values = metrics_at(found, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    return _grid_ways(values, axes, ends, reach)


def _grid_ways(
    values: Float[ndarray, "node node 2 2"],
    axes: Float[ndarray, "2 node"],
    ends: Float[ndarray, "p 2 2"],
    reach: int,
) -> tuple[list[Float[ndarray, "_ 2"]], Float[ndarray, " p"]]:
    from scipy.ndimage import map_coordinates
    from scipy.spatial import KDTree

    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    spacing = axes[:, 1] - axes[:, 0]

    def at(points: Float[ndarray, "n 2"]) -> Float[ndarray, "n 2 2"]:
        place = ((points - axes[:, 0]) / spacing).T
        x, xy, y = (
            map_coordinates(values[..., i, j], place, order=1, mode="nearest")
            for i, j in ((0, 0), (0, 1), (1, 1))
        )
        return np.stack([x, xy, xy, y], axis=-1).reshape(-1, 2, 2)

    edges = grid_edges(values.shape[:2], reach)
    weights = _edge_lengths(at, nodes[edges[0]], nodes[edges[1]], reach)
    pairs = np.asarray(KDTree(nodes).query(ends)[1])
    ways, lengths = shortest_paths(len(nodes), edges, weights, pairs)
    return [nodes[way] for way in ways], lengths


def _sample_ways(
    found: Metric, ends: Float[ndarray, "p 2 d"], around: Float[ndarray, "n d"]
) -> list[Float[ndarray, "_ d"]]:
    """The shortest ways on a graph of contents."""
    from scipy.spatial import KDTree

    step = max(1, len(around) // MOST_NODES)
    nodes = np.concatenate([around[::step], ends.reshape(-1, ends.shape[2])])
    nodes = np.unique(nodes, axis=0)
    edges = near_edges(nodes)

    def at(points: Float[ndarray, "n d"]) -> Float[ndarray, "n d d"]:
        return metrics_at(found, points)

    weights = _edge_lengths(at, nodes[edges[0]], nodes[edges[1]], 1)
    pairs = np.asarray(KDTree(nodes).query(ends)[1])
    return [nodes[way] for way in shortest_paths(len(nodes), edges, weights, pairs)[0]]


def _edge_lengths(
    at: Callable[[ndarray], ndarray],
    first: Float[ndarray, "edge d"],
    second: Float[ndarray, "edge d"],
    number: int,
) -> Float[ndarray, " edge"]:
    """Lengths of straight edges, by the metric at so many places of each."""
    step, total = (second - first) / number, np.zeros(len(first))
    for place in (np.arange(number) + 0.5) / number:
        found = at(first + place * (second - first))
        square = np.einsum("ei,eij,ej->e", step, found, step)
        total += np.sqrt(np.maximum(square, 0))
    return np.maximum(total, 1e-9 * max(total.max(), 1e-30))  # no edge is free


def _checked(
    content: ndarray, ends: Float[ndarray, "p 2 latent"]
) -> Float[ndarray, "n latent"]:
    """The contents, if they are such and have the ends among them."""
    content = np.asarray(content, np.float64)
    if content.ndim != 2 or content.shape[1] != ends.shape[2]:
        raise ValueError(
            f"content must be (n, {ends.shape[2]}), as the ends; got {content.shape}."
        )
    content = content[np.isfinite(content).all(axis=1)]
    if not len(content):
        raise DataError("expected finite contents; got none. Leave content out.")
    low, high = content.min(axis=0), content.max(axis=0)
    margin = MARGIN * (high - low) + 1e-6
    outside = ((ends < low - margin) | (ends > high + margin)).any(axis=(1, 2))
    if outside.any():
        raise DataError(
            f"expected ends among the contents; the pairs"
            f" {np.flatnonzero(outside).tolist()[:5]} have ends outside, where the"
            " decoder was not trained. Take contents of patches."
        )
    return content


def _starts(
    found: DecoderMetric,
    ends: Float[ndarray, "p 2 d"],
    around: Float[ndarray, "n d"],
    num_points: int,
) -> tuple[Metric, Float[ndarray, "p k d"]]:
    """Shortest ways on a graph, a grid in two dims, and the metric to go on with."""
    of_steps: Metric = found
    if ends.shape[2] == 1:
        ways = list(ends)
    elif ends.shape[2] == 2:
        axes = grid_axes(np.asarray(found.box, np.float64), NUM_NODES)
        nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        values = metrics_at(found, nodes)
        of_steps = through_metrics(values, axes)
        coarse = values[::COARSER, ::COARSER]
        ways, _ = _grid_ways(coarse, axes[:, ::COARSER], ends, REACH)
    else:
        ways = _sample_ways(found, ends, around)
    starts = [
        resample(np.concatenate([own[:1], way[1:-1], own[1:]]), num_points)
        for own, way in zip(ends, ways, strict=True)
    ]
    return of_steps, np.stack(starts)


def _squares(found: Metric, points: Float[Array, "k d"]) -> Float[Array, " step"]:
    return jax.vmap(_square, (None, 0, 0))(found, points[:-1], points[1:])


def _lengths(found: Metric, curves: Float[ndarray, "p k d"]) -> Float[ndarray, " p"]:
    values = metrics_at(found, 0.5 * (curves[:, 1:] + curves[:, :-1]))
    step = np.diff(curves, axis=1)
    square = np.einsum("pki,pkij,pkj->pk", step, values, step)
    return np.sqrt(np.maximum(square, 0)).sum(axis=1)


@jax.jit
def _relaxed(
    found: Metric, starts: Float[Array, "p k d"]
) -> tuple[Float[Array, "p k d"], Float[Array, " p"]]:
    """Curves nearer to rest, and the share of their energy that is left to save."""

    def energy(points: Array) -> Array:
        return _squares(found, points).sum()

    look = jax.value_and_grad(energy)

    def newton(points: Array, slope: Array) -> Array:
        return -_solved(
            jax.vmap(_block, (None, 0, 0))(found, points[:-1], points[1:]), slope
        )

    def step(state: tuple, _: None) -> tuple[tuple, None]:
        points, share, value, slope = state
        move = newton(points, slope[1:-1])
        apart = jnp.linalg.norm(jnp.diff(points, axis=0), axis=1).mean()
        move *= jnp.minimum(1.0, apart / (jnp.linalg.norm(move, axis=1).max() + 1e-12))
        tried = points.at[1:-1].add(share * move)
        new_value, new_slope = look(tried)
        better = new_value < value
        points = jnp.where(better, tried, points)
        value, slope = jax.tree.map(
            lambda new, old: jnp.where(better, new, old),
            (new_value, new_slope),
            (value, slope),
        )
        share = jnp.where(better, jnp.minimum(1.0, 2 * share), share / 4)
        return (points, share, value, slope), None

    def relax(points: Array) -> tuple[Array, Array]:
        state = points, jnp.ones(()), *look(points)
        (points, _, value, slope), _ = jax.lax.scan(step, state, None, length=NUM_STEPS)
        gain = -(slope[1:-1] * newton(points, slope[1:-1])).sum() / 2
        return points, gain / jnp.maximum(value, 1e-30)

    return jax.vmap(relax)(starts)


def _square(found: Metric, first: Array, second: Array) -> Float[Array, ""]:
    """The squared length of a step, by the metric at its middle."""
    return (second - first) @ found(0.5 * (first + second)) @ (second - first)


def _block(
    found: Metric, first: Float[Array, " d"], second: Float[Array, " d"]
) -> Float[Array, "both both"]:
    """The Hessian of a step's squared length by its ends, made positive.

    In terms of the step and its middle its positive part is had by the Schur complement
    of the step. Where the metric is dear, its own change is left out.
    """
    middle, step = 0.5 * (first + second), second - first
    value = 2 * found(middle)
    if not isinstance(found, GridMetric):
        return jnp.block([[value, -value], [-value, value]])
    mixed = jax.jacfwd(lambda z: 2 * found(z) @ step)(middle).T
    curved = jax.hessian(lambda z: step @ found(z) @ step)(middle)
    known = mixed @ _inverse(value) @ mixed.T
    quarter = 0.25 * (known + _positive(curved - known))
    both, apart = 0.5 * (mixed + mixed.T), 0.5 * (mixed - mixed.T)
    aside = quarter + apart - value
    return jnp.block(
        [[quarter - both + value, aside], [aside.T, quarter + both + value]]
    )


def _inverse(matrix: Float[Array, "2 2"]) -> Float[Array, "2 2"]:
    """Of a positive one."""
    (a, b), (_, c) = matrix
    return jnp.array([[c, -b], [-b, a]]) / (a * c - b * b + 1e-6 * (a + c) ** 2 + TINY)


def _positive(matrix: Float[Array, "2 2"]) -> Float[Array, "2 2"]:
    """A symmetric one with its negative eigenvalues put to zero."""
    middle = 0.5 * jnp.trace(matrix)
    rest = matrix - middle * jnp.eye(2)
    radius = jnp.sqrt(0.5 * jnp.square(rest).sum()) + TINY
    high, low = jnp.maximum(middle + radius, 0), jnp.maximum(middle - radius, 0)
    return 0.5 * ((high + low) * jnp.eye(2) + (high - low) / radius * rest)


def _solved(
    blocks: Float[Array, "step both both"], slope: Float[Array, "inner d"]
) -> Float[Array, "inner d"]:
    """The inverse of the curve's Hessian, from blocks of its steps, times the slope.

    By elimination from block to block along the curve, and back.
    """
    dim = slope.shape[1]
    invert = _inverse if dim == 2 else jnp.linalg.inv
    own = blocks[:-1, dim:, dim:] + blocks[1:, :dim, :dim]
    own += SINGULAR * jnp.trace(own, axis1=1, axis2=2).mean() * jnp.eye(dim)
    aside = blocks[1:, :dim, dim:]  # from each inner point to the next

    def forward(state: tuple[Array, Array], given: tuple) -> tuple[tuple, tuple]:
        carried, moved = state
        block, beside, side = given
        inverse = invert(block - carried)
        value = side - moved
        back = beside.T @ inverse
        return (back @ beside, back @ value), (inverse, value)

    start = jnp.zeros((dim, dim)), jnp.zeros(dim)
    _, (inverses, values) = jax.lax.scan(forward, start, (own, aside, slope))

    def backward(ahead: Array, given: tuple) -> tuple[Array, Array]:
        inverse, beside, value = given
        here = inverse @ (value - beside @ ahead)
        return here, here

    parts = inverses, aside, values
    return jax.lax.scan(backward, jnp.zeros(dim), parts, reverse=True)[1]
