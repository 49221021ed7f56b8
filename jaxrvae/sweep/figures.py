"""Figures of a sweep's settings: quality against cost, and grids of two factors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxrvae._typing import Bool, Float, ndarray
from jaxrvae.sweep.factors import (
    lower_is_better,
    metric_label,
    moving_together,
    ordered,
    short_names,
    show,
)
from jaxrvae.sweep.wide import setting_words, wide, wrapped
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRONT = "#0072B2"  # Okabe & Ito 2008
MOST_NAMED = 8  # settings of the front that are told by name
MOST_CELLS = 144  # of a heat map, that are written into
MANY_DOTS = 500  # beyond, dots are drawn as an image


def draw_pareto(
    summary: pd.DataFrame,
    quality: str,
    cost: str = "seconds",
    ax: "Axes | None" = None,
) -> "Figure":
    """Settings by cost and quality, means over seeds; the front's are numbered.

    Args:
        summary: What `summarize` gives, of both metrics.
        quality: A metric.
        cost: Another, of which less is better.
        ax: Where to draw; without it, in a new figure.
    """
    settings, mean = wide(summary, (quality, cost))
    x, y = mean[cost].to_numpy(), mean[quality].to_numpy()
    front = np.flatnonzero(pareto_front(x, y, lower_is_better(quality)))
    front = front[np.argsort(x[front])]
    with style.styled():
        axis = style.new_figure(7.2, 3.9)[1][0, 0] if ax is None else ax
        axis.scatter(
            x, y, s=16 if len(x) <= MANY_DOTS else 5, color="#b4bac0", lw=0,
            rasterized=len(x) > MANY_DOTS, label="other settings", zorder=1,
        )  # fmt: skip
        _draw_front(axis, summary, quality, x, y, front)
        positive = x[np.isfinite(x)]
        if len(positive) and 0 < positive.min() * 10 < positive.max():
            axis.set_xscale("log")
        axis.set_xlabel(metric_label(cost) + ", less is better")
        more = "less" if lower_is_better(quality) else "more"
        axis.set_ylabel(wrapped(f"{metric_label(quality)}, {more} is better", 42))
        axis.set_title("Quality against cost, means over seeds")
        axis.margins(0.07)
        _name_front(axis, settings, front)
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
    own = summary[summary["metric"] == metric]
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
        axis.set_title(f"Mean over seeds{below}")
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


def _draw_front(
    axis: "Axes",
    summary: pd.DataFrame,
    quality: str,
    x: np.ndarray,
    y: np.ndarray,
    front: np.ndarray,
) -> None:
    own = summary[summary["metric"] == quality]
    ends = own[["low", "high"]].to_numpy()[front]
    axis.vlines(x[front], ends[:, 0], ends[:, 1], color=FRONT, lw=1.2, zorder=2)
    axis.plot(
        x[front], y[front], "-o", color=FRONT, lw=1.2, ms=5, zorder=3,
        drawstyle="steps-post", label="front, with 95 % interval",
    )  # fmt: skip


def _name_front(axis: "Axes", settings: pd.DataFrame, front: np.ndarray) -> None:
    """Numbers at the front's first dots, and beside the axes what they stand for."""
    from matplotlib.lines import Line2D

    handles = axis.get_legend_handles_labels()[0]
    place = np.unique(
        np.linspace(0, len(front) - 1, min(len(front), MOST_NAMED)).round().astype(int)
    )
    line = axis.lines[-1]
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    for number, own in enumerate(place.tolist(), 1):
        axis.annotate(
            str(number), (float(x[own]), float(y[own])), (4, 4),
            textcoords="offset points", fontsize=8, fontweight="bold", color=FRONT,
        )  # fmt: skip
        words = wrapped(setting_words(settings, int(front[own])), 36)
        handles.append(Line2D([], [], ls="", label=f"{number}: {words}"))
    axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _group_values(settings: pd.DataFrame, group: Sequence[str]) -> list[str]:
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
        for text, level, size in (
            (f"{value:.{digits}f}", "bottom", 8.5),
            (f"[{worst[row, column]:.{digits}f}]", "top", 7),
        ):
            axis.text(
                column, row, text, ha="center", va=level, fontsize=size, color=color
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
