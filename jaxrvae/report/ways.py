"""States and the ways between them, in words."""

from typing import Any

import numpy as np

from jaxrvae.analysis.pathways import Pathways
from jaxrvae.report.result import Result
from jaxrvae.viz.style import class_color


def way_words(result: Result) -> dict[str, Any]:
    """What the page says of pathways; empty where they were not sought."""
    found = result.pathways
    if found is None:
        return {}
    unit = "frame" if result.settings.get("pathways", {}).get("dt", 1) == 1 else "s"
    return {
        "states": _states(found),
        "agreement": f"{found.states.agreement:.2f}",
        "paths": _paths(found),
        "rates": _rates(found),
        "unit": unit,
        "notes": list(found.notes.values()),
    }


def _states(found: Pathways) -> list[dict[str, str]]:
    rows = []
    counts = np.bincount(found.states.labels[found.states.labels >= 0])
    orders = found.symmetry
    for index, place in enumerate(found.typical):
        rows.append(
            {
                "state": str(index),
                "symmetry": symmetry_word(orders[index]) if orders else "",
                "color": class_color(index),
                "count": f"{counts[index]:,}",
                "share": f"{counts[index] / len(found.table):.1%}",
                "stability": f"{found.states.stability[index]:.2f}",
                "content": ", ".join(f"{value:+.2f}" for value in place),
            }
        )
    return rows


def symmetry_word(order: int) -> str:
    """As a table says it."""
    return "none" if order == 1 else f"{order}-fold"


def _paths(found: Pathways) -> list[dict[str, str]]:
    if found.paths is None:
        return []
    rows = []
    for index, (first, last) in enumerate(found.pairs.tolist()):
        row = {"from": str(first), "to": str(last)}
        ends = zip(
            ("up", "back"),
            found.paths.barrier[index],
            found.paths.barrier_interval[index],
            strict=True,
        )
        for name, height, (low, high) in ends:
            told = f"{height:.1f} ({low:.1f} to {high:.1f})"
            row[name] = told if np.isfinite(height) else f"above {low:.1f}"
        row["length"] = row["straight"] = ""
        if found.geodesics is not None:
            row["length"] = f"{found.geodesics.length[index]:.2f}"
            row["straight"] = f"{found.geodesics.straight[index]:.2f}"
        rows.append(row)
    return rows


def _rates(found: Pathways) -> list[dict[str, str]]:
    """The rates with most transitions behind them."""
    if found.transitions is None:
        return []
    rates = found.transitions
    rows = []
    low, high = rates.rates_interval
    counts = np.asarray(rates.counts)
    for first, last in np.argwhere(counts + counts.T > 0).tolist():
        if first == last:
            continue
        rows.append(
            {
                "from": str(first),
                "to": str(last),
                "counts": f"{counts[first, last]:,.0f}",
                "naive": f"{rates.naive_rates[first, last]:.3g}",
                "rate": f"{rates.rates[first, last]:.3g}",
                "interval": f"{low[first, last]:.2g} to {high[first, last]:.2g}",
            }
        )
    return rows
