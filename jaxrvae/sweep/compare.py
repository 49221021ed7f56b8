"""Two sweeps of the same settings, held against each other seed by seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae.sweep.factors import (
    CONFIG,
    SEEDS,
    Parts,
    headline_metrics,
    lower_is_better,
    metric_label,
    plain,
    short_names,
    show,
    take_apart,
)
from jaxrvae.sweep.summary import SURE, holm, least_like_chance, paired_tests
from jaxrvae.sweep.texts import counted, few, markdown_table, p_words, plus_minus

COLUMNS = (
    "metric", "num_seeds", "unpaired", "first", "second", "difference", "std", "low",
    "high", "better", "p_t", "p_wilcoxon", "p_t_holm", "p_wilcoxon_holm", "note",
)  # fmt: skip
MOST_ROWS = 30  # of a table in Markdown, those least like chance
MOST_NAMED = 8


def compare_sweeps(
    first: pd.DataFrame,
    second: pd.DataFrame,
    metrics: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """The second sweep's metrics minus the first's, setting by setting.

    Settings are matched by every setting that varies in either sweep, and paired by
    seed. What is constant in both, but not the same, is what the sweeps compare: it
    does not keep them from matching. A setting that one sweep alone knows is ignored
    if it is constant there.

    Args:
        first: A sweep's results, a row a point.
        second: Another's.
        metrics: Without it, the known ones that both have.

    Returns:
        A row a setting and metric that both have: the settings' columns by dotted
        names, `metric`, `num_seeds` (pairs), `unpaired` (seeds that one side alone
        has), `first` and `second` (means over the pairs), `difference`, `std`, `low`,
        `high` (95 %), `better` (whether the second is), p values as of `effects`,
        Holm's over the settings of one metric, `note`. In `attrs`: `only_first` and
        `only_second` (settings that the other has not), `differs` (constants, by name,
        of the first and of the second), `ignored` (constants of one sweep alone).

    Raises:
        ValueError: Metrics that one has not, or a setting varies that the other does
            not know.
    """
    sweeps = (take_apart(first), take_apart(second))
    names = _metrics(sweeps, metrics)
    configs = tuple(_config(table) for table in (first, second))
    keys, differs, ignored = _matching(configs, sweeps)
    settings, groups = _groups(configs, keys)
    there = [np.isin(np.arange(len(settings)), own) for own in groups]
    both = np.flatnonzero(there[0] & there[1])
    found = [_compared(sweeps, groups, settings, both, name) for name in names]
    rows = pd.concat(found, ignore_index=True)
    rows.attrs = {
        "only_first": int((there[0] & ~there[1]).sum()),
        "only_second": int((there[1] & ~there[0]).sum()),
        "differs": differs,
        "ignored": ignored,
    }
    return rows


def comparison_section(
    found: pd.DataFrame, first: str = "first", second: str = "second"
) -> str:
    """The comparison as a section in Markdown.

    Args:
        found: What `compare_sweeps` gives.
        first: Name of the first sweep.
        second: Of the second.
    """
    attrs, metrics = found.attrs, list(found["metric"].drop_duplicates())
    shared = len(found) // max(len(metrics), 1)
    text = f"## {second} against {first}\n\n{counted(shared, 'setting')} in both;"
    text += f" {attrs['only_first']:,} in {first} alone, {attrs['only_second']:,} in"
    text += f" {second} alone."
    if attrs["differs"]:
        told = [
            f"`{k}` ({show(one)} → {show(two)})"
            for k, (one, two) in attrs["differs"].items()
        ]
        text += f" What differs between the sweeps: {few(told, MOST_NAMED)}."
    if attrs["ignored"]:
        told = [f"`{name}`" for name in attrs["ignored"]]
        text += f" Ignored, because one alone has it: {few(told, MOST_NAMED)}."
    if not shared:
        return f"{text} Nothing can be compared.\n"
    text += (
        f" Differences are {second} minus {first}, paired by seed, with 95 % intervals;"
        " p of the paired t-test (t) and of Wilcoxon's signed ranks (W), corrected"
        " after Holm over the settings of a metric."
    )
    for metric in metrics:
        own: Any = found[found["metric"] == metric].reset_index(drop=True)
        text += f"\n\n### {metric_label(metric)}\n\n{_verdict(own, second)}"
        text += f"\n\n{_metric_table(own, first, second)}"
        if len(own) > MOST_ROWS:
            text += f"\n\n{len(own) - MOST_ROWS:,} more settings are not shown."
    return text + "\n"


def _metrics(sweeps: tuple[Parts, Parts], metrics: Any) -> list[str]:
    if metrics is not None:
        sweeps[0].metrics(metrics)
        return sweeps[1].metrics(metrics)
    known = set(sweeps[1].metrics())
    names = [name for name in headline_metrics(sweeps[0]) if name in known]
    if not names:
        raise ValueError(
            "the sweeps have none of their main metrics in common: the first has"
            f" {headline_metrics(sweeps[0])}, the second"
            f" {headline_metrics(sweeps[1])}. Name the metrics to compare."
        )
    return names


def _config(table: pd.DataFrame) -> dict[str, pd.Series]:
    names = [name for name in map(str, table.columns) if name.startswith(CONFIG)]
    return {name.removeprefix(CONFIG): plain(table[name]) for name in names}


def _matching(
    configs: tuple[dict[str, pd.Series], ...], sweeps: tuple[Parts, Parts]
) -> tuple[list[str], dict[str, tuple[Any, Any]], list[str]]:
    """Settings to match by, constants that differ, and constants to ignore."""
    seeds = {SEEDS[0], *sweeps[0].seed_columns, *sweeps[1].seed_columns}
    keys, differs, ignored = [], {}, []
    for name in dict.fromkeys([*configs[0], *configs[1]]):
        if name in seeds:
            continue
        varies = [name in own.factors for own in sweeps]
        if not all(name in own for own in configs):
            if any(varies):
                which, other = ("first", "second") if varies[0] else ("second", "first")
                raise ValueError(
                    f"{name!r} varies in the {which} sweep and is unknown to the"
                    f" {other}. Give the rows of one of its values."
                )
            ignored.append(name)
        elif any(varies):
            keys.append(name)
        else:
            one, two = (own.fixed[name] for own in sweeps)
            if show(one) != show(two):
                differs[name] = (one, two)
    return keys, differs, ignored


def _groups(
    configs: tuple[dict[str, pd.Series], ...], keys: Sequence[str]
) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Distinct settings of both, and each point's row among them."""
    sizes = [len(next(iter(own.values()), ())) for own in configs]
    if not keys:
        return pd.DataFrame(index=range(1)), [np.zeros(size, int) for size in sizes]
    both = pd.DataFrame(
        {
            name: [value for own in configs for value in own[name].tolist()]
            for name in keys
        }
    )
    codes = both.apply(lambda column: pd.factorize(plain(column), False, False)[0])
    group = codes.groupby(list(keys), sort=False).ngroup().to_numpy()
    first = np.unique(group, return_index=True)[1]
    return both.iloc[first].reset_index(drop=True), list(np.split(group, sizes[:1]))


