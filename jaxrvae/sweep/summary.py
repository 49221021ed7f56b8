"""Numbers of a sweep over its seeds: means, intervals, paired differences, tests."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from jaxrvae._typing import Float, Int, ndarray
from jaxrvae.sweep.factors import (
    Parts,
    baseline_setting,
    lower_is_better,
    moving_together,
    ordered,
    plain_value,
    show,
    take_apart,
)

LEVEL = 0.95  # of every interval
FEWEST = 5  # seeds that a test needs
SURE = 0.05  # corrected p under which a difference counts as beyond chance
MOST_EXACT = 60  # seeds: beyond, the signed rank's distribution is taken as normal
EFFECT_COLUMNS = (
    "metric", "factor", "value", "baseline", "num_seeds", "unpaired", "difference",
    "std", "low", "high", "better", "p_t", "p_wilcoxon", "p_t_holm",
    "p_wilcoxon_holm", "note",
)  # fmt: skip


def summarize(
    table: pd.DataFrame, metrics: str | Sequence[str] | None = None
) -> pd.DataFrame:
    """Every setting's metrics over its seeds, a row each.

    The interval is Student's t: exact for normal scatter, and near its level for
    moderate skew at the 3 to 10 seeds that sweeps have, where a percentile bootstrap
    is too narrow (by about the root of (n-1)/n, and by using normal instead of t
    quantiles). It may reach beyond a metric's bounds, such as 1 of an accuracy.

    Args:
        table: A sweep's results, a row a point.
        metrics: Names without "metric.", or of costs; without it, all of them.

    Returns:
        Columns: the factors by their dotted names, `metric`, `num_seeds`,
        `missing_seeds` (that at least half of the settings have, this one not), `mean`,
        `worst` (the highest where `lower_is_better`, else the lowest), `std` (n - 1),
        `low` and `high` (95 % interval of the mean; NaN of one seed).

    Raises:
        ValueError: An empty table, or unknown metrics.

    Source: Student 1908, doi:10.1093/biomet/6.1.1.
    """
    parts = take_apart(table)
    found = [_summary(parts, name) for name in parts.metrics(metrics)]
    return pd.concat(found, ignore_index=True)


def effects(
    table: pd.DataFrame,
    metric: str | Sequence[str],
    baseline: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """What changing one factor alone does to a metric, paired by seed.

    A setting is held against the baseline if it differs from it in one factor, or in
    factors that move together: values that follow from another's, such as its options.
    The seeds that both have are compared.

    Args:
        table: A sweep's results, a row a point.
        metric: Without "metric."; of several, all comparisons are one family.
        baseline: Values of factors by dotted names; without it, the most common ones.

    Returns:
        A row a comparison: `metric`, `factor`, `value`, `baseline`, `num_seeds`
        (pairs), `unpaired` (seeds dropped because one side alone has them),
        `difference` (to the baseline, mean), `std`, `low`, `high` (95 %), `better`
        (whether the mean moved to the better), `p_t` (paired t), `p_wilcoxon` (signed
        rank, exact to 60 seeds), both also after Holm's correction over all rows, and
        `note`: "too few seeds" under 5, which are not tested, or "no pairs". In
        `attrs`: `baseline`, its values, and `left_out`, how many settings differ in
        several factors.

    Raises:
        ValueError: Unknown metrics, factors or values.
    """
    parts = take_apart(table)
    base = baseline_setting(parts, baseline)
    single, several = _comparisons(parts, base)
    found = [_effects(parts, name, base, single) for name in parts.metrics(metric)]
    rows = pd.concat(found, ignore_index=True)
    for name in ("p_t", "p_wilcoxon"):
        rows[f"{name}_holm"] = holm(rows[name].to_numpy(float))
    rows = rows.reindex(columns=list(EFFECT_COLUMNS))
    rows.attrs = {
        "baseline": {
            name: plain_value(parts.settings.at[base, name]) for name in parts.factors
        },
        "left_out": several,
    }
    return rows


def intervals(
    mean: Float[ndarray, " set"], std: Float[ndarray, " set"], num: Int[ndarray, " set"]
) -> tuple[Float[ndarray, " set"], Float[ndarray, " set"]]:
    """Student's interval (95 %) of means; NaN of one value."""
    half = stats.t.ppf((1 + LEVEL) / 2, np.maximum(num - 1, 1)) * std
    half = np.where(num > 1, half / np.sqrt(np.maximum(num, 1)), np.nan)
    return mean - half, mean + half


