"""The figure of a sweep's effects: differences to the baseline, with intervals."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxrvae.sweep.factors import lower_is_better, metric_label, short_names, show
from jaxrvae.sweep.summary import SURE
from jaxrvae.sweep.wide import wrapped
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BETTER, WORSE, UNSURE = "#0072B2", "#D55E00", "#767d84"  # Okabe & Ito 2008, grey
MOST_EFFECTS = 24  # rows of a panel
PANELS = 3  # side by side


def draw_effects(
    found: pd.DataFrame, axes: "Axes | Sequence[Axes] | None" = None
) -> "Figure":
    """Differences to the baseline with their intervals, one panel a metric.

    Filled where it is beyond chance (paired t-test, corrected), blue to the better and
    orange to the worse. Of more than 24 comparisons, those least like chance are drawn.

    Args:
        found: What `effects` gives, of one metric or more.
        axes: Where to draw, one a metric; without them, in a new figure.
    """
    metrics = list(found["metric"].drop_duplicates())
    if not metrics:
        raise ValueError("no comparison to draw: no setting differs in one factor.")
    every = _effect_rows(found)
    labels = _effect_labels(every)
    with style.styled():
        if axes is None:
            figure, panels = _effect_panels(len(metrics), len(labels), labels)
        else:
            panels = list(np.atleast_1d(np.asarray(axes, dtype=object)).flat)
            figure = panels[0].figure
        if len(panels) < len(metrics):
            raise ValueError(f"axes must be {len(metrics)}, one a metric.")
        for metric, axis in zip(metrics, panels, strict=False):
            own = found[found["metric"] == metric].set_index(["factor", "value"])
            _effect_panel(axis, own.loc[list(every)], metric, every)
            _name_rows(axis, every, labels)
        handles = _effect_legend()
        if axes is None:
            words = _baseline_words(found, len(every))
            figure.legend(handles=handles, loc="outside lower center", ncols=4)
            figure.suptitle(words, fontsize=8, x=0.01, ha="left")
        else:
            panels[0].legend(handles=handles, loc="best")
        return figure


def _effect_rows(found: pd.DataFrame) -> list[tuple[str, str]]:
    """(factor, value) of what is drawn, in the order found."""
    keys = list(zip(found["factor"], found["value"], strict=True))
    every = list(dict.fromkeys(keys))
    if len(every) <= MOST_EFFECTS:
        return every
    difference, std, num = found[["difference", "std", "num_seeds"]].to_numpy(float).T
    size = np.abs(difference) * np.sqrt(num) / np.where(std > 0, std, np.inf)
    best: dict[tuple[str, str], float] = {}
    for key, own in zip(keys, np.nan_to_num(size).tolist(), strict=True):
        best[key] = max(best.get(key, 0.0), own)
    kept = set(sorted(every, key=lambda key: -best[key])[:MOST_EFFECTS])
    return [key for key in every if key in kept]


def _effect_labels(every: Sequence[tuple[str, str]]) -> list[str]:
    singles = [name for factor, _ in every for name in factor.split(" + ")]
    short = short_names(list(dict.fromkeys(singles)))
    return [
        wrapped(
            ", ".join(
                f"{short[name]} = {part}"
                for name, part in zip(
                    factor.split(" + "), value.split(" + "), strict=True
                )
            ),
            34,
        )
        for factor, value in every
    ]


def _effect_places(every: Sequence[tuple[str, str]]) -> np.ndarray:
    """Heights, downwards, with a gap between factors."""
    new = [one[0] != other[0] for one, other in zip(every[1:], every, strict=False)]
    return -np.concatenate([[0.0], np.cumsum(1 + 0.5 * np.array(new, float))])


def _effect_panels(
    panels: int, rows: int, labels: Sequence[str]
) -> "tuple[Figure, list[Any]]":
    across = min(panels, PANELS)
    down = -(-panels // across)
    letters = max(len(line) for label in labels for line in label.split("\n"))
    lines = sum(label.count("\n") for label in labels)
    figure, axes = style.new_figure(
        2.5 * across + 0.075 * letters + 0.2,
        (0.26 * rows + 0.14 * lines + 1.05) * down + 0.6,
        down,
        across,
        sharey=True,
    )
    for axis in axes.flat[panels:]:
        axis.set_visible(False)
    return figure, list(axes.flat[:panels])


def _effect_panel(
    axis: "Axes", own: pd.DataFrame, metric: str, every: Sequence[tuple[str, str]]
) -> None:
    axis.axvline(0, color=style.INK, lw=0.9, zorder=0)
    rows: Any = own.to_dict("records")
    for place, row in zip(_effect_places(every), rows, strict=True):
        sure = row["p_t_holm"] < SURE
        color = UNSURE if not sure else BETTER if row["better"] else WORSE
        axis.plot([row["low"], row["high"]], [place] * 2, color=color, lw=1.8)
        axis.plot(
            row["difference"], place, "s" if row["note"] else "o", ms=5.5,
            mec=color, mfc=color if sure else "white", mew=1.4,
        )  # fmt: skip
    axis.set_title(wrapped(metric_label(metric), 30), fontsize=9)
    left = lower_is_better(metric)
    axis.set_xlabel(
        "← better   difference" if left else "difference   better →", fontsize=8
    )
    axis.locator_params(axis="x", nbins=6, steps=[1, 2, 5, 10])
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", color="#e6e9ec", lw=0.6)
    axis.set_axisbelow(True)


def _name_rows(
    axis: "Axes", every: Sequence[tuple[str, str]], labels: Sequence[str]
) -> None:
    places = _effect_places(every)
    axis.set_yticks(places, labels, fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(places.min() - 0.7, 0.7)


def _effect_legend() -> list[Any]:
    from matplotlib.lines import Line2D

    kinds = [
        ("better (corrected p < 0.05)", "o", BETTER, BETTER),
        ("worse (corrected p < 0.05)", "o", WORSE, WORSE),
        ("not beyond chance", "o", UNSURE, "white"),
        ("too few seeds to test", "s", UNSURE, "white"),
    ]
    return [
        Line2D([], [], color=edge, marker=shape, mfc=face, mec=edge, ms=5.5, label=name)
        for name, shape, edge, face in kinds
    ]


def _baseline_words(found: pd.DataFrame, drawn: int) -> str:
    base = found.attrs.get("baseline", {})
    short = short_names(list(base))
    words = ", ".join(f"{short[name]} = {show(own)}" for name, own in base.items())
    rows = len(found[["factor", "value"]].drop_duplicates())
    text = f"Difference to the baseline ({words}), paired by seed; lines: 95 %"
    text += f"\n{drawn} of {rows} comparisons are shown" if drawn < rows else ""
    return "\n".join(wrapped(line, 110) for line in text.split("\n"))
