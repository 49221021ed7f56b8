"""Training, ensembles and encoding on a GPU or TPU: absolute figures, one command.

    python -m benchmarks.accelerator                       # about eight minutes
    python -m benchmarks.accelerator --peers PYTHON        # of one with CUDA torch

Glyphs of 48 x 48, a process for every row, batches of 100 (the default) and of 8192.
Asked on an H200: 5,000,000 images/s with rotation alone, 1,000,000 with shifts, 500,000
affine; a decoder of points at 40 % of the device's matmul rate; 64 members in at most
eight times the time of one. `share of matmul`: products of the decoder of points, those
taken again not counted, of the rate of 2048 x 2048 products as JAX takes them (tf32 on
NVIDIA's). Without an accelerator it says so and stops (`--anyway` to try it).
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, facts, table, write
from benchmarks.peers import launch

LARGE = 8192
RT, R = ("rotation", "shift"), ("rotation",)
ROWS: tuple[tuple[str, tuple[str, ...], dict[str, Any], float | None], ...] = (
    ("steerable", R, {}, None),
    ("steerable", R, {"batch-size": LARGE}, 5e6),
    ("steerable", R, {"batch-size": LARGE, "precision": "bfloat16"}, None),
    ("auto", RT, {}, None),
    ("auto", RT, {"batch-size": LARGE}, 1e6),
    ("auto", RT, {"batch-size": LARGE, "precision": "bfloat16"}, None),
    ("affine", RT, {}, None),
    ("affine", RT, {"batch-size": LARGE}, 5e5),
    ("coordinate", RT, {"posterior": "gaussian", "batch-size": 1024}, None),
    (
        "coordinate",
        RT,
        {"posterior": "gaussian", "batch-size": 1024, "precision": "bfloat16"},
        None,
    ),
    ("steerable", R, {"seeds": 64}, None),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints the table and writes accelerator.json and accelerator.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--images", type=int, default=65_536)
    add("--epochs", type=int, default=5, help="timed, each row")
    add("--peers", type=Path, help="Python of an environment with pyroVED and AtomAI")
    add("--anyway", action="store_true", help="on a CPU as well")
    add("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        said(images, "--simulate", options.images, 48)
        first = said(images, "--epochs", 1, "--limit", 1000)
        if first["device"].startswith("cpu") and not options.anyway:
            print("JAX finds no accelerator here: nothing is measured (--anyway).")
            return 1
        rows = [measured(images, *row, options.epochs) for row in ROWS]
        rows += peers(images, options) if options.peers is not None else []
    one = next(row for row in rows if row["model"] == "steerable")
    for row in rows:
        if row["members"] > 1:
            row["times one member"] = row["s an epoch"] / one["s an epoch"]
    described = facts() | {"device": first["device"], "images": options.images}
    text = (__doc__ or "").partition("\n")[2].strip()
    path = write(options.out, "accelerator", rows, described, text)
    print(table(rows), f"Written: {path}", sep="\n\n")
    return 0


def measured(
    images: Path,
    decoder: str,
    pose: tuple[str, ...],
    extra: dict[str, Any],
    asked: float | None,
    epochs: int,
) -> dict[str, Any]:
    """A row of the table."""
    words = [word for name, value in extra.items() for word in (f"--{name}", value)]
    given = ["--decoder", decoder, "--pose", *pose, "--epochs", epochs, *words]
    run = said(images, *given)
    members = extra.get("seeds", 1)
    row = {
        "model": "default" if decoder == "auto" else decoder,
        "pose": " + ".join(pose),
        "batch": extra.get("batch-size", 100),
        "precision": extra.get("precision", "float32"),
        "members": members,
        "images/s": run["images_per_second"] * members,
        "asked": asked,
        "s an epoch": statistics.median(run["seconds"]),
        "share of matmul": run["matmul_share"],
        "times one member": None,
        "device memory, GB": run["device_peak_gb"] or None,
    }
    print(f"{row['model']}, {row['pose']}: {row['images/s']:,.0f} images/s", flush=True)
    return row


def peers(images: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of both peers on the same device."""
    rows = []
    for peer in ("pyroved", "atomai"):
        for pose, letters in ((R, "r"), (RT, "rt")):
            command = [str(options.peers), "-m", f"benchmarks.peers.run_{peer}"]
            command += [str(images), "--pose", letters, "--epochs", "3"]
            run = launch.last_json(command, launch.quiet_environment(8))
            row = {"model": run["program"], "pose": " + ".join(pose), "members": 1}
            rows.append(row | {"images/s": run["images_per_second"]})
    return rows


def said(images: Path, *given: object) -> dict[str, Any]:
    """What `benchmarks._ours` prints, given these words."""
    command = [sys.executable, "-m", "benchmarks._ours", str(images)]
    return launch.last_json([*command, *map(str, given)], launch.quiet_environment(8))


if __name__ == "__main__":
    sys.exit(main())
