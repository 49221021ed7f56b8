"""A sweep's table taken apart: what varies, over which seeds, and what was measured."""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import one_of

CONFIG, METRIC = "config.", "metric."
SEEDS = ("model.seed", "training.seed", "data.seed")  # the first that varies counts
COSTS = ("seconds", "compile_seconds", "memory_gb")
HEADLINES = (
    "R, worst",
    "median angle error, worst, degrees",
    "GMM accuracy",
    "k-NN accuracy",
    "accuracy of its classes",
    "bound, nats per image",
)
MOST_HEADLINES = 6  # metrics of a report that is not told which
LOWER = frozenset(
    "error errors loss seconds second time memory gb distance divergence kl mse rmse"
    " mae bias deviation surprise".split()
)
UNITS = ("degrees", "radians", "nm", "px", "pixels", "nats", "%")
COST_LABELS = {
    "seconds": "time (s)",
    "compile_seconds": "compile time (s)",
    "memory_gb": "memory (GB)",
}


@dataclasses.dataclass(frozen=True)
class Parts:
    """A sweep's table, taken apart.

    Attributes:
        settings: One row a setting, in the order of the table; columns are the factors,
            by their dotted names.
        setting: (points,) row of `settings` that the point has.
        seed: (points,) whole numbers.
        values: (points) x metrics and costs.
        seed_columns: Settings that move with the seed.
        fixed: Settings that do not vary.
    """

    settings: pd.DataFrame
    setting: np.ndarray
    seed: np.ndarray
    values: pd.DataFrame
    seed_columns: tuple[str, ...]
    fixed: dict[str, Any]

    @property
    def factors(self) -> list[str]:
        """Dotted names of what varies beside the seed."""
        return list(self.settings.columns)

    def metrics(self, names: str | Sequence[str] | None = None) -> list[str]:
        """The metrics asked for, or all of them, costs last.

        Raises:
            ValueError: One that the table has not.
        """
        known = list(self.values.columns)
        if names is None:
            return known
        asked = [names] if isinstance(names, str) else list(names)
        for name in asked:
            one_of("metric", name, known, "Metrics are named without 'metric.'.")
        return asked

    def by_seed(self, name: str) -> pd.DataFrame:
        """`setting`, `seed` and the finite `value` of each; repeats are averaged."""
        value = self.values[name].to_numpy()
        kept = np.isfinite(value)
        rows: Any = pd.DataFrame(
            {
                "setting": self.setting[kept],
                "seed": self.seed[kept],
                "value": value[kept],
            }
        )
        if rows.duplicated(["setting", "seed"]).any():
            rows = rows.groupby(["setting", "seed"], as_index=False).mean()
        return rows

    def expected_seeds(self) -> np.ndarray:
        """Seeds that at least half of the settings have."""
        pairs = pd.DataFrame({"setting": self.setting, "seed": self.seed})
        held = pairs.drop_duplicates().groupby("seed").size()
        return held.index[2 * held.to_numpy() >= len(self.settings)].to_numpy()


def lower_is_better(metric: str) -> bool:
    """Whether less of the metric is better, by the words of its name.

    So it is where one of `LOWER` is among them: errors, losses, distances, times,
    memory. All others count as better the higher: R, accuracies, bounds.

    >>> lower_is_better("median angle error, worst, degrees"), lower_is_better("R")
    (True, False)
    """
    return not LOWER.isdisjoint(re.split(r"[^a-z]+", metric.lower()))


def metric_label(metric: str) -> str:
    """The metric with its unit in brackets.

    >>> metric_label("median angle error, worst, degrees")
    'median angle error, worst (degrees)'
    """
    if metric in COST_LABELS:
        return COST_LABELS[metric]
    name, _, unit = metric.rpartition(", ")
    return f"{name} ({unit})" if name and unit.split()[0] in UNITS else metric


def take_apart(table: pd.DataFrame) -> Parts:
    """The parts of a sweep's table.

    Raises:
        ValueError: It is empty, or holds no metric with a value.
    """
    if not len(table):
        raise ValueError(
            "the sweep's table has no rows: no point is finished. Run the sweep, or see"
            " why its points failed."
        )
    values = _values(table)
    config = {
        name.removeprefix(CONFIG): plain(table[name])
        for name in map(str, table.columns)
        if name.startswith(CONFIG)
    }
    codes = {name: _codes(column) for name, column in config.items()}
    varying = [name for name, own in codes.items() if own.max() > 0]
    moving = _seed_columns(codes, varying)
    factors = [name for name in varying if name not in moving]
    frame = pd.DataFrame({name: codes[name] for name in factors})
    setting = np.zeros(len(table), int)
    if factors:
        setting = frame.groupby(factors, sort=False).ngroup().to_numpy()
    first = np.unique(setting, return_index=True)[1]
    settings = pd.DataFrame({name: config[name].iloc[first] for name in factors})
    return Parts(
        settings.set_axis(range(len(first)), axis=0),
        setting,
        _seeds(table, config, moving),
        values,
        moving,
        {name: config[name].iloc[0] for name in config if name not in varying},
    )


def headline_metrics(parts: Parts) -> list[str]:
    """What a report shows if it is not told: known names first, costs never."""
    known = [name for name in parts.values.columns if name not in COSTS]
    chosen = [name for name in HEADLINES if name in known]
    return (chosen or known)[:MOST_HEADLINES]


def moving_together(settings: pd.DataFrame) -> list[tuple[str, ...]]:
    """Factors in groups: those of one determine each other, value by value."""
    groups: dict[bytes, list[str]] = {}
    for name in settings:
        groups.setdefault(_codes(settings[name]).tobytes(), []).append(str(name))
    return [tuple(names) for names in groups.values()]


