"""Minimum-free-energy paths between contents, and the barriers on them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, whole
from jaxrvae._typing import Array, Bool, Float, ndarray
from jaxrvae.analysis.curves import (
    even_out,
    grid_edges,
    near_edges,
    resample,
    shortest_paths,
)
from jaxrvae.analysis.landscape import Energy, FreeEnergy, energies

NUM_POINTS = 40
NUM_STEPS = 80
NUM_NEWTON = 25
REACH = 2  # of the edges of the starting graph, nodes along either axis
STEEP = 30.0  # k_BT; above this the starting graph sees no difference
FORBIDDEN = 20.0  # k_BT, added where there are no data
LARGEST_MOVE = 0.1  # spreads
STILL = 2e-3  # spreads; what the points of a path that has settled still move
SAME = 0.02  # spreads; minima so near are one
DAMPING = 0.6
ASTRAY = 0.3  # spreads; a saddle further from the path than this is another


@dataclasses.dataclass(frozen=True, eq=False)
class Paths:
    """Minimum-free-energy paths, one a pair of ends.

    Attributes:
        points: (p, k, d) contents, equally far apart along each path. The first and
            the last are minima, the ones next to the ends given.
        energy: (p, k) k_BT; NaN where there are no data.
        saddle: (p, d) the highest point.
        barrier: (p, 2) k_BT, from the first end up to the saddle, and from the last;
            NaN for paths that are not supported.
        barrier_std: (p, 2) over the bootstrap resamples; NaN without any.
        barrier_interval: (p, 2, 2) direction, then 5 % and 95 % of the resamples. Of a
            path that is not supported, from its highest known point to infinity.
        converged: (p,) whether the points had come to rest.
        supported: (p,) whether there are data all along.
    """

    points: Float[ndarray, "p k latent"]
    energy: Float[ndarray, "p k"]
    saddle: Float[ndarray, "p latent"]
    barrier: Float[ndarray, "p 2"]
    barrier_std: Float[ndarray, "p 2"]
    barrier_interval: Float[ndarray, "p 2 2"]
    converged: Bool[ndarray, " p"]
    supported: Bool[ndarray, " p"]

    def __len__(self) -> int:
        return len(self.points)

    def to_dataframe(self) -> pd.DataFrame:
        """A row a path; barriers "forward" are those from its first end."""
        columns: dict[str, ndarray] = {"path": np.arange(len(self))}
        ends = self.points[:, 0], self.points[:, -1], self.saddle
        for name, contents in zip(("start", "end", "saddle"), ends, strict=True):
            for i, values in enumerate(contents.T):
                columns[f"{name}_{i}"] = values
        for i, way in enumerate(("forward", "backward")):
            columns[f"barrier_{way}"] = self.barrier[:, i]
            columns[f"barrier_{way}_std"] = self.barrier_std[:, i]
            columns[f"barrier_{way}_low"] = self.barrier_interval[:, i, 0]
            columns[f"barrier_{way}_high"] = self.barrier_interval[:, i, 1]
        columns["converged"], columns["supported"] = self.converged, self.supported
        return pd.DataFrame(columns)


def find_paths(
    free_energy: FreeEnergy,
    ends: ndarray,
    *,
    num_points: int = NUM_POINTS,
    num_steps: int = NUM_STEPS,
) -> Paths:
    """Minimum-free-energy paths between contents, by the string method.

    Both ends first go down to the minimum they lie above. The string starts as the
    shortest way on a graph, where a step costs the more, the rarer its contents are;
    then its points go down across it, all paths at once, and stay equally far apart
    along it. From the highest point Newton's method goes on to the saddle, up along
    the lowest curvature and down along all others.

    Args:
        ends: (p, 2, d) contents, such as of typical patches of two states.
        num_points: Of each path.
        num_steps: At most; `converged` says whether they were enough.

    Raises:
        DataError: For ends without any data about them.

    Source: E, Ren & Vanden-Eijnden 2007, J. Chem. Phys. 126, 164103; upwind tangents:
    Henkelman & Jonsson 2000, J. Chem. Phys. 113, 9978.

    >>> from jaxrvae.analysis.landscape import known_free_energy
    >>> wells = lambda z: 4 * (z[0] ** 2 - 1) ** 2 + 8 * (z[1] - z[0]) ** 2
    >>> known = known_free_energy(wells, (-2.0, -2.0), (2.0, 2.0))
    >>> found = find_paths(known, np.array([[[-0.8, -0.9], [0.9, 1.0]]]))
    >>> bool(found.converged[0]), found.barrier[0].round(1).tolist()
    (True, [4.0, 4.0])
    """
    whole("num_points", num_points, 3)
    whole("num_steps", num_steps, 1)
    ends = check_ends(ends, free_energy.content_dim)
    outside = ~free_energy.has_data(ends).all(axis=1)
    if outside.any():
        raise DataError(
            f"expected ends with contents about them; the pairs"
            f" {np.flatnonzero(outside).tolist()[:5]} have ends without any. Take"
            " contents of patches, or a state's typical one."
        )
    surface = free_energy.surface
    scale = jnp.asarray(free_energy.spread.mean(), jnp.float32)
    flat = jnp.asarray(ends.reshape(-1, ends.shape[-1]), jnp.float32)
    minima = np.asarray(_stationary(surface, flat, scale, 0)).reshape(ends.shape)
    starts = _starts(free_energy, minima, num_points)
    points, moved = _strings(surface, jnp.asarray(starts), scale, num_steps)
    tops = _tops(surface, points)
    saddles = np.asarray(_stationary(surface, tops, scale, 1))
    apart = np.linalg.norm(minima[:, 0] - minima[:, 1], axis=1)
    one = apart < SAME * float(scale)  # above one minimum there is nothing to cross
    saddles = np.where(one[:, None], minima[:, 0], saddles)
    return _measured(free_energy, np.asarray(points), saddles, np.asarray(moved))


def check_ends(ends: ndarray, content_dim: int) -> Float[ndarray, "p 2 latent"]:
    """The ends, if they are pairs of finite contents."""
    ends = np.asarray(ends, np.float64)
    if ends.ndim != 3 or ends.shape[1:] != (2, content_dim) or not len(ends):
        raise ValueError(
            f"ends must be pairs of contents, (p, 2, {content_dim}); got {ends.shape}."
        )
    if not np.isfinite(ends).all():
        bad = np.flatnonzero(~np.isfinite(ends).all(axis=(1, 2))).tolist()
        raise DataError(f"expected finite ends; the pairs {bad[:5]} have others.")
    return ends


def _starts(
    free_energy: FreeEnergy, ends: Float[ndarray, "p 2 latent"], num_points: int
) -> Float[ndarray, "p k latent"]:
    """Shortest ways where a step costs its length over the density."""
    from scipy.spatial import KDTree

    nodes = free_energy.nodes
    scaled = nodes / free_energy.spread
    if free_energy.shape:
        edges = grid_edges(free_energy.shape, REACH)
    else:
        edges = near_edges(scaled)
    height = energies(free_energy.surface, nodes)
    height = np.minimum(height, STEEP) + np.where(free_energy.populated, 0, FORBIDDEN)
    length = np.linalg.norm(scaled[edges[0]] - scaled[edges[1]], axis=1)
    weights = length * np.exp(0.5 * (height[edges[0]] + height[edges[1]]))
    pairs = np.asarray(KDTree(scaled).query(ends / free_energy.spread)[1])
    ways, _ = shortest_paths(len(nodes), edges, weights, pairs)
    starts = [
        resample(np.concatenate([own[:1], nodes[way[1:-1]], own[1:]]), num_points)
        for own, way in zip(ends, ways, strict=True)
    ]
    return np.stack(starts).astype(np.float32)


@jax.jit(static_argnames="num_steps")
def _strings(
    surface: Energy,
    starts: Float[Array, "p k latent"],
    scale: Float[Array, ""],
    num_steps: int,
) -> tuple[Float[Array, "p k latent"], Float[Array, " p"]]:
    """Strings come to rest, and how far their points moved last, in spreads."""

    def step(points: Array, _: None) -> tuple[Array, Array]:
        energy = jax.vmap(surface)(points)
        slope = jax.vmap(jax.grad(surface))(points)[1:-1]
        curvature = jax.vmap(jax.hessian(surface))(points)[1:-1]
        along, apart = _tangents(points, energy)
        move = jax.vmap(_across, (0, 0, 0, 0, None))(
            slope, curvature, along, apart, scale
        )
        moved = points.at[1:-1].add(move)
        return even_out(moved), jnp.linalg.norm(move, axis=1).max() / scale

    def settle(points: Array) -> tuple[Array, Array]:
        points, moved = jax.lax.scan(step, points, None, length=num_steps)
        return points, moved[-1]

    return jax.vmap(settle)(starts)


def _tangents(
    points: Float[Array, "k latent"], energy: Float[Array, " k"]
) -> tuple[Float[Array, "inner latent"], Float[Array, " inner"]]:
    """Unit tangents, towards the higher neighbor, and the distance to it."""
    ahead, behind = jnp.diff(points, axis=0)[1:], jnp.diff(points, axis=0)[:-1]
    up, down = jnp.diff(energy)[1:], jnp.diff(energy)[:-1]
    most = jnp.maximum(jnp.abs(up), jnp.abs(down)) + 1e-9
    least = jnp.minimum(jnp.abs(up), jnp.abs(down)) + 1e-9
    higher_ahead = energy[2:] > energy[:-2]
    weight = jnp.where(higher_ahead, most, least) / (most + least)
    weight = jnp.where(up * down > 0, jnp.where(up > 0, 1.0, 0.0), weight)
    along = weight[:, None] * ahead + (1 - weight)[:, None] * behind
    apart = jnp.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    return along / apart, apart[:, 0]


def _across(
    slope: Float[Array, " latent"],
    curvature: Float[Array, "latent latent"],
    along: Float[Array, " latent"],
    apart: Float[Array, ""],
    scale: Float[Array, ""],
) -> Float[Array, " latent"]:
    """A point's damped Newton step down, across the path.

    A tangent that is off by what two neighbors differ turns a part of the slope along
    the path across it: this counts as a curvature, or the string would buckle.
    """
    other = jnp.eye(len(slope)) - jnp.outer(along, along)
    values, vectors = jnp.linalg.eigh(other @ curvature @ other)
    stiff = jnp.abs(values) + jnp.abs(slope @ along) / apart + 0.1 / scale**2
    move = -DAMPING * (other @ (vectors @ ((vectors.T @ (other @ slope)) / stiff)))
    return _at_most(move, LARGEST_MOVE * scale)


def _at_most(move: Float[Array, " latent"], most: Array) -> Float[Array, " latent"]:
    return move * jnp.minimum(1.0, most / (jnp.linalg.norm(move) + 1e-12))


@jax.jit(static_argnames="num_up")
def _stationary(
    surface: Energy, points: Float[Array, "n latent"], scale: Array, num_up: int
) -> Float[Array, "n latent"]:
    """Minima (0), or saddles (1), that Newton's method finds from the points.

    Source: Cerjan & Miller 1981, J. Chem. Phys. 75, 2800 (eigenvector following).
    """

    def newton(point: Array, _: None) -> tuple[Array, None]:
        slope = jax.grad(surface)(point)
        values, vectors = jnp.linalg.eigh(jax.hessian(surface)(point))
        sign = jnp.where(jnp.arange(len(point)) < num_up, -1.0, 1.0)
        stiff = sign * (jnp.abs(values) + 1e-3 / scale**2)
        move = -vectors @ ((vectors.T @ slope) / stiff)
        return point + _at_most(move, 0.5 * LARGEST_MOVE * scale), None

    return jax.vmap(
        lambda point: jax.lax.scan(newton, point, None, length=NUM_NEWTON)[0]
    )(points)


@jax.jit
def _tops(surface: Energy, points: Array) -> Array:
    """The highest point of every path."""
    energy = jax.vmap(jax.vmap(surface))(points)
    return jnp.take_along_axis(points, energy.argmax(1)[:, None, None], axis=1)[:, 0]


def _measured(
    free_energy: FreeEnergy,
    points: Float[ndarray, "p k latent"],
    saddles: Float[ndarray, "p latent"],
    moved: Float[ndarray, " p"],
) -> Paths:
    """What stands on the paths."""
    surface, scale = free_energy.surface, free_energy.spread.mean()
    number, dim = len(points), points.shape[-1]
    height = energies(surface, points)
    top = height.argmax(axis=1)
    highest = points[np.arange(number), top]
    inner = (top > 0) & (top < points.shape[1] - 1)
    near = np.linalg.norm(saddles - highest, axis=1) < ASTRAY * scale
    saddles = np.where((inner & near)[:, None], saddles, highest)
    supported = np.all(free_energy.has_data(points), axis=1)
    marks = np.stack([points[:, 0], points[:, -1], saddles], axis=1)
    barrier = _rise(energies(surface, marks))
    std = np.full((number, 2), np.nan)
    interval = np.full((number, 2, 2), np.nan)
    if free_energy.draws is not None:
        flat = jnp.asarray(marks.reshape(-1, dim), jnp.float32)
        up = jnp.asarray(np.tile([False, False, True], number) & np.repeat(inner, 3))
        drawn = np.asarray(_redrawn(free_energy.draws, flat, up, scale))
        rises = _rise(drawn.reshape(len(drawn), number, 3))
        std = rises.std(axis=0, ddof=1)
        interval = np.moveaxis(np.quantile(rises, [0.05, 0.95], axis=0), 0, -1)
    known = np.where(free_energy.has_data(points), height, np.nan)
    least = np.nanmax(known, axis=1, keepdims=True) - known[:, [0, -1]]
    unknown = ~supported[:, None]
    interval = np.stack(
        [
            np.where(unknown, least, interval[..., 0]),
            np.where(unknown, np.inf, interval[..., 1]),
        ],
        axis=-1,
    )
    return Paths(
        points.astype(np.float64),
        known,
        saddles.astype(np.float64),
        np.where(unknown, np.nan, barrier),
        np.where(unknown, np.nan, std),
        interval,
        moved < STILL,
        supported,
    )


def _rise(heights: Float[ndarray, "*n 3"]) -> Float[ndarray, "*n 2"]:
    """From either end to the saddle, of the energies of both and of it."""
    return np.maximum(heights[..., 2:] - heights[..., :2], 0.0)


@jax.jit
def _redrawn(
    draws: Energy, points: Float[Array, "n latent"], up: Bool[Array, " n"], scale: Array
) -> Float[Array, "draw n"]:
    """Energies of the resamples at their own minima and saddles near these points."""

    def of_one(surface: Energy) -> Float[Array, " n"]:
        down = _stationary(surface, points, scale, 0)
        saddle = _stationary(surface, points, scale, 1)
        own = jnp.where(up[:, None], saddle, down)
        near = jnp.linalg.norm(own - points, axis=1) < ASTRAY * scale
        return jax.vmap(surface)(jnp.where(near[:, None], own, points))

    return jax.vmap(of_one)(draws)
