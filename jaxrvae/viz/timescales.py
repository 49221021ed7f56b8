"""Relaxation times against the lag: whether states alone decide what comes next."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 5.6, 3.9  # inches
BESIDE = 0.02  # of the lag's logarithm's range: how far counts stand from the model


def draw_timescales(
    table: pd.DataFrame, ax: "Axes | None" = None, unit: str = "frame"
) -> "Figure":
    """Times of the hidden model (filled) and by counts (open) with 90 % intervals.

    Both axes are logarithmic. Times below the lag, in grey, cannot be told.

    Args:
        table: What `implied_timescales` gives.
        ax: Where to draw; without it, in a new figure.
        unit: Of time: that of the `dt` that they were found with.
    """
    from matplotlib.ticker import LogLocator

    needed = {"time", "process", "counted", "hidden"}
    if not needed <= set(table.columns):
        raise ValueError(
            f"table must be what implied_timescales gives; got columns"
            f" {list(table.columns)}."
        )
    with style.styled():
        axis = style.new_figure(WIDTH, HEIGHT)[1][0, 0] if ax is None else ax
        lags = np.unique(table["time"].to_numpy())
        apart = (lags[-1] / lags[0]) ** BESIDE if len(lags) > 1 else 1.02
        for process, own in table.groupby("process"):
            color = style.class_color(int(str(process)) - 1)
            for name, side, fill in (("counted", apart, "white"), ("hidden", 1, color)):
                middle = own[name].to_numpy()
                ends = own[[f"{name}_low", f"{name}_high"]].to_numpy().T
                axis.errorbar(
                    own["time"].to_numpy() * side, middle, np.abs(ends - middle),
                    fmt="o", color=color, mfc=fill, ms=5,
                    lw=1.4 if name == "hidden" else 0.8,
                    ls="-" if name == "hidden" else ":", elinewidth=1.0,
                    label=f"process {process}" if name == "hidden" else None,
                )  # fmt: skip
        axis.plot([], [], "o:", color=style.FAINT, mfc="white", ms=5, label="by counts")
        shade = {"color": style.FAINT, "alpha": 0.18, "lw": 0, "label": "below the lag"}
        axis.set_xscale("log")
        axis.set_yscale("log")
        reach = np.array([lags[0] / 1.3, lags[-1] * 1.3])
        low, high = axis.get_ylim()
        low = min(low, lags[0])
        axis.fill_between(reach, low, reach, **shade)
        axis.set_xlim(*reach)
        axis.set_ylim(low, high)
        axis.set_xticks(lags, [f"{lag:g}" for lag in lags])
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        plural = "frames" if unit == "frame" else unit
        axis.set_xlabel(f"lag ({plural})")
        axis.set_ylabel(f"relaxation time ({plural})")
        axis.set_title("Do the states forget their past?")
        axis.legend()
        return axis.figure  # type: ignore[return-value]
