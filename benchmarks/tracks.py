"""Are links right, and what do 100,000 atoms in 100 frames take?

    python -m benchmarks.tracks              # about ten minutes, 3 GB
    python -m benchmarks.tracks --small      # a minute: 5,000 atoms in 10 frames

Links: simulated graphene as in the demo, whose true atoms are thinned, moved by noise
and joined by spurious ones that keep half a bond from all others, as a finder's do. A
link is a pair of neighbouring rows of a track, both true; it is right if both are one
atom. Recall: of the pairs of sightings of one atom at most 3 frames apart, the share
that is in one track. Sites: a silicon atom that changes place with carbon moves a whole
bond, so links by position follow the site; there, right is who stays at its site.
"""

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._report import RESULTS, facts, table, write

SEEDS = range(5)
DEMO = {"num_grains": 2, "silicon_fraction": 0.03, "vacancy_fraction": 0.005}
HOPS = {"hop_rate": 0.1, "num_frames": 10, "size": 256}
NOISE = 0.6  # pixels: what find_atoms leaves at the demo's dose
MISSED, SPURIOUS, GAP = 0.05, 0.05, 3
FEATURES = {"max_step": 10.5, "features": {"height": 2.0}}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "as found": ({}, {}),
    "drift 3 px a frame": ({"drift": 3.0}, {}),
    "drift 3 px, 5 % missed, 5 % spurious": ({"drift": 3.0, "spoiled": True}, {}),
    "the same, gone for up to 3 frames": (
        {"drift": 3.0, "spoiled": True, "gone": 1},
        {},
    ),
    "the same, brightness as a feature": (
        {"drift": 3.0, "spoiled": True, "gone": 1},
        FEATURES,
    ),
}
ABOUT = (
    "Worst of five seeds; command `python -m benchmarks.tracks`. Simulated graphene of"
    " the demo, positions with 0.6 px of noise. Links by position follow the site of a"
    " Si that hops; with brightness as a feature and steps of up to 1.15 bonds they"
    " follow the atom. The last row: a honeycomb of that many atoms, 5 % of which hop"
    " by 2 px a frame, 5 % missed, 5 % spurious."
)
PACKAGES = ("jaxrvae", "trackpy", "numpy", "scipy", "pandas")


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes tracks.json and tracks.md."""
    parser = argparse.ArgumentParser(description="Tracks: links and speed.")
    parser.add_argument("--small", action="store_true", help="5,000 atoms, 10 frames")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    rows = [quality_row(name) for name in CASES]
    rows.append(speed_row(*((5000, 10) if options.small else (100_000, 100))))
    path = write(options.out, "tracks", rows, facts(PACKAGES), ABOUT)
    print(f"\n{ABOUT}\n\n{table(rows)}\n\nWritten: {path}")


def quality_row(case: str) -> dict[str, Any]:
    """The worst of all seeds, each measure for itself."""
    scan, options = CASES[case]
    results = [_scores(seed, scan, options) for seed in SEEDS]
    worst: dict[str, Any] = {}
    for name in results[0]:
        values = [r[name] for r in results if r[name] is not None]
        worst[name] = min(values) if values else None
    worst["drift error, px"] = max(r["drift error, px"] for r in results)
    worst["sightings"] = sum(r["sightings"] for r in results)
    return {"case": case, **worst}


def _scores(seed: int, scan: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    from jaxrvae.locate.position_drift import drift_of_positions
    from jaxrvae.locate.tracking import link

    atoms, drift = movie(seed, **scan)
    found = drift_of_positions(atoms)[["x", "y"]].diff() - drift[["x", "y"]].diff()
    linked = link(atoms, **({"gap": GAP} | options)).sort_values("frame")
    after = linked.groupby("track").shift(-1)
    both = after["atom"].notna() & (linked["atom"] >= 0) & (after["atom"] >= 0)
    right = (after["atom"] == linked["atom"])[both]
    stays = (after["site"] == linked["site"])[both]
    true = linked[linked["atom"] >= 0]
    again = true.groupby("atom")[["frame", "track", "site"]].shift(-1)
    near = again["frame"] - true["frame"] <= GAP + 1
    apart = (
        near & (again["frame"] - true["frame"] > 1) & (again["site"] == true["site"])
    )
    same = again["track"] == true["track"]
    return {
        "sightings": len(atoms),
        "links right": float(right.mean()),
        "links right, by site": float(stays.mean()),
        "recall": float(same[near].mean()),
        "kept over gaps": float(same[apart].mean()) if apart.any() else None,
        "drift error, px": float(found.abs().max().max()),
    }


def movie(
    seed: int, drift: float = 0.0, spoiled: bool = False, gone: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What a finder would give, with the true atom (-1: none), and the true drift.

    The site of an atom is where it lies in the first frame's coordinates.
    """
    from jaxrvae.simulate import simulate

    rng = np.random.default_rng(seed)
    truth: Any = simulate("graphene", seed, drift=drift, **DEMO, **HOPS).truth
    atoms = truth["atoms"][["frame", "x", "y", "atom", "element"]].reset_index(
        drop=True
    )
    shifts = truth["drift"].set_index("frame").loc[atoms["frame"], ["x", "y"]]
    still = atoms[["x", "y"]].to_numpy() - shifts.to_numpy()
    atoms["site"] = _sites(still)
    atoms["height"] = atoms.pop("element").map({"C": 1.0, "Si": 4.2})
    atoms["height"] += rng.normal(0, 0.2, len(atoms))
    atoms[["x", "y"]] += rng.normal(0, NOISE, (len(atoms), 2))
    if gone:  # 5 % of the atoms leave for one to three frames, once
        names = np.unique(atoms["atom"])
        first = rng.integers(1, HOPS["num_frames"] - GAP, len(names))
        last = first + rng.integers(0, GAP, len(names))
        first[rng.random(len(names)) > 0.05] = HOPS["num_frames"]
        which = np.searchsorted(names, atoms["atom"])
        atoms = atoms[~atoms["frame"].between(first[which], last[which])]
    if spoiled:
        atoms = atoms[rng.random(len(atoms)) > MISSED]
        atoms = pd.concat([atoms, _spurious(atoms, rng)], ignore_index=True)
    return atoms.sample(frac=1, random_state=seed), truth["drift"]


