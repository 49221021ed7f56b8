"""48 points in one `jaxrvae sweep`, beside `jaxrvae run` processes of the same points.

    python -m benchmarks.sweep                  # all 48 separately: half an hour
    python -m benchmarks.sweep --separate 6     # one a setting, times eight

Eight seeds of six settings that keep shapes (KL weights, learning rates), on 1000
glyphs of 24 x 24 pixels, 20 epochs; both start with the programs that earlier starts
kept. Beside the seconds: how far the bounds are apart, of the points run both ways.
Also the seconds of planning 10,000 points: their ids, and which share a program.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, facts, table, write
from jaxrvae.sweep.experiments import load_config
from jaxrvae.sweep.store import Store

BOUND = "bound, nats per image"
YAML = """
base:
  data: {kind: glyphs, num_images: 1000, num_test: 400, size: 24}
  training: {epochs: 20}
grid:
  objective.beta: [1.0, 2.0, 4.0]
  training.learning_rate: [0.001, 0.002]
seeds: 8
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints and writes sweep.json and sweep.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--separate", type=int, default=48, metavar="N")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "points.yaml").write_text(YAML)
        _command(folder, "run", "points.yaml", "--out", "warm")  # programs are kept
        together = _command(folder, "sweep", "points.yaml", "--out", "all")
        records = Store(folder / "all").rows()
        separate, apart = _separately(folder, records, options.separate)
    share = together / (separate * len(records))
    rows = [
        _row("48 points in one sweep, seconds", together, "-", True),
        _row("a process of its own, seconds a point", separate, "-", True),
        _row("sweep over 48 processes", share, "<= .5", share <= 0.5),
        _row("bounds, largest relative difference", apart, "<= .003", apart <= 3e-3),
    ]
    seconds = _planning()
    rows.append(_row("10,000 points planned, seconds", seconds, "<= 5", seconds <= 5))
    print(table(rows))
    text = (__doc__ or "").partition("\n")[2].strip()
    text += f"\n\nRun separately: {options.separate} of 48."
    print(write(options.out, "sweep", rows, facts(), text))


def _separately(
    folder: Path, records: list[dict[str, Any]], number: int
) -> tuple[float, float]:
    """Mean seconds of a point's own process; the largest difference of the bounds."""
    chosen = records[:: max(len(records) // number, 1)][:number]
    seconds, apart = 0.0, 0.0
    for record in chosen:
        own = record["config"]
        words = [f"{name}={own[name]}" for name in ("objective.beta", "model.seed")]
        words.append(f"training.learning_rate={own['training.learning_rate']}")
        out = folder / record["id"]
        seconds += _command(folder, "run", "points.yaml", *words, "--out", str(out))
        bound = json.loads((out / "result.json").read_text())["metric"][BOUND]
        apart = max(apart, abs(bound / record["metric"][BOUND] - 1))
    return seconds / len(chosen), apart


def _command(folder: Path, *words: str) -> float:
    """Seconds of the command line's own process."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "jaxrvae.cli", *words, "--quiet"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _planning() -> float:
    """Seconds of 10,000 points: made, named and packed into programs."""
    from jaxrvae.sweep import Sweep, grid
    from jaxrvae.sweep.schedule import packed

    axes = [
        grid({"objective.beta": [1 + 0.01 * i for i in range(100)]}),
        grid({"model.hidden_dim": range(16, 26)}),
    ]
    base = load_config("glyphs")
    start = time.perf_counter()
    packed(Sweep(base=base, axes=axes, seeds=10).points(), 64)
    return time.perf_counter() - start


def _row(what: str, reached: float, asked: str, kept: bool) -> dict[str, Any]:
    return {"what": what, "reached": float(reached), "asked": asked, "kept": bool(kept)}


if __name__ == "__main__":
    main()
