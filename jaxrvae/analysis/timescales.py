"""Whether states forget their past: relaxation times, from lag to lag."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive, whole
from jaxrvae._typing import Float, Int, Number, ndarray
from jaxrvae.analysis.lanes import Tracks, sort_tracks
from jaxrvae.analysis.state_labels import read_labels
from jaxrvae.analysis.transitions import ENDS, Transitions, find_transitions

NUM_RESAMPLES = 200


def implied_timescales(
    labels: ndarray,
    tracks: ndarray,
    frames: ndarray,
    lags: Sequence[int] = (1, 2, 3, 5, 8),
    *,
    dt: Number = 1.0,
    num_states: int | None = None,
    confusion: ndarray | None = None,
    num_samples: int | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Relaxation times of the chain of states, by counts and by the hidden model.

    Where the states alone decide what comes next and labels are right, the times are
    the same at every lag. Wrong labels make those by counts rise with the lag; those of
    the hidden model stay. If these rise too, a state hides several.

    Columns: lag (frames), time (lag x dt), process (1 is the slowest), counted,
    counted_low, counted_high, hidden, hidden_low, hidden_high; times are in units of
    dt, intervals hold 90 %. Counts take all rows a lag apart, their intervals come from
    tracks drawn anew; the hidden model is fitted to every lag-th frame of each track.

    Args:
        labels: As for `find_transitions`, and so are tracks, frames and the rest.
        tracks: Number of each row's track; -1: none.
        frames: Number of each row's frame.
        lags: Frames.
        dt: Time from frame to frame.
        num_states: Without it, one more than the highest label.
        confusion: Of states and labels; learnt without it.
        num_samples: Of each posterior.
        seed: Of all that is random.

    Raises:
        DataError: No rows so far apart in any track.

    Source: Swope, Pitera & Suits 2004, doi:10.1021/jp037421y, equation 37.

    >>> rng = np.random.default_rng(0)
    >>> labels = np.repeat(rng.integers(0, 2, 100), 10)
    >>> rows = np.arange(1000)
    >>> found = implied_timescales(labels, rows // 100, rows % 100, [1], num_samples=50)
    >>> found["process"].tolist(), bool(5 < found["hidden"][0] < 20)
    ([1], True)
    """
    positive("dt", dt)
    lags = list(lags)
    for lag in lags:
        whole("lags", lag, 1, "They are in frames.")
    evidence, known = read_labels(labels, num_states)
    k = evidence.shape[1]
    guess = np.where(known, evidence.argmax(1), -1)
    labels, tracks, frames = (np.asarray(part) for part in (labels, tracks, frames))
    in_tracks = sort_tracks(tracks, frames)
    tables = []
    for lag in lags:
        counted = _counted(_pairs(guess, in_tracks, lag, k), lag * float(dt), seed)
        rows = _every(in_tracks, lag)
        found = find_transitions(
            labels[rows], tracks[rows], frames[rows], dt=dt, num_states=k,
            confusion=confusion, num_samples=num_samples, seed=seed,
        )  # fmt: skip
        table = {"lag": lag, "time": lag * float(dt), "process": np.arange(1, k)}
        for name, parts in (("counted", counted), ("hidden", _hidden(found))):
            for end, part in zip(("", "_low", "_high"), parts, strict=True):
                table[name + end] = part
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def relaxation_times(
    rates: Float[ndarray, "*draw cls cls"],
) -> Float[ndarray, "*draw process"]:
    """Times of a generator's relaxations, the slowest first.

    >>> relaxation_times(np.array([[-1.0, 1.0], [3.0, -3.0]])).tolist()
    [0.25]
    """
    decay = np.sort(-np.linalg.eigvals(rates).real, axis=-1)[..., 1:]
    return 1 / np.maximum(decay, 1e-300)


def _pairs(
    labels: Int[ndarray, " n"], tracks: Tracks, lag: int, k: int
) -> Float[ndarray, "piece cls cls"]:
    """Rows of known label a lag apart, by track."""
    kept = labels[tracks.rows] >= 0
    label, piece = labels[tracks.rows][kept], tracks.piece[kept]
    where = piece * (tracks.place.max() + lag + 1) + tracks.place[kept]
    units = lag / tracks.unit
    after = np.searchsorted(where, where + units)
    there = np.append(where, -1)[after] == where + units
    if not there.any():
        raise DataError(
            f"expected rows {lag} frames apart in a track; there are none. Take shorter"
            f" lags, in multiples of {tracks.unit}."
        )
    code = piece[there] * k**2 + label[there] * k + label[after[there]]
    size = (int(tracks.piece.max()) + 1) * k**2
    return np.bincount(code, minlength=size).reshape(-1, k, k).astype(float)


def _counted(
    pairs: Float[ndarray, "piece cls cls"], time: float, seed: int
) -> Float[ndarray, "three process"]:
    """Value and interval, from tracks drawn anew."""
    number = len(pairs)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(number, np.full(number, 1 / number), NUM_RESAMPLES)
    all_once = np.concatenate([np.ones((1, number)), weights])
    sums = np.tensordot(all_once, pairs, axes=1)
    sums += 1e-9 * np.eye(pairs.shape[1])  # a state never seen stays
    step = sums / sums.sum(-1, keepdims=True)
    size = np.sort(np.abs(np.linalg.eigvals(step)), axis=-1)[..., -2::-1]
    times = -time / np.log(np.clip(size, 1e-300, 1 - 1e-12))
    return np.stack([times[0], *np.quantile(times[1:], ENDS, axis=0)])


def _hidden(found: Transitions) -> Float[ndarray, "three process"]:
    return np.quantile(relaxation_times(found.draws), (0.5, *ENDS), axis=0)


def _every(tracks: Tracks, lag: int) -> Int[ndarray, " m"]:
    """Rows of every lag-th frame of each track, from its first on."""
    return np.sort(tracks.rows[tracks.place * tracks.unit % lag == 0])
