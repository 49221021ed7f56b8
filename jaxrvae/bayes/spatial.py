"""Classes of neighbours: a Markov random field over positions.

Neighbours are joined by edges, within a frame. The classes at both ends of an edge go
together as the data say: affinities, alike or not, are learned with the classes, by
belief propagation, whose cost grows with the number of edges alone.

Sources: Yedidia, Freeman & Weiss 2005, IEEE Trans. Inf. Theory 51, 2282 (beliefs);
Wainwright, Jaakkola & Willsky 2003, AISTATS (pseudo-moments: affinities from beliefs).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._checks import DataError, whole
from jaxrvae._typing import Array, Float, Int, ndarray

NUM_ROUNDS = 30  # of affinities
NUM_PASSES = 10  # of messages, in each
DAMPING = 0.5
LEAST_PAIRS = 0.5  # counted beforehand for each pair of classes: none is impossible
FLOOR = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class NeighbourClasses:
    """Classes given the neighbours too.

    Attributes:
        prob: (n, c).
        affinity: (c, c) log of how much more often the two classes are neighbours than
            at random: above 0 they seek each other.
        edges: (e, 2) rows of neighbours.
    """

    prob: ndarray
    affinity: ndarray
    edges: ndarray


def pool_classes(
    prob: Any, positions: Any, frame: Any = None, num_neighbours: int = 6
) -> NeighbourClasses:
    """Classes of patches whose neighbours have something to say.

    Args:
        prob: (n, c) of each patch alone: `Latents.class_probabilities`, or those of
            `find_classes`.
        positions: (n, 2) pixels.
        frame: (n,), where there are several; None: all of one.
        num_neighbours: The nearest so many are joined, whichever finds the other.

    Raises:
        DataError: If the arrays do not go together.
    """
    prob, positions = np.asarray(prob, np.float64), np.asarray(positions, np.float64)
    if prob.ndim != 2 or prob.shape[1] < 2:
        raise DataError(f"prob must be (n, classes), two at least; got {prob.shape}.")
    if positions.shape != (len(prob), 2):
        raise DataError(
            f"positions must be ({len(prob)}, 2), one for each patch; got"
            f" {positions.shape}."
        )
    whole("num_neighbours", num_neighbours, 1)
    frame = np.zeros(len(prob), int) if frame is None else np.asarray(frame)
    edges = neighbours(positions, frame, num_neighbours)
    own = jnp.asarray(np.log(np.maximum(prob, FLOOR)), jnp.float32)
    start = jnp.eye(prob.shape[1]) * 0.3
    found, affinity = _pooled(own, jnp.asarray(edges), start)
    return NeighbourClasses(np.asarray(found), np.asarray(affinity), edges)


def neighbours(
    positions: Float[ndarray, "n 2"], frame: Int[ndarray, " n"], number: int
) -> Int[ndarray, "edge 2"]:
    """Each pair once, if one is among the nearest so many of the other in its frame."""
    from scipy.spatial import KDTree

    pairs = [np.empty((0, 2), int)]
    for one in np.unique(frame):
        rows = np.flatnonzero(frame == one)
        count = min(number, len(rows) - 1)
        if count < 1:
            continue
        tree: Any = KDTree(positions[rows])
        _, near = tree.query(positions[rows], count + 1)
        first = np.repeat(rows, count)
        pairs.append(np.sort(np.stack([first, rows[near[:, 1:]].ravel()], 1), axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


@jax.jit
def _pooled(
    own: Float[Array, "n cls"],
    edges: Int[Array, "edge 2"],
    affinity: Float[Array, "cls cls"],
) -> tuple[Float[Array, "n cls"], Float[Array, "cls cls"]]:
    """Beliefs, and the affinities that their pairs agree with."""
    num_classes = own.shape[1]
    source = jnp.concatenate([edges[:, 0], edges[:, 1]])  # of messages, there and back
    target = jnp.concatenate([edges[:, 1], edges[:, 0]])
    half = len(edges)

    def beliefs(messages: Array) -> Array:
        into = jnp.zeros_like(own).at[target].add(messages)
        return jax.nn.log_softmax(own + into, axis=-1)

    def back(messages: Array) -> Array:
        return jnp.concatenate([messages[half:], messages[:half]])

    def passed(messages: Array, affinity: Array) -> Array:
        """New messages: what each end believes without the other, carried over."""
        without = beliefs(messages)[source] - back(messages)
        new = logsumexp(without[:, :, None] + affinity, axis=1)
        new -= new.mean(-1, keepdims=True)
        return DAMPING * messages + (1 - DAMPING) * new

    def round_(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        messages, affinity = carry
        messages = jax.lax.fori_loop(
            0, NUM_PASSES, lambda _, m: passed(m, affinity), messages
        )
        without = beliefs(messages)[source] - back(messages)
        first, second = without[:half], without[half:]
        pair = first[:, :, None] + second[:, None, :] + affinity
        pair = jax.nn.softmax(pair.reshape(half, -1), axis=-1).sum(0)
        counts = pair.reshape(num_classes, num_classes) + LEAST_PAIRS
        counts = counts + counts.T
        share = counts.sum(1) / counts.sum()
        new = jnp.log(counts / counts.sum()) - jnp.log(share[:, None] * share)
        return (messages, DAMPING * affinity + (1 - DAMPING) * new), None

    start = jnp.zeros((2 * half, num_classes)), affinity
    (messages, affinity), _ = jax.lax.scan(round_, start, None, length=NUM_ROUNDS)
    return jnp.exp(beliefs(messages)), affinity
