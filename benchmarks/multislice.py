"""HAADF contrast of single columns: ours beside abTEM's multislice.

    python -m benchmarks.multislice --install   # abTEM, into .bench/multislice
    python -m benchmarks.multislice

Ours is brightness Z^1.7 times the probe's intensity. Compared are the electrons that
reach the detector, summed over the image and relative to carbon, and the images' shape.
"""

import argparse
import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks._report import RESULTS, ROOT, facts, write
from benchmarks.peers.launch import last_json, quiet_environment

HOME = ROOT / ".bench" / "multislice"
PYTHON = HOME / "bin" / "python"
PINS = ("abtem==1.0.11", "ase==3.29.0")
NUMBERS = {"C": [6], "Si": [14], "S": [16], "S2": [16, 16], "V": [23], "Mo": [42]}


def install() -> None:
    """An environment of abTEM's own."""
    subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", *PINS], check=True)


def our_image(brightness: float, side: int, step: float) -> np.ndarray:
    """(side, side) image of one column in the middle, without a source's size."""
    from jaxrvae.simulate.microscope import Microscope, blur, expected_counts

    microscope = Microscope(size=side, pixel_size=step, source=0.0, dose=1.0)
    middle = np.full((1, 2), side // 2, float)
    mean = expected_counts(middle, np.array([brightness]), microscope, blur(microscope))
    m = microscope.margin
    return mean[m : m + side, m : m + side]


def compare(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a column of atoms."""
    from jaxrvae.simulate.elements import brightness

    images = {name: np.array(image) for name, image in measured["images"].items()}
    total = {name: image.sum() for name, image in images.items()}
    rows = []
    for name, image in images.items():
        bright = sum(brightness(z) for z in NUMBERS[name])
        ours = our_image(bright, len(image), measured["step"])
        relative = total[name] / total["C"]
        rows.append(
            {
                "column": name,
                "abTEM, relative to C": relative,
                "ours, relative to C": bright,
                "ours / abTEM": bright / relative,
                "peak / sum, abTEM": image.max() / total[name],
                "peak / sum, ours": ours.max() / ours.sum(),
                "correlation": np.corrcoef(image.ravel(), ours.ravel())[0, 1],
            }
        )
    return rows


def exponent(measured: dict[str, Any]) -> float:
    """Of the power of Z that fits abTEM's single atoms best."""
    single = [name for name, numbers in NUMBERS.items() if len(numbers) == 1]
    z = np.log([NUMBERS[name][0] for name in single])
    signal = np.log([np.sum(measured["images"][name]) for name in single])
    return float(np.polyfit(z, signal, 1)[0])


def main() -> None:
    """Runs abTEM, compares, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--inner", default="80", help="mrad, of the detector")
    parser.add_argument("--out", default=RESULTS)
    options = parser.parse_args()
    if options.install:
        install()
        return
    command = [str(PYTHON), "-m", "benchmarks.peers.run_abtem"]
    measured = last_json([*command, "--inner", options.inner], quiet_environment(1))
    text = (
        "`python -m benchmarks.multislice`: 60 kV, 32 mrad, detector from "
        f"{options.inner} to 200 mrad, no vibration, a point source. abTEM's single "
        f"atoms follow Z^{exponent(measured):.2f}; ours Z^1.70."
    )
    about = facts() | {"abtem": measured["version"]}
    print(write(options.out, "multislice", compare(measured), about, text).read_text())


if __name__ == "__main__":
    main()
