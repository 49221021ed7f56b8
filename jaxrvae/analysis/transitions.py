"""How often structures turn into each other, from their states along tracks."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxrvae._checks import positive, whole
from jaxrvae._typing import Float, Int, Number, ndarray
from jaxrvae.analysis.jumps import stationary_shares
from jaxrvae.analysis.kinetics import (
    INNER,
    Draws,
    Parameters,
    Prior,
    draw_parameters,
    find_mode,
)
from jaxrvae.analysis.lanes import lay_out, sort_tracks
from jaxrvae.analysis.state_labels import count_pairs, read_labels

LEVEL = 0.9  # of all intervals
ENDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
RIGHT, WRONG = 10.0, 2.0  # labels of each state, as if seen before
MANY = 200_000  # rows in tracks: with more, one chain draws, and fewer times
NUM_DRAWS, FEW_DRAWS, NUM_CHAINS = 2000, 800, 4


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Transitions:
    """Rates between k states: from the state of the row to that of the column.

    Rates are per second, where `dt` was in seconds. Intervals hold 90 % of the
    posterior; their two ends are along the first axis.

    Attributes:
        dt: Time from frame to frame.
        counts: (k, k) pairs of rows that follow each other in a track, by their labels.
        naive_rates: (k, k) counts over the time in the state before: flicker counts.
        naive_interval: (2, k, k) of them, were all labels right.
        rates: (k, k) posterior mean of the generator; rows sum to 0.
        rates_std: (k, k).
        rates_interval: (2, k, k). The lower end is 0 where more than 5 % of the draws
            do without any such transition.
        stationary: (k,) shares of the states in the long run.
        stationary_interval: (2, k).
        lifetimes: (k,) median of the mean time in a state; infinite if never left.
        lifetimes_interval: (2, k).
        confusion: (k, k) probability that the state of the row has the column's label.
        smoothed: (n,) likeliest state of each row given all of its track; the label
            where there is no track, -1 where there is neither.
        probabilities: (n, k) of the states of each row.
        draws: (draw, k, k) of the rates.
        effective: As many independent draws would tell the rates as well, at least.
        history: Log posterior before each step towards its mode.
    """

    dt: Number
    counts: Int[ndarray, "cls cls"]
    naive_rates: Float[ndarray, "cls cls"]
    naive_interval: Float[ndarray, "two cls cls"]
    rates: Float[ndarray, "cls cls"]
    rates_std: Float[ndarray, "cls cls"]
    rates_interval: Float[ndarray, "two cls cls"]
    stationary: Float[ndarray, " cls"]
    stationary_interval: Float[ndarray, "two cls"]
    lifetimes: Float[ndarray, " cls"]
    lifetimes_interval: Float[ndarray, "two cls"]
    confusion: Float[ndarray, "cls cls"]
    smoothed: Int[ndarray, " n"]
    probabilities: Float[ndarray, "n cls"]
    draws: Float[ndarray, "draw cls cls"]
    effective: float
    history: Float[ndarray, " step"]

    def to_dataframe(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """A row for every two states.

        Columns: before, after (names, or numbers); count; naive_rate, naive_low,
        naive_high; rate, rate_std, rate_low, rate_high.
        """
        k = len(self.rates)
        if names is not None and len(names) != k:
            raise ValueError(f"names must be {k}, one a state; got {len(names)}.")
        label = np.arange(k) if names is None else np.asarray(names)
        at = np.nonzero(~np.eye(k, dtype=bool))
        return pd.DataFrame(
            {
                "before": label[at[0]],
                "after": label[at[1]],
                "count": self.counts[at],
                "naive_rate": self.naive_rates[at],
                "naive_low": self.naive_interval[0][at],
                "naive_high": self.naive_interval[1][at],
                "rate": self.rates[at],
                "rate_std": self.rates_std[at],
                "rate_low": self.rates_interval[0][at],
                "rate_high": self.rates_interval[1][at],
            }
        )


def find_transitions(
    labels: ndarray,
    tracks: ndarray,
    frames: ndarray,
    *,
    dt: Number = 1.0,
    num_states: int | None = None,
    confusion: ndarray | None = None,
    allowed: ndarray | None = None,
    hidden: bool = True,
    num_samples: int | None = None,
    seed: int = 0,
) -> Transitions:
    """Rates of the transitions between states, without those that wrong labels feign.

    The states along a track follow a continuous-time Markov chain; the label of a frame
    depends on the state there alone, by a confusion matrix. Frames that a track lacks
    are summed over. Before any data, each rate has a gamma distribution, as if half a
    transition had been seen in the time of one frame. Tracks are taken to be
    independent: of atoms that change together, such as both of a bond that turns, keep
    one, or intervals are too narrow. Cost grows with rows, and with the longest track.

    Args:
        labels: (n,) state of each row, from 0; -1: not known. Or (n, k) probabilities,
            NaN where not known.
        tracks: (n,) number of each row's track; -1: none.
        frames: (n,) number of each row's frame. A track ends before a gap of more than
            50, and is cut after 4096.
        dt: Time from frame to frame.
        num_states: Without it, one more than the highest label.
        confusion: (k, k) probability that the state of the row has the label of the
            column. Without it, it is learnt, as if of 12 labels of each state seen
            before, 10 had been right: so probabilities may be too sure. Those to be
            taken at their word need `numpy.eye(k)`.
        allowed: (k, k) which transitions may happen; without it, all.
        hidden: Without, all labels are taken to be right.
        num_samples: Of the posterior, not all independent; 2000, or 800 where more than
            200,000 rows are in tracks.
        seed: Of the draws.

    Raises:
        ValueError: Arguments that do not fit each other.
        DataError: Two rows of a track in a frame; no track of two rows; labels that
            are impossible.

    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat(rng.integers(0, 2, 100), 10)  # changes every 20 frames
    >>> rows = np.arange(1000)
    >>> found = find_transitions(labels, rows // 100, rows % 100, num_samples=50)
    >>> bool(0.03 < found.rates[0, 1] < 0.08), found.smoothed.shape
    (True, (1000,))
    """
    positive("dt", dt)
    if num_samples is not None:
        whole("num_samples", num_samples, 20, "Intervals need so many.")
    evidence, known = read_labels(labels, num_states)
    n, k = evidence.shape
    in_tracks = sort_tracks(
        _numbers("tracks", tracks, n), _numbers("frames", frames, n)
    )
    guess = np.where(known, evidence.argmax(1), -1)
    if not hidden:
        evidence[known] = np.eye(k, dtype=np.float32)[guess[known]]
    taken, prior = _taken(labels, confusion, allowed, hidden, k)
    counts, dwell = count_pairs(guess, in_tracks, k)
    rows = in_tracks.rows
    observed, place, lane = lay_out(evidence[rows], known[rows], in_tracks)
    mode = find_mode(observed, _start(counts, dwell, taken, prior), prior)
    chains = 1 if len(rows) > MANY else NUM_CHAINS
    num_samples = num_samples or (FEW_DRAWS if len(rows) > MANY else NUM_DRAWS)
    sweeps = -(-num_samples // (chains * INNER))
    key = jax.random.key(seed)
    found = draw_parameters(observed, mode, prior, sweeps, chains, key)
    probabilities = evidence / evidence.sum(1, keepdims=True)
    probabilities[rows] = mode.smoothed[place, :, lane]
    smoothed = np.where(known, guess, -1)
    smoothed[rows] = probabilities[rows].argmax(1)
    unit = float(dt) * in_tracks.unit
    return Transitions(
        dt=dt,
        counts=counts,
        **_naive(counts, dwell, prior, unit),
        **_summary(found, unit),
        smoothed=smoothed,
        probabilities=probabilities,
        history=mode.history,
    )


def wrong_now_and_then(num_states: int) -> Float[ndarray, "cls cls"]:
    """Labels of each state as if seen before any data: right ones, and some others.

    >>> wrong_now_and_then(3).tolist()
    [[10.0, 1.0, 1.0], [1.0, 10.0, 1.0], [1.0, 1.0, 10.0]]
    """
    others = WRONG / (num_states - 1)
    return np.full((num_states, num_states), others) + (RIGHT - others) * np.eye(
        num_states
    )


def _numbers(name: str, values: ndarray, number: int) -> Int[ndarray, " n"]:
    values = np.asarray(values)
    if values.shape != (number,) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"{name} must be {number} whole numbers, one a row of labels; got"
            f" {values.dtype} {values.shape}."
        )
    return values.astype(np.int64)


def _taken(
    labels: ndarray,
    confusion: ndarray | None,
    allowed: ndarray | None,
    hidden: bool,
    k: int,
) -> tuple[Float[ndarray, "cls cls"], Prior]:
    """The confusion, or a first guess of it, and what is taken for granted."""
    if allowed is None:
        allowed = np.ones((k, k), bool)
    if np.shape(allowed) != (k, k):
        raise ValueError(f"allowed must be ({k}, {k}); got {np.shape(allowed)}.")
    allowed = np.asarray(allowed, bool) & ~np.eye(k, dtype=bool)
    if not hidden:
        return np.eye(k), Prior(allowed, None)
    if confusion is None:
        seen = wrong_now_and_then(k)
        soft = np.ndim(labels) == 2
        return seen / seen.sum(1, keepdims=True), Prior(allowed, seen, soft)
    confusion = np.asarray(confusion, np.float64)
    fits = confusion.shape == (k, k) and (confusion >= 0).all()
    if not fits or np.abs(confusion.sum(1) - 1).max() > 1e-3:
        raise ValueError(
            f"confusion must be ({k}, {k}) with rows that sum to 1; got"
            f" {confusion.tolist()}. Divide each row by its sum."
        )
    return confusion, Prior(allowed, None)


def _start(
    counts: Int[ndarray, "cls cls"],
    dwell: Float[ndarray, " cls"],
    confusion: Float[ndarray, "cls cls"],
    prior: Prior,
) -> Parameters:
    """Half of what is counted, as flicker counts too."""
    rates = 0.5 * (counts + 0.5) / (dwell + 1)[:, None] * prior.allowed
    np.fill_diagonal(rates, -rates.sum(1))
    return Parameters(rates, confusion, np.full(len(counts), 1 / len(counts)))


def _naive(
    counts: Int[ndarray, "cls cls"],
    dwell: Float[ndarray, " cls"],
    prior: Prior,
    unit: float,
) -> dict[str, ndarray]:
    """Counts over times, and the gamma posterior of each."""
    from scipy.special import gammaincinv

    times = (dwell + prior.rate.time)[:, None] * unit
    jumps = counts * ~np.eye(len(counts), dtype=bool)
    shape = jumps + prior.rate.shape
    ends = np.stack([gammaincinv(shape, end) / times for end in ENDS])
    ends[:, np.eye(len(counts), dtype=bool)] = np.nan
    ends[0, jumps == 0] = 0.0
    return {
        "naive_rates": jumps / np.maximum(dwell * unit, unit)[:, None],
        "naive_interval": ends,
    }


def _summary(found: Draws, unit: float) -> dict[str, Any]:
    """Means and intervals of the draws, in units of time."""
    from numpyro.diagnostics import effective_sample_size

    k = found.rates.shape[-1]
    by_chain = found.rates / unit
    draws = by_chain.reshape(-1, k, k)
    interval = np.quantile(draws, ENDS, axis=0)
    never = (found.jumps == 0).mean((0, 1)) > ENDS[0]
    interval[0, never & ~np.eye(k, dtype=bool)] = 0.0
    shares = stationary_shares(draws)
    out = np.quantile(-np.diagonal(draws, axis1=1, axis2=2), (0.5, *ENDS[::-1]), axis=0)
    times = np.divide(1, out, out=np.full_like(out, np.inf), where=out > 0)
    off = by_chain[..., ~np.eye(k, dtype=bool)]
    moving = off.std((0, 1)) > 0
    effective = effective_sample_size(np.log(off[..., moving])) if moving.any() else 0
    return {
        "rates": draws.mean(0),
        "rates_std": draws.std(0),
        "rates_interval": interval,
        "stationary": shares.mean(0),
        "stationary_interval": np.quantile(shares, ENDS, axis=0),
        "lifetimes": times[0],
        "lifetimes_interval": times[1:],
        "confusion": found.confusion.mean((0, 1)),
        "draws": draws,
        "effective": float(np.min(effective)),
    }
