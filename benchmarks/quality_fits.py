"""One fit of one program on one data set, and what is measured of it.

Every result is kept in a file of its own, so that a run goes on where it was stopped.
"""

import dataclasses
import hashlib
import json
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from benchmarks import quality_scores as scores
from benchmarks.peers import launch

KEPT = 2000  # images trained on that are encoded again, to learn the classes from
SHARED = ("kind", "data", "counts", "size", "num_train", "num_test", "epochs")
TURNED = 1.0 / np.sqrt(2)  # of the shifts' range, so that it holds them once turned


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One data set, one kind of measure, and what is asked of ours.

    Attributes:
        name: As in the table.
        measures: What is scored.
        kind: Of the data: "glyphs" of `jaxrvae.simulate`, or graphene patches.
        data: Options of the simulation.
        counts: Glyphs become Poisson counts: expected in a bright pixel.
        model, fit: Our settings beside the defaults.
        labelled: Share of the images whose class is given.
        asked: Measure to limit; a limit "<= 2" or ">= 0.99".
        peers: Programs that are run as well, with their options; what follows a blank
            in the name tells apart runs of one program.
        note: How the settings were chosen, where they are not the defaults.
    """

    name: str
    measures: Sequence[Literal["pose", "classes", "calibration", "turns"]] = ("pose",)
    kind: Literal["glyphs", "graphene"] = "glyphs"
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    counts: float | None = None
    size: int = 24
    num_train: int = 2000
    num_test: int = 2000
    epochs: int = 40
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fit: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    labelled: float | None = None
    asked: Mapping[str, str] = dataclasses.field(default_factory=dict)
    peers: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    note: str = ""

    @property
    def factor(self) -> str | None:
        """The continuous factor in the truth."""
        if self.kind == "graphene":
            return "strain"
        return "shear" if self.data.get("shear", 1) else None


def measured(
    row: Row, program: str, seed: int, folder: Path, kept_only: bool = False
) -> dict[str, float] | None:
    """The measures of one fit, from the folder if they are there.

    Args:
        kept_only: None for what is not, instead of a fit.
    """
    if program == "ours":
        settings = dataclasses.asdict(row)
        del settings["peers"], settings["note"]
    else:
        settings = {name: getattr(row, name) for name in SHARED}
        settings |= {"pose": _pose(row), "options": row.peers[program]}
    settings = {"program": program, "seed": seed, **settings, "name": "", "asked": ""}
    text = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = folder / f"{program}-{seed}-{digest}.json"
    if path.is_file():
        return json.loads(path.read_text())["measures"]
    if kept_only:
        return None
    found = ours(row, seed) if program == "ours" else peer(row, program, seed)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"settings": settings, "measures": found}, indent=1))
    return found


def simulate(row: Row, seed: int, number: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Images and the truth about them."""
    from benchmarks.quality_graphene import simulate_patches
    from jaxrvae.simulate.glyphs import simulate_glyphs

    if row.kind == "graphene":
        patches = simulate_patches(seed, number, row.size, **row.data)
    else:
        patches = simulate_glyphs(seed, num_images=number, size=row.size, **row.data)
    values = patches.values
    if row.counts is not None:
        values = counted(values, row.counts, seed)
    assert patches.truth is not None
    return values, patches.truth


def counted(images: np.ndarray, counts: float, seed: int) -> np.ndarray:
    """Poisson counts, so many expected where an image is 1, a tenth where it is 0."""
    rng = np.random.default_rng([seed, 1])
    return rng.poisson(counts * (0.1 + 0.9 * images)).astype(np.float32)


