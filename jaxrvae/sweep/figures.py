"""Figures of a sweep's settings: quality against cost, and grids of two factors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxrvae._typing import Bool, Float, ndarray
from jaxrvae.sweep.effect_figure import draw_effects
from jaxrvae.sweep.factors import (
    lower_is_better,
    metric_label,
    moving_together,
    ordered,
    short_names,
    show,
)
from jaxrvae.sweep.parallel_figure import draw_parallel
from jaxrvae.sweep.wide import setting_words, wide, wrapped
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_effects", "draw_grid", "draw_parallel", "draw_pareto", "pareto_front"]

FRONT, LINE = "#0072B2", "#56B4E9"  # Okabe & Ito 2008
MOST_NAMED = 6  # settings of the front that are told by name
MOST_LINES = 3  # of such a name
MOST_CELLS = 144  # of a heat map, that are written into
MANY_DOTS = 500  # beyond, dots are drawn as an image


def draw_pareto(
    summary: pd.DataFrame,
    quality: str,
    cost: str = "seconds",
    ax: "Axes | None" = None,
) -> "Figure":
    """Settings by cost and quality, means over seeds; the front is marked.

    Of the front, at most 6 settings that stand apart are numbered, with the quality's
    95 % interval, and named beside the axes.

    Args:
        summary: What `summarize` gives, of both metrics.
        quality: A metric.
        cost: Another, of which less is better.
        ax: Where to draw; without it, in a new figure.
    """
    settings, mean = wide(summary, (quality, cost))
    x, y = mean[cost].to_numpy(), mean[quality].to_numpy()
    lower = lower_is_better(quality)
    front = np.flatnonzero(pareto_front(x, y, lower))
    front = front[np.argsort(x[front])]
    with style.styled():
        axis = style.new_figure(8.0, 4.0)[1][0, 0] if ax is None else ax
        known = x[np.isfinite(x)]
        if len(known) and 0 < known.min() * 10 < known.max():
            axis.set_xscale("log")
        _draw_dots(axis, x, y, front)
        named = _apart(axis, x[front], y[front])
        _name_front(axis, summary, quality, settings, x, y, front[named])
        axis.set_xlabel(metric_label(cost) + ", lower is better")
        words = f"{metric_label(quality)}, {'lower' if lower else 'higher'} is better"
        axis.set_ylabel(wrapped(words, 42))
        axis.set_title("Quality against cost, means over seeds")
        return axis.figure  # type: ignore[return-value]


def draw_grid(summary: pd.DataFrame, metric: str, ax: "Axes | None" = None) -> "Figure":
    """Two factors' grid: means over seeds, and the worst seed in brackets below.

    Args:
        summary: What `summarize` gives, of a sweep with two factors.
        metric: One of its metrics.
        ax: Where to draw; without it, in a new figure.

    Raises:
        ValueError: More or fewer factors vary.
    """
    settings, _ = wide(summary, (metric,))
    groups = moving_together(settings)
    if len(groups) != 2:
        raise ValueError(
            f"a grid needs two factors that vary; got {len(groups)}:"
            f" {[' + '.join(group) for group in groups]}. Give part of the table."
        )
    groups = sorted(groups, key=lambda g: settings[g[0]].nunique(dropna=False))
    values = [_group_values(settings, group) for group in groups]
    own: Any = summary[summary["metric"] == metric]
    mean = _as_grid(settings, groups, values, own["mean"].to_numpy())
    worst = _as_grid(settings, groups, values, own["worst"].to_numpy())
    rows, columns = mean.shape
    with style.styled():
        width = min(max(0.85 * columns, 2.6) + 2.6, 12.0)
        height = min(max(0.55 * rows, 1.4) + 1.2, 10.0)
        axis = style.new_figure(width, height)[1][0, 0] if ax is None else ax
        image = _heat(axis, mean, lower_is_better(metric))
        if mean.size <= MOST_CELLS:
            _write_cells(axis, image, mean, worst)
        _name_axes(axis, groups, values)
        bar = axis.figure.colorbar(image, ax=axis, pad=0.02)
        bar.set_label(wrapped(metric_label(metric), 30), fontsize=8)
        bar.outline.set_visible(False)  # type: ignore[operator]
        below = ", worst seed below" if mean.size <= MOST_CELLS else ""
        axis.set_title(f"Mean over seeds{below}; lighter is better", fontsize=9)
        return axis.figure  # type: ignore[return-value]


def pareto_front(
    cost: Float[ndarray, " set"],
    quality: Float[ndarray, " set"],
    lower: bool = False,
) -> Bool[ndarray, " set"]:
    """Whether nothing that costs no more is as good; NaN never is.

    Args:
        lower: Whether less of the quality is better.

    >>> cost, quality = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.9])
    >>> pareto_front(cost, quality).tolist()
    [True, False, True]
    """
    gain = -quality if lower else quality
    gain = np.where(np.isfinite(cost) & np.isfinite(gain), gain, -np.inf)
    order = np.lexsort((-gain, np.where(np.isfinite(cost), cost, np.inf)))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], gain[order]]))
    front = np.zeros(len(cost), bool)
    front[order] = gain[order] > best[:-1]
    return front


def _draw_dots(axis: "Axes", x: np.ndarray, y: np.ndarray, front: np.ndarray) -> None:
    many = len(x) > MANY_DOTS
    axis.scatter(
        x, y, s=5 if many else 16, color="#b4bac0", lw=0, rasterized=many,
        label="other settings", zorder=1,
    )  # fmt: skip
    axis.plot(
        x[front], y[front], color=LINE, lw=1.4, drawstyle="steps-post", zorder=2
    )  # fmt: skip
    axis.plot(
        x[front], y[front], "o", color=FRONT, ms=4 if many else 5, zorder=4,
        label="front; numbers where there is room",
    )  # fmt: skip
    axis.margins(0.08)


def _apart(axis: "Axes", x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The front's dots that can be numbered without overlap, the best among them."""
    if not len(x):
        return np.zeros(0, int)
    axis.autoscale_view()
    spots = axis.transAxes.inverted().transform(
        axis.transData.transform(np.column_stack([x, y]))
    )
    kept: list[int] = []
    for own in reversed(range(len(x))):
        gaps = np.abs(spots[kept] - spots[own]) / [0.05, 0.1]
        if (gaps.max(1) >= 1).all():
            kept.append(own)
    kept.sort()
    some = np.linspace(0, len(kept) - 1, min(len(kept), MOST_NAMED)).round()
    return np.array(kept)[np.unique(some.astype(int))]


