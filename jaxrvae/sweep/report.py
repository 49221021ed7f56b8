"""The report of a sweep: a page, tables for a paper, and figures."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxrvae.sweep.factors import (
    headline_metrics,
    metric_label,
    moving_together,
    ordered,
    show,
    take_apart,
)
from jaxrvae.sweep.figures import draw_effects, draw_grid, draw_parallel, draw_pareto
from jaxrvae.sweep.page import (
    Findings,
    effects_table,
    page,
    results_table,
)
from jaxrvae.sweep.problems import find_problems
from jaxrvae.sweep.summary import effects, least_like_chance, summarize
from jaxrvae.sweep.texts import latex_table
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["effects", "summarize", "write_sweep_report"]

FIGURES = ("effects.*", "grid_*.*", "parallel.*", "pareto.*")
MOST_GRID = 30  # values along a side of a heat map
MOST_TEX = 120  # comparisons in LaTeX
MOST_PANELS = 9  # metrics that have panels or heat maps
PNG_DPI = 200


def write_sweep_report(
    table: pd.DataFrame,
    folder: str | Path,
    metrics: str | Sequence[str] | None = None,
    name: str = "sweep",
    baseline: Mapping[str, Any] | None = None,
    failures: pd.DataFrame | None = None,
) -> Path:
    """Writes report.md, tables (.csv, .tex) and figures (.png, .pdf); report.md's path.

    Args:
        table: A sweep's results, a row a point.
        folder: Made if it is not there; files of an earlier report are replaced.
        metrics: To report, the deciding one first; without it, the known ones.
        name: The sweep's, in the title.
        baseline: Values of factors that effects are held against.
        failures: Points set aside, with `id` and `error`.

    Raises:
        ValueError: An empty table, no metrics, or unknown ones.
        DataError: matplotlib is not installed.
    """
    found = _findings(table, metrics, name, baseline, failures)
    folder = Path(folder)
    for own in ("tables", "figures"):
        (folder / own).mkdir(parents=True, exist_ok=True)
    for old in (own for stem in FIGURES for own in (folder / "figures").glob(stem)):
        old.unlink()
    _write_tables(found, folder / "tables")
    drawn = []
    for stem, caption, figure in _figures(found):
        _save(figure, folder / "figures" / stem)
        drawn.append(f"![{caption}](figures/{stem}.png)\n\n*{caption}*")
    path = folder / "report.md"
    path.write_text(page(found, drawn), encoding="utf-8")
    return path


def _findings(
    table: pd.DataFrame, metrics: Any, name: str, baseline: Any, failures: Any
) -> Findings:
    parts = take_apart(table)
    chosen = headline_metrics(parts) if metrics is None else parts.metrics(metrics)
    costs = [own for own in ("seconds",) if own in parts.values and own not in chosen]
    summary = summarize(table, [*chosen, *costs])
    each = [effects(table, own, baseline) for own in chosen]
    every = pd.concat(each, ignore_index=True)
    every.attrs = each[0].attrs
    problems = find_problems(table, parts, summary, failures)
    return Findings(name, table, parts, chosen, summary, every, problems)


def _write_tables(found: Findings, folder: Path) -> None:
    found.summary.to_csv(folder / "summary.csv", index=False)
    found.effects.to_csv(folder / "effects.csv", index=False)
    fixed = [(name, show(value)) for name, value in found.parts.fixed.items()]
    fixed_table = pd.DataFrame(fixed, columns=["setting", "value"])
    fixed_table.to_csv(folder / "fixed.csv", index=False)
    columns, rows, words = results_table(found)
    note = "mean and half-width of the 95 % interval over seeds, [worst seed]"
    text = latex_table(columns, rows, words, note)
    (folder / "summary.tex").write_text(text, encoding="utf-8")
    (folder / "effects.tex").unlink(missing_ok=True)
    if len(found.effects):
        shown = least_like_chance(found.effects, MOST_TEX)
        columns, rows, words = effects_table(shown)
        columns = ["metric", *columns]
        labels = map(metric_label, shown["metric"])
        rows = [[label, *row] for label, row in zip(labels, rows, strict=True)]
        note = "differences to the baseline, paired by seed, with 95 % intervals"
        text = latex_table(columns, rows, words + 1, note)
        (folder / "effects.tex").write_text(text, encoding="utf-8")


def _figures(found: Findings) -> "Iterator[tuple[str, str, Figure]]":
    """(file, caption, figure), one after the other."""
    settings, first = found.parts.settings, found.metrics[0]
    groups = moving_together(settings)
    if len(found.effects):
        caption = "Differences to the baseline, paired by seed, with 95 % intervals."
        drawn = found.effects["metric"].isin(found.metrics[:MOST_PANELS])
        some: Any = found.effects[drawn]
        yield "effects", caption, draw_effects(some)
    sides = [len(ordered(settings[group[0]])) for group in groups]
    full = 2 * len(settings) >= math.prod(sides)
    if len(groups) == 2 and full and max(sides) <= MOST_GRID:
        for metric in found.metrics[:MOST_PANELS]:
            caption = f"{metric_label(metric)}: means over seeds, and the worst seed."
            yield f"grid_{_slug(metric)}", caption, draw_grid(found.summary, metric)
    names = list(found.summary["metric"].drop_duplicates())
    whole = np.isfinite(
        np.stack(
            [found.summary.loc[found.summary["metric"] == n, "mean"] for n in names]
        )
    ).all(0)
    if whole.sum() > 1 and len(groups) + len(names) > 2:
        caption = "Every setting as a line; up is better on the axes of metrics."
        yield "parallel", caption, draw_parallel(found.summary)
    if len(settings) > 1 and "seconds" in names:
        caption = f"{metric_label(first)} against training time."
        yield "pareto", caption, draw_pareto(found.summary, first)


def _save(figure: "Figure", path: Path) -> None:
    with style.styled():
        figure.savefig(path.with_suffix(".png"), dpi=PNG_DPI)
        figure.savefig(path.with_suffix(".pdf"), dpi=PNG_DPI)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
