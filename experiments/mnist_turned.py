"""MNIST digits turned uniformly, with our own model: the angle summed over, affine.

    python -m experiments.mnist_turned --data DIR
    python -m experiments.mnist_turned --num-images 500 --epochs 5

DIR holds MNIST's four gzipped idx files. Digits padded to 32 x 32 and turned by uniform
angles; grey-level Bernoulli, two content numbers, content read from the image turned
back by its likeliest angles. Variants: digits shifted as well, ten content numbers for
clusters, seven digits with joint classes, and digits 28 x 28 turned by N(0, (45
degrees)^2), the setting of `experiments/spatial_vae_mnist.py`, with 2, 3, 5 and 10.

Two CPU cores: about 5 minutes; the second command (glyphs, as there is no folder) two
minutes.

Numbers to reach: a bound of -142 nats per image on the test split, GMM accuracy 0.60.
`python -m benchmarks.mnist DIR` fits the same studies and scores them in full: the
bound on 2000 images, a second known turn, votes of many mixtures.
"""

import sys
from typing import Any

from benchmarks.mnist import FIT, MODEL, ROWS
from experiments._published import Digits, Study, run_command
from jaxrvae.config import ModelConfig, TrainingConfig

NUM_IMAGES = 60_000


def config() -> Study:
    """Digits turned uniformly, two content numbers."""
    return study("turned")


def sweep() -> list[Study]:
    """Every row of the benchmark."""
    return [study(name) for name in ROWS]


def study(name: str) -> Study:
    """A row of `benchmarks.mnist` as a study."""
    row: dict[str, Any] = ROWS[name]
    return Study(
        name=name.replace(", ", "-").replace(" ", "-"),
        data=Digits(**{"spread": None, **row["data"]}),
        num_images=NUM_IMAGES,
        model=ModelConfig(**{"content_dim": 2, **MODEL, **row.get("model", {})}),
        training=TrainingConfig(**{**FIT, **row.get("fit", {})}),
    )


if __name__ == "__main__":
    sys.exit(run_command(__doc__, sweep()))
