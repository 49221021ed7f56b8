"""Makes the peers' environment, `.bench/peers`; quick where it is there already.

    python -m benchmarks.peers.install

About 1.5 GB on disk. Never into the project's own environment: torch and JAX would
fight over threads, and the peers pin nothing.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.launch import ENVIRONMENT, PYTHON

TORCH = "torch==2.13.0"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
PEERS = ("pyroved", "atomai")  # installed without what they ask for: torchvision


def install() -> Path:
    """The environment's Python, with everything in it.

    Raises:
        subprocess.CalledProcessError: pip could not install; its message is shown.
    """
    stamp = ENVIRONMENT / "installed.txt"
    wanted = f"{TORCH}\n{REQUIREMENTS.read_text()}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return PYTHON
    if not PYTHON.exists():
        base = shutil.which("python3.11") or sys.executable
        subprocess.run([base, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    pins = [
        line
        for line in REQUIREMENTS.read_text().splitlines()
        if line and not line.startswith("#")
    ]
    peers = [pin for pin in pins if pin.startswith(PEERS)]
    # torch first: asked for together with the rest, pip may take another build of it.
    _pip(TORCH)
    _pip(*(pin for pin in pins if pin not in peers))
    _pip("--no-deps", *peers)
    stamp.write_text(wanted)
    return PYTHON


def _pip(*packages: str) -> None:
    command = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*command, *packages], check=True)


if __name__ == "__main__":
    print(f"The peers' Python: {install()}")
