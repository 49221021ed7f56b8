"""Jumps between the states of a continuous-time Markov chain seen now and then.

All is told by how often each state was seen one unit of time after each other; time,
dwell times and rates are in that unit. Matrices of rates have zero row sums.
"""

import dataclasses

import numpy as np

from jaxrvae._typing import Bool, Float, Int, Number, ndarray


@dataclasses.dataclass(frozen=True)
class GammaPrior:
    """Of each rate: as if `shape` jumps had been seen in a dwell time of `time` units.

    A half is that of Jeffreys; the time makes it proper, where a state is never seen.
    """

    shape: float = 0.5
    time: float = 1.0


def propagate(
    rates: Float[ndarray, "*draw cls cls"], time: Number = 1.0
) -> Float[ndarray, "*draw cls cls"]:
    """Probability of each state a time after each other one.

    >>> propagate(np.array([[-1.0, 1.0], [0.0, 0.0]]), np.log(2)).round(6).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    from scipy.linalg import expm

    return np.maximum(expm(rates * time), 0.0)


def expected_jumps(
    rates: Float[ndarray, "cls cls"], pairs: Float[ndarray, "cls cls"]
) -> tuple[Float[ndarray, "cls cls"], Float[ndarray, " cls"]]:
    """Jumps and dwell times expected between states seen a unit of time apart.

    Source: Hobolth & Jensen 2005, doi:10.2202/1544-6115.1127; the integrals are the
    exponential's derivative: Van Loan 1978, doi:10.1109/TAC.1978.1101743.

    >>> rates = np.array([[-0.1, 0.1], [0.3, -0.3]])
    >>> jumps, dwell = expected_jumps(rates, np.array([[50.0, 3.0], [1.0, 20.0]]))
    >>> round(float(dwell.sum()), 9), bool(jumps[0, 1] - jumps[1, 0] - 2 < 1e-9)
    (74.0, True)
    """
    from scipy.linalg import expm_frechet

    likely = propagate(rates)
    weights = np.divide(pairs, likely, out=np.zeros_like(likely), where=likely > 0)
    integral = expm_frechet(rates.T, weights, compute_expm=False)
    jumps = rates * integral
    np.fill_diagonal(jumps, 0.0)
    return jumps, np.diag(integral).copy()


def draw_jumps(
    rates: Float[ndarray, "*draw cls cls"],
    bound: Number,
    pairs: Int[ndarray, "*draw cls cls"],
    rng: np.random.Generator,
) -> tuple[Int[ndarray, "*draw cls cls"], Int[ndarray, "*draw cls"]]:
    """Jumps between states seen a unit of time apart, and events that were none.

    Events come at the rate `bound` in every state; at each, the state jumps or stays.
    Only how many pairs take each way is drawn, so more pairs cost no more.

    Args:
        rates: None leaves a state faster than the bound.
        bound: Events a unit of time.
        pairs: How often the second state was seen a unit of time after the first.
        rng: Draws.

    Source: Fearnhead & Sherlock 2006, doi:10.1111/j.1467-9868.2006.00566.x, section 2.
    """
    k = rates.shape[-1]
    most = int(np.ceil(bound + 8 * np.sqrt(bound) + 12))
    event = np.eye(k) + rates / bound
    powers = [np.broadcast_to(np.eye(k), rates.shape)]
    chance = [np.exp(-bound)]  # of so many events
    for n in range(1, most + 1):
        powers.append(powers[-1] @ event)
        chance.append(chance[-1] * bound / n)
    weights = np.stack(powers, axis=-1) * np.array(chance)
    events = rng.multinomial(pairs, _shares(weights))
    jumps, left = np.zeros_like(pairs), np.zeros_like(pairs)
    seen = np.flatnonzero(events.any(tuple(range(events.ndim - 1))))
    for n in range(int(seen.max(initial=0)), 0, -1):
        left = left + events[..., n]  # by state now and at the end, with n events to go
        ways = event[..., :, None, :] * powers[n - 1].swapaxes(-2, -1)[..., None, :, :]
        took = rng.multinomial(left, _shares(ways))  # by state now, at the end, next
        jumps = jumps + took.sum(-2)
        left = took.sum(-3).swapaxes(-2, -1)
    stays = np.diagonal(jumps, axis1=-2, axis2=-1)
    return jumps * ~np.eye(k, dtype=bool), stays


def draw_rates(
    jumps: Int[ndarray, "*draw cls cls"],
    stays: Int[ndarray, "*draw cls"],
    bound: Number,
    allowed: Bool[ndarray, "cls cls"],
    shape: Number,
    rng: np.random.Generator,
) -> Float[ndarray, "*draw cls cls"]:
    """Rates given jumps and stays, none of the states left faster than the bound.

    The rate out of a state, over the bound, is a beta variable; how it is shared out is
    a Dirichlet one.

    Args:
        jumps: From `draw_jumps`.
        stays: From there too.
        bound: Events a unit of time.
        allowed: Which jumps may happen.
        shape: Jumps of each kind as if seen before.
        rng: Draws.
    """
    shapes = (jumps + shape) * allowed
    total = shapes.sum(-1)
    share = np.where(total > 0, rng.beta(np.maximum(total, shape), stays + 1.0), 0.0)
    parts = np.where(allowed, rng.standard_gamma(shapes), 0.0)
    rates = bound * share[..., None] * _shares(parts) * allowed
    return rates - rates.sum(-1)[..., None] * np.eye(jumps.shape[-1])


def redraw(
    rates: Float[ndarray, "*draw cls cls"],
    bound: Number,
    pairs: Int[ndarray, "*draw cls cls"],
    allowed: Bool[ndarray, "cls cls"],
    prior: GammaPrior,
    rng: np.random.Generator,
) -> tuple[Float[ndarray, "*draw cls cls"], Int[ndarray, "*draw cls cls"]]:
    """Jumps given the last rates, and rates given these jumps; rates come first.

    The prior's time is one without jumps: what comes in it are stays.

    Args:
        rates: The last ones.
        bound: Events a unit of time; rates out of a state are below.
        pairs: How often the second state was seen a unit of time after the first.
        allowed: Which jumps may happen.
        prior: Of the rates.
        rng: Draws.
    """
    jumps, stays = draw_jumps(rates, bound, pairs, rng)
    out = -np.diagonal(rates, axis1=-2, axis2=-1)
    before = rng.poisson(prior.time * np.maximum(bound - out, 0.0))
    return draw_rates(jumps, stays + before, bound, allowed, prior.shape, rng), jumps


def stationary_shares(
    rates: Float[ndarray, "*draw cls cls"],
) -> Float[ndarray, "*draw cls"]:
    """Shares of the states in the long run.

    >>> stationary_shares(np.array([[-1.0, 1.0], [3.0, -3.0]])).round(6).tolist()
    [0.75, 0.25]
    """
    scale = np.abs(rates).max((-2, -1), keepdims=True)
    scaled = rates / np.where(scale > 0, scale, 1.0)
    k = rates.shape[-1]
    ones = np.ones((*rates.shape[:-2], 1, k))
    equations = np.concatenate([scaled.swapaxes(-2, -1), ones], axis=-2)
    shares = np.linalg.pinv(equations)[..., -1]  # right sides: zeros, and a one
    shares = np.maximum(shares, 0.0)
    return shares / shares.sum(-1, keepdims=True)


def _shares(weights: Float[ndarray, "*state way"]) -> Float[ndarray, "*state way"]:
    total = weights.sum(-1, keepdims=True)
    first = np.zeros_like(weights)
    first[..., 0] = 1.0  # where there is no way, nothing takes it
    return np.divide(weights, total, out=first, where=total > 0)
