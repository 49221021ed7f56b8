"""Starts one peer, alone, at its best, and reads what it measured."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Literal

from benchmarks._report import ROOT

ENVIRONMENT = ROOT / ".bench" / "peers"
PYTHON = ENVIRONMENT / "bin" / "python"
Peer = Literal["pyroved", "atomai"]

# glibc keeps freed memory instead of handing it back to the kernel every step, of which
# the peers free hundreds of MB.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}


def run(
    peer: Peer,
    images: str | Path,
    *,
    threads: int = 2,
    keep_memory: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """What the peer's runner printed; see `common.arguments` for the options.

    Args:
        peer: Which.
        images: .npy, (n, row, col), intensities in [0, 1].
        threads: Cores it may use.
        keep_memory: Sets glibc's malloc to keep memory.
        **options: Of the runner, with underscores: `pose="rt"`, `epochs=3`, ...

    Raises:
        FileNotFoundError: The peers' environment is not there.
        RuntimeError: The peer failed; the end of what it said.
    """
    if not PYTHON.exists():
        raise FileNotFoundError(
            f"{PYTHON}: the peers are not installed."
            " Run: python -m benchmarks.peers.install"
        )
    command = [str(PYTHON), "-m", f"benchmarks.peers.run_{peer}", str(images)]
    for name, value in {"threads": threads, **options}.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    environment = quiet_environment(threads) | (KEEP_MEMORY if keep_memory else {})
    return last_json(command, environment)


def quiet_environment(threads: int) -> dict[str, str]:
    """This process's variables, with as many threads for every numerical library."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    return kept | dict.fromkeys(names, str(threads)) | {"MPLBACKEND": "agg"}


def last_json(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Runs the command from the checkout; the last line it prints is JSON.

    Raises:
        RuntimeError: It failed, or printed none.
    """
    with tempfile.TemporaryFile("w+") as errors:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
        errors.seek(0)
        said = errors.read().strip()
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise RuntimeError(f"{' '.join(command)} failed:\n{said[-2000:]}")
    return json.loads(lines[-1])
