"""Order parameters: which content coordinate follows what.

Every score is of rows held out by whole frames or regions: windows that overlap, or
show the same atoms a frame later, would answer for one another.
"""

from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, between, positive, whole
from jaxrvae._typing import Float, Number, Shaped, ndarray
from jaxrvae.analysis.information import mutual_information
from jaxrvae.data.containers import Latents

NEIGHBORS = 15
FOLDS = 5
RESAMPLES = 200
MOST = 50_000  # rows that predictors are trained and scored on


def find_order(
    latents: Latents | pd.DataFrame,
    quantities: pd.DataFrame,
    groups: str | Shaped[ndarray, " n"] = "frame",
    *,
    level: Number = 0.9,
    most: int = MOST,
    seed: int = 0,
) -> pd.DataFrame:
    """How each quantity follows each content coordinate, and all of them together.

    Args:
        latents: Or a table with columns content_0, content_1 ...
        quantities: A row a patch. Numbers that are not whole are predicted; whole
            ones, truth values, words and categories are told apart as classes. Rows
            with NaN or infinity are left out of that quantity alone.
        groups: Column of the latents' table, or a label a row, that rows are held out
            by. Of a single frame: `find_regions`.
        level: Of the intervals.
        most: Rows drawn at random to train and score on, where there are more.

    Returns:
        A row a quantity and content, then one for "all": kind ("number" or "class");
        information (nats), information_low, information_high and information_floor
        (NaN for "all"); score, by the nearest neighbours in content, with score_low
        and score_high; boosting, the same by boosted trees ("all" alone);
        chance, the score of a constant; num_rows, num_groups. Scores are R2 of
        numbers, the share right of classes, all of groups held out. Intervals of
        scores are over resampled groups, predictions as they are.

    Raises:
        DataError: No content, or fewer than two groups.

    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame(rng.normal(size=(400, 2)), columns=["content_0", "b"])
    >>> table["frame"] = np.arange(400) // 40
    >>> found = find_order(table, pd.DataFrame({"twice": 2 * table["content_0"]}))
    >>> bool(found["score"].iloc[0] > 0.95)
    True
    """
    between("level", level, 0.01, 0.999)
    whole("most", most, 100)
    table = latents.to_dataframe() if isinstance(latents, Latents) else latents
    names = content_names(table)
    if len(quantities) != len(table):
        raise ValueError(
            f"expected a row of quantities for each of {len(table)} contents; got"
            f" {len(quantities)}."
        )
    labels = _group_labels(table, groups)
    content = table[names].to_numpy(float)
    rows: list[dict[str, Any]] = []
    for name, column in quantities.items():
        values, discrete = _read(column)
        good = np.isfinite(content).all(1) & _known(column)
        own = content[good], values[good], labels[good]
        if len(np.unique(own[2])) < 2:
            raise DataError(
                f"{name}: expected >= 2 groups with known values; got"
                f" {len(np.unique(own[2]))}. Split frames by find_regions."
            )
        for row in _rows(*own, discrete, names, float(level), most, seed):
            rows.append({"quantity": name, **row})
    return pd.DataFrame(rows)


def find_regions(table: pd.DataFrame, size: Number) -> ndarray:
    """A label a row: squares of that many pixels, of each frame its own.

    >>> find_regions(pd.DataFrame({"x": [1, 9, 2], "y": [1, 1, 2]}), 8).tolist()
    [0, 1, 0]
    """
    positive("size", size, "It is in pixels; well above a window's.")
    keys = np.floor(table[["x", "y"]].to_numpy(float) / size).astype(int)
    frames = table["frame"].to_numpy() if "frame" in table else np.zeros(len(table))
    named = pd.DataFrame({"frame": frames, "x": keys[:, 0], "y": keys[:, 1]})
    return named.groupby(list(named)).ngroup().to_numpy()


def content_names(table: pd.DataFrame) -> list[str]:
    """Columns content_0, content_1 ... of a table, in order."""
    names = [n for n in table if str(n).removeprefix("content_").isdigit()]
    names = [str(n) for n in names if str(n).startswith("content_")]
    if not names:
        raise DataError(
            f"expected columns content_0, content_1 ...; got {list(table.columns)}."
            " Rename those that hold the content."
        )
    return sorted(names, key=lambda n: int(n.removeprefix("content_")))


