"""The default model on four shapes of known pose, and what its settings do.

    jaxrvae run glyphs
    jaxrvae run glyphs model.content_dim=3 training.epochs=20
    jaxrvae sweep glyphs --out runs/glyphs

Shapes turned all round the circle, shifted by up to 8 % of the field and sheared, 24 x
24 pixels. Two CPU cores: half a minute; the sweep, content dims 1, 2, 3 with five seeds
each, about three minutes. Number to reach: R >= 0.95 in the worst class, GMM accuracy
>= 0.95, on every seed with two content numbers.
"""

from jaxrvae.config import TrainingConfig
from jaxrvae.config.study import DataConfig, StudyConfig
from jaxrvae.sweep import Sweep, grid


def config() -> StudyConfig:
    """2000 images, 40 epochs."""
    return StudyConfig(
        data=DataConfig(kind="glyphs", num_images=2000, num_test=1000, size=24),
        training=TrainingConfig(epochs=40),
    )


def sweep() -> Sweep:
    """Content numbers, five seeds each."""
    return Sweep(base=config(), axes=[grid({"model.content_dim": [1, 2, 3]})], seeds=5)
