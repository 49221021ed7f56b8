"""How well a known truth was found: angles, shifts, classes.

The zero of the angle and the canonical origin are free per class; one constant of each
is removed within a class before anything is compared.
"""

import numpy as np
import pandas as pd

from jaxrvae._typing import Float, Int, ndarray
from jaxrvae.data.containers import Latents


def angle_errors(
    angle: Float[ndarray, " n"], truth: Float[ndarray, " n"], symmetry: int = 1
) -> tuple[float, Float[ndarray, " n"]]:
    """R and the errors left after one constant, radians, of one class.

    R = |mean exp(i n (angle - truth))|: 1 is perfect, 1 / sqrt(n) chance.

    >>> length, errors = angle_errors(np.array([0.3, 1.3]), np.array([0.0, 1.0]))
    >>> round(length, 6), bool(np.abs(errors).max() < 1e-9)
    (1.0, True)
    """
    turned = np.exp(1j * symmetry * (angle - truth))
    mean = turned.mean()
    return float(abs(mean)), np.angle(turned * np.conj(mean)) / symmetry


def shift_errors(
    latents_angle: Float[ndarray, " n"],
    shift: Float[ndarray, "n 2"],
    truth: Float[ndarray, "n 2"],
) -> Float[ndarray, "n 2"]:
    """Errors of the shift in the canonical frame less their mean; pixels, y down."""
    error = shift - truth
    cos, sin = np.cos(latents_angle), np.sin(latents_angle)
    turned = np.stack(
        [cos * error[:, 0] - sin * error[:, 1], sin * error[:, 0] + cos * error[:, 1]],
        axis=1,
    )
    return turned - turned.mean(0)


def pose_scores(latents: Latents, truth: pd.DataFrame) -> pd.DataFrame:
    """R, angle errors in degrees, shift R2 and calibration, a row a class.

    Args:
        latents: Of the patches that the truth tells of, in its order.
        truth: Columns shape (the class), angle, shift_x, shift_y.
    """
    rows = []
    moved = np.ptp(truth["shift_x"]) > 0
    for name in sorted(truth["shape"].unique()):
        here = (truth["shape"] == name).to_numpy()
        length, errors = angle_errors(
            latents.angle[here], truth["angle"].to_numpy()[here]
        )
        stated = np.sqrt(np.square(latents.angle_std[here]).mean())
        row = {
            "class": name,
            "R": length,
            "angle_median_deg": float(np.degrees(np.median(np.abs(errors)))),
            "angle_rms_deg": float(np.degrees(np.sqrt(np.square(errors).mean()))),
            "angle_stated_deg": float(np.degrees(stated)),
        }
        row["stated_over_true"] = row["angle_stated_deg"] / row["angle_rms_deg"]
        if moved:
            target = truth[["shift_x", "shift_y"]].to_numpy()[here]
            left = shift_errors(latents.angle[here], latents.shift[here], target)
            spread = np.square(target - target.mean(0)).sum()
            row["shift_R2"] = float(1 - np.square(left).sum() / spread)
        rows.append(row)
    return pd.DataFrame(rows)


def cluster_accuracy(found: Int[ndarray, " n"], truth: Int[ndarray, " n"]) -> float:
    """Share found right, the names of the clusters matched at their best.

    Source: Kuhn 1955, Naval Res. Logist. Q. 2, 83 (the assignment).

    >>> cluster_accuracy(np.array([1, 1, 0, 2]), np.array([0, 0, 1, 1]))
    0.75
    """
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((int(found.max()) + 1, int(truth.max()) + 1))
    np.add.at(table, (found, truth), 1)
    return float(table[linear_sum_assignment(-table)].sum() / len(truth))


def mixture_accuracy(
    train: Float[ndarray, "n latent"],
    test: Float[ndarray, "m latent"],
    truth: Int[ndarray, " m"],
    seed: int = 0,
) -> float:
    """Cluster accuracy on test content of a Gaussian mixture fitted to train content.

    It has as many components as the truth has classes.
    """
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(len(np.unique(truth)), n_init=5, random_state=seed)
    return cluster_accuracy(mixture.fit(train).predict(test), truth)
