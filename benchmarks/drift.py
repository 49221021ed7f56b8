"""How well drift and line jitter are found, on simulations and on real files.

    python -m benchmarks.drift --data ../shared/data    # about three minutes
    python -m benchmarks.drift --small                  # one seed, half a minute

Drift: graphene with two grains and hopping Si, a random walk of 2 pixels a frame along
each axis; RMS is over all frames but the first, along an axis. The bound is that of all
atoms together, as if alone (Cramer-Rao), of the difference of two frames. Changing: a
lattice of 100 counts an atom of which 10 % are elsewhere, or missing, in every frame;
a step of half a lattice vector is told by pairs of other frames, or marked. Seeds that
slip are counted apart. Made / stated: RMS of errors in the standard errors stated.
Lines: each line is moved by white noise before the counts are drawn. Real: three PFM
scans of one place, whose poled stripe grows.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import RESULTS, ROOT, facts, table, write

SEEDS = range(5)
DOSES = (1e3, 3e3, 1e4, 1e5, 1e6)  # electrons per square angstrom and frame
CHANGED = 0.1
MARKED = 0.01  # probability of a slip from which on a movie counts as marked
SLIPPED = 2.0  # pixels of RMS, from which on a step was off by a lattice vector
PACKAGES = ("jaxrvae", "numpy", "scipy")
ABOUT = {
    "simulated": "Graphene, ten frames of 256 x 256; a random walk of 2 px a frame.",
    "changing": "A square lattice of 10 px, eight frames of 200 x 200, steps of 1.5 px;"
    " 10 % of the atoms change in every frame.",
    "lines": "Graphene, one frame of 256 x 256, lines moved by white jitter; RMS, px.",
    "real": "PZT by PFM (PZT_final0001 to 3), drift of the amplitude, no option given;"
    " correlation of each frame with the first before and after.",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes each as drift_*.json and drift_*.md."""
    parser = argparse.ArgumentParser(description="Drift and line jitter: errors.")
    parser.add_argument("--small", action="store_true", help="one seed")
    parser.add_argument("--data", type=Path, help="folder of the real files")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    data = options.data or Path(os.environ.get("JAXRVAE_DATA", ROOT / "../shared/data"))
    seeds = range(1) if options.small else SEEDS
    parts = {
        "simulated": [simulated_row(dose, seeds) for dose in DOSES],
        "changing": [changing_row(kind, seeds) for kind in ("moved", "missing")],
        "lines": [line_row(d, j, seeds) for d in DOSES[2:] for j in (0, 0.5, 1)],
    }
    files = sorted((data / "pfm" / "nsid").glob("PZT_final000[1-3].h5"))
    if files:
        parts["real"] = real_rows(files)
    else:
        print(f"No real files in {data}: give their folder with --data.")
    for name, rows in parts.items():
        path = write(options.out, f"drift_{name}", rows, facts(PACKAGES), ABOUT[name])
        print(f"\n{ABOUT[name]}\n\n{table(rows)}\n\nWritten: {path}")


def simulated_row(dose: float, seeds: Sequence[int]) -> dict[str, Any]:
    """Mean and worst RMS error of all seeds beside what is stated and the bound."""
    from jaxrvae.locate.drift import find_drift
    from jaxrvae.simulate import simulate

    errors, stated, bounds, ratios = [], [], [], []
    for seed in seeds:
        movie: Any = simulate("graphene", seed, num_grains=2, drift=2.0, dose=dose)
        drift = find_drift(movie)
        errors.append(_error(drift, movie.truth["drift"][["x", "y"]]))
        if errors[-1] <= SLIPPED:
            stated.append(drift["error"].iloc[1:].mean())
            ratios.append(_ratio(drift, movie.truth["drift"][["x", "y"]]))
        bound, peaks = movie.truth["noise"]["position_bound"], len(movie.truth["atoms"])
        bounds.append(bound["C"] * np.sqrt(2 * len(movie) / peaks))
    held = [error for error in errors if error <= SLIPPED]
    return {
        "dose, e/A2": dose,
        "RMS, px, of seeds that hold": float(np.mean(held)) if held else None,
        "stated": float(np.mean(stated)) if held else None,
        "made / stated": float(np.sqrt(np.mean(np.square(ratios)))) if held else None,
        "bound": float(np.mean(bounds)),
        "seeds": len(errors),
        "seeds that slip": len(errors) - len(held),
    }