def _name_front(
    axis: "Axes",
    summary: pd.DataFrame,
    quality: str,
    settings: pd.DataFrame,
    x: np.ndarray,
    y: np.ndarray,
    named: np.ndarray,
) -> None:
    """Intervals and numbers of these settings, and what the numbers stand for."""
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    own: Any = summary[summary["metric"] == quality]
    low, high = own[["low", "high"]].to_numpy()[named].T
    if np.isfinite(low).any():
        axis.vlines(
            x[named], low, high, color=FRONT, lw=1.0, zorder=3,
            label="95 % interval over seeds",
        )  # fmt: skip
    handles = axis.get_legend_handles_labels()[0]
    for number, row in enumerate(named.tolist(), 1):
        axis.annotate(
            str(number), (float(x[row]), float(y[row])), (4, 4),
            textcoords="offset points", fontsize=8, fontweight="bold", color=FRONT,
            zorder=5, path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip
    for words in _named_words(settings, named):
        lines = wrapped(words, 46).split("\n")
        lines = [*lines[: MOST_LINES - 1], "…"] if len(lines) > MOST_LINES else lines
        handles.append(Line2D([], [], ls="", label="\n".join(lines)))
    axis.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.02), fontsize=7.5
    )


def _named_words(settings: Any, named: np.ndarray) -> list[str]:
    """A line for each, of what differs between them, and one of what does not."""
    few = settings.iloc[named].reset_index(drop=True)
    same = [name for name in few if few[name].map(show).nunique() == 1]
    apart = few.drop(columns=same)
    if not len(apart.columns) or len(few) == 1:
        return [f"{i + 1}: {setting_words(few, i, 3)}" for i in range(len(few))]
    words = [f"{i + 1}: {setting_words(apart, i, 3)}" for i in range(len(few))]
    return words + ([f"all: {setting_words(few[same], 0, 3)}"] if same else [])


