"""Positions to tracks: which atom of one frame is which atom of the next."""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, number, positive, whole
from jaxrvae._typing import Float, Int, Number
from jaxrvae.locate.position_drift import drift_of_positions, shift_of_frames

DENSE = 200_000  # entries of a cost matrix up to which it is not worth being sparse


def link(
    atoms: pd.DataFrame,
    max_step: Number = 5.0,
    gap: int = 2,
    *,
    drift: str | pd.DataFrame | None = "auto",
    features: Mapping[str, Number] | None = None,
) -> pd.DataFrame:
    """The same table with a column `track`: rows of one number are one atom.

    From frame to frame every atom has at most one successor; all are chosen together so
    that the sum of squared steps is least, where an atom without successor costs
    max_step squared. trackpy finds the candidates and remembers atoms that are not
    seen; what competes is settled exactly, however much of a lattice hangs together.
    100,000 atoms in 100 frames take some five minutes of one core.

    Where an atom may move by more than half the distance of its neighbours, position
    alone cannot tell a hop from an atom that stays. What else tells atoms apart goes
    into `features`: with max_step=1.1 bonds and {"intensity": a carbon atom's height} a
    silicon atom that changes place with carbon keeps its track, and so does the carbon.

    Args:
        atoms: Columns frame (whole numbers), x and y (pixels), in any order of rows;
            of `find_atoms` or `find_walls`. A column track is replaced.
        max_step: Farthest that an atom moves from one sighting to the next once drift
            is removed, pixels.
        gap: Frames in a row that an atom may be missing; frame numbers that the table
            does not hold count. 0 ends a track at the first.
        drift: "auto" finds each frame's shift from the positions
            (`jaxrvae.locate.position_drift`: steps of less than half a lattice vector);
            a table with frame, x and y in pixels since the first frame, as `find_drift`
            gives, is taken as it is; None removes nothing. Only the linking sees it: x
            and y of the result are those given.
        features: Other columns that should not change, each with the difference that
            weighs as much as a step of max_step; steps and differences, so scaled and
            squared, may sum to 1.

    Returns:
        A copy, rows and index as they were. Tracks count from 0 in the order of frame,
        x and y where they begin, whatever the order of rows.

    Raises:
        DataError: A table without rows or a column, or with values that are missing or
            not finite; frames that are no whole numbers; a position given twice; a
            drift that lacks a frame.
        ImportError: trackpy is not there.

    >>> atoms = pd.DataFrame({"frame": [0, 0, 1, 1], "x": [9.0, 1, 1, 9], "y": 3.0})
    >>> link(atoms, drift=None)["track"].tolist()
    [1, 0, 0, 1]
    """
    positive("max_step", max_step, "It is in pixels.")
    whole("gap", gap, 0, "It counts frames.")
    scales = {"x": max_step, "y": max_step, **_scales(features)}
    frames = check_positions(atoms, tuple(scales))
    values = atoms[list(scales)].to_numpy(np.float64, copy=True)
    order = np.lexsort((values[:, 1], values[:, 0], frames))
    _refuse_twice(frames[order], values[order])
    shifts = _shifts(drift, frames, values[:, :2])
    values[:, :2] -= shifts
    scaled = (values / np.array(list(scales.values())))[order]
    track = np.empty(len(atoms), np.int64)
    track[order] = _tracks(frames[order], scaled, int(gap))
    return atoms.assign(track=track)


