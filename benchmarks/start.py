"""How soon it starts: imports beyond JAX's, the first training step, the second start.

    python -m benchmarks.start

Each figure is of a process of its own, five times. `first` and `again` are from before
`fit` to the end of one epoch of 1000 glyphs of 48 x 48, with the default model: with a
new folder for compiled programs, then with the one that process left. Asked: imports
1.5 s beyond JAX's, compiling 10 s, and 3 s for the whole second start, without imports.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks._report import RESULTS, ROOT, facts, table, write

IMPORTING = """
import time, jax
start = time.perf_counter()
import jaxrvae as jr
jr.RVAE
print(time.perf_counter() - start)
"""
FITTING = """
import sys, time, jax
import jaxrvae as jr
from benchmarks._compile import CompileClock
jr.keep_compiled(sys.argv[1])
images = jr.simulate("glyphs", seed=0, num_images=1000, size=48)
model, clock, start = jr.RVAE(), CompileClock(), time.perf_counter()
model.fit(images, epochs=1, progress=False)
import json
print(json.dumps([time.perf_counter() - start, clock.seconds]))
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes start.json and start.md."""
    parser = argparse.ArgumentParser(description="Seconds until the first result.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    described = facts() | {"repeats": options.repeats}
    found: dict[str, list[float]] = {"import": [], "first": [], "compile": []}
    found["again"] = []
    for _ in range(options.repeats):
        found["import"].append(float(said(IMPORTING)))
        with tempfile.TemporaryDirectory() as folder:
            whole, compiling = json.loads(said(FITTING, folder))
            found["first"].append(whole)
            found["compile"].append(compiling)
            found["again"].append(json.loads(said(FITTING, folder))[0])
    asked = {"import": 1.5, "first": None, "compile": 10.0, "again": 3.0}
    rows = [
        {
            "what": name,
            "seconds": statistics.median(seconds),
            "least": min(seconds),
            "most": max(seconds),
            "asked": asked[name],
        }
        for name, seconds in found.items()
    ]
    text = (__doc__ or "").partition("\n")[2].strip()
    path = write(options.out, "start", rows, described, text)
    print(table(rows), f"Written: {path}", sep="\n\n")


def said(program: str, *words: str) -> str:
    """The last line that a Python program prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