def changing_row(kind: str, seeds: Sequence[int]) -> dict[str, Any]:
    """A lattice whose atoms move at random, or are missing, anew in every frame."""
    from jaxrvae.data.containers import Frame, Frames
    from jaxrvae.locate.drift import find_drift
    from jaxrvae.simulate.imaging import render_atoms

    errors, ratios, marked = [], [], []
    rows, columns = np.mgrid[-3:24, -3:24].reshape(2, -1)
    atoms = np.stack([columns, rows], axis=1) * 10.0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        steps = np.cumsum(rng.normal(0, 1.5, (8, 2)), axis=0)
        steps -= steps[0]
        frames = []
        for number, step in enumerate(steps):
            here, changed = atoms + step, rng.random(len(atoms)) < CHANGED
            peaks = np.full(len(atoms), 100.0)
            if kind == "moved":
                here[changed] += rng.normal(0, 7, (changed.sum(), 2))
            else:
                peaks[changed] = 0
            image = render_atoms(here, peaks, 2.5, (200, 200)) + 20
            frames.append(Frame(rng.poisson(image), number=number))
        drift = find_drift(Frames(tuple(frames)))
        errors.append(_error(drift, steps))
        marked.append(bool(drift["slip"].max() > MARKED))
        if errors[-1] <= SLIPPED:
            ratios.append(_ratio(drift, steps))
    held = [error for error in errors if error <= SLIPPED]
    return {
        f"{CHANGED:.0%} of the atoms": kind,
        "RMS, px, of seeds that hold": float(np.mean(held)) if held else None,
        "made / stated": float(np.sqrt(np.mean(np.square(ratios)))) if held else None,
        "seeds": len(errors),
        "seeds marked": sum(marked),
        "seeds that slip": len(errors) - len(held),
    }


def line_row(dose: float, jitter: float, seeds: Sequence[int]) -> dict[str, Any]:
    """RMS of the lines' shifts before and after, and the slope put in."""
    from scipy.ndimage import map_coordinates

    from jaxrvae.locate.lines import find_line_shifts
    from jaxrvae.simulate import simulate

    before, after, slopes = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        movie: Any = simulate("graphene", seed, num_frames=1, dose=1e9)
        mean = movie[0].values * (dose / 1e9)
        shifts = rng.normal(0, 1, len(mean)) * jitter
        y, x = np.mgrid[: len(mean), : len(mean)].astype(float)
        moved = map_coordinates(mean, [y, x - shifts[:, None]], order=3, mode="mirror")
        image = rng.poisson(np.maximum(moved, 0)).astype(float)
        found = find_line_shifts(image)
        before.append(np.sqrt(np.mean(shifts**2)))
        after.append(np.sqrt(np.mean((found - shifts) ** 2)))
        slopes.append(abs(np.polyfit(np.arange(len(mean)), found, 1)[0]) * len(mean))
    return {
        "dose, e/A2": dose,
        "before": float(np.mean(before)),
        "after": float(np.mean(after)),
        "worst after": float(np.max(after)),
        "drift put in, px a frame": float(np.max(slopes)),
    }


def real_rows(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Drift of the PFM series by its amplitude, and how far the frames then agree."""
    from jaxrvae.data.containers import Frame, Frames
    from jaxrvae.locate.align import correct_drift
    from jaxrvae.locate.drift import find_drift

    names = ("HeightRetrace", "AmplitudeRetrace")
    frames = tuple(
        Frame(_channels(path, names), name=path.name, number=i)
        for i, path in enumerate(files)
    )
    movie = Frames(frames, names)
    drift = find_drift(movie, channel="AmplitudeRetrace")
    still = correct_drift(movie, drift)
    row, column, rows, columns = still[0].metadata["field"]
    field = slice(row, row + rows), slice(column, column + columns)
    out = []
    for i, path in enumerate(files):
        found: dict[str, Any] = {"file": path.name}
        found |= {f"{axis}, px": float(drift[axis].iloc[i]) for axis in ("x", "y")}
        found["error, px"] = float(drift["error"].iloc[i])
        for k, name in enumerate(names):
            one = movie[0].values[..., k][field], movie[i].values[..., k][field]
            two = still[0].values[..., k], still[i].values[..., k]
            found[f"{name}: before"], found[f"{name}: after"] = _corr(*one), _corr(*two)
        out.append(found)
    return out


def _channels(path: Path, names: Sequence[str]) -> np.ndarray:
    """(row, column, channel) of an NSID file, each plane levelled line by line."""
    import h5py

    found: dict[str, np.ndarray] = {}
    with h5py.File(path) as file:

        def look(_: str, item: Any) -> None:
            quantity = str(item.attrs.get("quantity", ""))
            if isinstance(item, h5py.Dataset) and item.ndim == 2:
                found[quantity] = np.squeeze(item[()]).astype(float)

        file.visititems(look)
    planes = [found[name] for name in names]
    return np.stack([p - np.median(p, axis=1, keepdims=True) for p in planes], axis=-1)


def _error(drift: Any, truth: Any) -> float:
    wrong = drift[["x", "y"]].to_numpy() - np.asarray(truth)
    return float(np.sqrt(np.mean(wrong[1:] ** 2)))


def _ratio(drift: Any, truth: Any) -> float:
    """RMS of errors made, each in the standard error stated for it."""
    wrong = drift[["x", "y"]].to_numpy() - np.asarray(truth)
    return float(np.sqrt(np.mean((wrong[1:] / drift[["error"]].to_numpy()[1:]) ** 2)))


def _corr(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), two.ravel())[0, 1])


if __name__ == "__main__":
    main()
