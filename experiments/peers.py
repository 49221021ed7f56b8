"""pyroVED and AtomAI beside ours, in one sweep, on glyphs turned by a known amount.

    python -m benchmarks.peers.install
    jaxrvae sweep peers --out runs/peers
    jaxrvae bench peers                     # the same, with its report

Their defaults in batch and rate (100 and 1e-3), 100 epochs; ours its own, as many
epochs. Angles all round the circle, and by a normal of 30 degrees, where they work
best; five seeds each. Two CPU cores: about 40 minutes. Number to reach: R >= 0.95 in
the worst class on every seed, where theirs is below 0.9 on uniform angles.
"""

from jaxrvae.config import TrainingConfig
from jaxrvae.config.study import DataConfig, StudyConfig
from jaxrvae.sweep import Sweep, chosen, grid

THEIRS = {"training.batch_size": 100, "training.learning_rate": 1e-3}
PROGRAMS: list[dict] = [
    {"program": "jaxrvae"},
    {"program": "pyroved", **THEIRS},
    {"program": "atomai", **THEIRS},
]


def config() -> StudyConfig:
    """1000 images of 24 x 24 pixels, 100 epochs."""
    return StudyConfig(
        data=DataConfig(kind="glyphs", num_images=1000, num_test=1000, size=24),
        training=TrainingConfig(epochs=100),
    )


def sweep() -> Sweep:
    """Every program on both kinds of angles."""
    angles = grid({"data.options.angle": ["uniform", 0.52]})
    return Sweep(base=config(), axes=[angles, chosen(PROGRAMS)], seeds=5)
