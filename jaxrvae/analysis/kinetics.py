"""Rates behind labels that are sometimes wrong: their mode, and draws around it.

The states follow a continuous-time Markov chain; each frame shows the state of that
time through a confusion matrix. Rates are per unit of time, as in `Tracks`.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._checks import DataError
from jaxrvae._typing import Bool, Float, Int, Number, PRNGKey, ndarray
from jaxrvae.analysis.hidden_markov import Chain, Observed, Times, draw, expect
from jaxrvae.analysis.jumps import (
    GammaPrior,
    expected_jumps,
    propagate,
    redraw,
)

MOST_STEPS = 100  # of expectation-maximization
ENOUGH = 0.01  # nats: a step that gains less is the last
UPDATES = 3  # of the rates in a step of it
INNER = 5  # draws of the rates for each draw of the states
FASTEST = 12.0  # events a unit of time; a state left faster cannot be told
START = 0.5  # as many tracks more are taken to start in each state


class Parameters(NamedTuple):
    """Of one chain, or of several along a first axis.

    Attributes:
        rates: (k, k) per unit of time; rows sum to 0.
        confusion: (k, k) probability that the state of the row has the column's label.
        start: (k,) shares of the states where tracks start.
    """

    rates: Float[ndarray, "*chain cls cls"]
    confusion: Float[ndarray, "*chain cls cls"]
    start: Float[ndarray, "*chain cls"]


class Counts(NamedTuple):
    """As `hidden_markov.Times`, the chains, if there are more, along a first axis."""

    pairs: Float[ndarray, "*chain cls cls"]
    labelled: Float[ndarray, "*chain cls cls"]
    starts: Float[ndarray, "*chain cls"]


class Draws(NamedTuple):
    """Of the posterior.

    Attributes:
        rates: (chain, draw, k, k) per unit of time.
        jumps: (chain, draw, k, k) of all tracks.
        confusion: (chain, sweep, k, k).
    """

    rates: Float[ndarray, "chain draw cls cls"]
    jumps: Int[ndarray, "chain draw cls cls"]
    confusion: Float[ndarray, "chain sweep cls cls"]


@dataclasses.dataclass(frozen=True, eq=False)
class Prior:
    """What is taken for granted.

    Attributes:
        allowed: (k, k) which transitions may happen.
        labels: (k, k) labels of each state as if seen before (Dirichlet), that are
            added to those seen; None where the confusion is known.
        soft: Labels are told by probabilities.
        rate: Of each rate.
    """

    allowed: Bool[ndarray, "cls cls"]
    labels: Float[ndarray, "cls cls"] | None
    soft: bool = False
    rate: GammaPrior = GammaPrior()


@dataclasses.dataclass(frozen=True, eq=False)
class Mode:
    """Where the posterior, of the logarithms of all that is not known, is highest.

    Attributes:
        parameters: There.
        smoothed: (t, k, lane) each place's states given all of its track.
        history: Log posterior before each step.
        fastest: No state is left faster than this, events a unit of time.
    """

    parameters: Parameters
    smoothed: Float[ndarray, "place cls lane"]
    history: Float[ndarray, " step"]
    fastest: float


def find_mode(observed: Observed, start: Parameters, prior: Prior) -> Mode:
    """The mode nearest to a start, by expectation-maximization.

    Raises:
        DataError: What was seen is impossible.
    """
    now = start
    times, likelihood, smoothed = expect(observed, _one(now))
    _check_possible(observed, smoothed)
    history = [float(likelihood[0]) + log_prior(now, prior)]
    while len(history) < MOST_STEPS:
        now = _maximize(Counts(*(part[0] for part in _counts(times))), now, prior)
        times, likelihood, smoothed = expect(observed, _one(now))
        history.append(float(likelihood[0]) + log_prior(now, prior))
        if history[-1] - history[-2] < ENOUGH:
            break
    jumps, dwell = expected_jumps(now.rates, _counts(times).pairs[0])
    shape = (jumps + prior.rate.shape * prior.allowed).sum(1)
    fastest = 1.5 * ((shape + 4 * np.sqrt(shape)) / (dwell + prior.rate.time)).max()
    return Mode(
        now,
        np.asarray(smoothed)[:, :, 0],
        np.array(history),
        float(np.clip(fastest, 1.0, FASTEST)),
    )


def draw_parameters(
    observed: Observed,
    mode: Mode,
    prior: Prior,
    num_sweeps: int,
    num_chains: int,
    key: PRNGKey,
) -> Draws:
    """Draws of the posterior by Gibbs sampling, from the mode on.

    A sweep draws all states along all tracks, then several times the jumps between them
    and the rates, then all else, each given the others. A fifth more sweeps at the
    start are left out.

    Source: Fearnhead & Sherlock 2006, doi:10.1111/j.1467-9868.2006.00566.x.
    """
    idle = max(num_sweeps // 5, 10)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    now = Parameters(*(np.stack([part] * num_chains) for part in mode.parameters))
    kept = []
    for own in jax.random.split(key, idle + num_sweeps):
        times = _counts(draw(observed, as_chain(now), own, soft=prior.soft))
        pairs = times.pairs.astype(np.int64)
        rates, jumps = _redraw_rates(now.rates, pairs, mode.fastest, prior, rng)
        confusion = now.confusion
        if prior.labels is not None:
            confusion = _dirichlet(times.labelled + prior.labels, rng)
        now = Parameters(rates[-1], confusion, _dirichlet(times.starts + START, rng))
        kept.append((rates, jumps, confusion[None]))
    parts = zip(*kept[idle:], strict=True)
    return Draws(*(np.concatenate(part).swapaxes(0, 1) for part in parts))


def _redraw_rates(
    rates: Float[ndarray, "chain cls cls"],
    pairs: Int[ndarray, "chain cls cls"],
    bound: Number,
    prior: Prior,
    rng: np.random.Generator,
) -> tuple[Float[ndarray, "draw chain cls cls"], Int[ndarray, "draw chain cls cls"]]:
    """Rates and jumps given how often states follow each other."""
    kept = []
    for _ in range(INNER):
        rates, jumps = redraw(rates, bound, pairs, prior.allowed, prior.rate, rng)
        kept.append((rates, jumps))
    return np.stack([r for r, _ in kept]), np.stack([j for _, j in kept])


def _dirichlet(
    seen: Float[ndarray, "*row cls"], rng: np.random.Generator
) -> Float[ndarray, "*row cls"]:
    parts = np.maximum(rng.standard_gamma(seen), 1e-300)
    return parts / parts.sum(-1, keepdims=True)


def log_prior(parameters: Parameters, prior: Prior) -> float:
    """Of the logarithms of all parameters, without constants.

    The densities of logarithms have their modes where those of the parameters
    themselves have their means, which are there even if a transition is never seen.
    """
    rates = parameters.rates[prior.allowed]
    total = prior.rate.shape * np.log(rates).sum() - prior.rate.time * rates.sum()
    total += START * np.log(parameters.start).sum()
    if prior.labels is not None:
        total += (prior.labels * np.log(parameters.confusion)).sum()
    return float(total)


def as_chain(chains: Parameters) -> Chain:
    """Parameters of several chains, as `hidden_markov` takes them."""
    parts = (propagate(chains.rates), chains.confusion, chains.start)
    return Chain(*(jnp.asarray(np.moveaxis(p, 0, -1), jnp.float32) for p in parts))


def _one(chain: Parameters) -> Chain:
    return as_chain(Parameters(*(part[None] for part in chain)))


def _counts(times: Times) -> Counts:
    return Counts(*(np.moveaxis(np.asarray(p, np.float64), -1, 0) for p in times))


def _maximize(times: Counts, now: Parameters, prior: Prior) -> Parameters:
    rates = now.rates
    for _ in range(UPDATES):
        jumps, dwell = expected_jumps(rates, times.pairs)
        shape = jumps + prior.rate.shape
        rates = np.where(prior.allowed, shape / (dwell + prior.rate.time)[:, None], 0.0)
        np.fill_diagonal(rates, -rates.sum(1))
    confusion = now.confusion
    if prior.labels is not None:
        seen = times.labelled + prior.labels
        confusion = seen / seen.sum(1, keepdims=True)
    starts = times.starts + START
    return Parameters(rates, confusion, starts / starts.sum())


def _check_possible(observed: Observed, smoothed: jax.Array) -> None:
    sums = np.asarray(smoothed.sum(1))[:, 0]
    impossible = (sums < 0.5) & (np.asarray(observed.real) > 0)
    if impossible.any():
        raise DataError(
            f"expected labels that can follow each other; {int(impossible.sum())} rows"
            " are in tracks of which no states tell. Allow more transitions, or give a"
            " confusion without zeros."
        )
