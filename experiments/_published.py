"""Published configurations: what a study is, and the one way to run it.

    python -m experiments.pyroved_ivae [--variant NAME] [--data DIR] [--num-images N]
        [--epochs E] [--seed S]

A study is what a paper or a program fixes: data, model, objective and training, with
the published values as they stand. Of every study here differs from its publication,
beside what its own docstring says:
- the learning rate rises over 50 steps, then falls along a cosine to a twentieth of the
  published one, which is the highest; gradients are clipped at a norm of 10,000;
- an image's edges, not the centres of its outer pixels, lie at -1 and 1, so that a unit
  of shift is longer by a pixel in N;
- the shift acts in the image's frame, not in the object's: the priors, alike along both
  axes, are the same;
- a dense encoder states log standard deviations between -7 and 1 (content), which start
  about -1; weights start as Flax has them;
- the encoder reads standardized images, and classes where they are known;
- a model with classes holds its content at 0 over the first fifth of the training, and
  lets it go over the next three tenths;
- angles, contents and the bound are of held-out images.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, RunError, existing_file
from jaxrvae.config import ModelConfig, ObjectiveConfig, TrainingConfig, to_mapping
from jaxrvae.data.containers import Patches
from jaxrvae.estimator import RVAE, model_from
from jaxrvae.sweep.data import Pair
from jaxrvae.sweep.scores import angle_scores, class_scores

# Two hidden layers, as published: the second is that of the pose's head.
DENSE = {"name": "dense", "layers": 1}
# Of the published unit, half the field, to the share of the field that is given here.
HALF = 0.5
# The form that spatial-VAE, AtomAI, pyroVED and the origin share: a network of turned,
# then shifted, coordinates, and one Gaussian for the pose.
COORDINATE = ModelConfig(
    content_dim=2,
    pose=("rotation", "shift"),
    decoder={"name": "coordinate", "layers": 2},
    encoder=DENSE,
    posterior="gaussian",
    hidden_dim=128,
    shift_prior={"std": 0.1 * HALF},
)
SKIP = {"name": "coordinate", "layers": 2, "skip": True}
STAND_IN = 2000  # glyphs, at most, where there are no digits
NUM_KNOWN = 10_000  # training images whose content the classes are fitted to
NUM_BOUND, NUM_SAMPLES = 256, 100  # images, and samples each, of the bound ...
ROUGH, A_LOOK = 16, 1000  # ... so many, where fewer than these are trained on
NO_DATA = "--data: these images are simulated. Leave it out."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """One published configuration.

    Attributes:
        name: Of the variant, for --variant.
        data: (number of images, seed, folder or None) to the patches that are trained
            on and to others. Their table may have a column `class`, known of every
            patch; their truth `shape`, `angle` (radians) and `symmetry`, the angle's
            order, 0 where there is none.
        num_images: That are trained on.
        labels: Share of the training images whose class `fit` is told. 1 is a
            class-conditioned model, which is told when it encodes, too.
        spectra: From the truth to what was recorded beside every patch.
        ramp_steps: Over which the objective's capacity rises, where it is published in
            steps; it ends lower where the training is shorter.
    """

    name: str
    data: Callable[[int, int, Path | None], Pair]
    num_images: int
    model: ModelConfig
    training: TrainingConfig
    objective: ObjectiveConfig = dataclasses.field(default_factory=ObjectiveConfig)
    labels: float = 0.0
    spectra: Callable[[pd.DataFrame], np.ndarray] | None = None
    ramp_steps: int | None = None

    def changed(self, name: str | None = None, **model: Any) -> "Study":
        """The same study of another model: the fields given, the others as they are.

        Args:
            name: Of the variant; None: the same.
        """
        own = dataclasses.replace(self.model, **model)
        return dataclasses.replace(self, name=name or self.name, model=own)

    def aim(self, num_images: int) -> ObjectiveConfig:
        """The objective for a training on so many images."""
        from jaxrvae.training.loop import plan

        if self.ramp_steps is None or self.objective.capacity is None:
            return self.objective
        epochs, steps, _ = plan(self.training, num_images)
        done = epochs * steps / self.ramp_steps
        return dataclasses.replace(
            self.objective,
            capacity=self.objective.capacity * min(done, 1.0),
            ramp=1 / max(done, 1.0),
        )

    def told(self, patches: Patches) -> dict[str, Any]:
        """What `fit` gets beside the images."""
        beside: dict[str, Any] = {}
        if self.labels:
            every = round(1 / self.labels)
            label = patches.table["class"].to_numpy(np.int64)
            known = np.arange(len(label)) % every == 0
            beside["labels"] = np.where(known, label, -1)
        if self.spectra is not None:
            assert patches.truth is not None, "spectra are simulated with the images"
            beside["spectra"] = self.spectra(patches.truth)
        return beside

    def told_later(self, patches: Patches) -> dict[str, Any]:
        """What `encode` gets beside the images: classes, where the model needs them."""
        return self.told(patches) if self.labels == 1 else {}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Glyphs:
    """Four shapes of known pose, in the place of images that are not at hand.

    Attributes:
        angle: "uniform", or the standard deviation in radians.
        shift, shear: As `simulate_glyphs` has them.
    """

    size: int = 24
    angle: float | str = math.radians(30)
    shift: float = 0.1
    shear: float = 0.3

    def __call__(self, num_images: int, seed: int, folder: Path | None) -> Pair:
        """Images to train on, and a quarter as many others."""
        from jaxrvae.simulate import simulate_glyphs

        if folder is not None:
            raise DataError(NO_DATA)
        both = []
        for part, number in enumerate((num_images, -(-num_images // 4))):
            patches = simulate_glyphs(
                2 * seed + part, num_images=number, **dataclasses.asdict(self)
            )
            assert patches.truth is not None
            table = patches.table.assign(**{"class": patches.truth["shape"]})
            both.append(dataclasses.replace(patches, table=table))
        return both[0], both[1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits:
    """MNIST digits, turned and shifted; without their folder glyphs instead.

    The folder holds the four gzipped idx files; nothing is downloaded.

    Attributes:
        pad: Pixels added on every side of the 28.
        spread: Degrees, of a normal about 0; None for uniform angles.
        shift: Standard deviation, a share of the field.
        digits: That are kept.
    """

    pad: int = 0
    spread: float | None = 45.0
    shift: float = 0.0
    digits: tuple[int, ...] = tuple(range(10))

    def __call__(self, num_images: int, seed: int, folder: Path | None) -> Pair:
        """Digits of the training and of the test split."""
        if folder is None:
            sys.stderr.write("no --data with MNIST's idx files: glyphs instead\n")
            angle = "uniform" if self.spread is None else math.radians(self.spread)
            glyphs = Glyphs(size=28 + 2 * self.pad, angle=angle, shift=self.shift)
            return glyphs(min(num_images, STAND_IN), seed, None)
        train = self._split(folder, "train", num_images, seed)
        return train, self._split(folder, "t10k", -(-num_images // 4), seed)

    def _split(self, folder: Path, split: str, most: int, seed: int) -> Patches:
        from benchmarks.mnist import digits

        for kind in ("images-idx3", "labels-idx1"):
            existing_file(folder / f"{split}-{kind}-ubyte.gz")
        data: dict[str, Any] = {"pad": self.pad, "digits": self.digits}
        data |= {} if self.spread is None else {"spread": self.spread}
        data |= {"shift": self.shift} if self.shift else {}
        images, truth = digits(folder, split, data, most, turn_seed=seed)
        centre = (images.shape[1] - 1) / 2
        table = pd.DataFrame({"frame": np.arange(len(images)), "x": centre})
        table = table.assign(y=centre, **{"class": truth["shape"]})
        return Patches(values=images, table=table, truth=truth)


def run_command(
    text: str | None, studies: Sequence[Study], argv: Sequence[str] | None = None
) -> int:
    """Run one of the studies and print how it does; the exit status.

    Args:
        text: The experiment's docstring.
        studies: Of which the first is the one published for itself.
    """
    names = [study.name for study in studies]
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--variant", choices=names, default=names[0])
    add("--data", type=Path, metavar="DIR", help="recorded images, where it takes some")
    add("--num-images", type=int, metavar="N", help="that are trained on")
    add("--epochs", type=int, metavar="E", help="instead of the published number")
    add("--seed", type=int, default=0, metavar="S", help="of the data and the weights")
    options = parser.parse_args(argv)
    study = studies[names.index(options.variant)].changed(seed=options.seed)
    if options.epochs is not None:
        training = dataclasses.replace(study.training, epochs=options.epochs)
        study = dataclasses.replace(study, training=training)
    if options.num_images is not None:
        study = dataclasses.replace(study, num_images=options.num_images)
    try:
        found = run(study, options.data)
    except (DataError, RunError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, value in found.items():
        print(f"{name}: {value:.3f}")
    return 0


def run(
    study: Study, folder: Path | None = None, progress: bool = True
) -> dict[str, float]:
    """Train a study's model; scores on images it was not trained on."""
    train, test = study.data(study.num_images, study.model.seed, folder)
    return scores(study, fit(study, train, progress), train, test)


