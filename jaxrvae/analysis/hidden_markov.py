"""Hidden Markov chains along many tracks at once: likelihood, expectations, draws.

Tracks lie one behind the other in lanes (`jaxrvae.analysis.lanes`). A scan goes over
the places along the lanes; all lanes, and one or more chains with parameters of their
own, are worked on at once. Probabilities are scaled at every place, so that nothing
underflows. A frame that a track lacks is a place where nothing is known.

Source: Rabiner 1989, doi:10.1109/5.18626, section V A; draws by forward filtering and
backward sampling: Scott 2002, doi:10.1198/016214502753479464.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrvae._typing import Array, Float, Int, PRNGKey

LEAST = 1e-30  # of a likelihood: what has less cannot be
MOST_WRITTEN = 8  # states: sums over them are written out, for one loop over the lanes


class Observed(NamedTuple):
    """Tracks in lanes; the first axis is the place along them.

    Attributes:
        evidence: (t, k, lane) likelihood of what is seen, by label: 1 for that label
            and 0 for others, or soft; ones where nothing is known.
        first: (t, lane) 1 where a track starts, and where there is none.
        real: (t, lane) 1 where there is a track.
        known: (t, lane) 1 where there is a label.
    """

    evidence: Float[Array, "place cls lane"]
    first: Float[Array, "place lane"]
    real: Float[Array, "place lane"]
    known: Float[Array, "place lane"]


class Chain(NamedTuple):
    """Parameters of one or more chains.

    Attributes:
        step: (k, k, c) probability of the second state a unit of time after the first.
        confusion: (k, k, c) probability that the first state is labelled the second.
        start: (k, c) probability of each state where a track starts.
    """

    step: Float[Array, "cls cls chain"]
    confusion: Float[Array, "cls cls chain"]
    start: Float[Array, "cls chain"]


class Times(NamedTuple):
    """How many times, over all tracks: expected, or in one draw.

    Attributes:
        pairs: (k, k, c) one state, and another a unit of time later.
        labelled: (k, k, c) a state with a label.
        starts: (k, c) tracks that start in a state.
    """

    pairs: Float[Array, "cls cls chain"]
    labelled: Float[Array, "cls cls chain"]
    starts: Float[Array, "cls chain"]


@jax.jit
def expect(
    observed: Observed, chain: Chain
) -> tuple[Times, Float[Array, " chain"], Float[Array, "place cls chain lane"]]:
    """Expected times, log likelihood, and each place's states given all of its track.

    The log likelihood of an impossible observation is below -60 for each of them.
    """
    filtered, norms = _filter(observed, chain)
    back = chain.step.swapaxes(0, 1)

    def step(carry: tuple, inputs: tuple) -> tuple:
        later, times = carry  # later: likelihood of what follows from the next place on
        now, norm, (evidence, first, real, known), ends = inputs
        joint = later * (1 - ends)
        follows = jnp.where(ends > 0, 1.0, _mix(back, later))
        here = now * follows
        likely = _mix(chain.confusion.swapaxes(0, 1), _each(evidence, now))
        found = Times(
            times.pairs + jnp.einsum("icl,jcl->ijc", now, joint),
            times.labelled
            + jnp.einsum(
                "icl,ol->ioc", here / jnp.maximum(likely, LEAST), evidence * known
            ),
            times.starts + (here * (first * real)).sum(-1),
        )
        return (likely * follows / norm, found), here

    inputs = (filtered, norms, observed, _ends(observed))
    (_, times), smoothed = jax.lax.scan(step, _nothing(filtered), inputs, reverse=True)
    log_likelihood = (jnp.log(norms) * observed.real[:, None]).sum((0, 2))
    times = Times(
        times.pairs * chain.step, times.labelled * chain.confusion, times.starts
    )
    return times, log_likelihood, smoothed


@jax.jit(static_argnames="soft")
def draw(observed: Observed, chain: Chain, key: PRNGKey, soft: bool = False) -> Times:
    """Times of one draw of all states along all tracks, given what was seen.

    Args:
        observed: Tracks in lanes.
        chain: Parameters.
        key: Of the draw.
        soft: The evidence is not for one label alone: labels are drawn too.
    """
    filtered, _ = _filter(observed, chain)
    k, ends = filtered.shape[1], _ends(observed)
    shape = (len(filtered), 1 + soft, *filtered.shape[2:])
    chances = jax.random.uniform(key, shape)

    def step(later: Array, inputs: tuple) -> tuple[Array, tuple]:
        now, chance, last, evidence = inputs
        follows = _row(chain.step.swapaxes(0, 1), later)
        state = _pick(now * jnp.where(last > 0, 1.0, follows), chance[0])
        label = state
        if soft:
            likely = _row(chain.confusion, state)
            label = _pick(likely * _each(evidence, now), chance[1])
        return state, (state.astype(jnp.int8), label.astype(jnp.int8))

    inputs = (filtered, chances, ends, observed.evidence)
    start = jnp.zeros(chances.shape[2:], jnp.int32)
    _, found = jax.lax.scan(step, start, inputs, reverse=True)
    states, labels = (part.astype(jnp.int32) for part in found)
    if not soft:
        labels = observed.evidence.argmax(1)[:, None]
    starting = observed.first * observed.real
    return Times(
        _count(states[:-1] * k + states[1:], 1 - ends[:-1], k**2).reshape(k, k, -1),
        _count(states * k + labels, observed.known, k**2).reshape(k, k, -1),
        _count(states, starting, k),
    )


def _row(
    matrix: Float[Array, "cls cls chain"], state: Int[Array, "chain lane"]
) -> Float[Array, "cls chain lane"]:
    """The states' rows of a matrix, without a table's gathers."""
    k = len(matrix)
    if k > MOST_WRITTEN:
        return _mix(matrix, jax.nn.one_hot(state, k, axis=0))
    rows = []
    for j in range(k):
        row = jnp.broadcast_to(matrix[0, j][:, None], state.shape)
        for i in range(1, k):
            row = jnp.where(state == i, matrix[i, j][:, None], row)
        rows.append(row)
    return jnp.stack(rows)


def _pick(
    weights: Float[Array, "cls chain lane"], chance: Float[Array, "chain lane"]
) -> Int[Array, "chain lane"]:
    """One of the classes, as likely as its weight."""
    upper = [weights[0]]
    for weight in weights[1:]:
        upper.append(upper[-1] + weight)
    beyond = chance * upper[-1] >= jnp.stack(upper[:-1])
    return beyond.sum(0, dtype=jnp.int32)


def _count(
    codes: Int[Array, "place chain lane"],
    counted: Float[Array, "place lane"],
    length: int,
) -> Float[Array, "code chain"]:
    """How often each code comes in each chain, of the places that are counted."""
    codes = jnp.where(counted[:, None] > 0, codes, length)
    flat = codes.swapaxes(0, 1).reshape(codes.shape[1], -1)
    found = jax.vmap(lambda own: jnp.bincount(own, length=length + 1))(flat)
    return found[:, :-1].T.astype(jnp.float32)


def _filter(
    observed: Observed, chain: Chain
) -> tuple[Float[Array, "place cls chain lane"], Float[Array, "place chain lane"]]:
    """States given all that was seen so far, and the likelihood of each place."""
    emit = chain.confusion.swapaxes(0, 1)

    def step(before: Array, inputs: tuple) -> tuple:
        evidence, first = inputs
        start = chain.start[:, :, None]
        weights = jnp.where(first > 0, start, _mix(chain.step, before))
        weights = weights * _mix(emit, _each(evidence, before))
        norm = jnp.maximum(weights.sum(0), LEAST)
        return weights / norm, (weights / norm, norm)

    shape = (*chain.start.shape, observed.first.shape[1])
    _, found = jax.lax.scan(step, jnp.zeros(shape), (observed.evidence, observed.first))
    return found


def _mix(
    matrix: Float[Array, "cls cls chain"], values: Float[Array, "cls chain lane"]
) -> Float[Array, "cls chain lane"]:
    """Sums over the first axis."""
    if len(matrix) > MOST_WRITTEN:
        return jnp.einsum("ijc,icl->jcl", matrix, values)
    rows = range(len(matrix))
    return jnp.stack(
        [sum(matrix[i, j][:, None] * values[i] for i in rows) for j in rows]
    )


def _each(
    evidence: Float[Array, "cls lane"], like: Float[Array, "cls chain lane"]
) -> Float[Array, "cls chain lane"]:
    """The same evidence for every chain."""
    return jnp.broadcast_to(evidence[:, None], like.shape)


def _ends(observed: Observed) -> Float[Array, "place lane"]:
    """1 where the next place is none of the same track."""
    return jnp.concatenate([observed.first[1:], jnp.ones_like(observed.first[:1])])


def _nothing(
    filtered: Float[Array, "place cls chain lane"],
) -> tuple[Float[Array, "cls chain lane"], Times]:
    """What a scan from the last place on starts with."""
    _, k, c, _ = filtered.shape
    pairs = jnp.zeros((k, k, c))
    return jnp.zeros_like(filtered[0]), Times(pairs, pairs, jnp.zeros((k, c)))
