"""The page of a sweep's report: what it says, and its tables."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae.sweep.factors import (
    Parts,
    lower_is_better,
    metric_label,
    ordered,
    short_names,
    show,
)
from jaxrvae.sweep.summary import SURE, least_like_chance
from jaxrvae.sweep.texts import (
    counted,
    decimals,
    duration,
    few,
    markdown_table,
    p_words,
    plus_minus,
)

MOST_ROWS = 30  # of a table on the page or in LaTeX; files hold all
MOST_VALUES = 12  # of a factor, told by name
NOTES = """\
- **Mean ± half-width** is the mean over seeds with Student's 95 % interval; in
  brackets the worst seed. A single seed has no interval.
- **Effects** are differences to the baseline of settings that differ from it in one
  factor alone, paired by seed: the same seed is compared on both sides, and seeds that
  one side alone has are dropped (`unpaired`).
- **p** are two-sided, of the paired t-test (t) and of Wilcoxon's signed ranks (W,
  exact), and both after Holm's correction over the comparisons of one metric; metrics
  are not corrected for each other, so name the one that decides beforehand. Under 5
  pairs nothing is tested. The least p that Wilcoxon's test can give of n pairs is
  2/2^n: 0.0625 of 5, 0.002 of 10; of many comparisons, few seeds cannot be enough.
"""


@dataclasses.dataclass(frozen=True)
class Findings:
    """All that a report tells.

    Attributes:
        metrics: That it shows, the deciding one first; without costs.
        summary: Of the metrics, and of the seconds if they are known.
        effects: Of the metrics; p corrected within each.
    """

    name: str
    table: pd.DataFrame
    parts: Parts
    metrics: list[str]
    summary: pd.DataFrame
    effects: pd.DataFrame
    problems: list[str]


def page(found: Findings, drawn: Sequence[str]) -> str:
    """The report in Markdown, with what was drawn."""
    sections = [
        f"# Sweep: {found.name}\n\n{_opening(found)}",
        _warnings(found),
        _factors_section(found),
        _results_section(found),
        _effects_section(found),
        "## Figures\n\n" + "\n\n".join(drawn) if drawn else "",
        f"## How to read the numbers\n\n{NOTES}",
        _files_section(found),
    ]
    return "\n\n".join(part.strip() for part in sections if part.strip()) + "\n"


def _opening(found: Findings) -> str:
    parts = found.parts
    seeds = len(np.unique(parts.seed))
    text = (
        f"{counted(len(found.table), 'point')}:"
        f" {counted(len(parts.settings), 'setting')}, {counted(seeds, 'seed')}."
    )
    if "seconds" in parts.values:
        seconds = float(np.nansum(parts.values["seconds"].to_numpy()))
        text += f" They took {duration(seconds)} of computing."
    if len(found.table) == 1:
        text += " It is one point only: no comparison is possible."
    elif len(parts.settings) == 1:
        text += " Nothing but the seed varies: no comparison is possible."
    first = found.metrics[0]
    best = _ranked(found)[0]
    if len(parts.settings) > 1:
        own = _cells(found.summary, first)[best]
        text += (
            f"\n\nBest by {metric_label(first)}:"
            f" {_setting(found, best)}, with {own}. The best of many settings looks"
            " better than it is: measure it again with fresh seeds."
        )
    return text


def _setting(found: Findings, row: int) -> str:
    short = short_names(found.parts.factors)
    own = found.parts.settings.loc[row]
    return ", ".join(f"{short[name]} = {show(own[name])}" for name in short)


def _warnings(found: Findings) -> str:
    if not found.problems:
        return ""
    return "## Read first\n\n" + "\n".join(f"- {own}" for own in found.problems)


def _factors_section(found: Findings) -> str:
    if not found.parts.factors:
        return ""
    base = found.effects.attrs["baseline"]
    rows = []
    for name in found.parts.factors:
        values = [show(value) for value in ordered(found.parts.settings[name])]
        told = few(values, MOST_VALUES)
        if len(values) > MOST_VALUES:
            told = f"{len(values):,} values, {values[0]} to {values[-1]}"
        rows.append([f"`{name}`", told, show(base[name])])
    table = markdown_table(["Factor", "Values", "Baseline"], rows, 3)
    fixed = counted(len(found.parts.fixed), "setting")
    text = f"## What varies\n\n{table}\n\nHeld fixed: {fixed} (tables/fixed.csv)."
    if found.parts.seed_columns:
        moving = ", ".join(f"`{name}`" for name in found.parts.seed_columns)
        text += f" Seeds: {moving}."
    return text


def _results_section(found: Findings) -> str:
    columns, rows, words = results_table(found)
    first = found.metrics[0]
    more = len(found.parts.settings) - len(rows)
    text = "## Results\n\nMean ± half-width of the 95 % interval [worst seed]"
    if len(rows) > 1:
        order = "lowest" if lower_is_better(first) else "highest"
        text += f", {order} {metric_label(first)} first"
    text += f".\n\n{markdown_table(columns, rows, words)}"
    if more > 0:
        text += f"\n\n{more:,} more settings are in tables/summary.csv."
    return text


def results_table(found: Findings) -> tuple[list[str], list[list[str]], int]:
    """Columns, rows (the best first) and how many columns hold words."""
    settings, summary = found.parts.settings, found.summary
    names = list(summary["metric"].drop_duplicates())
    ranked = _ranked(found)[:MOST_ROWS]
    seeds = summary["num_seeds"].to_numpy().reshape(len(names), -1).max(0)
    cells = {name: _cells(summary, name, ranked, seeds) for name in names}
    short = short_names(found.parts.factors)
    rows = [
        [
            *(show(settings.at[row, name]) for name in short),
            str(seeds[row]),
            *(cells[name][row] for name in names),
        ]
        for row in ranked
    ]
    columns = [*short.values(), "seeds", *map(metric_label, names)]
    return columns, rows, len(short)


def _ranked(found: Findings) -> list[int]:
    """Settings, the best by the first metric's mean first."""
    first = found.metrics[0]
    mean = found.summary.loc[found.summary["metric"] == first, "mean"].to_numpy()
    value = mean if lower_is_better(first) else -mean
    return np.argsort(value, kind="stable").tolist()  # NaN come last


