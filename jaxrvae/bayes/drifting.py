"""Angles along tracks that are drawn back to the track's own mean, on the circle.

An Ornstein-Uhlenbeck process of the angle about a hidden mean, uniform on the circle:
for every place that the mean may have, the track's table is turned so that the mean
lies at zero, and the sums over all angles are those of a chain. Means that a track
speaks against are left out.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Bool, Float, Int, ndarray
from jaxrvae.distributions import wrapped_normal
from jaxrvae.geometry.circle import angle_grid, wrap

STDS = np.geomspace(0.04, 1.2, 9)  # radians about the mean, each as likely before
TIMES = np.geomspace(1.0, 64.0, 7)  # frames in which an angle forgets where it was
PER_STD = 3  # places of the mean in a standard deviation
MOST_MEANS = 48  # of a track
LEARNED = 600  # patches, of tracks evenly apart, that std and time are learned from
LEAST_WEIGHT = 1e-2  # of a std and time that is still counted
LEAST_CELLS = 0.5  # of the grid, that a move spreads over
FLOOR = -40.0  # of log probabilities of moves

Pair = tuple[int, int]  # places among STDS and TIMES


def drawn_back(
    laid: Float[ndarray, "track step angle"],
    gaps: Int[ndarray, "track step"],
) -> tuple[Float[ndarray, "track step angle"], float, float]:
    """Probabilities of the angles; mean std, of the whole turn that they are; and time.

    Args:
        laid: Log likelihoods, of a whole turn, 0 at most; 0 where nothing is seen.
        gaps: Frames since the one before.
    """
    num_angles = laid.shape[-1]
    seen = jnp.asarray(np.exp(laid), jnp.float32)
    number = int(gaps.max())
    every = int(np.ceil((laid != 0).any(-1).sum() / LEARNED))
    some = slice(None, None, every)

    @functools.cache
    def passed(pair: Pair) -> tuple[Array, Array, Array]:
        std, time = STDS[pair[0]], TIMES[pair[1]]
        moves, law = _moves(jnp.float32(std), jnp.float32(time), number, num_angles)
        stride = max(int(std / PER_STD / (2 * np.pi / num_angles)), 1)
        return moves, law, jnp.arange(num_angles) % stride == 0

    @functools.cache
    def nats(pair: Pair) -> float:
        return float(_evidence(seen[some], jnp.asarray(gaps[some]), *passed(pair)))

    weights = _climb(nats)
    found = np.zeros(laid.shape)
    for pair, weight in weights.items():
        own = _smoothed(seen, jnp.asarray(gaps), *passed(pair))
        found += weight * np.asarray(own)
    pairs, shares = np.array(list(weights)), np.array(list(weights.values()))
    return found, float(shares @ STDS[pairs[:, 0]]), float(shares @ TIMES[pairs[:, 1]])


def _climb(nats: Any) -> dict[Pair, float]:
    """The pairs that hold the weight, from neighbour to neighbour up to the top."""
    best: Pair = (len(STDS) // 2, len(TIMES) // 2)
    tried: dict[Pair, float] = {}
    while True:
        for one, other in itertools.product((-1, 0, 1), repeat=2):
            pair = best[0] + one, best[1] + other
            if 0 <= pair[0] < len(STDS) and 0 <= pair[1] < len(TIMES):
                tried[pair] = nats(pair)
        top = max(tried, key=lambda pair: tried[pair])
        if top == best:
            break
        best = top
    weights = {pair: np.exp(value - tried[best]) for pair, value in tried.items()}
    kept = {p: w for p, w in weights.items() if w > LEAST_WEIGHT}
    return {pair: float(w / sum(kept.values())) for pair, w in kept.items()}


@jax.jit(static_argnums=(2, 3))
def _moves(
    std: Float[Array, ""], time: Float[Array, ""], number: int, num_angles: int
) -> tuple[Float[Array, "gap angle angle"], Float[Array, " angle"]]:
    """Probabilities of the next angle after 1, 2, ... frames; and of the first."""
    cell = LEAST_CELLS * 2 * np.pi / num_angles
    own = jnp.asarray(angle_grid(num_angles), jnp.float32)
    kept = jnp.exp(-jnp.arange(number + 1) / time).at[0].set(0.0)  # 0: the first angle
    spread = jnp.maximum(std * jnp.sqrt(1 - kept**2), cell)

    def move(kept: Array, spread: Array) -> Float[Array, "angle angle"]:
        apart = wrap(own[None] - kept * own[:, None])
        logs = wrapped_normal.log_ratio_to_uniform(apart, spread)
        return jax.nn.softmax(jnp.maximum(logs, FLOOR), axis=-1)

    moves = jax.vmap(move)(kept, spread)
    return moves[1:], moves[0, 0]


def _means(
    seen: Float[Array, "step angle"],
    law: Float[Array, " angle"],
    places: Bool[Array, " angle"],
) -> tuple[Int[Array, "mean angle"], Float[Array, " mean"]]:
    """Cells counted from the likeliest means; the means' log prior."""
    number = len(law)
    cell = jnp.arange(number)
    counted = (cell - number // 2 + cell[:, None]) % number  # zero is in the middle
    about = jnp.zeros((number, number)).at[cell[:, None], counted].set(law)
    score = jnp.log(seen @ about.T + 1e-30).sum(0)
    score = jnp.where(places, score, -jnp.inf)
    best, chosen = jax.lax.top_k(score, min(MOST_MEANS, number))
    prior = jnp.where(jnp.isfinite(best), -jnp.log(places.sum()), -jnp.inf)
    return counted[chosen], prior


def _forward(
    turned: Float[Array, "mean step angle"],
    gaps: Int[Array, " step"],
    moves: Float[Array, "gap angle angle"],
    law: Float[Array, " angle"],
) -> tuple[Float[Array, " mean"], Float[Array, "step mean angle"]]:
    """Log evidence, and the angles given what came before and is seen."""

    def step(ahead: Array, inputs: tuple[Array, Array]) -> tuple[Array, Any]:
        seen, gap = inputs
        here = ahead @ moves[gap - 1] * seen
        total = here.sum(-1, keepdims=True) + 1e-30
        return here / total, (here / total, jnp.log(total[:, 0]))

    first = law * turned[:, 0]
    total = first.sum(-1, keepdims=True) + 1e-30
    after = turned.swapaxes(0, 1)[1:], gaps[1:]
    _, (rest, logs) = jax.lax.scan(step, first / total, after)
    filtered = jnp.concatenate([(first / total)[None], rest])
    return jnp.log(total[:, 0]) + logs.sum(0), filtered


@jax.jit
def _evidence(
    seen: Float[Array, "track step angle"],
    gaps: Int[Array, "track step"],
    moves: Float[Array, "gap angle angle"],
    law: Float[Array, " angle"],
    places: Bool[Array, " angle"],
) -> Float[Array, ""]:
    """Summed over tracks, the means being as likely before."""

    def one(inputs: tuple[Array, Array]) -> Array:
        own, gaps = inputs
        chosen, prior = _means(own, law, places)
        nats, _ = _forward(own[:, chosen].swapaxes(0, 1), gaps, moves, law)
        return logsumexp(nats + prior)

    return jax.lax.map(one, (seen, gaps)).sum()


@jax.jit
def _smoothed(
    seen: Float[Array, "track step angle"],
    gaps: Int[Array, "track step"],
    moves: Float[Array, "gap angle angle"],
    law: Float[Array, " angle"],
    places: Bool[Array, " angle"],
) -> Float[Array, "track step angle"]:
    """Probabilities of the angles, given all of their track."""

    def one(inputs: tuple[Array, Array]) -> Float[Array, "step angle"]:
        own, gaps = inputs
        chosen, prior = _means(own, law, places)
        turned = own[:, chosen].swapaxes(0, 1)
        nats, filtered = _forward(turned, gaps, moves, law)

        def step(behind: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            seen, gap = inputs
            here = (behind * seen) @ moves[gap - 1].T
            here /= here.sum(-1, keepdims=True) + 1e-30
            return here, here

        after = turned.swapaxes(0, 1)[1:], gaps[1:]
        last = jnp.ones_like(filtered[0])
        _, behind = jax.lax.scan(step, last, after, reverse=True)
        both = filtered * jnp.concatenate([behind, last[None]])
        both /= both.sum(-1, keepdims=True) + 1e-30
        weighted = both * jax.nn.softmax(nats + prior)[:, None]
        return jnp.zeros_like(own).at[:, chosen].add(weighted)

    return jax.lax.map(one, (seen, gaps))
