"""How well and how fast atoms are found, simulated and real.

    python -m benchmarks.atoms --data ../shared/data

Simulated: graphene of two grains with 3 % Si, carbon peaks 1.5 times the noise of a
pixel. Atoms nearer than one probe sigma to the image's edge are left out of the counts
(not of the search). The bound is Cramer-Rao's, for all positions, heights, a flat
background and the probe's width at once, overlaps included. Real: the coordinates given
with the Si-in-graphene library list each defect's own atoms.
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._report import RESULTS, ROOT, facts, table, write

SEEDS = range(5)
BOND = 0.142  # nm
CONFIDENT_AT = (1e4, 3e4, 1e5)  # electrons per square angstrom
FEWEST = 20  # atoms that a row of stated confidence needs
REACH = 0.05  # nm within which a given atom counts as found
SIMULATED = {"num_grains": 2, "silicon_fraction": 0.03, "snr": 1.5}
ABOUT = {
    "simulated": "Graphene of two grains with 3 % Si, carbon peaks 1.5 times the noise"
    " of a pixel; atoms nearer than one probe sigma to the edge do not count. The bound"
    " is that of a joint fit of all atoms.",
    "confidence": "True atoms by stated confidence, on four further seeds; +- is the"
    " standard error of their share.",
    "real": "Si in graphene: the atoms listed with each defect, found within 0.05 nm.",
    "speed": "Finding the atoms of one frame, their distance given, after compiling;"
    " the first call compiles.",
}
PACKAGES = ("jaxrvae", "jax", "jaxlib", "numpy", "scipy", "scikit-image")


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes each as atoms_*.json and atoms_*.md."""
    parser = argparse.ArgumentParser(description="Finding atoms: quality and speed.")
    parser.add_argument("--data", type=Path, help="folder of the real files")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--parts", nargs="+", choices=tuple(ABOUT), default=[*ABOUT])
    options = parser.parse_args(argv)
    data = options.data or Path(os.environ.get("JAXRVAE_DATA", ROOT / "../shared/data"))
    library = data / "stem_graphene_si" / "library"
    measure = {
        "simulated": simulated_rows,
        "confidence": confidence_rows,
        "real": lambda: real_rows(library),
        "speed": speed_rows,
    }
    for name in options.parts:
        if name == "real" and not library.is_dir():
            print(f"No real files in {library}: give their folder with --data.")
            continue
        rows = measure[name]()
        path = write(options.out, f"atoms_{name}", rows, facts(PACKAGES), ABOUT[name])
        print(f"\n{ABOUT[name]}\n\n{table(rows)}\n\nWritten: {path}")


def simulated_rows() -> list[dict[str, Any]]:
    """Recall, false share and position error by seed, and the worst of each."""
    rows = [_simulated_row(seed) for seed in SEEDS]
    worst = {"seed": "worst", "atoms": None, "found": min(r["found"] for r in rows)}
    for name in ("false", "RMS, px", "RMS / bound"):
        worst[name] = max(row[name] for row in rows)
    return [*rows, worst]


def _simulated_row(seed: int) -> dict[str, Any]:
    from jaxrvae.locate.atoms import find_atoms
    from jaxrvae.simulate import simulate

    movie: Any = simulate("graphene", seed=seed, num_frames=1, **SIMULATED)
    truth, noise = movie.truth["atoms"].reset_index(drop=True), movie.truth["noise"]
    found = find_atoms(movie)
    first, second, distance = match(found, truth, BOND / 2 / movie.pixel_size)
    seen = _inner(truth, movie[0].shape, noise["sigma"])
    believed = _inner(found, movie[0].shape, noise["sigma"])
    wrong = np.setdiff1d(np.flatnonzero(believed), first)
    inner = seen[second]
    bounds = position_bounds(truth, noise, movie[0].shape)[second[inner]]
    error, bound = np.sqrt(np.mean(distance[inner] ** 2) / 2), _rms(bounds)
    return {
        "seed": seed,
        "atoms": int(seen.sum()),
        "found": float(inner.sum() / seen.sum()),
        "false": float(len(wrong) / believed.sum()),
        "RMS, px": float(error),
        "bound, px": bound,
        "RMS / bound": float(error / bound),
    }


