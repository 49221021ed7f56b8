"""A movie larger than the memory it may take: atoms found, patches cut to disk.

    python -m benchmarks.movie               # about 13 minutes, 4 GB of disk
    python -m benchmarks.movie --frames 20   # a minute

1,000 frames of 512 x 512 pixels, graphene at 0.01 nm a pixel with about 1,000 atoms a
frame (26 nm^2), are simulated into one npy file, 1.05 GB of float32. A process of its
own then reads it lazily, finds the atoms (the default method) and cuts a patch around
each, 0.6 nm to 32 pixels, into a folder. Peak memory is that whole process's, Python
and JAX included; asked is 1.5 GB at most. Patches drawn at random, batch by batch, are
timed at last, as training would read them.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import RESULTS, ROOT, facts, table, write

ASKED = 1.5  # GB of peak memory
SIDE, PIXEL_SIZE, SNR = 512, 0.01, 3.0
AT_ONCE = 10  # frames simulated at a time, each lot a sheet of its own
WINDOW, SIZE = 0.6, 32  # nm, pixels
BATCH, NUM_BATCHES = 256, 50
MAKE, MEASURE = "--make", "--measure"


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the movie, measures, prints the table and writes movie.json and .md."""
    parser = argparse.ArgumentParser(description="Peak memory of a long movie.")
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", type=int, default=SIZE, help="of a patch, pixels")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--scratch", type=Path, help="where movie and patches lie")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        _alone(MAKE, folder, options.frames)  # what it takes is not counted
        found = json.loads(_alone(MEASURE, folder, options.size))
    row = found | {"asked GB": ASKED, "kept": found["peak GB"] <= ASKED}
    path = write(options.out, "movie", [row], facts(), __doc__ or "")
    print(table([row]), f"Written: {path}", sep="\n\n")


def _alone(what: str, folder: str, number: int) -> str:
    """What a process of its own prints; its memory is not this one's."""
    command = [sys.executable, "-m", "benchmarks.movie", what, folder, str(number)]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout.decode()


def make_movie(folder: Path, num_frames: int) -> None:
    """movie.npy, written a few frames at a time."""
    from jaxrvae.simulate import simulate

    with (folder / "movie.npy").open("wb") as file:
        head = {"descr": "<f4", "fortran_order": False}
        shape = (num_frames, SIDE, SIDE)
        np.lib.format.write_array_header_1_0(file, head | {"shape": shape})
        for start in range(0, num_frames, AT_ONCE):
            movie = simulate(
                "graphene",
                seed=start,
                num_frames=min(AT_ONCE, num_frames - start),
                size=SIDE,
                pixel_size=PIXEL_SIZE,
                snr=SNR,
                drift=1.0,
            )
            file.write(movie.values.astype("<f4").tobytes())


def measure(folder: Path, size: int) -> dict[str, Any]:
    """Peak memory and seconds, of a lazy movie to patches on disk."""
    import jaxrvae as jr

    movie = jr.read(folder / "movie.npy", lazy=True, pixel_size=PIXEL_SIZE)
    start = time.perf_counter()
    jr.find_atoms(movie[:1])  # imports and compiling, mostly
    first, peaks = time.perf_counter(), [_peak()]
    atoms = jr.find_atoms(movie)
    located = time.perf_counter()
    peaks.append(_peak())
    patches = jr.cut_patches(
        movie, atoms, size, WINDOW, normalize="frame", to=folder / "patches"
    )
    cut = time.perf_counter()
    peaks.append(_peak())
    rng = np.random.default_rng(0)
    for _ in range(NUM_BATCHES):
        np.array(patches.values[rng.integers(len(patches), size=BATCH)])
    read = time.perf_counter() - cut
    return {
        "frames": len(movie),
        "movie GB": (folder / "movie.npy").stat().st_size / 2**30,
        "atoms": len(atoms),
        "patches": len(patches),
        "patches GB": patches.values.nbytes / 2**30,
        "first frame s": first - start,
        "find s": located - first,
        "cut s": cut - located,
        "frames/s": len(movie) / (cut - first),
        "ms a batch": 1e3 * read / NUM_BATCHES,
        "GB after a frame": peaks[0],
        "GB after finding": peaks[1],
        "peak GB": peaks[2],
    }


def _peak() -> float:
    """GB of this process at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kB on Linux


if __name__ == "__main__":
    if sys.argv[1:2] == [MAKE]:
        make_movie(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == [MEASURE]:
        print(json.dumps(measure(Path(sys.argv[2]), int(sys.argv[3]))))
    else:
        main()