def baseline_setting(parts: Parts, baseline: Mapping[str, Any] | None = None) -> int:
    """The row of `settings` to hold the others against.

    Without a baseline, every factor's most common value among the points (of equally
    common ones, the first in the table); where no point has all of these, the setting
    that has most of them.

    Args:
        baseline: Values of some factors, by dotted names; the others as without it.

    Raises:
        ValueError: An unknown factor or value, or no point that has them all.
    """
    score = np.zeros(len(parts.settings))
    allowed = np.ones(len(parts.settings), bool)
    given = {k.removeprefix(CONFIG): v for k, v in (baseline or {}).items()}
    for name in given:
        one_of("factor of the baseline", name, parts.factors)
    for name in parts.factors:
        codes = _codes(parts.settings[name])
        if name in given:
            values = list(parts.settings[name].drop_duplicates())
            wanted = plain(pd.Series([given[name]], dtype=object)).iloc[0]
            same = [values.index(v) for v in values if _same(v, wanted)]
            if not same:
                one_of(f"baseline's {name}", wanted, values)
            allowed &= codes == same[0]
        else:
            score += codes == np.bincount(codes[parts.setting]).argmax()
    if not allowed.any():
        raise ValueError(
            f"no point has {dict(given)}. Give the values of a setting that was run."
        )
    points = np.bincount(parts.setting, minlength=len(score))
    return int(np.lexsort((-points, -score, ~allowed))[0])


def plain(column: Any) -> pd.Series:
    """Values that can be told apart and hashed: lists as JSON, absent ones as None."""
    if column.dtype != object:
        return column
    values = [plain_value(value) for value in column]
    kinds = {isinstance(value, bool) for value in values if value is not None}
    if len(kinds) > 1:  # True is not 1
        values = [None if value is None else str(value) for value in values]
    return pd.Series(values, index=column.index, dtype=object)


def plain_value(value: Any) -> Any:
    """One such value, of Python's own types."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value)
    return None if value is None or value is pd.NA or value != value else value


def show(value: Any, figures: int = 6) -> str:
    """A setting's value, short.

    >>> show(0.30000000000000004), show(None), show(float("nan")), show("spatial")
    ('0.3', 'none', 'none', 'spatial')
    """
    if value is None or value is pd.NA or value != value:
        return "none"
    if isinstance(value, float | np.floating):
        return f"{value:.{figures}g}"
    return str(value)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Dotted names, without the parts that they do not need to be told apart.

    >>> list(short_names(["model.decoder", "data.kind", "data.size"]).values())
    ['decoder', 'kind', 'size']
    """
    found = {}
    for name in names:
        parts = name.split(".")
        tails = [".".join(parts[i:]) for i in range(len(parts) - 1, -1, -1)]
        others = [other for other in names if other != name]
        found[name] = next(
            (
                tail
                for tail in tails
                if not any(f".{other}".endswith(f".{tail}") for other in others)
            ),
            name,
        )
    return found


def ordered(values: Any) -> list[Any]:
    """The distinct values: numbers by size, others as they come, absent ones last."""
    known = [value for value in values.drop_duplicates() if show(value) != "none"]
    if all(isinstance(v, int | float | np.number) for v in known):
        known = sorted(known)
    return known + ([None] if len(known) < values.nunique(dropna=False) else [])


def _values(table: pd.DataFrame) -> pd.DataFrame:
    """Metrics without their prefix, then costs; those without any value left out."""
    columns = [str(name) for name in table if str(name).startswith(METRIC)]
    if not columns:
        raise ValueError(
            "the table has no 'metric.*' column; its columns are"
            f" {[str(name) for name in table][:12]}. Give a sweep's results.parquet."
        )
    found = {
        name.removeprefix(METRIC): pd.to_numeric(table[name], errors="coerce")
        for name in [*columns, *(own for own in COSTS if own in table)]
    }
    values = pd.DataFrame(found).astype(float)
    finite: Any = np.isfinite(values.to_numpy()).any(0)
    if not finite[: len(columns)].any():
        raise ValueError(
            f"none of the {len(table)} points has a metric with a value. See why they"
            " failed, or run the sweep again."
        )
    return values.loc[:, finite].reset_index(drop=True)


def _codes(column: Any) -> np.ndarray:
    """Whole numbers for the distinct values, by first appearance."""
    return pd.factorize(column, use_na_sentinel=False)[0]


def _seed_columns(codes: Mapping[str, np.ndarray], varying: list[str]) -> tuple:
    """The seed, and other seeds that it determines."""
    named = [name for name in varying if name.split(".")[-1] == "seed"]
    order = [name for name in SEEDS if name in named]
    order += [name for name in named if name not in order]
    if not order:
        return ()
    main = codes[order[0]]
    moving = [order[0]]
    for name in order[1:]:
        pairs = np.unique(np.stack([main, codes[name]]), axis=1).shape[1]
        if pairs == main.max() + 1:
            moving.append(name)
    return tuple(moving)


def _seeds(
    table: pd.DataFrame, config: Mapping[str, pd.Series], moving: Sequence[str]
) -> np.ndarray:
    """Of every point; where no setting says it, the table's own column, or 0."""
    column: Any
    if moving:
        column = config[moving[0]]
    elif SEEDS[0] in config:
        column = config[SEEDS[0]]
    elif "seed" in table:
        column = table["seed"]
    else:
        return np.zeros(len(table), int)
    numbers: Any = pd.to_numeric(column, errors="coerce")
    return numbers.fillna(-1).to_numpy(int)


def _same(one: Any, other: Any) -> bool:
    return show(one) == show(other) if show(one) == "none" else one == other
