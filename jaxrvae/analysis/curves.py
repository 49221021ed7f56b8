"""Curves through contents: shortest ones on graphs, and their points spread evenly."""

import itertools

import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int, ndarray

MOST_NEIGHBORS = 12


def grid_edges(
    shape: tuple[int, ...], reach: int
) -> tuple[Int[ndarray, " edge"], Int[ndarray, " edge"]]:
    """Pairs of a grid's nodes, each once, up to so many nodes apart along any axis.

    Of steps along one line only the shortest is there.

    >>> [len(grid_edges((3, 3), reach)[0]) for reach in (1, 2)]
    [20, 28]
    """
    index = np.arange(int(np.prod(shape))).reshape(shape)
    first, second = [], []
    for offset in itertools.product(range(-reach, reach + 1), repeat=len(shape)):
        if offset <= (0,) * len(shape) or np.gcd.reduce(offset) > 1:
            continue
        pairs = list(zip(offset, shape, strict=True))
        if any(abs(step) >= size for step, size in pairs):
            continue
        here = tuple(slice(max(0, -d), n - max(0, d)) for d, n in pairs)
        there = tuple(slice(max(0, d), n - max(0, -d)) for d, n in pairs)
        first.append(index[here].ravel())
        second.append(index[there].ravel())
    return np.concatenate(first), np.concatenate(second)


def near_edges(
    nodes: Float[ndarray, "m latent"],
) -> tuple[Int[ndarray, " edge"], Int[ndarray, " edge"]]:
    """Pairs of near nodes, each once, with as few more as join all of them."""
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial import KDTree
    from scipy.spatial.distance import cdist

    number = min(MOST_NEIGHBORS + 1, len(nodes))
    near = KDTree(nodes).query(nodes, k=number)[1].reshape(len(nodes), -1)[:, 1:]
    pairs = np.stack([np.arange(len(nodes)).repeat(near.shape[1]), near.ravel()])
    tree = minimum_spanning_tree(cdist(nodes, nodes)).nonzero()
    pairs = np.sort(np.concatenate([pairs, np.stack(tree)], axis=1), axis=0)
    first, second = np.unique(pairs, axis=1)
    return first, second


def shortest_paths(
    num_nodes: int,
    edges: tuple[Int[ndarray, " edge"], Int[ndarray, " edge"]],
    weights: Float[ndarray, " edge"],
    pairs: Int[ndarray, "pair 2"],
) -> tuple[list[Int[ndarray, " node"]], Float[ndarray, " pair"]]:
    """The nodes on the shortest way between those of every pair, and its length."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import dijkstra

    graph = csr_array((weights, edges), shape=(num_nodes, num_nodes))
    sources, own = np.unique(pairs[:, 0], return_inverse=True)
    length, before = dijkstra(
        graph, directed=False, indices=sources, return_predecessors=True
    )
    ways = []
    for row, (start, end) in zip(own, pairs, strict=True):
        way = [int(end)]
        while way[-1] != start:
            way.append(int(before[row, way[-1]]))
        ways.append(np.array(way[::-1]))
    return ways, length[own, pairs[:, 1]]


def resample(
    points: Float[ndarray, "m latent"], number: int
) -> Float[ndarray, "{number} latent"]:
    """As many points on the polygon through these, equally far apart along it."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    places = np.linspace(0, along[-1], number)
    return np.stack([np.interp(places, along, axis) for axis in points.T], axis=1)


def even_out(points: Float[Array, "k latent"]) -> Float[Array, "k latent"]:
    """The same for JAX, with as many points as there are."""
    steps = jnp.linalg.norm(jnp.diff(points, axis=0), axis=1)
    along = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
    places = jnp.linspace(0.0, 1.0, len(points)) * along[-1]
    return jnp.stack([jnp.interp(places, along, axis) for axis in points.T], axis=1)
