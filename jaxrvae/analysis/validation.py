"""Validation: folds that share no window, and what the seeds do to a figure."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive, whole
from jaxrvae._typing import Bool, Float, Int, Number, ndarray


def split_by_frame(
    frames: ndarray, num_folds: int = 5, *, seed: int = 0, block: int = 1
) -> list[tuple[Int[ndarray, " train"], Int[ndarray, " test"]]]:
    """Folds of whole frames: rows to learn from, and rows to judge by.

    Every row is in just one fold to judge by, and the folds are about equal in frames.

    Args:
        frames: (n,) frame of every row.
        num_folds: At most as many as there are blocks.
        seed: Of which frames go together.
        block: Frames in a row that stay together, for movies whose frames are alike.
            The block's neighbors are learned from all the same: what stays the same for
            the whole movie needs `split_by_region`, or other movies.

    Raises:
        DataError: Fewer frames, or blocks, than folds.

    >>> folds = split_by_frame(np.array([0, 0, 1, 1, 2]), 3)
    >>> sorted(test.tolist() for _, test in folds)
    [[0, 1], [2, 3], [4]]
    """
    whole("num_folds", num_folds, 2)
    whole("block", block, 1)
    frames = np.asarray(frames)
    if frames.ndim != 1:
        raise ValueError(f"frames must be (n,); got shape {frames.shape}.")
    place = np.unique(frames, return_inverse=True)[1]
    return _folds(place // block, num_folds, seed, f"blocks of {block} frames")


def split_by_region(
    x: Float[ndarray, " n"],
    y: Float[ndarray, " n"],
    size: Number,
    *,
    window: Number,
    num_folds: int = 5,
    seed: int = 0,
) -> list[tuple[Int[ndarray, " train"], Int[ndarray, " test"]]]:
    """Folds of square regions, the same in all frames, with a band left out of each.

    No window learned from overlaps one that is judged by, in any frame: rows whose
    window would are left out of that fold's training. Positions are those of the
    sample: take the drift out first, where there is any.

    Args:
        x, y: Pixels.
        size: Of a region's side, pixels.
        window: Side of the windows around the rows, pixels.
        num_folds: At most as many as there are regions.
        seed: Of which regions go together.

    Raises:
        DataError: Fewer regions than folds, or a fold left without rows to learn from.

    >>> x, y = (axis.ravel() for axis in np.meshgrid(np.arange(100.0), np.arange(4.0)))
    >>> train, test = split_by_region(x, y, 50, window=6, num_folds=2)[0]
    >>> len(test), float(np.abs(x[train][:, None] - x[test]).min())
    (200, 6.0)
    """
    positive("size", size, "Take some windows' width, in pixels.")
    positive("window", window)
    whole("num_folds", num_folds, 2)
    places = np.stack([np.asarray(x, float), np.asarray(y, float)], axis=-1)
    if places.ndim != 2 or not np.isfinite(places).all():
        raise ValueError("x and y must be (n,) and finite. Leave other rows out.")
    cells = np.floor((places - places.min(axis=0)) / size).astype(int)
    region = np.unique(cells, axis=0, return_inverse=True)[1].ravel()
    folds = _folds(region, num_folds, seed, f"regions of {size} pixels")
    guarded = []
    for train, test in folds:
        train = train[~_overlaps(places[train], places[test], window)]
        if not len(train):
            raise DataError(
                f"expected rows farther than a window, {window} pixels, from those"
                f" judged by; got none with regions of {size} pixels. Take larger"
                " regions or fewer folds."
            )
        guarded.append((train, test))
    return guarded


def seed_spread(
    values: Mapping[str, Sequence[Number] | ndarray],
    *,
    level: Number = 0.9,
    better: str | Mapping[str, str] = "high",
) -> pd.DataFrame:
    """What the seed does to every figure.

    Args:
        values: By name, the figure of every seed; NaN where a seed has none.
        level: Probability of the interval.
        better: "high" or "low", of all figures or by name; the worst follows.

    Returns:
        A row a figure: name, seeds (that have it), mean, std (of a single seed), worst
        (NaN where a seed has none), low, high: Student's interval of the mean over
        seeds, infinite with one seed.

    >>> table = seed_spread({"accuracy": [0.9, 0.92, 0.94]})
    >>> table[["mean", "std", "worst", "low"]].round(3).to_numpy()[0].tolist()
    [0.92, 0.02, 0.9, 0.886]
    """
    from scipy.stats import t

    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1); got {level!r}. Try 0.9.")
    rows = []
    for name, found in values.items():
        all_seeds = np.asarray(found, float)
        if all_seeds.ndim != 1:
            raise ValueError(
                f"values[{name!r}] must be one number a seed; got shape"
                f" {all_seeds.shape}."
            )
        way = better if isinstance(better, str) else better.get(name, "high")
        if way not in ("high", "low"):
            raise ValueError(f"better must be 'high' or 'low'; got {way!r}.")
        known = all_seeds[np.isfinite(all_seeds)]
        number = len(known)
        mean = float(known.mean()) if number else float("nan")
        std = float(known.std(ddof=1)) if number > 1 else float("nan")
        half = float("inf")
        if number > 1:
            half = float(t.ppf((1 + level) / 2, number - 1)) * std / number**0.5
        worst = float("nan")
        if number and number == len(all_seeds):
            worst = float(known.min() if way == "high" else known.max())
        rows.append(
            {
                "name": name,
                "seeds": number,
                "mean": mean,
                "std": std,
                "worst": worst,
                "low": mean - half,
                "high": mean + half,
            }
        )
    columns = ["name", "seeds", "mean", "std", "worst", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _folds(
    group: Int[ndarray, " n"], num_folds: int, seed: int, what: str
) -> list[tuple[ndarray, ndarray]]:
    """Groups dealt out in turn, in a random order."""
    number = int(group.max()) + 1 if len(group) else 0
    if number < num_folds:
        raise DataError(
            f"expected at least {num_folds} {what}, one a fold; got {number}. Ask for"
            " fewer folds, or smaller parts."
        )
    order = np.random.default_rng(seed).permutation(number)
    fold = np.empty(number, int)
    fold[order] = np.arange(number) % num_folds
    own = fold[group]
    return [
        (np.flatnonzero(own != i), np.flatnonzero(own == i)) for i in range(num_folds)
    ]


def _overlaps(
    places: Float[ndarray, "n 2"], others: Float[ndarray, "m 2"], window: Number
) -> Bool[ndarray, " n"]:
    """Whether a square window around each overlaps one around any of the others."""
    from scipy.spatial import KDTree

    near = KDTree(others).query(places, p=np.inf)[0]
    return near < window
