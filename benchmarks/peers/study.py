"""A study by another program: a point of a sweep with `program=pyroved` or `atomai`.

    jaxrvae sweep peers --out runs/peers

The peer trains in an environment of its own (`python -m benchmarks.peers.install`), on
the same images, for as many epochs, with the content numbers, hidden units, batch and
rate that the study says; what it encodes is scored as ours is. It has no bound that
ours could be held against.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import launch
from jaxrvae._checks import RunError
from jaxrvae.config.study import StudyConfig
from jaxrvae.data.containers import Patches
from jaxrvae.sweep.scores import angle_truth_scores, content_scores, with_worst


def measure(config: StudyConfig, train: Patches, test: Patches) -> dict[str, float]:
    """The peer's angle and class figures on the images to score.

    Raises:
        RunError: The peers are not installed, or it failed.
    """
    values = train.values
    low, high = float(values.min()), float(values.max())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, images in (("images", values), ("others", test.values)):
            scaled = np.clip((images - low) / (high - low), 0, 1)
            np.save(folder / part, scaled.astype(np.float32))
        try:
            launch.run(
                config.program, folder / "images.npy", **_options(config, folder)
            )
        except (FileNotFoundError, RuntimeError) as error:
            raise RunError(" ".join(str(error).split())[:400]) from error
        found = dict(np.load(folder / "latents.npz"))
    return _scores(found, train, test)


def _options(config: StudyConfig, folder: Path) -> dict[str, Any]:
    epochs = config.training.epochs
    if epochs is None:
        raise ValueError(f"program={config.program!r} needs training.epochs.")
    if "rotation" not in config.model.pose or config.data.labels:
        raise ValueError(
            f"program={config.program!r} has rotation, and no labels here."
        )
    return {
        "threads": len(os.sched_getaffinity(0)),
        "pose": "rt" if "shift" in config.model.pose else "r",
        "content_dim": config.model.content_dim,
        "batch_size": config.training.batch_size,
        "learning_rate": config.training.learning_rate,
        "warm_up": 1,
        "epochs": max(epochs - 1, 1),
        "seed": config.model.seed,
        "latents": folder / "latents.npz",
        "held_out": folder / "others.npy",
    }


def _scores(found: dict[str, Any], train: Patches, test: Patches) -> dict[str, float]:
    truth = test.truth
    scores: dict[str, float] = {}
    if truth is None or "shape" not in truth:
        return scores
    names = test.metadata.get("shapes")
    scores |= with_worst(angle_truth_scores(found["held_out_angle"], truth, names))
    assert train.truth is not None
    taught, shape = train.truth["shape"].to_numpy(), truth["shape"].to_numpy()
    own = found["content"], taught, found["held_out_content"], shape
    return scores | content_scores(*own)