def check_positions(
    table: pd.DataFrame, columns: Iterable[str] = ("x", "y")
) -> Int[np.ndarray, " row"]:
    """The table's frame numbers, once it has been seen to hold finite positions.

    Raises:
        DataError: No rows; a column is missing or not numeric; values that are not
            finite; frames that are no whole numbers.
    """
    wanted = ["frame", *columns]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise DataError(
            f"expected the columns {wanted}; {missing} of them missing among"
            f" {list(table.columns)}. Rename yours, or find positions by find_atoms."
        )
    if table.empty:
        raise DataError("expected at least one position; got a table without rows.")
    for name in wanted:
        try:
            values = table[name].to_numpy(np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise DataError(
                f"column {name!r}: expected numbers; got {table[name].dtype}."
                " Convert it by pandas.to_numeric."
            ) from None
        wrong = ~np.isfinite(values)
        if wrong.any():
            raise DataError(
                f"column {name!r}: expected finite numbers; {wrong.sum()} of"
                f" {len(table)} rows are not, first in row {int(wrong.argmax())}."
                f" Drop them: table.dropna(subset=[{name!r}])."
            )
    frames = table["frame"].to_numpy(np.float64)
    if (frames != np.rint(frames)).any():
        first = frames[np.argmax(frames != np.rint(frames))]
        raise DataError(
            f"column 'frame': expected whole numbers; got {first}."
            " Number the frames in order."
        )
    return frames.astype(np.int64)


def _scales(features: Mapping[str, Number] | None) -> dict[str, Number]:
    for name, scale in (features or {}).items():
        if name in ("frame", "x", "y", "track"):
            raise ValueError(
                f"features must be columns beside frame, x, y and track; got {name!r}."
                " Steps are bounded by max_step."
            )
        positive(f"features[{name!r}]", number(f"features[{name!r}]", scale))
    return dict(features or {})


def _refuse_twice(frames: np.ndarray, values: np.ndarray) -> None:
    """In the order of frame, x and y."""
    again = (frames[1:] == frames[:-1]) & (values[1:, :2] == values[:-1, :2]).all(1)
    if again.any():
        where = int(again.argmax())
        x, y = values[where, :2]
        raise DataError(
            f"expected each position once; frame {frames[where]} holds"
            f" x={x:g}, y={y:g} twice. Drop copies: table.drop_duplicates("
            "['frame', 'x', 'y'])."
        )


def _shifts(
    drift: str | pd.DataFrame | None,
    frames: Int[np.ndarray, " row"],
    positions: Float[np.ndarray, "row 2"],
) -> Float[np.ndarray, "row 2"]:
    """Each row's drift, pixels."""
    if drift is None:
        return np.zeros_like(positions)
    if isinstance(drift, str):
        if drift != "auto":
            raise ValueError(
                f"drift must be 'auto', a table (frame, x, y) or None; got {drift!r}."
            )
        table = pd.DataFrame(
            {"frame": frames, "x": positions[:, 0], "y": positions[:, 1]}
        )
        return shift_of_frames(drift_of_positions(table), frames)
    check_positions(drift)
    return shift_of_frames(drift, frames)


def _tracks(
    frames: Int[np.ndarray, " row"], scaled: Float[np.ndarray, "row axis"], gap: int
) -> Int[np.ndarray, " row"]:
    """Track of every row; rows in order of frame, steps in units of the largest."""
    try:
        from trackpy import link_iter
    except ImportError:
        raise ImportError(
            "linking needs trackpy: pip install 'jaxrvae[tracks]'."
        ) from None
    linked = np.empty(len(frames), np.int64)
    end = 0
    with _quiet("trackpy"):
        levels = _levels(frames, scaled, gap)
        for _, ids in link_iter(levels, 1.0, memory=gap, link_strategy=assign):
            linked[end : end + len(ids)] = ids
            end += len(ids)
    _, first, inverse = np.unique(linked, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _levels(
    frames: np.ndarray, scaled: np.ndarray, gap: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Frame by frame; numbers that are missing are empty, as many as matter."""
    numbers, starts = np.unique(frames, return_index=True)
    ends = np.append(starts[1:], len(frames))
    before = int(numbers[0]) - 1
    for now, start, end in zip(numbers.tolist(), starts, ends, strict=True):
        for i in range(min(now - before - 1, gap + 1)):
            yield before + 1 + i, np.empty((0, scaled.shape[1]))
        yield now, scaled[start:end]
        before = now


def assign(
    sources: set[Any], goals: set[Any], search_range: Number, max_size: int = 0
) -> tuple[list[Any], list[Any]]:
    """Pairs of least total cost within a group that trackpy found to hang together.

    The sum of squared steps, where a source without goal costs the search range
    squared; solved exactly in polynomial time, so `max_size` is not needed.

    Returns:
        As trackpy asks for it: sources and goals side by side, None where one has no
        partner, every one of both sets once.
    """
    del max_size
    if len(sources) <= 1 and len(goals) <= 1:
        return [*sources] or [None], [*goals] or [None]
    rows, columns = list(sources), list(goals)
    place = {goal: i for i, goal in enumerate(columns)}
    edges = [
        (row, place[goal], distance)
        for row, source in enumerate(rows)
        for goal, distance in source.forward_cands
    ]
    chosen = _cheapest(edges, len(rows), len(columns), float(search_range) ** 2)
    partners = [columns[i] if i < len(columns) else None for i in chosen.tolist()]
    alone = [goals_ for i, goals_ in enumerate(columns) if i not in set(chosen)]
    return [*rows, *[None] * len(alone)], [*partners, *alone]


def _cheapest(
    edges: list[tuple[int, int, float]], num_rows: int, num_columns: int, lonely: float
) -> Int[np.ndarray, " row"]:
    """Column of every row; those from `num_columns` on mean none."""
    from scipy import sparse
    from scipy.optimize import linear_sum_assignment

    row, column, distance = (np.array(part) for part in zip(*edges, strict=True))
    row, column = row.astype(int), column.astype(int)
    shape = (num_rows, num_columns + num_rows)
    own = np.arange(num_rows)
    if num_rows * shape[1] <= DENSE:
        cost = np.full(shape, np.inf)
        cost[row, column] = distance**2
        cost[own, num_columns + own] = lonely
        return linear_sum_assignment(cost)[1]
    ones = 1.0  # added to every edge, for an entry of 0 would be none; a row has one
    values = np.concatenate([distance**2, np.full(num_rows, lonely)]) + ones
    places = np.concatenate([row, own]), np.concatenate([column, num_columns + own])
    cost = sparse.csr_matrix((values, places), shape)
    found, chosen = sparse.csgraph.min_weight_full_bipartite_matching(cost)
    return chosen[np.argsort(found)]


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Holds back a library's remarks below a warning."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