def _group_labels(table: pd.DataFrame, groups: str | ndarray) -> ndarray:
    if isinstance(groups, str):
        if groups not in table:
            raise DataError(
                f"expected a column {groups!r} to hold rows out by; got"
                f" {list(table.columns)}. Give groups a label a row."
            )
        groups = table[groups].to_numpy()
    if len(groups) != len(table):
        raise ValueError(f"expected {len(table)} groups; got {len(groups)}.")
    return np.unique(groups, return_inverse=True)[1]


def _known(column: pd.Series) -> ndarray:
    known = column.notna().to_numpy()
    if pd.api.types.is_float_dtype(column):
        known = known & np.isfinite(column.to_numpy())
    return known


def _read(column: pd.Series) -> tuple[ndarray, bool]:
    """Values, and whether they are classes."""
    if pd.api.types.is_float_dtype(column):
        return column.to_numpy(float), False
    return pd.factorize(column)[0], True


def _rows(
    content: Float[ndarray, "n latent"],
    values: Shaped[ndarray, " n"],
    labels: Shaped[ndarray, " n"],
    discrete: bool,
    names: list[str],
    level: float,
    most: int,
    seed: int,
) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    few = np.arange(len(values))
    if len(values) > most:
        few = np.sort(rng.choice(len(values), most, replace=False))
    spread = content.std(0)
    scaled = (content[few] - content.mean(0)) / np.where(spread > 0, spread, 1.0)
    y, held = values[few], np.unique(labels[few], return_inverse=True)[1]
    chance = np.bincount(y).max() / len(y) if discrete else 0.0
    shared = {"kind": "class" if discrete else "number", "chance": float(chance)}
    shared |= {"num_rows": len(few), "num_groups": int(held.max()) + 1}
    rows = []
    for i, name in enumerate(names):
        told = mutual_information(
            content[:, i], values, labels, discrete=discrete, level=level, seed=seed
        )
        found = _held_out(scaled[:, [i]], y, held, discrete, boosted=False)
        rows.append(
            {"content": name, **shared}
            | {"information": told.value, "information_low": told.low}
            | {"information_high": told.high, "information_floor": told.floor}
            | _score(y, found, held, discrete, level, seed)
        )
    found = _held_out(scaled, y, held, discrete, boosted=False)
    trees = _held_out(scaled, y, held, discrete, boosted=True)
    boosting = _score(y, trees, held, discrete, level, seed)
    rows.append(
        {"content": "all", **shared}
        | _score(y, found, held, discrete, level, seed)
        | {key.replace("score", "boosting"): value for key, value in boosting.items()}
    )
    return rows


def _held_out(
    inputs: Float[ndarray, "n m"],
    values: Shaped[ndarray, " n"],
    held: Shaped[ndarray, " n"],
    discrete: bool,
    *,
    boosted: bool,
) -> ndarray:
    """What each row is predicted to be from the rows of other groups."""
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
    )
    from sklearn.model_selection import GroupKFold
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    found = np.zeros(len(values), values.dtype)
    folds = GroupKFold(min(FOLDS, int(held.max()) + 1))
    for train, test in folds.split(inputs, groups=held):
        if len(np.unique(values[train])) < 2:
            found[test] = values[train][0]
            continue
        near = min(NEIGHBORS, len(train))
        if boosted:
            kind = HistGradientBoostingClassifier if discrete else None
            model = (kind or HistGradientBoostingRegressor)(random_state=0)
        else:
            kind = KNeighborsClassifier if discrete else KNeighborsRegressor
            model = kind(near)
        found[test] = model.fit(inputs[train], values[train]).predict(inputs[test])
    return found


def _score(
    values: Shaped[ndarray, " n"],
    found: Shaped[ndarray, " n"],
    held: Shaped[ndarray, " n"],
    discrete: bool,
    level: float,
    seed: int,
) -> dict[str, float]:
    """R2 or the share right, with its interval over resampled groups."""
    number = int(held.max()) + 1
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(number, np.full(number, 1 / number), RESAMPLES)
    weights = np.concatenate([np.ones((1, number)), weights])
    if discrete:
        sums = [found == values, np.ones(len(values))]
        right, count = (weights @ np.bincount(held, part, number) for part in sums)
        scores = right / np.maximum(count, 1)
    else:
        y = values - values.mean()
        parts = [np.square(found - values), np.ones(len(y)), y, np.square(y)]
        sums = [weights @ np.bincount(held, part, number) for part in parts]
        wrong, count, first, second = sums
        spread = second - np.square(first) / np.maximum(count, 1)
        scores = 1 - wrong / np.maximum(spread, 1e-30)
    low, high = np.quantile(scores[1:], [0.5 - level / 2, 0.5 + level / 2])
    return {"score": float(scores[0]), "score_low": low, "score_high": high}
