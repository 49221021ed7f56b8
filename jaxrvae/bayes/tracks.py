"""Content along tracks: a random walk, or an Ornstein-Uhlenbeck process.

Both are chains in continuous time, whose precision matrix has three diagonals, however
many frames a track is missing in: smoothing and evidence are exact, by one banded
Cholesky factor of all tracks together.
"""

import dataclasses
from typing import Any

import numpy as np

from jaxrvae._checks import DataError, one_of
from jaxrvae._typing import Bool, Float, Int, Number, ndarray
from jaxrvae.bayes.content import (
    LEAST,
    MOST,
    Seen,
    Shared,
    most_likely,
    one_each,
    seen_alone,
    shared_means,
    sums,
)

PROCESSES = ("walk", "ornstein-uhlenbeck")
SHORTEST, LONGEST = 0.2, 20.0  # of times, per shortest step and longest track


@dataclasses.dataclass(frozen=True, eq=False)
class TrackContent:
    """Contents given their track.

    Attributes:
        content, content_std: (n, d).
        std: (d,) of the walk's step in one frame's time; or of the content about its
            track's mean.
        time: (d,) frames in which it forgets where it was, to 1/e; inf for a walk.
        level, between: (d,) mean and standard deviation, over tracks, of their means; a
            walk's, of where they start.
        nats: (d,) log evidence, but for a constant that is the same for both processes.
    """

    content: ndarray
    content_std: ndarray
    std: ndarray
    time: ndarray
    level: ndarray
    between: ndarray
    nats: ndarray


def follow_content(
    latents: Any,
    track: Any,
    frame: Any,
    process: str = "walk",
    prior_std: Number = 1.0,
) -> TrackContent:
    """Contents along tracks, smoothed from both sides.

    Args:
        latents: Of `encode`; or content and content_std, (n, d) each.
        track, frame: (n,) of every patch; a track has one patch a frame. Frames may be
            any times.
        process: "walk", whose variance grows with time; "ornstein-uhlenbeck", which is
            drawn back to the track's own mean.
        prior_std: As `pool_content` takes it.

    Raises:
        DataError: If the arrays do not go together, or no track has two patches.

    Source: Rauch, Tung & Striebel 1965, AIAA J. 3, 1445; Uhlenbeck & Ornstein 1930,
    Phys. Rev. 36, 823; Rue & Held 2005, Gaussian Markov Random Fields, 2.4.
    """
    one_of("process", process, PROCESSES)
    seen = seen_alone(latents, prior_std)
    track = one_each("track", track, len(seen))
    frame = one_each("frame", frame, len(seen))
    order, first, gap = in_order(track, frame)
    number = np.cumsum(first) - 1
    if len(order) == first.sum():
        raise DataError("track: none has two patches; link the positions first.")
    parts = []
    for i in range(seen.precision.shape[1]):
        own = seen.of((order, i))
        chain = _Chain(own, first, gap, number, process == "walk")
        parts.append(chain.smoothed())
    content, std, *learned = zip(*parts, strict=True)
    back = np.argsort(order)
    arrays = [np.stack(part, 1)[back] for part in (content, std)]
    return TrackContent(*arrays, *(np.array(part) for part in learned))


def in_order(
    track: ndarray, frame: ndarray
) -> tuple[Int[ndarray, " n"], Bool[ndarray, " n"], Float[ndarray, " n"]]:
    """Rows, track by track in time; which are a track's first; the time since.

    Raises:
        DataError: If a track has two patches in a frame, or a frame is not finite.
    """
    if not np.isfinite(np.asarray(frame, np.float64)).all():
        raise DataError("frame must be finite; leave the other patches out.")
    _, label = np.unique(track, return_inverse=True)
    order = np.lexsort((frame, label))
    first = np.diff(label[order], prepend=-1) != 0
    gap = np.diff(np.asarray(frame, np.float64)[order], prepend=0.0)
    again = np.flatnonzero(~first & (gap <= 0))
    if len(again):
        row = order[again[0]]
        raise DataError(
            f"track {track[row]} has two patches in frame {frame[row]}; link the"
            " positions again, or drop one."
        )
    return order, first, np.where(first, 1.0, gap)


