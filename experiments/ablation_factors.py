"""Ablations on glyphs: one setting at a time around the defaults.

    jaxrvae sweep ablation_factors --out runs/ablation_factors
    jaxrvae sweep report runs/ablation_factors

Content numbers, the width of the angle's prior, patch size, noise, number of patches,
likelihood, weight and schedule of the KL, prior of the content, share of labels, turned
copies, hidden units, learning rate; five seeds each, of shapes turned all round the
circle. Two CPU cores: about 40 minutes. Number to reach: no setting beats the default's
R in the worst class, or its k-NN accuracy, beyond the seeds' spread.
"""

from jaxrvae.config import TrainingConfig
from jaxrvae.config.study import DataConfig, StudyConfig
from jaxrvae.sweep import Sweep, chosen

FACTORS = {
    "model.content_dim": [1, 3, 5],
    "model.angle_prior": [{"std": 0.5}, {"std": 1.0}],
    "data.size": [16, 32],
    "data.options.noise": [0.2, 0.5],
    "data.num_images": [250, 500, 2000],
    "model.likelihood": ["bernoulli", "poisson"],
    "objective.beta": [0.5, 2.0, 5.0],
    "objective.ramp": [0.3],
    "objective.free_bits": [0.5],
    "model.prior": ["mixture", "vamp", "flow"],
    "data.labels": [0.1, 1.0],
    "model.num_turns": [4, 16],
    "model.hidden_dim": [64, 256],
    "training.learning_rate": [5e-4, 8e-3],
    "training.batch_size": [50, 200],
    "training.epochs": [10, 80],
}


def config() -> StudyConfig:
    """1000 images of 24 x 24 pixels, 30 epochs."""
    return StudyConfig(
        data=DataConfig(kind="glyphs", num_images=1000, num_test=1000, size=24),
        training=TrainingConfig(epochs=30, batch_size=100),
    )


def sweep() -> Sweep:
    """The defaults, and each setting changed."""
    changes: list[dict] = [{}]
    for name, values in FACTORS.items():
        for value in values:
            more = {"model.num_classes": 4} if name == "data.labels" else {}
            changes.append({name: value, **more})
    changes.append({"model.num_classes": 4})
    return Sweep(base=config(), axes=[chosen(changes)], seeds=5)
