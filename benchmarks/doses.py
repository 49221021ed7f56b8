"""Atoms found in simulated graphene, by dose: both finders beside the bound.

    python -m benchmarks.doses --install   # atomap, into .bench/atomap
    python -m benchmarks.doses

Two grains with 3 % Si and .5 % vacancies, 256 pixels of 15.6 pm, five seeds; the
distance of neighbours (0.142 nm) is given. Atoms nearer than one probe sigma to the
edge do not count; a found atom is right within half a bond. atomap is run on the same
images of the first two seeds, as it takes longer (`benchmarks/peers/run_atomap.py`);
without it its curve is left out. Writes doses.md, doses.json
and doses.png.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._report import RESULTS, ROOT, facts, table, write
from benchmarks.atoms import BOND, PACKAGES, _inner, _rms, match, position_bounds
from benchmarks.peers.launch import last_json, quiet_environment

HOME = ROOT / ".bench" / "atomap"
PYTHON = HOME / "bin" / "python"
PINS = ("atomap==0.4.2", "hyperspy==2.5.0", "numpy==2.4.6", "scipy==1.17.1")
DOSES = (1e3, 3e3, 1e4, 2e4, 3e4, 1e5, 3e5, 1e6)  # electrons per square angstrom
METHODS = ("gaussians", "network")
SEEDS, PEER_SEEDS = range(5), range(2)
SHEET = {"num_grains": 2, "silicon_fraction": 0.03}
COLORS = {"gaussians": "#0072B2", "network": "#D55E00", "atomap": "#009E73"}
ABOUT = (
    "Simulated graphene by dose: mean over five seeds, and the worst F1. RMS is along"
    " an axis, of atoms found; the bound is Cramer-Rao's, of a joint fit of all atoms"
    " that knows no lattice: the network, which does, may lie below it. atomap: two of"
    " the seeds, its smoothing and separation the best of 15 by the truth. Si, F1:"
    " atoms that are found and said to be Si; without the network, those twice as"
    " bright as the median."
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints and writes the table and the curves."""
    parser = argparse.ArgumentParser(description="Finding atoms by dose.")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--doses", type=float, nargs="+", default=DOSES)
    parser.add_argument("--install", action="store_true", help="atomap, and stop")
    options = parser.parse_args(argv)
    if options.install:
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
        subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", *PINS], check=True)
        return
    rows = [row for dose in options.doses for row in dose_rows(dose)]
    about = facts(PACKAGES)
    if PYTHON.exists():
        more, versions = atomap_rows(options.doses)
        rows, about = rows + more, about | {"peers": versions}
    else:
        print("No atomap: make its environment with --install.")
    path = write(options.out, "doses", rows, about, ABOUT)
    draw(rows, options.out / "doses.png")
    print(f"{table(rows)}\n\nWritten: {path}")


def dose_rows(dose: float, seeds: Sequence[int] = SEEDS) -> list[dict[str, Any]]:
    """A row a method."""
    scores: dict[str, list[list[float]]] = {method: [] for method in METHODS}
    bounds = []
    for seed in seeds:
        movie, truth, inner, bound = sheet(seed, dose)
        bounds.append(bound)
        for method in METHODS:
            scores[method].append(score(found_by(movie, method), movie, truth, inner))
    return [
        _row(dose, method, values, bounds, len(seeds))
        for method, values in scores.items()
    ]