def fit(study: Study, train: Patches, progress: bool = True) -> RVAE:
    """The study's model, trained on these patches."""
    return model_from(to_mapping(study.model)).fit(
        train,
        epochs=study.training.epochs,
        batch_size=study.training.batch_size,
        learning_rate=study.training.learning_rate,
        objective=to_mapping(study.aim(len(train))),
        progress=progress,
        **study.told(train),
    )


def scores(
    study: Study, model: RVAE, train: Patches, test: Patches
) -> dict[str, float]:
    """R and median angle error by class, accuracies, spectra's R2 and the bound.

    What has no truth to be held against is left out.
    """
    latents = model.encode(test, **study.told_later(test))
    found: dict[str, float] = {}
    if test.truth is not None and "shape" in test.truth:
        if model.config.rotated:
            found |= angle_scores(latents, test)
        if study.labels < 1:
            known = train[:NUM_KNOWN]
            named = study.labels > 0
            found |= class_scores(model.encode(known), latents, known, test, named)
    if study.spectra is not None and test.truth is not None:
        recorded = study.spectra(test.truth)
        left = model.decode_spectra(latents.content) - recorded
        spread = recorded - recorded.mean(0)
        found["spectra R2"] = 1 - float(np.square(left).sum() / np.square(spread).sum())
    if study.objective.image_weight:
        few = test[: NUM_BOUND if len(train) >= A_LOOK else ROUGH]
        nats = model.log_evidence(few, NUM_SAMPLES, **study.told_later(few))
        found["bound, nats per image"] = float(nats.mean())
    return found