def _group_values(settings: Any, group: Sequence[str]) -> list[str]:
    """The group's values in words, in order."""
    words = _row_words(settings, group)
    first = [show(value) for value in settings[group[0]]]
    order = [show(value) for value in ordered(settings[group[0]])]
    return [words[first.index(value)] for value in order]


def _row_words(settings: pd.DataFrame, group: Sequence[str]) -> list[str]:
    columns = [[show(value) for value in settings[name]] for name in group]
    return [" + ".join(row) for row in zip(*columns, strict=True)]


def _as_grid(
    settings: pd.DataFrame, groups: Any, values: Any, numbers: np.ndarray
) -> np.ndarray:
    filled = np.full([len(own) for own in values], np.nan)
    at = [
        [own.index(word) for word in _row_words(settings, group)]
        for group, own in zip(groups, values, strict=True)
    ]
    filled[tuple(at)] = numbers
    return filled


def _heat(axis: "Axes", mean: np.ndarray, lower: bool) -> Any:
    import matplotlib

    name = "cividis_r" if lower else "cividis"
    colors = matplotlib.colormaps[name].with_extremes(bad="#eceff1")
    return axis.imshow(np.ma.masked_invalid(mean), cmap=colors, aspect="auto")


def _write_cells(axis: "Axes", image: Any, mean: np.ndarray, worst: np.ndarray) -> None:
    digits = _digits(mean)
    for (row, column), value in np.ndenumerate(mean):
        if not np.isfinite(value):
            axis.text(column, row, "–", ha="center", va="center", color=style.FAINT)
            continue
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        color = "white" if dark else style.INK
        for text, level, size, gap in (
            (f"{value:.{digits}f}", "bottom", 8.5, -0.03),
            (f"[{worst[row, column]:.{digits}f}]", "top", 7, 0.03),
        ):
            axis.text(
                column,
                row + gap,
                text,
                ha="center",
                va=level,
                fontsize=size,
                color=color,
            )  # type: ignore[arg-type]


def _name_axes(axis: "Axes", groups: Any, values: Any) -> None:
    short = short_names([name for group in groups for name in group])
    names = [" + ".join(short[name] for name in group) for group in groups]
    step = -(-len(values[1]) // 20)
    words = [wrapped(word, 18) for word in values[1]]
    long = max(map(len, words)) > 12 and len(words) > 4
    axis.set_xticks(
        range(0, len(words), step), words[::step], fontsize=8,
        rotation=35 if long else 0, ha="right" if long else "center",
    )  # fmt: skip
    step = -(-len(values[0]) // 30)
    rows = [wrapped(word, 24) for word in values[0]]
    axis.set_yticks(range(0, len(rows), step), rows[::step], fontsize=8)
    axis.set_xlabel(names[1])
    axis.set_ylabel(names[0])
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _digits(numbers: np.ndarray) -> int:
    """Decimals that tell the numbers apart: three figures of their range."""
    known = numbers[np.isfinite(numbers)]
    size = (
        np.ptp(known) if len(known) > 1 and np.ptp(known) > 0 else np.abs(known).max()
    )
    return int(np.clip(2 - np.floor(np.log10(size or 1.0)), 0, 4))
