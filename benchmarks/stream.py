"""Training on patches larger than memory, against training on those that fit.

    python -m benchmarks.stream               # ten minutes, 4 GB of disk
    python -m benchmarks.stream --small       # a minute

Glyphs of 48 x 48 pixels, drawn once and repeated with other noise: 40,000 (0.37 GB, the
memory that is allowed), and ten times as many in a file. Each row is a process of its
own with the default batch: the small set in memory, the large one read from the file as
training goes on (`stream=True`), the median epoch of two. `peak GB` is the process's
memory at most, Python and JAX included; `before GB` what it held before training, so
that their difference is what the images and the training take. Asked: 90 % of the
speed in memory with the affine decoder, 60 % with the steerable one (whose coefficients
are made anew from the pixels at every step), and memory that does not grow with the
file.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import RESULTS, ROOT, facts, table, write

SIZE, NUMBER, TIMES, EPOCHS = 48, 40_000, 10, 2
DRAWN, AT_ONCE = 8000, 2000  # different glyphs; written at a time
NOISE = 0.1
ASKED = {"affine": 0.9, "steerable": 0.6}
TRAIN = "--train"


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the files, measures, prints the table and writes stream.md and .json."""
    parser = argparse.ArgumentParser(description="Training from disk.")
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--scratch", type=Path, help="where the files lie")
    options = parser.parse_args(argv)
    number = NUMBER // 10 if options.small else NUMBER
    rows = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        files = {part: Path(folder) / f"{part}.npy" for part in ("memory", "stream")}
        make(files["memory"], number)
        make(files["stream"], TIMES * number)
        for decoder, asked in ASKED.items():
            speeds = []
            for how, file in files.items():
                found = _alone(str(file), decoder, how)
                speeds.append(found["images/s"])
                share = speeds[-1] / speeds[0]
                rows.append(
                    {"decoder": decoder, "images": how, **found, "share": share}
                )
            rows[-1]["asked"] = asked
            print(table(rows), flush=True)
    path = write(options.out, "stream", rows, facts(), __doc__ or "")
    print(f"Written: {path}")
    return 0


def make(file: Path, number: int) -> None:
    """So many images, written a few at a time."""
    from jaxrvae.simulate import simulate

    drawn: Any = simulate("glyphs", num_images=min(DRAWN, number), size=SIZE)
    rng = np.random.default_rng(0)
    head = {"descr": "<f4", "fortran_order": False, "shape": (number, SIZE, SIZE)}
    with file.open("wb") as there:  # not mapped: a child's peak counts its parent's
        np.lib.format.write_array_header_1_0(there, head)
        for start in range(0, number, AT_ONCE):
            stop = min(start + AT_ONCE, number)
            own = np.arange(start, stop) % len(drawn.values)
            noise = NOISE * rng.standard_normal((stop - start, SIZE, SIZE))
            there.write((drawn.values[own] + noise).astype("<f4").tobytes())


def train(file: str, decoder: str, how: str) -> dict[str, Any]:
    """Images a second, and memory."""
    import jaxrvae as jr

    images = np.load(file, mmap_mode="r" if how == "stream" else None)
    model = jr.RVAE(decoder=decoder)
    model.fit(images[:400].copy(), epochs=1, progress=False)  # imports
    before = _peak()
    given = {"epochs": EPOCHS, "stream": how == "stream", "progress": False}
    model.fit(images, **given)
    seconds = float(np.median(model.history["seconds"]))
    taken = int(model.history["step"].iloc[0]) * 100
    return {
        "number": len(images),
        "GB": images.nbytes / 2**30,
        "images/s": taken / seconds,
        "before GB": before,
        "peak GB": _peak(),
    }


def _alone(*words: str) -> dict[str, Any]:
    """What a process of its own measures."""
    command = [sys.executable, "-m", "benchmarks.stream", TRAIN, *words]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    if TRAIN in sys.argv:
        print(json.dumps(train(*sys.argv[2:5])))
    else:
        sys.exit(main())