def _compared(
    sweeps: tuple[Parts, Parts],
    groups: Sequence[np.ndarray],
    settings: pd.DataFrame,
    both: np.ndarray,
    name: str,
) -> pd.DataFrame:
    """One metric of all settings that both have."""
    own = [
        _by_seed(part, group, name) for part, group in zip(sweeps, groups, strict=True)
    ]
    place = np.full(len(settings), -1)
    place[both] = np.arange(len(both))
    merged: Any = own[0].merge(own[1], on=["setting", "seed"], how="outer")
    where = place[merged["setting"].to_numpy()]
    one, two = merged[["value_x", "value_y"]].to_numpy(float).T
    pair = np.isfinite(one) & np.isfinite(two) & (where >= 0)
    found = paired_tests((two - one)[pair], where[pair], len(both))
    pairs = found["num_seeds"].to_numpy()
    count = np.maximum(pairs, 1)
    means = [np.bincount(where[pair], v[pair], len(both)) / count for v in (one, two)]
    held = np.bincount(where[where >= 0], minlength=len(both))
    sign = -1.0 if lower_is_better(name) else 1.0
    found = found.assign(
        metric=name,
        unpaired=held - pairs,
        first=np.where(pairs > 0, means[0], np.nan),
        second=np.where(pairs > 0, means[1], np.nan),
        better=sign * found["difference"] > 0,
        p_t_holm=holm(found["p_t"].to_numpy(float)),
        p_wilcoxon_holm=holm(found["p_wilcoxon"].to_numpy(float)),
    )
    beside = settings.iloc[both].reset_index(drop=True)
    return pd.concat([beside, found.reindex(columns=list(COLUMNS))], axis=1)


def _by_seed(parts: Parts, group: np.ndarray, name: str) -> pd.DataFrame:
    """A metric's finite values by the common settings' rows and the seed."""
    frame = pd.DataFrame(
        {"setting": group, "seed": parts.seed, "value": parts.values[name].to_numpy()}
    )
    kept: Any = frame[np.isfinite(frame["value"].to_numpy())]
    return kept.groupby(["setting", "seed"], as_index=False).mean()


def _verdict(own: pd.DataFrame, second: str) -> str:
    tested = np.isfinite(own["p_t_holm"].to_numpy(float))
    if not tested.any():
        return "Too few pairs of seeds to test; the intervals are what is known."
    sure = own["p_t_holm"].to_numpy(float) < SURE
    better = int((sure & own["better"].to_numpy(bool)).sum())
    return (
        f"Of {counted(int(tested.sum()), 'setting')} tested, {second} is better in"
        f" {better} and worse in {int(sure.sum()) - better} beyond chance (paired t,"
        f" corrected p < {SURE})."
    )


def _metric_table(own: Any, first: str, second: str) -> str:
    short = short_names([str(name) for name in own.columns[: -len(COLUMNS)]])
    rows = []
    for row in least_like_chance(own, MOST_ROWS).to_dict("records"):
        half = row["high"] - row["difference"]
        rows.append(
            [
                *(show(row[name]) for name in short),
                str(row["num_seeds"]),
                str(row["unpaired"]),
                plus_minus(row["first"], half).split(" ±")[0],
                plus_minus(row["second"], half).split(" ±")[0],
                plus_minus(row["difference"], half, sign=True),
                *(p_words(row[p]) for p in ("p_t", "p_t_holm", "p_wilcoxon")),
                p_words(row["p_wilcoxon_holm"]),
                row["note"],
            ]
        )
    columns = [*short.values(), "pairs", "unpaired", first, second, "difference"]
    columns += ["p (t)", "Holm (t)", "p (W)", "Holm (W)", "note"]
    return markdown_table(columns, rows, max(len(short), 1))
