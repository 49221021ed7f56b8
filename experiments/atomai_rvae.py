"""AtomAI's rVAE with its defaults (AtomAI 0.8.1, Ziatdinov et al. 2022).

    python -m experiments.atomai_rvae
    python -m experiments.atomai_rvae --num-images 400 --epochs 10

Dense encoder 128-128 tanh, decoder tanh(W xy + V z) and 128-128 tanh, half the squared
error (noise of 1), `rotation_prior` 0.1 radians, `translation_prior` 0.1 in units of
half the field, Adam 1e-4, batch 32, 100 epochs. On 2000 glyphs 24 x 24 turned by N(0,
(30 degrees)^2), shifted by up to 10 % and sheared.

Two CPU cores: about 8 minutes; the second command about 2 minutes.

Number to reach, AtomAI on such images after 50 epochs, three seeds: R 0.78, 0.88, 0.82
(the worst class 0.27 to 0.67) with 11 to 13 degrees in the median, GMM accuracy 0.42,
0.36, 0.42. A constant angle has R 0.87 here.

Differs from the publication, beside what stands in `experiments/_published.py`:
- AtomAI's divergence of the angle leaves the mean out: only its spread is held to 0.1,
  the angle is free. Ours is the whole one, to N(0, 0.1^2): 30 degrees cost 14 nats. The
  variant `free-angle` has a uniform prior, which leaves the mean free as well, and the
  spread to the images: the nearest to what AtomAI does;
- with `skip=True` AtomAI adds the first layer's units after every second hidden layer,
  ours after every one;
- its encoder does not see the classes of a class-conditioned model; ours does.
"""

import dataclasses
import math
import sys

from experiments._published import COORDINATE, SKIP, Glyphs, Study, run_command
from jaxrvae.config import TrainingConfig

MODEL = dataclasses.replace(
    COORDINATE,
    likelihood={"name": "gaussian", "noise": 1.0},
    angle_prior={"std": 0.1},
)


def config() -> Study:
    """Its defaults as they stand."""
    return Study(
        name="defaults",
        data=Glyphs(),
        num_images=2000,
        model=MODEL,
        training=TrainingConfig(epochs=100, batch_size=32, learning_rate=1e-4),
    )


def sweep() -> list[Study]:
    """The angle left free, the README's prior, cross entropy, classes, skips."""
    first = config()
    readme = first.changed("readme", angle_prior={"std": math.pi / 3})
    conditioned = first.changed("class-conditioned", num_classes=4)
    larger = dataclasses.replace(first.training, batch_size=100)
    return [
        first,
        first.changed("free-angle", angle_prior=None),
        dataclasses.replace(readme, training=larger),
        first.changed("cross-entropy", likelihood="bernoulli"),
        dataclasses.replace(conditioned, labels=1.0),
        first.changed("skip", decoder=SKIP),
    ]


if __name__ == "__main__":
    sys.exit(run_command(__doc__, sweep()))
