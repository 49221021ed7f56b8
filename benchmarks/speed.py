"""Training speed beside the published programs: same images, same cores, one run.

python -m benchmarks.peers.install     # once
python -m benchmarks.speed             # about 12 minutes; alone on the machine
python -m benchmarks.speed --ours-only # on whatever device JAX finds
"""

import argparse
import dataclasses
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._report import RESULTS, facts, table, write
from benchmarks._roofline import draw
from benchmarks.peers import launch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One measured program.

    Attributes:
        name: As in the table.
        pose: "r" or "rt".
        decoder: Of ours; None for a peer.
        peer: None for ours.
        epochs: Timed ones, a few seconds in all.
        asked: Times the faster peer's speed with the same pose that it should reach.
        posterior: Of ours.
        limit: Images that it is trained on, where all would take too long.
    """

    name: str
    pose: str
    decoder: str | None = None
    peer: launch.Peer | None = None
    epochs: int = 3
    asked: float | None = None
    posterior: str = "auto"
    limit: int | None = None


ROWS = (
    Row(name="affine", pose="rt", decoder="affine", epochs=3, asked=25),
    Row(name="default", pose="rt", decoder="auto", epochs=8, asked=90),
    Row(name="steerable", pose="r", decoder="steerable", epochs=30, asked=450),
    Row(
        name="coordinate, one Gaussian pose",
        pose="rt",
        decoder="coordinate",
        posterior="gaussian",
        limit=1000,
        asked=3,
    ),
    Row(name="pyroVED iVAE", pose="rt", peer="pyroved"),
    Row(name="pyroVED iVAE", pose="r", peer="pyroved"),
    Row(name="AtomAI rVAE", pose="rt", peer="atomai"),
    Row(name="AtomAI rVAE", pose="r", peer="atomai"),
)
EXPLANATION = """\
Every figure comes from a process of its own, one after another; the rows take turns,
so that a machine that slows down slows all of them. A figure is the median over a
process's epochs without the first, then the median (least, most) over processes. Ours
run with their defaults; the peers with theirs, and with glibc's malloc told to keep
memory, which makes them faster. `times the faster peer`: the quicker of those measured
with the same pose. `matmul share`: operations a second, of the rate of products of
2048 x 2048 matrices in the same process; of a decoder of points those of its products
(forward and backward; what is computed again is not counted), of others the compiler's
count. `cache share`: bytes a second that the compiler counts, of the rate of reading
and writing an array of half a megabyte. `speed.png` has both, and the memory's rate.
Compile seconds: tracing, lowering and compiling of all that a process ran."""
POSES = {"r": "rotation", "t": "shift"}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes speed.json and speed.md."""
    options = arguments(argv)
    rows = [row for row in ROWS if chosen(row, options)]
    if hasattr(os, "sched_setaffinity"):  # inherited by every measured process
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    described = facts() | {"threads": options.threads, "repeats": options.repeats}
    if described["load"] > 0.5:
        print(f"Other work is running (load {described['load']}): figures will be low.")
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        ours(images, options, "--simulate", options.images, options.size)
        results = measure(rows, images, options)
    given = sys.argv[1:] if argv is None else argv
    command = " ".join(["python -m benchmarks.speed", *given])
    described |= {"command": command, "images": options.images, "size": options.size}
    found = sum(results, [])
    for word in ("device", "program"):
        named = sorted({run[word] for run in found if word in run})
        if named:
            described[word] = ", ".join(named)
    lines = summary(rows, results)
    path = write(options.out, options.name, lines, described, text=EXPLANATION)
    ours_runs = [
        {"label": f"{row.name}, {words(row.pose)}", **runs[-1]}
        for row, runs in zip(rows, results, strict=True)
        if row.peer is None
    ]
    draw(path.with_suffix(".png"), ours_runs)
    print(table(lines), f"Written: {path}", sep="\n\n")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Training speed, side by side.")
    add = parser.add_argument
    add("--out", type=Path, default=RESULTS, help="folder (benchmarks/results)")
    add("--name", default="speed", help="of the files written there")
    add("--repeats", type=int, default=5, help="processes a row")
    add("--images", type=int, default=8000)
    add("--size", type=int, default=48, help="pixels along a side")
    add("--threads", type=int, default=2, help="cores every process may use")
    add("--epochs", type=int, help="timed epochs of ours, instead of a row's own")
    add("--batch-size", type=int, help="of ours, instead of the default")
    add("--peer-images", type=int, default=1000, help="drawn for a peer's epoch")
    add("--ours-only", action="store_true", help="without the peers")
    add("--atomai", action="store_true", help="AtomAI as well")
    return parser.parse_args(argv)


