"""Drift of the frame as the positions in it tell it: no image is needed."""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError
from jaxrvae._typing import Float, Int

REACH = 4.0  # distances of neighbours over which a step is sought
LEAST = 8  # atoms that a frame must have, and of which that many must recur
LEAST_SHARE = 0.3  # of the atoms that must recur
SAMPLED = 4000  # atoms of a frame that vote
NEAR = 0.25  # distances of neighbours within which an atom counts as the same
ROUNDS = 10


def drift_of_positions(table: pd.DataFrame) -> pd.DataFrame:
    """How far each frame's atoms as a whole lie from those of the first.

    All displacements between two frames' atoms vote for the step between them; peaks of
    the vote are refined to the median of the displacements near them. A lattice recurs
    after every lattice vector: of the steps after which as many atoms recur as after
    the best, within five standard errors, the shortest is taken. So steps of more than
    half a lattice vector are right only where defects, grains or edges tell them.
    Atoms that hop, come or go take away votes and move a median little.

    Args:
        table: Columns frame, x and y, pixels.

    Returns:
        A row a frame, in order: frame; x and y, pixels since the first frame; error,
        the standard error of the step's x or y from the frame before, pixels; share,
        of the atoms that recur. Where a frame or the one before has fewer than 8 atoms,
        or less than a third recur, nothing tells drift from motion: the step is 0, and
        error and share are NaN.

    >>> here = np.random.default_rng(0).uniform(0, 90, (50, 2))
    >>> there = here + [2.0, -1.0]
    >>> both = pd.DataFrame(np.concatenate([here, there]), columns=["x", "y"])
    >>> drift = drift_of_positions(both.assign(frame=np.repeat([0, 1], 50)))
    >>> drift[["x", "y"]].to_numpy().round(6).tolist()
    [[0.0, 0.0], [2.0, -1.0]]
    """
    groups = [
        (number, group[["x", "y"]].to_numpy(np.float64))
        for number, group in table.groupby("frame", sort=True)
    ]
    rows = [(groups[0][0], 0.0, 0.0, 0.0, 1.0)]
    for (_, before), (number, after) in zip(groups[:-1], groups[1:], strict=True):
        step, error, share = _step(before, after)
        rows.append(
            (number, rows[-1][1] + step[0], rows[-1][2] + step[1], error, share)
        )
    return pd.DataFrame(rows, columns=["frame", "x", "y", "error", "share"])


def shift_of_frames(
    drift: pd.DataFrame, frames: Int[np.ndarray, " row"]
) -> Float[np.ndarray, "row 2"]:
    """The drift of each of the frames, pixels.

    Raises:
        DataError: The table lacks one of them, or has one twice.
    """
    indexed = drift.set_index("frame")[["x", "y"]]
    if not indexed.index.is_unique:
        twice = indexed.index[indexed.index.duplicated()][0]
        raise DataError(f"expected one drift a frame; frame {twice} has several.")
    missing = np.setdiff1d(frames, indexed.index.to_numpy())
    if len(missing):
        raise DataError(
            f"expected a drift for each frame; {len(missing)} have none, first"
            f" frame {missing[0]}. Give them (frame, x, y), or drift='auto'."
        )
    return indexed.reindex(frames).to_numpy(np.float64)


def _step(
    before: np.ndarray, after: np.ndarray
) -> tuple[Float[np.ndarray, "2"], float, float]:
    """Displacement of all, its standard error along an axis, share that recurs."""
    from scipy.spatial import KDTree

    unknown = np.zeros(2), np.nan, np.nan
    if min(len(before), len(after)) < LEAST:
        return unknown
    tree = KDTree(after)
    spacing = float(np.median(tree.query(after, k=2)[0][:, 1]))
    if spacing == 0:
        return unknown
    voters = before[:: -(-len(before) // SAMPLED)]
    found = [
        _refined(start, voters, tree, spacing)
        for start in _peaks(_displacements(voters, tree, REACH * spacing), spacing)
    ]
    found = [entry for entry in found if entry[3] >= LEAST and entry[2] >= LEAST_SHARE]
    if not found:
        return unknown
    best = max(share for _, _, share, _ in found)
    as_good = [entry for entry in found if _highest(entry[2], len(voters)) >= best]
    step, error, share, _ = min(as_good, key=lambda entry: float(np.hypot(*entry[0])))
    return step, error, share


def _highest(share: float, count: int) -> float:
    """Five standard errors above a share, as if two had been seen more, one of each.

    Source: Agresti & Coull 1998, doi:10.1080/00031305.1998.10480550.
    """
    likely = (share * count + 1) / (count + 2)
    return share + 5 * float(np.sqrt(likely * (1 - likely) / count))


def _displacements(voters: np.ndarray, tree, reach: float) -> np.ndarray:
    """(n, 2) from every voter to all atoms within reach."""
    near = tree.query_ball_point(voters, reach)
    counts = [len(places) for places in near]
    places = np.concatenate([np.array(part, int) for part in near])
    return tree.data[places] - np.repeat(voters, counts, axis=0)


def _peaks(displacements: np.ndarray, spacing: float) -> np.ndarray:
    """(n, 2) local maxima of the displacements' density, at least half the highest."""
    from scipy.ndimage import gaussian_filter, maximum_filter

    width = spacing * NEAR / 2
    half = int(np.ceil(REACH * spacing / width)) + 1
    edges = (np.arange(2 * half + 2) - half - 0.5) * width
    votes, _, _ = np.histogram2d(*displacements.T, bins=(edges, edges))
    votes = gaussian_filter(votes, 1.0, mode="constant")
    high = (votes == maximum_filter(votes, 3)) & (votes > 0.5 * votes.max())
    return (np.argwhere(high) - half) * width


def _refined(
    step: np.ndarray, voters: np.ndarray, tree, spacing: float
) -> tuple[np.ndarray, float, float, int]:
    """The step as a median, its error, the share of voters that recur, their number.

    Voters that the step takes out of the field are not expected to recur.
    """
    low, high = tree.mins, tree.maxes
    share, spread, count = 0.0, np.nan, 0
    for _ in range(ROUNDS):
        moved = voters + step
        expected = ((moved >= low) & (moved <= high)).all(axis=1)
        distance, place = tree.query(moved, distance_upper_bound=NEAR * spacing)
        near = np.isfinite(distance)
        count = int(near.sum())
        if count < LEAST:
            return step, np.nan, 0.0, count
        residual = tree.data[place[near]] - moved[near]
        change = np.median(residual, axis=0)
        spread = 1.4826 * float(np.median(np.abs(residual - change)))
        share = float((near & expected).sum() / max(expected.sum(), 1))
        step = step + change
        if np.abs(change).max() < 1e-3 * spacing * NEAR:
            break
    return step, 1.2533 * spread / np.sqrt(count), share, count
