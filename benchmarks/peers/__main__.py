"""Ours beside pyroVED and AtomAI: `experiments/peers.py`, run and summed up.

    python -m benchmarks.peers.install
    python -m benchmarks.peers

Means over five seeds, and the worst; angles all round the circle, and by a normal of 30
degrees. Seconds are of training and scoring together, after another; two cores each.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks._report import RESULTS, facts, table, write
from jaxrvae.sweep.experiments import load_sweep
from jaxrvae.sweep.schedule import run_sweep

FIGURES = {
    "metric.R, worst": "min",
    "metric.median angle error, worst, degrees": "max",
    "metric.GMM accuracy": "min",
    "metric.k-NN accuracy": "min",
    "seconds": "max",
}
SETTINGS = ["config.data.options.angle", "config.program"]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what is not there yet; prints and writes the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/peers"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("settings", nargs="*", help="NAME=VALUE, of every point")
    options = parser.parse_args(argv)
    sweep = load_sweep("peers", options.settings)
    found = run_sweep(sweep, options.runs, name="peers", retries=0)
    rows = []
    for setting, own in found.groupby(SETTINGS, sort=False):
        row = dict(zip(("angle", "program"), setting, strict=True))
        row["seeds"] = len(own)
        for column, worst in FIGURES.items():
            name = column.removeprefix("metric.")
            row[name] = float(own[column].mean())
            row[f"{name}, worst seed"] = float(own[column].agg(worst))
        rows.append(row)
    print(table(rows))
    text = (__doc__ or "").partition("\n")[2].strip()
    print(write(options.out, "peers", rows, facts(), text))


if __name__ == "__main__":
    main()