def chosen(row: Row, options: argparse.Namespace) -> bool:
    """Whether the row is measured in this run."""
    if row.peer is None:
        return True
    return not options.ours_only and (options.atomai or row.peer == "pyroved")


def measure(
    rows: list[Row], images: Path, options: argparse.Namespace
) -> list[list[dict[str, Any]]]:
    """A list a row of what its processes printed, the rows taking turns."""
    results: list[list[dict[str, Any]]] = [[] for _ in rows]
    for repeat in range(options.repeats):
        for row, found in zip(rows, results, strict=True):
            start = time.perf_counter()
            found.append(measure_once(row, images, options))
            print(
                f"{repeat + 1}/{options.repeats} {row.name}, {words(row.pose)}: "
                f"{found[-1]['images_per_second']:,.0f} images/s "
                f"({time.perf_counter() - start:.0f} s)",
                flush=True,
            )
    return results


def measure_once(row: Row, images: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What one process of the row prints."""
    if row.peer is not None:
        drawn = min(options.peer_images, options.images)
        drawn -= drawn % (100 if row.peer == "pyroved" else 32)
        return launch.run(
            row.peer,
            images,
            threads=options.threads,
            pose=row.pose,
            epochs=row.epochs,
            per_epoch=drawn,
        )
    extra: list[object] = ["--posterior", row.posterior]
    extra += ["--batch-size", options.batch_size] if options.batch_size else []
    extra += ["--limit", row.limit] if row.limit else []
    pose = [POSES[letter] for letter in row.pose]
    epochs = options.epochs or row.epochs
    return ours(
        images, options, "--pose", *pose, "--decoder", row.decoder, "--epochs", epochs,
        *extra,
    )  # fmt: skip


def ours(images: Path, options: argparse.Namespace, *given: object) -> dict[str, Any]:
    """Runs `benchmarks._ours` with the words given."""
    command = [sys.executable, "-m", "benchmarks._ours", str(images)]
    environment = launch.quiet_environment(options.threads)
    return launch.last_json([*command, *map(str, given)], environment)


def summary(
    rows: list[Row], results: list[list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """A line a row: median, least and most images/s, and times the faster peer's."""
    speeds = [[found["images_per_second"] for found in runs] for runs in results]
    medians = [statistics.median(speed) for speed in speeds]
    peer: dict[str, float] = {}
    for row, median in zip(rows, medians, strict=True):
        if row.peer is not None:
            peer[row.pose] = max(peer.get(row.pose, 0.0), median)
    lines = []
    for row, runs, speed, median in zip(rows, results, speeds, medians, strict=True):
        base = peer.get(row.pose)
        lines.append(
            {
                "model": row.name,
                "pose": words(row.pose),
                "images/s": median,
                "least": min(speed),
                "most": max(speed),
                "times the faster peer": median / base if base else None,
                "asked": row.asked,
                "MFLOP an image": middle(runs, "mflop_an_image"),
                "matmul share": middle(runs, "matmul_share"),
                "cache share": middle(runs, "cached_share"),
                "compile, s": middle(runs, "compile_seconds"),
                "peak memory, GB": max(run["peak_gb"] for run in runs),
            }
        )
    return lines


def middle(runs: list[dict[str, Any]], name: str) -> float | None:
    """The median over processes of what they say under the name; None: they do not."""
    values = [run[name] for run in runs if name in run]
    return statistics.median(values) if values else None


def words(pose: str) -> str:
    """'rotation + shift' for 'rt'."""
    return " + ".join(POSES[letter] for letter in pose)


if __name__ == "__main__":
    main()
