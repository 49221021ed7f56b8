"""Training cost against number of patches, patch size, turned copies and batch.

    python -m benchmarks.cost              # about half an hour, alone on the machine
    python -m benchmarks.cost --rows affine --factors batch

One factor at a time around glyphs of 48 x 48, 4000 of them, 8 turns, batches of 100; a
process for every point; microseconds a patch in the timed epochs. Slopes are those of
straight lines on log-log axes, through all points and through the largest two.
`arithmetic` is the slope if nothing had a fixed cost: 0 for the number of patches (one
costs the same in any data set); 2 for the size (pixels, and at a fixed band limit the
coefficients); 1 for the turned copies; 0 for the batch. `nothing worse`: neither slope
lies more than 0.15 above it.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import RESULTS, facts, table, write
from benchmarks.peers import launch

BASE: dict[str, int] = {"patches": 4000, "size": 48, "turns": 8, "batch": 100}
FACTORS: dict[str, tuple[int, ...]] = {
    "patches": (1000, 10_000, 100_000),
    "size": (16, 32, 64, 128),
    "turns": (4, 8, 16, 32),
    "batch": (25, 100, 400, 1600),
}
SMALL = 1000  # patches where they are large
ARITHMETIC = {"patches": 0, "size": 2, "turns": 1, "batch": 0}
MARGIN = 0.15
ROWS: dict[str, list[str]] = {
    "steerable, rotation": ["--decoder", "steerable", "--pose", "rotation"],
    "default, rotation + shift": ["--pose", "rotation", "shift"],
    "affine, rotation + shift": ["--decoder", "affine", "--pose", "rotation", "shift"],
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the tables and writes cost.json, cost.md and cost.png."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--rows", nargs="+", default=["steerable", "default", "affine"])
    add("--factors", nargs="+", default=list(FACTORS), choices=list(FACTORS))
    add("--largest", type=int, help="leave larger values of every factor out")
    add("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    points: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for factor in options.factors:
            for value in FACTORS[factor]:
                if options.largest and value > options.largest:
                    continue
                for row in ROWS:
                    if row.split(",")[0] in options.rows:
                        points.append(measured(Path(name), row, factor, value))
                        print(points[-1], flush=True)
    rows = slopes(points)
    described = facts() | {"base": BASE}
    text = (__doc__ or "").partition("\n")[2].strip()
    text += f"\n\n{table(points)}\n\n![Cost by factor](cost.png)"
    path = write(options.out, "cost", rows, described, text)
    draw(path.with_suffix(".png"), points)
    print(table(rows), f"Written: {path}", sep="\n\n")


def measured(folder: Path, row: str, factor: str, value: int) -> dict[str, Any]:
    """A point: microseconds a patch, and the process's peak memory."""
    setting = BASE | {factor: value}
    if setting["size"] > BASE["size"]:
        setting["patches"] = SMALL
    images = folder / f"{setting['patches']}_{setting['size']}.npy"
    if not images.exists():
        said(images, "--simulate", setting["patches"], setting["size"])
    given = [*ROWS[row], "--num-turns", setting["turns"], "--epochs", 2]
    run = said(images, *given, "--batch-size", setting["batch"])
    cost = 1e6 / max(run["rates"])
    point: dict[str, Any] = {"model": row, "factor": factor, "value": value}
    return point | {"us a patch": cost, "peak memory, GB": run["peak_gb"]}


def slopes(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line a model and factor: slopes on log-log axes, beside arithmetic's."""
    rows = []
    for model in ROWS:
        for factor in FACTORS:
            own = [p for p in points if (p["model"], p["factor"]) == (model, factor)]
            if len(own) < 2:
                continue
            x = np.log([p["value"] for p in own])
            y = np.log([p["us a patch"] for p in own])
            all_, last = np.polyfit(x, y, 1)[0], (y[-1] - y[-2]) / (x[-1] - x[-2])
            limit = ARITHMETIC[factor] + MARGIN
            row: dict[str, Any] = {"model": model, "factor": factor}
            row |= {"slope": float(all_), "slope of the largest two": float(last)}
            row |= {"arithmetic": ARITHMETIC[factor]}
            rows.append(row | {"nothing worse": bool(max(all_, last) <= limit)})
    return rows


def draw(path: Path, points: list[dict[str, Any]]) -> None:
    """A panel a factor, all models in it."""
    import matplotlib.pyplot as plt

    factors = list(dict.fromkeys(point["factor"] for point in points))
    figure, axes = plt.subplots(
        1, len(factors), figsize=(3 * len(factors), 3.4), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    labels = {
        "patches": "patches",
        "size": "patch size, pixels",
        "turns": "turned copies K",
        "batch": "batch",
    }
    for axis, factor in zip(axes[0], factors, strict=True):
        for (model, _), marker in zip(ROWS.items(), "os^", strict=True):
            own = [p for p in points if (p["model"], p["factor"]) == (model, factor)]
            x, y = [p["value"] for p in own], [p["us a patch"] for p in own]
            axis.loglog(x, y, f"{marker}-", label=model)
        values = FACTORS[factor]
        axis.set_xticks(values, [f"{value:,}" for value in values], rotation=30)
        axis.minorticks_off()
        axis.set_xlabel(labels[factor])
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("training, microseconds a patch")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center",
                  ncols=3, fontsize="small")  # fmt: skip
    figure.savefig(path, dpi=150)
    plt.close(figure)


def said(images: Path, *given: object) -> dict[str, Any]:
    """What `benchmarks._ours` prints, given these words."""
    command = [sys.executable, "-m", "benchmarks._ours", str(images)]
    environment = launch.quiet_environment(os.cpu_count() or 1)
    return launch.last_json([*command, *map(str, given)], environment)


if __name__ == "__main__":
    main()
