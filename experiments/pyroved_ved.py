"""pyroVED's VED: from an image to the spectrum recorded there (pyroVED 0.3.0, im2spec).

    python -m experiments.pyroved_ved
    python -m experiments.pyroved_ved --num-images 400 --epochs 20

A convolutional encoder of 32 filters, two content numbers, no pose, Adam 1e-3, batch
100; 200 epochs. Its example reads 2714 patches 16 x 16 of plasmonic particles, each
with an energy-loss spectrum, which are not at hand: here as many glyphs 16 x 16, each
with a spectrum of two peaks. The first lies where the shape says, the second where the
shear does; noise is added.

Two CPU cores: about 10 minutes; the second command about 1 minute.

Number to reach: R2 of the held-out spectra 0.9, from their images alone; 1000 images
and 60 epochs reach 0.86, the noise leaves 0.98. None is published.

Differs from the publication, beside what stands in `experiments/_published.py`:
- the spectrum's likelihood is Gaussian with noise that is learned, its decoder dense
  128-128 tanh; theirs Bernoulli, with a convolutional decoder of 96 filters;
- the encoder's blocks are residual, with kernels 7 x 7, not plain ones of 3 x 3 with
  leaky ReLU and pooling;
- the content is taught to follow from the spectrum as well (`encode_spectra`), by a
  bound of its own with half the weight;
- images are read and not explained (`image_weight=0`), as there; their decoder is
  there, unused.
"""

import dataclasses
import sys

import numpy as np
import pandas as pd

from experiments._published import Glyphs, Study, run_command
from jaxrvae.config import ModelConfig, ObjectiveConfig, TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Peaks:
    """Spectra of two peaks: the first moves with the shape, the second with the shear.

    Attributes:
        num_values: Of a spectrum, over energies from 0 to 1.
        noise: Standard deviation; the peaks' heights are 1 and 0.7.
    """

    num_values: int = 64
    noise: float = 0.03

    def __call__(self, truth: pd.DataFrame) -> np.ndarray:
        """(n, num_values), the same for the same truth."""
        energy = np.linspace(0.0, 1.0, self.num_values)
        first = 0.12 + 0.12 * truth["shape"].to_numpy()[:, None]
        second = 0.78 + 0.4 * truth["shear"].to_numpy()[:, None]
        spectra = lorentzian(energy - first, 0.03)
        spectra = spectra + 0.7 * lorentzian(energy - second, 0.05)
        noise = np.random.default_rng(len(truth)).normal(size=spectra.shape)
        return (spectra + self.noise * noise).astype(np.float32)


def lorentzian(away: np.ndarray, half_width: float) -> np.ndarray:
    """Of height 1."""
    return 1 / (1 + np.square(away / half_width))


def config() -> Study:
    """Images to spectra."""
    return Study(
        name="image-to-spectrum",
        data=Glyphs(size=16, shift=0.05),
        num_images=2714,
        model=ModelConfig(
            content_dim=2,
            pose=(),
            decoder="affine",
            encoder={"name": "convolutional", "width": 32},
            posterior="gaussian",
            hidden_dim=128,
        ),
        objective=ObjectiveConfig(image_weight=0.0),
        training=TrainingConfig(epochs=200, batch_size=100, learning_rate=1e-3),
        spectra=Peaks(),
    )


def sweep() -> list[Study]:
    """The one there is."""
    return [config()]


if __name__ == "__main__":
    sys.exit(run_command(__doc__, sweep()))