def paired_tests(
    difference: Float[ndarray, " pair"], group: Int[ndarray, " pair"], num_groups: int
) -> pd.DataFrame:
    """Each group's differences: their mean, its interval, and tests of zero.

    Args:
        difference: Of pairs, finite.
        group: 0 to num_groups - 1.
        num_groups: Rows to return; groups without pairs have NaN.

    Source: Student 1908, doi:10.1093/biomet/6.1.1; Wilcoxon 1945, doi:10.2307/3001968
    (zeros dropped, ties by their mean rank).
    """
    num, mean, std = _moments(difference, group, num_groups)
    low, high = intervals(mean, std, num)
    order = np.argsort(group, kind="stable")
    each = np.split(difference[order], np.cumsum(num)[:-1]) if num_groups else []
    enough = num >= FEWEST
    rank = [signed_rank_p(d) if len(d) >= FEWEST else np.nan for d in each]
    return pd.DataFrame(
        {
            "num_seeds": num,
            "difference": mean,
            "std": std,
            "low": low,
            "high": high,
            "p_t": np.where(enough, _t_test_p(mean, std, num), np.nan),
            "p_wilcoxon": np.asarray(rank, float),
            "note": np.select([num == 0, ~enough], ["no pairs", "too few seeds"], ""),
        }
    )


def signed_rank_p(difference: Float[ndarray, " pair"]) -> float:
    """Two-sided p of Wilcoxon's signed ranks: exact to 60 pairs, ties included.

    >>> signed_rank_p(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    0.0625
    """
    difference = difference[difference != 0]
    if not len(difference):
        return 1.0
    double = np.rint(2 * stats.rankdata(np.abs(difference))).astype(int)
    positive = int(double[difference > 0].sum())
    least = min(positive, int(double.sum()) - positive)
    if len(double) <= MOST_EXACT:
        below = _rank_sums(tuple(sorted(double.tolist())))[: least + 1].sum()
        return float(min(2 * below, 1.0))
    spread = np.sqrt((double.astype(float) ** 2).sum()) / 2
    return float(min(2 * stats.norm.cdf((least + 1 - double.sum() / 2) / spread), 1))


def holm(p: Float[ndarray, " test"]) -> Float[ndarray, " test"]:
    """The p values of a family, corrected for how many there are; NaN stay out.

    Source: Holm 1979, Scand. J. Statist. 6, 65-70.

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected


def least_like_chance(found: Any, most: int) -> pd.DataFrame:
    """At most so many of the comparisons, in their order: those of the least p."""
    order = np.argsort(found["p_t"].to_numpy(float), kind="stable")  # NaN last
    return found.iloc[np.sort(order[:most])]


def missing_seeds(parts: Parts, rows: pd.DataFrame) -> list[str]:
    """For every setting, the expected seeds that `rows` have no value of."""
    seeds, num = parts.expected_seeds(), len(parts.settings)
    there = np.zeros((num, len(seeds)), bool)
    place = pd.Index(seeds).get_indexer(pd.Index(rows["seed"]))
    there[rows["setting"].to_numpy()[place >= 0], place[place >= 0]] = True
    found = [""] * num
    for own in np.flatnonzero(~there.all(1)).tolist():
        found[own] = ", ".join(str(seed) for seed in seeds[~there[own]])
    return found


def _summary(parts: Parts, name: str) -> pd.DataFrame:
    """One metric of all settings."""
    rows: Any
    rows, num = parts.by_seed(name), len(parts.settings)
    value, setting = rows["value"].to_numpy(), rows["setting"].to_numpy()
    count, mean, std = _moments(value, setting, num)
    low, high = intervals(mean, std, count)
    lower = lower_is_better(name)
    worst = np.full(num, -np.inf if lower else np.inf)
    (np.maximum if lower else np.minimum).at(worst, setting, value)
    return parts.settings.assign(
        metric=name,
        num_seeds=count,
        missing_seeds=missing_seeds(parts, rows),
        mean=mean,
        worst=np.where(count > 0, worst, np.nan),
        std=std,
        low=low,
        high=high,
    )


def _moments(
    value: np.ndarray, group: np.ndarray, num: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean and standard deviation (n - 1) of every group."""
    count = np.bincount(group, minlength=num)
    mean = np.bincount(group, value, num) / np.maximum(count, 1)
    squares = np.bincount(group, (value - mean[group]) ** 2, num)
    std = np.sqrt(squares / np.maximum(count - 1, 1))
    absent = np.where(count > 0, mean, np.nan)
    return count, absent, np.where(count > 1, std, np.nan)