def atomap_rows(
    doses: Sequence[float], seeds: Sequence[int] = PEER_SEEDS
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A row a dose, and the versions."""
    sheets = {(dose, seed): sheet(seed, dose) for dose in doses for seed in seeds}
    movies = [movie for movie, *_ in sheets.values()]
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "images.npz", Path(folder) / "found.npz"
        truths = {
            f"truth_{i}": truth[["x", "y"]].to_numpy()
            for i, (_, truth, *_) in enumerate(sheets.values())
        }
        np.savez(
            given,
            images=np.stack([movie[0].values for movie in movies]).astype(float),
            distance=BOND / movies[0].pixel_size,
            sigma=movies[0].truth["noise"]["sigma"],
            **truths,
        )
        command = [str(PYTHON), "-m", "benchmarks.peers.run_atomap"]
        versions = last_json([*command, str(given), str(answer)], quiet_environment(1))
        with np.load(answer) as file:
            places = [file[str(i)] for i in range(len(sheets))]
    rows = []
    for dose in doses:
        scores, bounds = [], []
        for at, (movie, truth, inner, bound), found in zip(
            sheets, sheets.values(), places, strict=True
        ):
            if at[0] == dose:
                table = pd.DataFrame(found, columns=["x", "y"])
                scores.append(score(table, movie, truth, inner))
                bounds.append(bound)
        row = _row(dose, "atomap", scores, bounds, len(seeds))
        rows.append(row | {"Si, F1": None})  # it tells no species
    return rows, versions


def sheet(seed: int, dose: float) -> tuple[Any, Any, np.ndarray, float]:
    """The movie, its true atoms, which of them count, and their bound in pm."""
    from jaxrvae.simulate import simulate

    movie: Any = simulate("graphene", seed=seed, num_frames=1, dose=dose, **SHEET)
    truth = movie.truth["atoms"].reset_index(drop=True)
    inner = _inner(truth, movie[0].shape, movie.truth["noise"]["sigma"])
    joint = position_bounds(truth, movie.truth["noise"], movie[0].shape)[inner]
    return movie, truth, inner, 1000 * movie.pixel_size * _rms(joint)


def _row(
    dose: float,
    method: str,
    scores: list[list[float]],
    bounds: list[float],
    num_seeds: int,
) -> dict[str, Any]:
    recall, precision, f1, rms, silicon = np.array(scores).T
    return {
        "dose, e/A^2": f"{dose:.0e}",
        "method": method,
        "recall": float(recall.mean()),
        "precision": float(precision.mean()),
        "F1": float(f1.mean()),
        "worst F1": float(f1.min()),
        "RMS, pm": float(np.nanmean(rms)),
        "bound, pm": float(np.mean(bounds)),
        "Si, F1": float(silicon.mean()),
        "seeds": num_seeds,
    }


def found_by(movie: Any, method: Any) -> pd.DataFrame | None:
    """The atoms, or None where nothing stands out."""
    from jaxrvae._checks import DataError
    from jaxrvae.locate.atoms import find_atoms

    try:
        return find_atoms(movie, method=method, spacing=BOND)
    except DataError:
        return None


def score(
    found: pd.DataFrame | None, movie: Any, truth: Any, inner: np.ndarray
) -> list[float]:
    """Recall, precision, F1, RMS (pm) and F1 of the Si."""
    if found is None or found.empty:
        return [0.0, 0.0, 0.0, np.nan, 0.0]
    sigma = movie.truth["noise"]["sigma"]
    first, second, distance = match(found, truth, BOND / 2 / movie.pixel_size)
    believed = _inner(found, movie[0].shape, sigma)
    wrong = np.setdiff1d(np.flatnonzero(believed), first)
    right = inner[second]
    recall = right.sum() / inner.sum()
    precision = right.sum() / max(right.sum() + len(wrong), 1)
    f1 = 2 * recall * precision / max(recall + precision, 1e-9)
    rms = 1000 * movie.pixel_size * _rms(distance[right]) / np.sqrt(2)
    silicon = truth["element"].to_numpy() == "Si"
    said = heavy(found)
    both = (said[first] & silicon[second] & right).sum()
    believed[first[right]] = True
    all_said, all_true = (said & believed).sum(), (silicon & inner).sum()
    species = 2 * both / max(all_said + all_true, 1)
    return [float(recall), float(precision), float(f1), rms, float(species)]


def heavy(found: pd.DataFrame) -> np.ndarray:
    """Which atoms are said to be Si: by the network, else by twice the brightness."""
    if "heavy" in found:
        return found["heavy"].to_numpy() > 0.5
    if "intensity" not in found:
        return np.zeros(len(found), bool)
    return found["intensity"].to_numpy() > 2 * found["intensity"].median()


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """F1 and RMS against dose."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2)
    for method, color in COLORS.items():
        own = [row for row in rows if row["method"] == method]
        if not own:
            continue
        dose = [float(row["dose, e/A^2"]) for row in own]
        left.plot(dose, [row["F1"] for row in own], "o-", color=color, label=method)
        left.plot(dose, [row["worst F1"] for row in own], ":", color=color)
        right.plot(dose, [row["RMS, pm"] for row in own], "o-", color=color)
    first = [row for row in rows if row["method"] == rows[0]["method"]]
    dose = [float(row["dose, e/A^2"]) for row in first]
    bound = [row["bound, pm"] for row in first]
    right.plot(dose, bound, "k--", label="Cramér-Rao bound")
    left.set(ylabel="F1 (dotted: worst seed)", ylim=(0, 1.02))
    right.set(ylabel="RMS along an axis, pm", yscale="log")
    for axis in (left, right):
        axis.set(xlabel="dose, e/Å²", xscale="log")
        axis.legend(frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