def _cells(
    summary: pd.DataFrame, name: str, rows: Any = None, seeds: Any = None
) -> dict[int, str]:
    """Settings to 'mean ± half [worst]'."""
    own: Any = summary[summary["metric"] == name].reset_index(drop=True)
    found = {}
    for row in range(len(own)) if rows is None else rows:
        mean, half = own.at[row, "mean"], own.at[row, "high"] - own.at[row, "mean"]
        text = plus_minus(mean, half)
        if own.at[row, "num_seeds"] > 1:
            worst = own.at[row, "worst"]
            digits = decimals(half) if half > 0 else 9
            text += f" [{worst:.{digits}f}]" if digits <= 6 else f" [{worst:.4g}]"
        if seeds is not None and 0 < own.at[row, "num_seeds"] < seeds[row]:
            text += f" (n = {own.at[row, 'num_seeds']})"
        found[row] = text
    return found


def _effects_section(found: Findings) -> str:
    if len(found.parts.settings) < 2:
        return ""
    attrs = found.effects.attrs
    base = ", ".join(f"`{k}` = {show(v)}" for k, v in attrs["baseline"].items())
    text = f"## Effects of single factors\n\nThe baseline: {base}."
    if attrs["left_out"]:
        text += (
            f" Left out, as they differ from it in several factors:"
            f" {counted(attrs['left_out'], 'setting')}."
        )
    if not len(found.effects):
        return f"{text} No setting differs in one factor alone: nothing to compare."
    for metric in found.metrics:
        own: Any = found.effects[found.effects["metric"] == metric]
        columns, rows, words = effects_table(least_like_chance(own, MOST_ROWS))
        text += f"\n\n### {metric_label(metric)}\n\n{_verdict(own)}"
        text += f"\n\n{markdown_table(columns, rows, words)}"
        if len(own) > MOST_ROWS:
            text += f"\n\n{len(own) - MOST_ROWS:,} more are in tables/effects.csv."
    return text


def _verdict(own: pd.DataFrame) -> str:
    """What the corrected tests say, in one sentence."""
    sure: Any = own[own["p_t_holm"] < SURE]
    tested = int(np.isfinite(own["p_t_holm"].to_numpy(float)).sum())
    if not tested:
        return "Too few seeds to test any difference; the intervals are what is known."
    if not len(sure):
        return f"None of {tested} is beyond chance (paired t, corrected p < 0.05)."
    told = [
        f"{row['factor']} = {row['value']} ({'better' if row['better'] else 'worse'})"
        for _, row in sure.iterrows()
    ]
    return (
        f"{len(sure)} of {tested} are beyond chance (paired t, corrected p < 0.05):"
        f" {few(told, 6, '; ')}."
    )


def effects_table(own: Any) -> tuple[list[str], list[list[str]], int]:
    """Columns, a row a comparison, and how many columns hold words."""
    columns = [
        "factor", "value", "baseline", "pairs", "unpaired", "difference",
        "p (t)", "Holm (t)", "p (W)", "Holm (W)", "note",
    ]  # fmt: skip
    rows = [
        [
            row.factor,
            row.value,
            row.baseline,
            str(row.num_seeds),
            str(row.unpaired),
            plus_minus(row.difference, row.high - row.difference, sign=True),
            p_words(row.p_t),
            p_words(row.p_t_holm),
            p_words(row.p_wilcoxon),
            p_words(row.p_wilcoxon_holm),
            row.note,
        ]
        for row in own.itertuples()
    ]
    return columns, rows, 3


def _files_section(found: Findings) -> str:
    others = [own for own in found.parts.metrics() if own not in found.metrics]
    text = "## Files\n\ntables/summary.csv and effects.csv hold all numbers, the .tex"
    text += " files these tables for LaTeX (booktabs); figures/ holds .png and .pdf."
    if others:
        text += f" Also measured: {few(others, 12, '; ')}."
    return text
