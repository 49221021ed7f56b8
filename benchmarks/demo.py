"""The demo as one process: wall time, peak memory and compile seconds, with its limits.

    python -m benchmarks.demo

Exit status 1 if the demo fails; a limit that is missed is shown, not an error.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._report import RESULTS, ROOT, facts, table, write

LIMITS = {"wall, s": 180.0, "peak memory, GB": 2.0, "compile, s": 15.0}
CHILD = "--measured-child"


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes demo.json and demo.md."""
    parser = argparse.ArgumentParser(description="The demo's time and memory.")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    rows = [
        {
            "": name,
            "measured": found[name],
            "limit": limit,
            "kept": found[name] <= limit,
        }
        for name, limit in LIMITS.items()
    ]
    described = facts() | {"compiled programs": found["programs"]}
    path = write(options.out, "demo", rows, described)
    print(table(rows), f"Written: {path}", sep="\n\n")


def measure(folder: Path) -> dict[str, float]:
    """The demo's wall seconds, peak GB, compile seconds and number of programs.

    Compilation caches are left out of it: what is measured is a machine's first run.

    Raises:
        SystemExit: The demo failed.
    """
    clock = folder / "compile.json"
    command = [sys.executable, "-m", "benchmarks.demo", CHILD, str(clock)]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "demo", "--out", str(folder / "demo")],
        cwd=ROOT,
        env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"},
        check=False,
    )
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(1)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # kB on Linux
    compiling = json.loads(clock.read_text())
    return {"wall, s": wall, "peak memory, GB": peak / 2**20, **compiling}


def run_child(clock_path: str, words: list[str]) -> None:
    """Runs the command line here, and writes what it compiled."""
    from benchmarks._compile import CompileClock
    from jaxrvae.cli import main as command_line

    clock = CompileClock()
    sys.argv = ["jaxrvae", *words]
    status = 0
    try:
        status = command_line()
    except SystemExit as end:
        status = end.code
    compiled = {"compile, s": clock.seconds, "programs": clock.num_programs}
    Path(clock_path).write_text(json.dumps(compiled))
    sys.exit(status)


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        run_child(sys.argv[2], sys.argv[3:])
    else:
        main()
