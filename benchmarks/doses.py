"""Atoms found in simulated graphene, by dose: both finders beside the bound.

    python -m benchmarks.doses

Two grains with 3 % Si and .5 % vacancies, 256 pixels of 15.6 pm, five seeds; the
distance of neighbours (0.142 nm) is given. Atoms nearer than one probe sigma to the
edge do not count; a found atom is right within half a bond. Writes doses.md, doses.json
and doses.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import RESULTS, facts, table, write
from benchmarks.atoms import BOND, PACKAGES, _inner, _rms, match, position_bounds

DOSES = (1e3, 3e3, 1e4, 2e4, 3e4, 1e5, 3e5, 1e6)  # electrons per square angstrom
METHODS = ("gaussians", "network")
SEEDS = range(5)
SHEET = {"num_grains": 2, "silicon_fraction": 0.03}
ABOUT = (
    "Simulated graphene by dose: mean over five seeds, and the worst F1. RMS is along"
    " an axis, of atoms found; the bound is Cramer-Rao's, of a joint fit of all atoms"
    " that knows no lattice: the network, which does, may lie below it."
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints and writes the table and the curves."""
    parser = argparse.ArgumentParser(description="Finding atoms by dose.")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--doses", type=float, nargs="+", default=DOSES)
    options = parser.parse_args(argv)
    rows = [row for dose in options.doses for row in dose_rows(dose)]
    path = write(options.out, "doses", rows, facts(PACKAGES), ABOUT)
    draw(rows, options.out / "doses.png")
    print(f"{table(rows)}\n\nWritten: {path}")


def dose_rows(dose: float, seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """A row a method."""
    from jaxrvae.simulate import simulate

    scores: dict[str, list[list[float]]] = {method: [] for method in METHODS}
    bounds = []
    for seed in seeds:
        movie: Any = simulate("graphene", seed=seed, num_frames=1, dose=dose, **SHEET)
        truth = movie.truth["atoms"].reset_index(drop=True)
        inner = _inner(truth, movie[0].shape, movie.truth["noise"]["sigma"])
        joint = position_bounds(truth, movie.truth["noise"], movie[0].shape)[inner]
        bounds.append(1000 * movie.pixel_size * _rms(joint))
        for method in METHODS:
            scores[method].append(score(movie, truth, inner, method))
    rows = []
    for method, values in scores.items():
        recall, precision, f1, rms = np.array(values).T
        rows.append(
            {
                "dose, e/A^2": f"{dose:.0e}",
                "method": method,
                "recall": float(recall.mean()),
                "precision": float(precision.mean()),
                "F1": float(f1.mean()),
                "worst F1": float(f1.min()),
                "RMS, pm": float(np.nanmean(rms)),
                "bound, pm": float(np.mean(bounds)),
            }
        )
    return rows


def score(movie: Any, truth: Any, inner: np.ndarray, method: Any) -> list[float]:
    """Recall, precision, F1 and RMS (pm)."""
    from jaxrvae._checks import DataError
    from jaxrvae.locate.atoms import find_atoms

    try:
        found = find_atoms(movie, method=method, spacing=BOND)
    except DataError:
        return [0.0, 0.0, 0.0, np.nan]
    sigma = movie.truth["noise"]["sigma"]
    first, second, distance = match(found, truth, BOND / 2 / movie.pixel_size)
    believed = _inner(found, movie[0].shape, sigma)
    wrong = np.setdiff1d(np.flatnonzero(believed), first)
    right = inner[second]
    recall = right.sum() / inner.sum()
    precision = right.sum() / max(right.sum() + len(wrong), 1)
    f1 = 2 * recall * precision / max(recall + precision, 1e-9)
    rms = 1000 * movie.pixel_size * _rms(distance[right]) / np.sqrt(2)
    return [float(recall), float(precision), float(f1), rms]


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """F1 and RMS against dose."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2)
    colors = {"gaussians": "#0072B2", "network": "#D55E00"}
    for method, color in colors.items():
        own = [row for row in rows if row["method"] == method]
        dose = [float(row["dose, e/A^2"]) for row in own]
        left.plot(dose, [row["F1"] for row in own], "o-", color=color, label=method)
        left.plot(dose, [row["worst F1"] for row in own], ":", color=color)
        right.plot(dose, [row["RMS, pm"] for row in own], "o-", color=color)
    right.plot(dose, [row["bound, pm"] for row in own], "k--", label="Cramer-Rao bound")
    left.set(ylabel="F1 (dotted: worst seed)", ylim=(0, 1.02))
    right.set(ylabel="RMS along an axis, pm", yscale="log")
    for axis in (left, right):
        axis.set(xlabel="dose, e/Å²", xscale="log")
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
