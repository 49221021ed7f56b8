"""The choices that matter most, on five kinds of images.

    JAXRVAE_DATA=data jaxrvae sweep ablation_data --out runs/ablation_data

Decoder and posterior (steerable; affine with eight copies; affine and the published
coordinate network with one Gaussian mode), on glyphs, simulated graphene and
ferroelectric walls; and, where JAXRVAE_DATA names a folder with `mnist` and
`stem_graphene_si`, turned digits and recorded Si-graphene. Three seeds each. Two CPU
cores: about 30 minutes. Number to reach: the default has the highest bound on every
kind of image.
"""

import os
from pathlib import Path

from jaxrvae.config import TrainingConfig
from jaxrvae.config.study import DataConfig, StudyConfig
from jaxrvae.sweep import Sweep, chosen

KINDS: list[dict] = [
    {"data.kind": "glyphs"},
    {"data.kind": "graphene", "data.window": 0.8},
    {"data.kind": "ferroelectric"},
]
MODELS: list[dict] = [
    {},
    {"model.decoder": "affine"},
    {"model.decoder": "affine", "model.posterior": "gaussian"},
    {"model.decoder": "coordinate", "model.posterior": "gaussian"},
]


def config() -> StudyConfig:
    """1000 images of 24 x 24 pixels, 30 epochs."""
    return StudyConfig(
        data=DataConfig(kind="glyphs", num_images=1000, num_test=500, size=24),
        training=TrainingConfig(epochs=30, batch_size=100),
    )


def kinds() -> list[dict]:
    """Simulated ones, and recorded ones that are at hand."""
    found = list(KINDS)
    folder = Path(os.environ.get("JAXRVAE_DATA", ""))
    if (folder / "mnist").is_dir():
        files = [str(folder / "mnist")]
        found.append({"data.kind": "digits", "data.files": files, "data.size": 28})
    recorded = folder / "stem_graphene_si" / "single"
    if recorded.is_dir():
        found.append({"data.kind": "files", "data.files": [str(recorded)]})
    return found


def sweep() -> Sweep:
    """Every model on every kind."""
    return Sweep(base=config(), axes=[chosen(kinds()), chosen(MODELS)], seeds=3)
