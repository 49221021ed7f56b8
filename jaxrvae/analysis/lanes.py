"""Rows of a table, sorted into tracks, laid one behind the other in lanes."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from jaxrvae._checks import DataError
from jaxrvae._typing import Bool, Float, Int, ndarray
from jaxrvae.analysis.hidden_markov import Observed

MOST_GAP = 50  # units; a longer gap ends a track, and what follows is another one
LONGEST = 4096  # units; longer tracks are cut, as steps are made one after the other
LANES = 4096  # from so many on, tracks are laid one behind the other
MOST_BEHIND = 4  # of the longest


@dataclasses.dataclass(frozen=True, eq=False)
class Tracks:
    """Rows that belong to tracks, sorted by track and frame.

    Attributes:
        rows: (m,) which rows of the table they are.
        piece: (m,) number of the track, or of a piece of it.
        place: (m,) time since its first row, in units.
        unit: Frames in a unit of time: the largest that divides all gaps.
    """

    rows: Int[ndarray, " m"]
    piece: Int[ndarray, " m"]
    place: Int[ndarray, " m"]
    unit: int

    @property
    def length(self) -> Int[ndarray, " piece"]:
        """Units of time from the first to the last row of each, both counted."""
        ends = np.append(np.flatnonzero(np.diff(self.piece)), len(self.piece) - 1)
        return self.place[ends] + 1


def sort_tracks(
    tracks: Int[ndarray, " n"],
    frames: Int[ndarray, " n"],
    most_gap: int = MOST_GAP,
    longest: int = LONGEST,
) -> Tracks:
    """Rows by track and frame.

    Args:
        tracks: Number of each row's track; -1: none.
        frames: Not negative, and different within a track.
        most_gap: Units of time; a longer gap ends a track.
        longest: Units of time, too; longer tracks are cut.

    Raises:
        DataError: Two rows of a frame in one track; no track of two rows.

    >>> found = sort_tracks(np.array([5, -1, 5, 5]), np.array([4, 0, 0, 2]))
    >>> found.rows.tolist(), found.place.tolist(), found.unit
    ([2, 3, 0], [0, 1, 2], 2)
    """
    if (frames < 0).any():
        raise DataError(
            f"expected frames >= 0; {int((frames < 0).sum())} are not, the first in row"
            f" {int(np.argmax(frames < 0))}. Count frames from 0 on."
        )
    rows = np.lexsort((frames, tracks))
    rows = rows[tracks[rows] >= 0]
    same = np.diff(tracks[rows]) == 0
    lag = np.diff(frames[rows])
    if (same & (lag == 0)).any():
        where = rows[int(np.argmax(same & (lag == 0)))]
        raise DataError(
            f"expected one row a frame and track; track {tracks[where]} has more in"
            f" frame {frames[where]}. Keep the one with the highest confidence."
        )
    if not same.any():
        raise DataError(
            f"expected tracks of two frames or more; {len(rows)} rows are in tracks,"
            " and no two in the same. Link them first: jaxrvae.link(table)."
        )
    unit = int(np.gcd.reduce(lag[same]))
    lag = lag // unit
    ends = ~same | (lag > most_gap)
    piece = np.append(0, np.cumsum(ends))
    passed = np.append(0, np.cumsum(np.where(ends, 0, lag)))
    place = passed - passed[np.flatnonzero(np.append(True, ends))][piece]
    cut = np.append(True, ends | (np.diff(place // longest) > 0))
    piece = np.cumsum(cut) - 1
    return Tracks(rows, piece, place - place[np.flatnonzero(cut)][piece], unit)


def lay_out(
    evidence: Float[ndarray, "m cls"], known: Bool[ndarray, " m"], tracks: Tracks
) -> tuple[Observed, Int[ndarray, " m"], Int[ndarray, " m"]]:
    """Tracks in lanes, and where each row has gone: the place and the lane.

    Args:
        evidence: Of each row in a track, in the tracks' order.
        known: Rows that have a label.
        tracks: From `sort_tracks`.
    """
    length = tracks.length
    behind = int(np.clip(length.sum() // (LANES * length.max()), 1, MOST_BEHIND))
    places = coarse(behind * int(length.max()))
    order = np.argsort(-length, kind="stable")
    lane, offset = np.empty_like(length), np.empty_like(length)
    lane[order], offset[order] = _pack(length[order], places)
    lanes = coarse(int(lane.max()) + 1)
    at, of = offset[tracks.piece] + tracks.place, lane[tracks.piece]
    seen = np.ones((places, evidence.shape[1], lanes), np.float32)
    seen[at, :, of] = evidence
    told = np.zeros((places, lanes), np.float32)
    told[at, of] = known
    real = np.zeros((places + 1, lanes), np.int32)
    np.add.at(real, (offset, lane), 1)
    np.add.at(real, (offset + length, lane), -1)
    real = np.cumsum(real, axis=0)[:-1]
    first = 1 - real
    first[offset, lane] = 1
    parts = [jnp.asarray(part, jnp.float32) for part in (seen, first, real, told)]
    return Observed(*parts), at, of


def coarse(number: int) -> int:
    """The number or an eighth more, in steps of 8 at least: few shapes are compiled.

    >>> coarse(7), coarse(100), coarse(1001)
    (8, 104, 1024)
    """
    step = 2 ** max(number.bit_length() - 4, 3)
    return -(-number // step) * step


def _pack(
    length: Int[ndarray, " piece"], places: int
) -> tuple[Int[ndarray, " piece"], Int[ndarray, " piece"]]:
    """Lane and first place of each track, so many behind the other as there is room."""
    passed = np.append(0, np.cumsum(length))
    starts, here = [0], 0
    while here < len(length):
        here = int(np.searchsorted(passed, passed[here] + places, side="right")) - 1
        starts.append(here)
    lane = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    return lane, passed[:-1] - passed[np.array(starts)[lane]]