def _sites(still: np.ndarray) -> np.ndarray:
    """Numbers of places: sightings nearer than a third of a bond share theirs."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    pairs = KDTree(still).query_pairs(3.0, output_type="ndarray")
    ones = np.ones(len(pairs))
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), (len(still), len(still)))
    return connected_components(graph, directed=False)[1]


def _spurious(atoms: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Positions that keep half a bond from every other of their frame."""
    from scipy.spatial import KDTree

    parts = []
    for number, here in atoms.groupby("frame"):
        places = rng.uniform(0, HOPS["size"] - 1, (len(here), 2))
        free = KDTree(here[["x", "y"]]).query(places)[0] > 4.5
        places = places[free][: round(SPURIOUS * len(here))]
        part = pd.DataFrame(places, columns=["x", "y"])
        parts.append(part.assign(frame=number, atom=-1, site=-1, height=1.0))
    return pd.concat(parts, ignore_index=True)


def speed_row(num_atoms: int, num_frames: int) -> dict[str, Any]:
    """Seconds to link a honeycomb of so many atoms, and this process' peak memory."""
    from jaxrvae.locate.tracking import link

    atoms = honeycomb(num_atoms, num_frames)
    start = time.perf_counter()
    linked = link(atoms)
    seconds = time.perf_counter() - start
    after = linked.groupby("track")["atom"].shift(-1)
    both = after.notna() & (linked["atom"] >= 0) & (after >= 0)
    return {
        "case": f"{num_atoms:,} atoms, {num_frames} frames",
        "sightings": len(atoms),
        "links right": float((after == linked["atom"])[both].mean()),
        "s": seconds,
        "us a sighting": 1e6 * seconds / len(atoms),
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def honeycomb(num_atoms: int, num_frames: int, bond: float = 9.09) -> pd.DataFrame:
    """Sightings in order of frame; drift of 1 px a frame along x."""
    rng = np.random.default_rng(0)
    side = int(np.sqrt(num_atoms / 2)) + 1
    steps = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    corner = steps @ (bond * np.array([[np.sqrt(3), 0], [np.sqrt(3) / 2, 1.5]]))
    places = np.concatenate([corner, corner + [0, bond]])[:num_atoms]
    parts = []
    for number in range(num_frames):
        here = places + rng.normal(0, 0.5, places.shape) + [number, 0]
        hops = rng.random(num_atoms) < 0.05
        here[hops] += rng.normal(0, 2.0 / np.sqrt(2), (hops.sum(), 2))
        seen = np.flatnonzero(rng.random(num_atoms) > MISSED)
        extra = rng.uniform(
            places.min(0), places.max(0), (int(SPURIOUS * num_atoms), 2)
        )
        part = pd.DataFrame(np.concatenate([here[seen], extra]), columns=["x", "y"])
        part["atom"] = np.concatenate([seen, np.full(len(extra), -1)])
        parts.append(part.assign(frame=number))
    return pd.concat(parts, ignore_index=True)


if __name__ == "__main__":
    main()
