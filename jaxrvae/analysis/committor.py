"""Which of two ends a state goes to first, and how long it takes."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from jaxrvae._typing import Bool, Float, Int, ndarray
from jaxrvae.analysis.transitions import ENDS, Transitions


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Committor:
    """From each of k states to the target, or back to the source.

    Intervals hold 90 % of the posterior, their two ends first; without draws of the
    rates both ends are the value itself.

    Attributes:
        source: States that it starts from.
        target: States that it goes to.
        committor: (k,) probability to come to the target before the source: 0 in the
            source, 1 in the target; NaN where neither is ever reached.
        committor_interval: (2, k).
        passage_time: (k,) mean time until the target is reached, in the rates' unit of
            time; infinite where it may never be.
        passage_interval: (2, k).
    """

    source: Int[ndarray, " source"]
    target: Int[ndarray, " target"]
    committor: Float[ndarray, " cls"]
    committor_interval: Float[ndarray, "two cls"]
    passage_time: Float[ndarray, " cls"]
    passage_interval: Float[ndarray, "two cls"]

    def to_dataframe(self) -> pd.DataFrame:
        """A row a state: state, committor, passage_time, and both with _low, _high."""
        return pd.DataFrame(
            {
                "state": np.arange(len(self.committor)),
                "committor": self.committor,
                "committor_low": self.committor_interval[0],
                "committor_high": self.committor_interval[1],
                "passage_time": self.passage_time,
                "passage_time_low": self.passage_interval[0],
                "passage_time_high": self.passage_interval[1],
            }
        )


def find_committor(
    rates: Transitions | ndarray,
    source: int | Sequence[int],
    target: int | Sequence[int],
) -> Committor:
    """Probability of each state to come to the target first, and mean passage times.

    Args:
        rates: What `find_transitions` gives, or a generator (k, k), or draws of it
            (draw, k, k): rates from the state of the row, rows that sum to 0.
        source: A state, or several.
        target: Others.

    Raises:
        ValueError: States that are not there, or in both; no generator.

    Source: Metzner, Schuette & Vanden-Eijnden 2009, doi:10.1137/070699500, section 2.

    >>> chain = np.array([[-1.0, 1.0, 0.0], [3.0, -4.0, 1.0], [0.0, 2.0, -2.0]])
    >>> found = find_committor(chain, source=0, target=2)
    >>> found.committor.tolist(), found.passage_time.round(6).tolist()
    ([0.0, 0.25, 1.0], [5.0, 4.0, 0.0])
    """
    draws = rates.draws if isinstance(rates, Transitions) else _generators(rates)
    k = draws.shape[-1]
    ends = [_states(name, s, k) for name, s in (("source", source), ("target", target))]
    both = np.intersect1d(ends[0], ends[1])
    if len(both):
        raise ValueError(
            f"source and target must differ; states {both.tolist()} are in both."
        )
    first, last = (np.isin(np.arange(k), end) for end in ends)
    committor, times = _committors(draws, first, last), _passages(draws, last)
    return Committor(
        source=ends[0],
        target=ends[1],
        committor=np.quantile(committor, 0.5, axis=0),
        committor_interval=np.quantile(committor, ENDS, axis=0),
        passage_time=_middle(times, 0.5),
        passage_interval=np.stack([_middle(times, end) for end in ENDS]),
    )


def _committors(
    draws: Float[ndarray, "draw cls cls"],
    source: Bool[ndarray, " cls"],
    target: Bool[ndarray, " cls"],
) -> Float[ndarray, "draw cls"]:
    ended = source | target
    lost = ~_reach(draws, ended) & ~ended
    found = _solve(draws, ended | lost, target.astype(float))
    found = np.where(ended, target, np.clip(found, 0.0, 1.0))  # free of rounding
    return np.where(lost, np.nan, found)


def _passages(
    draws: Float[ndarray, "draw cls cls"], target: Bool[ndarray, " cls"]
) -> Float[ndarray, "draw cls"]:
    open_ = np.where(target[:, None], 0.0, draws)  # what follows does not matter
    lost = ~_reach(open_, target) & ~target
    never = lost | _reach(open_, lost)
    found = _solve(draws, target | never, np.where(target, 0.0, -1.0))
    return np.where(never & ~target, np.inf, found)


def _solve(
    draws: Float[ndarray, "draw cls cls"],
    fixed: Bool[ndarray, "*draw cls"],
    right: Float[ndarray, " cls"],
) -> Float[ndarray, "draw cls"]:
    """Values that the rates carry to the right side, and that are it where fixed."""
    matrix = np.where(fixed[..., None], np.eye(draws.shape[-1]), draws)
    right = np.broadcast_to(right, draws.shape[:2])
    return np.linalg.solve(matrix, right[..., None])[..., 0]


def _reach(
    draws: Float[ndarray, "draw cls cls"], states: Bool[ndarray, "*draw cls"]
) -> Bool[ndarray, "draw cls"]:
    """Which states lead to any of some, in one jump or more."""
    k = draws.shape[-1]
    ways = (draws > 0) & ~np.eye(k, dtype=bool)
    found = np.broadcast_to(states, draws.shape[:2])
    for _ in range(k):
        found = found | (ways & found[:, None, :]).any(-1)
    return found


def _middle(times: Float[ndarray, "draw cls"], share: float) -> Float[ndarray, " cls"]:
    """Quantiles among values some of which may be infinite."""
    return np.quantile(times, share, axis=0, method="inverted_cdf")


def _generators(rates: ndarray) -> Float[ndarray, "draw cls cls"]:
    rates = np.asarray(rates, np.float64)
    draws = rates[None] if rates.ndim == 2 else rates
    if draws.ndim != 3 or draws.shape[1] != draws.shape[2] or not len(draws):
        raise ValueError(
            f"rates must be (k, k), or draws (draw, k, k); got {rates.shape}."
        )
    off = draws[:, ~np.eye(draws.shape[1], dtype=bool)]
    sums = np.abs(draws.sum(2)).max()
    if not np.isfinite(draws).all() or (off < 0).any() or sums > 1e-6 * draws.max():
        raise ValueError(
            "rates must be >= 0 off the diagonal, in rows that sum to 0; these are not."
            " Set each diagonal entry to minus the sum of the others."
        )
    return draws


def _states(name: str, states: int | Sequence[int], k: int) -> Int[ndarray, " state"]:
    found = np.unique(np.atleast_1d(np.asarray(states)))
    if not len(found) or not np.issubdtype(found.dtype, np.integer):
        raise ValueError(f"{name} must be a state or several; got {states!r}.")
    if found[0] < 0 or found[-1] >= k:
        raise ValueError(f"{name} must be states from 0 to {k - 1}; got {states!r}.")
    return found
