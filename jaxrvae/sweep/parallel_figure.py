"""Parallel coordinates: every setting a line through its factors and its metrics."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxrvae.sweep.factors import (
    lower_is_better,
    metric_label,
    moving_together,
    ordered,
    short_names,
    show,
)
from jaxrvae.sweep.wide import wide, wrapped
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 400  # the best 100, and others evenly through the rest
MOST_VALUES = 10  # numbers, beyond which an axis is drawn to scale
MOST_TICKS = 12
MOST_AXES = 10
MANY_LINES = 60  # beyond, lines are drawn as an image
SPREAD = 0.035  # of lines that share a value, over the axis's height
WIDE_RANGE = 20  # the largest over the smallest, beyond which a scale is logarithmic


@dataclasses.dataclass(frozen=True)
class Coordinate:
    """One axis: heights of the settings in [0, 1], and what its ticks say."""

    label: str
    height: np.ndarray
    ticks: list[tuple[float, str]]


def draw_parallel(
    summary: pd.DataFrame,
    metrics: Sequence[str] | None = None,
    ax: "Axes | None" = None,
) -> "Figure":
    """Settings as lines through factors (left) and mean metrics (right).

    Up is better on every metric's axis. The color is the first metric's. Of more than
    400 settings, the best 100 and others evenly through the ranks are drawn.

    Args:
        summary: What `summarize` gives.
        metrics: To show, the first the color's; without it, all of the summary.
        ax: Where to draw; without it, in a new figure.

    Raises:
        ValueError: Unknown metrics, no factor, or no setting that has all metrics.
    """
    names = list(metrics or summary["metric"].drop_duplicates())[: MOST_AXES - 1]
    settings, mean = wide(summary, names)
    kept = _drawn(mean, names[0])
    if not len(kept) or not settings.shape[1]:
        raise ValueError("no line to draw: it takes a factor and a metric with values.")
    settings = settings.iloc[kept].reset_index(drop=True)
    mean = mean.iloc[kept].reset_index(drop=True)
    axes = _factor_axes(settings, MOST_AXES - len(names))
    axes += [_metric_axis(mean[name].to_numpy(), name) for name in names]
    with style.styled():
        axis = ax
        if axis is None:
            axis = style.new_figure(1.5 + 1.25 * len(axes), 3.9)[1][0, 0]
        _draw_lines(axis, axes, mean[names[0]].to_numpy(), names[0])
        for place, one in enumerate(axes):
            _draw_axis(axis, place, one)
        complete = int(mean_is_complete(summary, names).sum())
        note = f"{len(kept)} of {complete} settings" if len(kept) < complete else ""
        axis.set_xlabel(note, fontsize=8, loc="left")
        style.bare(axis)
        axis.set_xlim(-0.15, len(axes) - 0.35)
        axis.set_ylim(-0.08, 1.06)
        return axis.figure  # type: ignore[return-value]


def mean_is_complete(summary: pd.DataFrame, metrics: Sequence[str]) -> np.ndarray:
    """Which settings have all of the metrics."""
    mean: Any = wide(summary, metrics)[1].to_numpy()
    return np.isfinite(mean).all(1)


def _drawn(mean: pd.DataFrame, first: str) -> np.ndarray:
    """Settings that are drawn, the best last so that they lie on top."""
    complete = np.flatnonzero(np.isfinite(mean.to_numpy()).all(1))
    value = mean[first].to_numpy()[complete]
    order = complete[np.argsort(-value if lower_is_better(first) else value)]
    if len(order) <= MOST_LINES:
        return order
    best = MOST_LINES // 4
    rest = np.linspace(0, len(order) - best - 1, MOST_LINES - best).astype(int)
    return np.concatenate([order[rest], order[-best:]])


def _factor_axes(settings: pd.DataFrame, most: int) -> list[Coordinate]:
    """Those with fewest values first, so that lines part late."""
    groups = moving_together(settings)
    groups = sorted(groups, key=lambda g: settings[g[0]].nunique(dropna=False))[:most]
    short = short_names([str(name) for name in settings])
    return [
        _factor_axis(settings, group, " + ".join(short[name] for name in group))
        for group in groups
    ]


def _factor_axis(
    settings: pd.DataFrame, group: Sequence[str], label: str
) -> Coordinate:
    column: Any = settings[group[0]]
    values = ordered(column)
    numeric = all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool)
        for value in values
    )
    if numeric and len(values) > MOST_VALUES:
        return _scaled(column.to_numpy(float), label, False)
    first = [show(value) for value in column]
    known = [show(value) for value in values]
    at = np.array([known.index(value) for value in first])
    rows = [first.index(value) for value in known]
    words = [" + ".join(show(settings[n].iloc[row]) for n in group) for row in rows]
    last = max(len(words) - 1, 1)
    height = (at / last if len(words) > 1 else at + 0.5) + _apart(at)
    step = -(-len(words) // MOST_TICKS)
    places = [i / last if len(words) > 1 else 0.5 for i in range(len(words))]
    ticks = list(zip(places, words, strict=True))[::step]
    return Coordinate(label, height, ticks)


def _apart(at: np.ndarray) -> np.ndarray:
    """Offsets of lines that share a value, in their order."""
    offset = np.zeros(len(at))
    for value in np.unique(at):
        own = at == value
        if own.sum() > 1:
            offset[own] = np.linspace(-SPREAD, SPREAD, int(own.sum()))
    return offset


def _metric_axis(value: np.ndarray, name: str) -> Coordinate:
    return _scaled(value, metric_label(name), lower_is_better(name))


def _scaled(value: np.ndarray, label: str, inverted: bool) -> Coordinate:
    """Heights in proportion, or to the logarithm where the range is wide."""
    low, high = float(value.min()), float(value.max())
    log = low > 0 and high > WIDE_RANGE * low
    ends = np.log([low, high]) if log else np.array([low, high])
    size = float(ends[1] - ends[0])
    if size <= 0:
        return Coordinate(label, np.full(len(value), 0.5), [(0.5, f"{low:.4g}")])
    height = ((np.log(value) if log else value) - ends[0]) / size
    places = np.array([0.0, 0.5, 1.0])
    numbers = ends[0] + size * places
    words = _same_digits(np.exp(numbers) if log else numbers, log)
    if inverted:
        height, places = 1 - height, 1 - places
    return Coordinate(label, height, list(zip(places.tolist(), words, strict=True)))


def _same_digits(numbers: np.ndarray, log: bool) -> list[str]:
    if log:
        return [f"{number:.2g}" for number in numbers]
    size = np.ptp(numbers)
    if not 1e-4 < size < 1e6:
        return [f"{number:.4g}" for number in numbers]
    digits = int(max(1 - np.floor(np.log10(size)), 0))
    return [f"{number:.{digits}f}" for number in numbers]


def _draw_lines(
    axis: "Axes", axes: Sequence[Coordinate], value: np.ndarray, name: str
) -> None:
    from matplotlib.collections import LineCollection

    height = np.stack([one.height for one in axes], axis=1)
    x = np.arange(len(axes), dtype=float)
    lines = [np.column_stack([x, row]) for row in height]
    colors = "cividis_r" if lower_is_better(name) else "cividis"
    drawn = LineCollection(
        lines, cmap=colors, lw=1.4 if len(lines) <= MANY_LINES else 0.7,
        alpha=0.9 if len(lines) <= MANY_LINES else 0.6,
        rasterized=len(lines) > MANY_LINES, zorder=1,
    )  # fmt: skip
    drawn.set_array(value)
    axis.add_collection(drawn, autolim=False)
    bar: Any = axis.figure.colorbar(drawn, ax=axis, pad=0.02, aspect=30)
    bar.solids.set_alpha(1)
    bar.set_label(wrapped(metric_label(name), 34), fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    if lower_is_better(name):
        bar.ax.invert_yaxis()


def _tick(words: str) -> str:
    words = words.replace("-", "−") if words[1:2].isdigit() else words
    return words if len(words) < 18 else words[:16] + "…"


def _draw_axis(axis: "Axes", place: int, one: Coordinate) -> None:
    axis.vlines(place, 0, 1, color=style.INK, lw=1.0, zorder=2)
    for height, words in one.ticks:
        axis.text(
            place + 0.04, height, _tick(words),
            fontsize=7.5, va="center", zorder=3,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none",
                  "alpha": 0.8},
        )  # fmt: skip
    axis.text(
        place, 1.1, wrapped(one.label, 15), fontsize=8, fontweight="bold",
        ha="center", va="bottom",
    )  # fmt: skip