def match(
    found: pd.DataFrame, truth: pd.DataFrame, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of rows, each used once, nearer than `reach`, and their distances."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    distance = cdist(found[["x", "y"]], truth[["x", "y"]])
    first, second = linear_sum_assignment(np.where(distance < reach, distance, 1e6))
    near = distance[first, second] < reach
    return first[near], second[near], distance[first, second][near]


def position_bounds(
    truth: pd.DataFrame, noise: dict[str, Any], shape: tuple[int, ...]
) -> np.ndarray:
    """(n, 2) least standard deviations of x and y of all atoms, fitted jointly.

    Source: Kay 1993, Estimation Theory, section 3.7, for Poisson counts.
    """
    from scipy import sparse

    sigma, peaks = noise["sigma"], truth["element"].map(noise["peak"]).to_numpy(float)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    mean = np.full(shape[:2], float(noise["background"]))
    width = np.zeros(shape[:2])
    parts = []
    for x, y, peak in zip(truth["x"], truth["y"], peaks, strict=True):
        box = (
            slice(max(0, int(y - 5 * sigma)), int(y + 5 * sigma) + 2),
            slice(max(0, int(x - 5 * sigma)), int(x + 5 * sigma) + 2),
        )
        u, v = (columns[box] - x) / sigma, (rows[box] - y) / sigma
        spot = np.exp(-(u**2 + v**2) / 2)
        mean[box] += peak * spot
        width[box] += peak * spot * (u**2 + v**2) / sigma
        place = (rows[box] * shape[1] + columns[box]).ravel()
        for slope in (peak * spot * u / sigma, peak * spot * v / sigma, spot):
            parts.append((slope.ravel(), place))
    values = np.concatenate([value for value, _ in parts])
    places = np.concatenate([place for _, place in parts])
    which = np.repeat(np.arange(len(parts)), [len(place) for _, place in parts])
    slopes = sparse.csr_matrix((values, (which, places)), (len(parts), mean.size))
    shared = sparse.csr_matrix(np.stack([np.ones(mean.size), width.ravel()]))
    jacobian = sparse.vstack([slopes, shared]).tocsr()
    weighted = jacobian.multiply(1 / mean.ravel()[None]).tocsr()
    information = (weighted @ jacobian.T).toarray()
    variances = np.diag(np.linalg.inv(information))[: len(parts)]
    return np.sqrt(variances.reshape(-1, 3)[:, :2])


def confidence_rows() -> list[dict[str, Any]]:
    """The share of true atoms among those of a stated confidence, fresh seeds."""
    return [
        row
        for method in ("gaussians", "network")
        for dose in CONFIDENT_AT
        for row in _confidence_rows(method, dose)
    ]


def _confidence_rows(method: Any, dose: float) -> list[dict[str, Any]]:
    from jaxrvae.locate.atoms import find_atoms
    from jaxrvae.simulate import simulate

    sheet = {"num_grains": 2, "silicon_fraction": 0.03, "dose": dose}
    stated, true = [], []
    for seed in range(100, 104):
        movie: Any = simulate("graphene", seed=seed, num_frames=1, **sheet)
        found = find_atoms(movie, method=method, spacing=BOND)
        first, _, _ = match(found, movie.truth["atoms"], BOND / 2 / movie.pixel_size)
        inner = _inner(found, movie[0].shape, movie.truth["noise"]["sigma"])
        stated.append(found["confidence"].to_numpy()[inner])
        true.append(np.isin(np.arange(len(found)), first)[inner])
    confidence, right = np.concatenate(stated), np.concatenate(true)
    rows = []
    for low, high in ((0, 0.5), (0.5, 0.9), (0.9, 0.97), (0.97, 0.99), (0.99, 1.0)):
        chosen = (confidence > low) & (confidence <= high)
        if chosen.sum() >= FEWEST:
            share = float(right[chosen].mean())
            rows.append(
                {
                    "method": method,
                    "dose, e/A^2": f"{dose:.0e}",
                    "stated confidence": f"{low} to {high}",
                    "atoms": int(chosen.sum()),
                    "mean stated": float(confidence[chosen].mean()),
                    "true": share,
                    "+-": float(np.sqrt(share * (1 - share) / chosen.sum())),
                }
            )
    return rows


def real_rows(library: Path) -> list[dict[str, Any]]:
    """Share found and RMS distance by defect class and element; seconds a frame."""
    from scipy.spatial import KDTree

    from jaxrvae.data.read import read
    from jaxrvae.locate.atoms import find_atoms

    rows = []
    for folder in sorted(path for path in library.iterdir() if path.is_dir()):
        movie = read(folder)
        start = time.perf_counter()
        atoms = find_atoms(movie)
        seconds = (time.perf_counter() - start) / len(movie)
        distances: dict[str, list[float]] = {"Si": [], "C": []}
        bonds = []
        for frame in movie:
            here = atoms.loc[atoms["frame"] == frame.number, ["x", "y"]].to_numpy()
            tree = KDTree(here)
            bonds.append(tree.query(here, k=2)[0][:, 1] * frame.pixel_size)
            for x, y, element in given(folder / frame.name):
                nearest = tree.query([x, y])[0] * (frame.pixel_size or np.nan)
                distances[element].append(nearest)
        nearest_neighbour = np.concatenate(bonds)
        for element, values in distances.items():
            near = np.array(values)[np.array(values) <= REACH]
            rows.append(
                {
                    "class": folder.name,
                    "images": len(movie),
                    "element": element,
                    "given": len(values),
                    "found": len(near) / len(values),
                    "RMS, nm": _rms(near),
                    "median nearest neighbour, nm": float(np.median(nearest_neighbour)),
                    "atoms an image": len(atoms) / len(movie),
                    "s an image, with compiling": seconds,
                }
            )
    return rows


def given(path: Path) -> list[tuple[float, float, str]]:
    """x, y and element of the atoms that a file of the library lists."""
    import h5py

    with h5py.File(path) as file:
        listed = [file[name][()] for name in file if name.startswith("defect_coord")]
    return [
        (float(x), float(y), element.decode())
        for x, y, element in np.concatenate(listed)
    ]


def speed_rows(num_repeats: int = 5) -> list[dict[str, Any]]:
    """Seconds for frames with one atom per 52 pixels, by finder, and what is asked."""
    return [
        _speed_row(side, method, asked, num_repeats if side < 1000 else 3)
        for side, asked in ((512, 1.0), (2048, 15.0))
        for method in ("gaussians", "network")
    ]


def _speed_row(side: int, method: Any, asked: float, repeats: int) -> dict[str, Any]:
    from jaxrvae.locate.atoms import find_atoms
    from jaxrvae.simulate import simulate

    size = np.sqrt(5000 / 38.2) * side / 512  # nm; graphene has 38.2 atoms per nm^2
    movie: Any = simulate(
        "graphene", seed=0, num_frames=1, size=side, pixel_size=size / side, snr=3.0
    )
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        found = find_atoms(movie, method=method, spacing=BOND)
        seconds.append(time.perf_counter() - start)
    return {
        "frame": f"{side} x {side}",
        "method": method,
        "atoms": len(movie.truth["atoms"]),
        "found": len(found),
        "asked, s": asked,
        "s, median": float(np.median(seconds[1:])),
        "s, slowest": max(seconds[1:]),
        "s, first": seconds[0],
    }


def _inner(positions: pd.DataFrame, shape: tuple[int, ...], margin: float):
    """Whether positions keep the margin to the image's edges."""
    xy, last = positions[["x", "y"]].to_numpy(), np.array(shape[1::-1]) - 1
    return ((xy > margin) & (xy < last - margin)).all(axis=1)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()