def _comparisons(parts: Parts, base: int) -> tuple[pd.DataFrame, int]:
    """Settings that differ from the baseline in one factor; how many in several.

    What follows from that factor (its options, known where it has this value alone)
    may differ with it: then all names are told.
    """
    settings, groups = parts.settings, moving_together(parts.settings)
    codes = [pd.factorize(settings[g[0]], use_na_sentinel=False)[0] for g in groups]
    follows = _follows(codes, len(settings))
    found, several = [], 0
    for setting in range(len(settings)):
        changed = [i for i, own in enumerate(codes) if own[setting] != own[base]]
        led = [i for i in changed if all(follows[i, j] for j in changed)]
        several += bool(changed) and not led
        if led:
            names = [*groups[led[0]]]
            names += [n for i in changed if i != led[0] for n in groups[i]]
            found.append((led[0], setting, names))
    rows = [
        {
            "setting": setting,
            "factor": " + ".join(names),
            "value": _words(settings, setting, names),
            "baseline": _words(settings, base, names),
        }
        for _, setting, names in sorted(found, key=_by_value(settings, groups))
    ]
    return pd.DataFrame(
        rows, columns=["setting", "factor", "value", "baseline"]
    ), several


def _follows(codes: Sequence[np.ndarray], num: int) -> np.ndarray:
    """[i, j]: whether factor j's value follows from i's, in all settings.

    From one that is new in every setting, all would follow: it tells nothing.
    """
    found = np.eye(len(codes), dtype=bool)
    for i, one in enumerate(codes):
        if one.max() + 1 == num:
            continue
        for j, other in enumerate(codes):
            pairs = np.unique(np.stack([one, other]), axis=1).shape[1]
            found[i, j] = pairs == one.max() + 1
    return found


def _by_value(settings: pd.DataFrame, groups: Sequence[tuple[str, ...]]) -> Any:
    """A key that sorts by factor, then by its value."""
    first = [group[0] for group in groups]
    ranks = {
        name: {show(value): i for i, value in enumerate(ordered(settings[name]))}
        for name in first
    }
    return lambda own: (
        own[0],
        ranks[first[own[0]]][show(settings.at[own[1], first[own[0]]])],
    )


def _words(settings: pd.DataFrame, row: int, group: Sequence[str]) -> str:
    return " + ".join(show(settings.at[row, name]) for name in group)


def _effects(parts: Parts, name: str, base: int, single: pd.DataFrame) -> pd.DataFrame:
    """One metric's comparisons."""
    rows: Any = parts.by_seed(name)
    num = len(single)
    own = rows[rows["setting"] == base].set_index("seed")["value"]
    place = np.full(len(parts.settings), -1)
    place[single["setting"].to_numpy(int)] = np.arange(num)
    rows = rows.assign(group=place[rows["setting"].to_numpy()])
    rows = rows[rows["group"] >= 0]
    gap = rows["value"].to_numpy() - own.reindex(rows["seed"]).to_numpy()
    group, paired = rows["group"].to_numpy(), np.isfinite(gap)
    found = paired_tests(gap[paired], group[paired], num)
    pairs = found["num_seeds"].to_numpy()
    held = np.bincount(group, minlength=num)
    sign = -1.0 if lower_is_better(name) else 1.0
    return found.assign(
        metric=name,
        unpaired=held + len(own) - 2 * pairs,
        better=sign * found["difference"] > 0,
        **{own: single[own] for own in ("factor", "value", "baseline")},
    )


def _t_test_p(mean: np.ndarray, std: np.ndarray, num: np.ndarray) -> np.ndarray:
    """Two-sided; of differences that are all the same, 1 where they are 0, else 0."""
    error = std / np.sqrt(np.maximum(num, 1))
    spread = np.where(error > 0, error, 1.0)
    t = np.where(error > 0, mean / spread, np.where(mean == 0, 0.0, np.inf))
    return 2 * stats.t.sf(np.abs(t), np.maximum(num - 1, 1))


@functools.lru_cache(maxsize=4096)
def _rank_sums(ranks: tuple[int, ...]) -> np.ndarray:
    """Probabilities of the sums of these ranks, each in it or not by a fair coin."""
    chance = np.zeros(sum(ranks) + 1)
    chance[0] = 1.0
    for rank in ranks:
        shifted = np.zeros_like(chance)
        shifted[rank:] = chance[: len(chance) - rank]
        chance = (chance + shifted) / 2
    return chance
