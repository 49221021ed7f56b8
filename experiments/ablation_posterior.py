"""Which posterior of the pose, decoder and encoder: all that go together, on glyphs.

    jaxrvae sweep ablation_posterior --out runs/ablation_posterior
    jaxrvae sweep report runs/ablation_posterior

One Gaussian or von Mises mode, or K = 4, 8, 16, 32 enumerated copies, with the
coordinate, the affine and the steerable decoder, and several encoders; shapes turned
all round the circle, and by a normal of 30 degrees; five seeds each. Two CPU cores:
about 120 minutes. Number to reach: the default (steerable, pose integrated out) has R
>= 0.95 in the worst class on every seed; one mode is right on narrow angles alone.
"""

from jaxrvae.config import TrainingConfig
from jaxrvae.config.study import DataConfig, StudyConfig
from jaxrvae.sweep import Sweep, chosen, grid

NARROW = 0.52  # radians, 30 degrees


def config() -> StudyConfig:
    """1000 images of 24 x 24 pixels, 30 epochs."""
    return StudyConfig(
        data=DataConfig(kind="glyphs", num_images=1000, num_test=1000, size=24),
        training=TrainingConfig(epochs=30, batch_size=100),
    )


def models() -> list[dict]:
    """Combinations of decoder, posterior, copies and encoder."""
    found: list[dict] = [{"model.decoder": "steerable", "model.num_turns": 8}]
    for decoder in ("affine", "coordinate"):
        for posterior in ("gaussian", "von_mises"):
            found.append({"model.decoder": decoder, "model.posterior": posterior})
        copies = (4, 8, 16, 32) if decoder == "affine" else (4, 8)
        for turns in copies:
            own = {"model.decoder": decoder, "model.posterior": "enumerated"}
            found.append(own | {"model.num_turns": turns})
    for encoder in ("turned-back", "convolutional", "group-convolution"):
        own = {"model.decoder": "affine", "model.posterior": "enumerated"}
        found.append(own | {"model.num_turns": 8, "model.encoder": encoder})
    return found


def sweep() -> Sweep:
    """All of them, on both kinds of angles."""
    angles = grid({"data.options.angle": ["uniform", NARROW]})
    return Sweep(base=config(), axes=[angles, chosen(models())], seeds=5)
