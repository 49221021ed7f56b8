"""Domain walls found, simulated and real.

    python -m benchmarks.walls --data ../shared/data

Simulated: ferroelectric films under a bias as PFM sees them, five seeds; walls of the
film itself (before the tip's blur) against those found. Real: three scans of one place
of a PZT film, aligned; length of the walls and area displaced from scan to scan. Writes
walls.md and walls_real.md, with their json, and walls_real.png.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._report import RESULTS, ROOT, facts, table, write

SEEDS = range(5)
NOISES = (0.05, 0.15, 0.3)
FILM = {"num_frames": 4, "size": 256}
NEAR = 3.0  # pixels: a true wall that far from a found one is missed
MAX_DRIFT = 15.0  # pixels a scan
PACKAGES = ("jaxrvae", "jax", "numpy", "scipy", "scikit-image")
ABOUT = {
    "walls": "Walls of simulated films, worst of five seeds: share of the true walls"
    " found within 3 pixels, share of the points found that lie so near a true wall;"
    " distance to it and angle to its normal, both RMS; mean stated confidence.",
    "walls_real": "Three scans of one place of a PZT film, aligned by their amplitude;"
    " areas are of the field that neighbouring scans share.",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes them."""
    parser = argparse.ArgumentParser(description="Domain walls: how well found.")
    parser.add_argument("--data", type=Path, help="folder of the real files")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    data = options.data or Path(os.environ.get("JAXRVAE_DATA", ROOT / "../shared/data"))
    parts = {"walls": [worst(noise) for noise in NOISES]}
    if (data / "pfm" / "nsid").is_dir():
        parts["walls_real"] = real_rows(data / "pfm" / "nsid", options.out)
    for name, rows in parts.items():
        path = write(options.out, name, rows, facts(PACKAGES), ABOUT[name])
        print(f"\n{ABOUT[name]}\n\n{table(rows)}\n\nWritten: {path}")


def worst(noise: float) -> dict[str, Any]:
    """The worst of each figure over the seeds."""
    rows = pd.DataFrame([simulated(seed, noise) for seed in SEEDS])
    high, low = ["distance, px", "angle, degrees"], ["found", "right", "confidence"]
    return {"noise": noise, **rows[low].min(), **rows[high].max()}


def simulated(seed: int, noise: float) -> dict[str, float]:
    """Of all frames of one movie."""
    from scipy.spatial import KDTree

    from jaxrvae.locate.walls import find_walls
    from jaxrvae.simulate import simulate

    movie: Any = simulate("ferroelectric", seed=seed, noise=noise, **FILM)
    found = find_walls(movie, spacing=1.0, offset=movie.truth["phase_offset"])
    true = movie.truth["walls"]
    back, ahead, turned = [], [], []
    for number in movie.numbers:
        own, known = found[found["frame"] == number], true[true["frame"] == number]
        if known.empty or own.empty:
            continue
        tree = KDTree(known[["x", "y"]])
        distance, nearest = tree.query(own[["x", "y"]])
        ahead.append(distance)
        back.append(KDTree(own[["x", "y"]]).query(known[["x", "y"]])[0])
        off = own["direction"].to_numpy() - known["direction"].to_numpy()[nearest]
        turned.append(np.angle(np.exp(1j * off))[distance < NEAR])
    distance = np.concatenate(ahead)
    near = distance[distance < NEAR]
    return {
        "found": float((np.concatenate(back) < NEAR).mean()),
        "right": len(near) / len(distance),
        "confidence": float(found["confidence"].mean()),
        "distance, px": float(np.sqrt(np.mean(near**2))),
        "angle, degrees": float(
            np.degrees(np.sqrt(np.mean(np.concatenate(turned) ** 2)))
        ),
    }


def real_rows(folder: Path, out: Path) -> list[dict[str, Any]]:
    """A row a scan, and the picture of all."""
    from jaxrvae.data.read import read
    from jaxrvae.locate.domains import measure_domains
    from jaxrvae.locate.drift import find_drift
    from jaxrvae.locate.polarity import find_polarity
    from jaxrvae.locate.walls import find_walls
    from jaxrvae.viz.walls import wall_maps

    scans = find_polarity(read([folder / f"PZT_final000{i}.h5" for i in (1, 2, 3)]))
    drift = find_drift(scans, channel="amplitude", max_step=MAX_DRIFT)
    measured = measure_domains(scans, drift=drift)
    wall_maps(scans, find_walls(scans)).savefig(out / "walls_real.png", dpi=100)
    rows = measured.merge(drift, on="frame").to_dict("records")
    return [
        {
            "scan": int(row["frame"]),
            "drift, px": f"{row['x']:.1f}, {row['y']:.1f}",
            "walls": int(row["walls"]),
            "length, nm": row["length"],
            "positive": row["positive"],
            "displaced, nm2": None if np.isnan(row["displaced"]) else row["displaced"],
            "grown, nm2": None if np.isnan(row["grown"]) else row["grown"],
        }
        for row in rows
    ]


if __name__ == "__main__":
    main()
