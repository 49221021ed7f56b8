"""What the analysis costs, for 10^5 and for 10^6 patches.

    OMP_NUM_THREADS=2 python -m benchmarks.analysis_cost

Contents of six numbers, drawn at random on a lattice of atoms (10,000 a frame), with
four quantities; maps of three numbers over a film of 40 frames, as many places in all;
and for `find_pathways` contents of two numbers in four states, between which 10,000
tracks go over from frame to frame. Asked: 2 minutes and 4 GB together for 10^6, on two
cores that do nothing else, and no more than in proportion. The peak is of the process
so far, its data included. Three minutes.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._report import RESULTS, facts, table, write

ABOUT = __doc__ or ""
NUMBERS = (10**5, 10**6)
DIM, FRAMES = 6, 40
MOST_SECONDS, MOST_GB = 120.0, 4.0
INFORMATION = "mutual information alone, 24 pairs"  # `find_order` has it as well
PACKAGES = ("jaxrvae", "numpy", "scipy", "scikit-learn")


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints the table and writes analysis_cost.md and analysis_cost.json."""
    parser = argparse.ArgumentParser(description=ABOUT.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="the tenth alone")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    numbers = NUMBERS[:1] if options.small else NUMBERS
    rows = [row for number in numbers for row in measure(number)]
    last = [
        row["seconds"]
        for row in rows
        if row["patches"] == numbers[-1] and row["work"] != INFORMATION
    ]
    total = {"patches": numbers[-1], "work": "all together", "seconds": sum(last)}
    asked = {"work": "asked", "seconds": f"<= {MOST_SECONDS:g}"}
    rows += [{**total, "peak GB": peak()}, {**asked, "peak GB": f"<= {MOST_GB:g}"}]
    path = write(
        options.out, "analysis_cost", rows, facts(PACKAGES), ABOUT.split("\n\n", 2)[2]
    )
    print(table(rows), f"Written: {path}", sep="\n\n")
    return 0


def measure(number: int) -> list[dict[str, Any]]:
    """A row a kind of work."""
    rows = []
    for name, work in works(number).items():
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        rows.append(
            {"patches": number, "work": name, "seconds": seconds, "peak GB": peak()}
        )
    return rows


def works(number: int) -> dict[str, Callable[[], Any]]:
    """What is measured, on data of that many patches."""
    from jaxrvae.analysis.information import mutual_information
    from jaxrvae.analysis.order import find_order
    from jaxrvae.analysis.pathways import find_pathways
    from jaxrvae.analysis.pinning import find_pins, find_waits
    from jaxrvae.analysis.sites import find_sites
    from jaxrvae.analysis.surroundings import find_surroundings

    rng = np.random.default_rng(0)
    contents, quantities = draw_contents(number, rng)
    maps, distance = draw_maps(number, rng)
    frames = contents["frame"].to_numpy()

    def information() -> None:
        for i in range(DIM):
            for name, values in quantities.items():
                mutual_information(
                    contents[f"content_{i}"].to_numpy(),
                    values.to_numpy(),
                    frames,
                    discrete=name == "class",
                )

    walls = np.abs(distance) < 3
    wandering = draw_tracks(number, rng)
    return {
        "pathways": lambda: find_pathways(wandering),
        "surroundings": lambda: find_surroundings(contents),
        INFORMATION: information,
        "order, with the information": lambda: find_order(contents, quantities),
        "waits and pins": lambda: find_pins(find_waits(maps, walls), 3),
        "sites": lambda: find_sites(maps, distance, 4.0),
    }


def draw_contents(
    number: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Contents with places on a square lattice, and quantities that follow them."""
    names = [f"content_{i}" for i in range(DIM)]
    rows = pd.DataFrame(rng.normal(size=(number, DIM)), columns=pd.Index(names))
    place = np.arange(number) % 10_000
    x, y = np.stack([place % 100, place // 100]) * 10.0 + rng.normal(
        0, 0.2, (2, number)
    )
    rows = rows.assign(frame=np.arange(number) // 10_000, x=x, y=y)
    noise = rng.normal(0, 0.1, (3, number))
    first, second = rows["content_0"], rows["content_1"]
    quantities = {
        "sine": np.sin(first) + noise[0],
        "square": second**2 + noise[1],
        "noise": noise[2],
        "class": (second > 0).astype(int),
    }
    return rows, pd.DataFrame(quantities)


def draw_tracks(number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Contents in four states that tracks go over between, once in 25 frames each."""
    tracks = 10_000
    frames = number // tracks
    state = np.empty((frames, tracks), int)
    state[0] = rng.integers(4, size=tracks)
    for at in range(1, frames):
        moves = rng.random(tracks) < 0.04
        state[at] = np.where(moves, rng.integers(4, size=tracks), state[at - 1])
    middle = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [2.5, 2.5]])
    content = middle[state.ravel()] + rng.normal(0, 0.4, (number, 2))
    return pd.DataFrame(
        {
            "frame": np.repeat(np.arange(frames), tracks),
            "track": np.tile(np.arange(tracks), frames),
            "content_0": content[:, 0],
            "content_1": content[:, 1],
        }
    )


def draw_maps(number: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Contents around a wall that moves on, and the distance from it."""
    side = int(np.sqrt(number / FRAMES))
    steps = np.linspace(0, side, FRAMES)
    distance = np.broadcast_to(
        (steps[:, None] - np.arange(side))[:, None], (FRAMES, side, side)
    )
    off = np.tanh(distance / 3)[..., None]
    maps = off * np.array([1.0, 0.5, 0.1]) + rng.normal(0, 0.2, (*distance.shape, 3))
    return maps, np.array(distance)


def peak() -> float:
    """GB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    sys.exit(main())