def ours(row: Row, seed: int) -> dict[str, float]:
    """Trains ours and scores it on images that it has not seen."""
    from jaxrvae.estimator import RVAE

    images, truth = simulate(row, seed, row.num_train)
    others, other_truth = simulate(row, seed + 1000, row.num_test)
    labels = None
    if row.labelled is not None:
        rng = np.random.default_rng([seed, 2])
        given = rng.random(len(images)) < row.labelled
        labels = np.where(given, truth["shape"], -1)
    model = RVAE(**{"content_dim": 2, "seed": seed, **row.model})
    model.fit(images, labels, epochs=row.epochs, progress=False, **row.fit)
    found = model.encode(others)
    measures: dict[str, float] = {}
    if "pose" in row.measures:
        kept = model.encode(images[:KEPT])
        measures |= scores.pose_measures(
            {"content": kept.content, "truth": truth[:KEPT]},
            {"content": found.content, "angle": found.angle, "truth": other_truth},
            row.factor,
        )
    if "classes" in row.measures:
        probabilities, names = found.class_probabilities, other_truth["shape"]
        measures["class accuracy"] = scores.class_accuracy(
            probabilities, names.to_numpy(), labels is not None
        )
    if "calibration" in row.measures:
        measures |= scores.coverage(found.angle, found.angle_std, other_truth)
    if "turns" in row.measures:
        measures |= turned(row, model, seed)
    return measures


def turned(row: Row, model: Any, seed: int) -> dict[str, float]:
    """What a turn of the inputs does: the same shapes drawn anew, and turned images."""
    from scipy import ndimage

    from jaxrvae.simulate.glyphs import render_glyphs

    reach = row.data.get("shift", 0.08) * TURNED
    inner = dataclasses.replace(row, data={**row.data, "shift": reach})
    images, truth = simulate(inner, seed + 1000, row.num_test)
    turn = np.random.default_rng([seed, 3]).uniform(-np.pi, np.pi, len(truth))
    cos, sin = np.cos(turn), np.sin(turn)
    x, y = truth["shift_x"], truth["shift_y"]  # y downwards
    moved = truth.assign(
        angle=truth["angle"] + turn,
        shift_x=cos * x + sin * y,
        shift_y=-sin * x + cos * y,
    )
    rotated = [
        ndimage.rotate(image, angle, reshape=False, order=3)
        for image, angle in zip(images, np.degrees(turn), strict=True)
    ]

    def encoded(values: np.ndarray) -> dict[str, np.ndarray]:
        found = model.encode(values)
        return {"content": found.content, "angle": found.angle}

    before = encoded(images)
    drawn = scores.turn_measures(before, encoded(render_glyphs(moved, row.size)), turn)
    images_turned = scores.turn_measures(before, encoded(np.stack(rotated)), turn)
    return drawn | {f"{key}, image": value for key, value in images_turned.items()}


def peer(row: Row, program: str, seed: int) -> dict[str, float]:
    """Trains a peer, in its own environment, and scores it in the same way."""
    return timed_peer(row, program, seed)[0]


def timed_peer(row: Row, program: str, seed: int) -> tuple[dict[str, float], float]:
    """The scores, and the seconds of an epoch."""
    images, truth = simulate(row, seed, row.num_train)
    others, other_truth = simulate(row, seed + 1000, row.num_test)
    low, high = images.min(), images.max()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, values in {"images": images, "others": others}.items():
            np.save(folder / part, np.clip((values - low) / (high - low), 0, 1))
        run = launch.run(
            program.split()[0],  # type: ignore[arg-type]
            folder / "images.npy",
            threads=len(os.sched_getaffinity(0)),
            pose=_pose(row),
            warm_up=1,
            epochs=row.epochs - 1,
            seed=seed,
            latents=folder / "latents.npz",
            held_out=folder / "others.npy",
            **row.peers[program],
        )
        found = dict(np.load(folder / "latents.npz"))
    measures = scores.pose_measures(
        {"content": found["content"][:KEPT], "truth": truth[:KEPT]},
        {
            "content": found["held_out_content"],
            "angle": found["held_out_angle"],
            "truth": other_truth,
        },
        row.factor,
    )
    return measures, statistics.mean(run["seconds"])


def _pose(row: Row) -> str:
    """As the peers' runners name it."""
    return "rt" if "shift" in row.model.get("pose", ("rotation", "shift")) else "r"
