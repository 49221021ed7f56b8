"""States of a table's rows, as labels or as probabilities, for chains of them."""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, whole
from jaxrvae._typing import Bool, Float, Int, ndarray
from jaxrvae.analysis.lanes import Tracks

MOST_STATES = 20
OFF = 1e-3  # from 1, of sums of probabilities


def read_labels(
    labels: ndarray, num_states: int | None = None
) -> tuple[Float[ndarray, "n cls"], Bool[ndarray, " n"]]:
    """Likelihood of what is seen in each row, by label, and rows that have a label.

    The likelihood is 1 for the label and 0 for others; that of probabilities is their
    ratio to their mean, which is what the classifier had taken each state's share to
    be. It is 1 throughout where nothing is known.

    Args:
        labels: (n,) from 0, or -1; or (n, k) probabilities, NaN where not known.
        num_states: Without it, one more than the highest label.

    >>> evidence, known = read_labels(np.array([1, 0, -1]))
    >>> evidence.tolist(), known.tolist()
    ([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [True, True, False])
    """
    labels = np.asarray(labels)
    if labels.ndim == 2:
        return _soft(labels, num_states)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            "labels must be whole numbers (n,) or probabilities (n, k); got"
            f" {labels.dtype} {labels.shape}. Use -1 where the state is not known."
        )
    labels = labels.astype(np.int64)
    most = int(labels.max(initial=-1))
    num_states = most + 1 if num_states is None else num_states
    _check_number(num_states)
    if len(labels) and (labels.min() < -1 or most >= num_states):
        bad = int(np.argmax((labels < -1) | (labels >= num_states)))
        raise DataError(
            f"expected labels from 0 to {num_states - 1}, or -1; row {bad} has"
            f" {labels[bad]}. Give num_states, or number the states from 0 on."
        )
    known = labels >= 0
    evidence = np.ones((len(labels), num_states), np.float32)
    evidence[known] = np.eye(num_states, dtype=np.float32)[labels[known]]
    return evidence, known


def count_pairs(
    labels: Int[ndarray, " n"], tracks: Tracks, num_states: int
) -> tuple[Int[ndarray, "cls cls"], Float[ndarray, " cls"]]:
    """Known rows that follow each other in a track, and the time in the first of each.

    Args:
        labels: Of all rows; -1: not known.
        tracks: From `sort_tracks`; the time is in its units.
        num_states: How many.
    """
    seen = labels[tracks.rows] >= 0
    label, piece = labels[tracks.rows][seen], tracks.piece[seen]
    lag = np.diff(tracks.place[seen])
    same = np.diff(piece) == 0
    code = (label[:-1] * num_states + label[1:])[same]
    counts = np.bincount(code, minlength=num_states**2).reshape(num_states, -1)
    dwell = np.bincount(label[:-1][same], lag[same], num_states)
    return counts, dwell


def list_changes(
    states: Int[ndarray, " n"], tracks: Int[ndarray, " n"], frames: Int[ndarray, " n"]
) -> pd.DataFrame:
    """A row for every time that a track is in another state than it was seen in before.

    Columns: track, frame (the first in the new state), elapsed (frames since it was
    seen in the old one), before, after, row (of the table, the first in the new state).

    Args:
        states: Such as `Transitions.smoothed`; rows with -1 are passed over.
        tracks: Number of each row's track; -1: none.
        frames: Number of each row's frame.

    >>> found = list_changes(np.array([0, 1, -1, 0]), np.zeros(4, int), np.arange(4))
    >>> found[["frame", "elapsed", "before", "after"]].to_numpy().tolist()
    [[1, 1, 0, 1], [3, 2, 1, 0]]
    """
    rows = np.lexsort((frames, tracks))
    rows = rows[(tracks[rows] >= 0) & (states[rows] >= 0)]
    old, new = rows[:-1], rows[1:]
    went = (tracks[old] == tracks[new]) & (states[old] != states[new])
    old, new = old[went], new[went]
    return pd.DataFrame(
        {
            "track": tracks[new],
            "frame": frames[new],
            "elapsed": frames[new] - frames[old],
            "before": states[old],
            "after": states[new],
            "row": new,
        }
    )


def _soft(
    given: ndarray, num_states: int | None
) -> tuple[Float[ndarray, "n cls"], Bool[ndarray, " n"]]:
    known = np.asarray(np.isfinite(given).all(axis=1))
    _check_number(given.shape[1])
    if num_states not in (None, given.shape[1]):
        raise ValueError(
            f"num_states must be that of the probabilities, {given.shape[1]}; got"
            f" {num_states!r}."
        )
    sums = given[known].sum(axis=1)
    wrong = (np.abs(sums - 1) > OFF) | (given[known] < 0).any(axis=1)
    if wrong.any():
        bad = int(np.flatnonzero(known)[np.argmax(wrong)])
        raise DataError(
            f"expected probabilities >= 0 that sum to 1; {int(wrong.sum())} rows have"
            f" others, the first is {bad}. Divide each row by its sum."
        )
    share = given[known].mean(axis=0) if known.any() else np.ones(given.shape[1])
    ratio = given / np.where(share > 0, share, 1.0)
    evidence = np.ones(given.shape, np.float32)
    evidence[known] = (ratio / ratio.max(axis=1, keepdims=True))[known]
    return evidence, known


def _check_number(num_states: int) -> None:
    whole("num_states", num_states, 2, "Rates need two states or more.")
    if num_states > MOST_STATES:
        raise ValueError(
            f"num_states must be at most {MOST_STATES}; got {num_states}. Merge states,"
            " or number them from 0 on without gaps."
        )
