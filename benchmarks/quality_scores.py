"""What is measured of latents whose truth is known: by class, and the worst class.

The definitions are those of the literature where there are any: R, angles modulo the
symmetry, cluster accuracy under the best matching, regression on nearest neighbours.
"""

import numpy as np
import pandas as pd

from jaxrvae._typing import Float, Int, ndarray

NEIGHBORS = 10
GAUGE_DEGREE = 3
LEVELS = (50, 80, 95)  # percent


def pose_measures(known: dict, found: dict, factor: str | None) -> dict[str, float]:
    """R, the median angle error, and how well content tells class and factor.

    Args:
        known: Of the images trained on: content (n, d) and truth.
        found: Of others: content, angle (n,) and truth.
        factor: The continuous factor in the truth; "shear" has a gauge of its own.
    """
    from jaxrvae.analysis.scores import mixture_accuracy

    truth = found["truth"]
    names = truth["shape"].to_numpy()
    measures: dict[str, list[float]] = {}
    for name in np.unique(names):
        here = names == name
        order = int(truth["symmetry"].to_numpy()[here][0]) if "symmetry" in truth else 1
        error = order * (found["angle"] - truth["angle"].to_numpy())[here]
        plain = error - np.angle(np.exp(1j * error).mean())
        left = plain
        if factor == "shear":
            left = without_gauge(plain, truth["shear"].to_numpy()[here])
        for suffix, angles in {"": left, " plain": plain}.items():
            degrees = np.degrees(np.abs(np.angle(np.exp(1j * angles)))) / order
            length = float(abs(np.exp(1j * angles).mean()))
            measures.setdefault(f"R{suffix}", []).append(length)
            measures.setdefault(f"median deg{suffix}", []).append(
                float(np.median(degrees))
            )
        if factor is not None:
            score = factor_score(known, found, factor, name)
            measures.setdefault("factor R2", []).append(score)
    row = {
        key: max(values) if "deg" in key else min(values)
        for key, values in measures.items()
    }
    for i, length in enumerate(measures["R"]):
        row[f"R of class {i}"] = length
    content = known["content"], found["content"]
    return row | {"GMM": mixture_accuracy(*content, names)}


def without_gauge(
    error: Float[ndarray, " n"], factor: Float[ndarray, " n"]
) -> Float[ndarray, " n"]:
    """Angle errors less the smooth function of the factor that is closest to them.

    A shear is a strain and a turn; how much of it is called a turn is a convention, and
    programs that are told nothing each settle on their own. The function is a cubic in
    the factor, fitted on the circle; the same is done to every program.
    """
    powers = np.vander(factor / np.abs(factor).max(), GAUGE_DEGREE + 1)
    left = error
    for _ in range(10):
        wrapped = np.angle(np.exp(1j * left))
        near = np.abs(wrapped) < np.pi / 2  # copies turned by 180 degrees say nothing
        if near.sum() <= powers.shape[1]:
            break
        left = left - powers @ np.linalg.lstsq(powers[near], wrapped[near])[0]
    return left


def factor_score(known: dict, found: dict, factor: str, name: int) -> float:
    """R2 of nearest neighbours in content, within one class, on other images."""
    from sklearn.neighbors import KNeighborsRegressor

    trained = (known["truth"]["shape"] == name).to_numpy()
    tested = (found["truth"]["shape"] == name).to_numpy()
    regressor = KNeighborsRegressor(NEIGHBORS)
    regressor.fit(known["content"][trained], known["truth"][factor][trained])
    return float(
        regressor.score(found["content"][tested], found["truth"][factor][tested])
    )


def class_accuracy(
    probabilities: Float[ndarray, "n cls"], truth: Int[ndarray, " n"], named: bool
) -> float:
    """Share of classes found right; unnamed ones under the best matching of names."""
    from jaxrvae.analysis.scores import cluster_accuracy

    labels = probabilities.argmax(1)
    return float((labels == truth).mean()) if named else cluster_accuracy(labels, truth)


def coverage(
    angle: Float[ndarray, " n"], std: Float[ndarray, " n"], truth: pd.DataFrame
) -> dict[str, float]:
    """Percent of true angles inside the stated intervals, class by class.

    `off by` is the largest distance, in points, of any class and level from the level.
    """
    from scipy.stats import norm

    names = truth["shape"].to_numpy()
    shares = {level: [] for level in LEVELS}
    for name in np.unique(names):
        here = names == name
        turned = np.exp(1j * (angle - truth["angle"].to_numpy())[here])
        error = np.abs(np.angle(turned * np.conj(turned.mean())))
        for level in LEVELS:
            reach = norm.ppf(0.5 + level / 200) * std[here]
            shares[level].append(100 * float((error < reach).mean()))
    row = {"off by": max(abs(v - k) for k, values in shares.items() for v in values)}
    for level, values in shares.items():
        row[f"least in {level} %"] = min(values)
        row[f"most in {level} %"] = max(values)
    return row


def turn_measures(before: dict, after: dict, turn: ndarray) -> dict[str, float]:
    """What a known turn (n,) of the inputs does to content and angle.

    Args:
        before, after: content (n, d) and angle (n,).
    """
    change = np.square(after["content"] - before["content"]).sum(1)
    spread = before["content"].var(0).sum()
    left = np.angle(np.exp(1j * (after["angle"] - before["angle"] - turn)))
    return {
        "content drift %": float(100 * np.sqrt(change.mean() / spread)),
        "content drift % median": float(100 * np.sqrt(np.median(change) / spread)),
        "angle drift deg": float(np.degrees(np.sqrt(np.square(left).mean()))),
        "angle drift deg median": float(np.degrees(np.median(np.abs(left)))),
    }