@dataclasses.dataclass(frozen=True, eq=False)
class _Chain:
    """One content number of all tracks, one after the other."""

    seen: Seen
    first: ndarray
    gap: ndarray
    number: ndarray  # of the track
    walks: bool

    def smoothed(self) -> tuple[ndarray, ndarray, float, float, float, float, float]:
        """Content, its std; the process's std and time, level, between, nats."""
        learned = self._learned()
        shared, solved, nats = self._solved(learned)
        index = 0 if self.walks else self.number
        mean, of_mean = shared.mean[index], shared.variance[index]
        rest = 1 - solved[:, 1]
        content = solved[:, 0] + mean * rest
        std = np.sqrt(self._variance(learned) + of_mean * rest**2)
        time = np.inf if self.walks else learned[2]
        return content, std, learned[0], time, shared.level, learned[1], nats

    def _learned(self) -> Float[ndarray, " number"]:
        """Std of the process, spread between tracks, and time but for a walk."""
        starts = [(s, b) for s in (0.03, 0.1, 0.3, 1.0) for b in (0.1, 0.5, 1.5)]
        bounds = [(LEAST, MOST)] * 2
        if not self.walks:
            shortest = self.gap[~self.first].min()
            length = np.bincount(self.number, np.where(self.first, 0.0, self.gap)).max()
            bounds += [(SHORTEST * shortest, LONGEST * length)]
            times = shortest * np.array([0.5, 2.0, 8.0, 32.0])
            starts = [(*start, time) for start in starts for time in times]
        return most_likely(lambda v: self._solved(v)[2], starts, bounds)

    def _prior(
        self, learned: Float[ndarray, " number"]
    ) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """How much of the one before each has, and the variance that is added."""
        std, between = learned[:2]
        if self.walks:
            kept = np.where(self.first, 0.0, 1.0)
            return kept, np.where(self.first, between**2, std**2 * self.gap)
        away = self.gap / learned[2]
        kept = np.where(self.first, 0.0, np.exp(-away))
        added = std**2 * np.where(self.first, 1.0, -np.expm1(-2 * away))
        return kept, added

    def _diagonals(
        self, learned: Float[ndarray, " number"]
    ) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"], float]:
        """Of the posterior's precision: middle, and below; half log det of prior's."""
        kept, added = self._prior(learned)
        back = np.append(kept[1:] / added[1:], 0.0)
        middle = self.seen.precision + 1 / added + np.append(kept[1:], 0.0) * back
        return middle, -back, -0.5 * float(np.log(added).sum())

    def _solved(
        self, learned: Float[ndarray, " number"]
    ) -> tuple[Shared, Float[ndarray, "n 2"], float]:
        """Means that are shared; what is seen, and ones, smoothed; log evidence."""
        from scipy.linalg import cho_solve_banded, cholesky_banded

        middle, below, nats = self._diagonals(learned)
        precision, weighted = self.seen.precision, self.seen.weighted
        factor = cholesky_banded(np.stack([middle, below]), lower=True)
        both = np.stack([weighted, precision], axis=1)
        solved = cho_solve_banded((factor, True), both)
        rest = Seen(
            np.maximum(precision * (1 - solved[:, 1]), 0.0),
            weighted - precision * solved[:, 0],
        )
        index = np.zeros_like(self.number) if self.walks else self.number
        shared = shared_means(sums(rest, index), 0.0 if self.walks else learned[1])
        nats += 0.5 * float(weighted @ solved[:, 0])
        return shared, solved, nats + shared.nats - float(np.log(factor[0]).sum())

    def _variance(self, learned: Float[ndarray, " number"]) -> Float[ndarray, " n"]:
        """Given the means: from the pivots from left and right, and the middle."""
        from scipy.linalg import cholesky_banded

        middle, below, _ = self._diagonals(learned)
        mirrored = np.append(below[-2::-1], 0.0)
        left = cholesky_banded(np.stack([middle, below]), lower=True)[0]
        right = cholesky_banded(np.stack([middle[::-1], mirrored]), lower=True)[0]
        return 1 / (np.square(left) + np.square(right[::-1]) - middle)
