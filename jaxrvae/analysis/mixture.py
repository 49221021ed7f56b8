"""Gaussian mixtures that grow by one component, and are merged where they overlap."""

import dataclasses
import warnings
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._typing import Float, Number, ndarray

SUBSAMPLE = 5000  # points that mixtures are fitted to; all are sorted
LEAST_SHARE = 0.002  # of the points, in the smallest component
LEAST_COUNT = 5
FLOOR = 1e-3  # added to every variance; the points have unit variance
SEEDS = 6  # places tried in every component
SHARES = (0.01, 0.04, 0.2)  # of the points, around a place, that a try starts from
NUM_STEPS = 10
PATIENCE = 4  # components more than at the lowest BIC, after which none are added


@dataclasses.dataclass(frozen=True, eq=False)
class Sorted:
    """Points sorted by a mixture.

    Attributes:
        probabilities: (n, c).
        sizes: Components merged in each class.
        bic: num_components, bic, smallest (points in the smallest component), chosen.
    """

    probabilities: np.ndarray
    sizes: list[int]
    bic: pd.DataFrame


def sort_points(
    points: Float[ndarray, "n d"],
    given: int | None,
    most: int,
    overlap: Number,
    seed: int,
) -> Sorted:
    """Classes of the points: as many as given, or as the data ask for.

    Without a number, that of the components (at most `most`) is the one with the lowest
    BIC and no component so small that it holds outliers alone; components are then
    merged by `merge`.
    """
    rng = np.random.default_rng(seed)
    spread = points.std(axis=0)
    scaled = (points - np.median(points, axis=0)) / np.where(spread > 0, spread, 1.0)
    sample = scaled
    if len(scaled) > SUBSAMPLE:
        sample = scaled[rng.choice(len(scaled), SUBSAMPLE, replace=False)]
    room = max(1, len(sample) // (2 * LEAST_COUNT))
    if given is None:
        fits = grow(sample, min(most, room), rng, PATIENCE)
    else:
        fits = grow(sample, given, rng)
    bic = _criterion(fits, sample, given)
    best = fits[int(bic["chosen"].to_numpy().argmax())]
    probabilities = best.predict_proba(scaled)
    if given is not None:
        return Sorted(probabilities, [1] * given, bic)
    probabilities, groups = merge(probabilities, overlap)
    return Sorted(probabilities, [len(group) for group in groups], bic)


def merge(
    probabilities: Float[ndarray, "n cls"], overlap: Number
) -> tuple[Float[ndarray, "n merged"], list[list[int]]]:
    """Components merged, two at a time, while one is taken for another too often.

    Returns:
        The merged classes' probabilities, and the components in each.

    Source: Hennig 2010, Adv. Data Anal. Classif. 4, 3, section 4.3 (DEMP).

    >>> sure, torn = [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]
    >>> merge(np.array([sure, sure, torn]), 0.1)[1]
    [[0], [1, 2]]
    """
    groups = [[i] for i in range(probabilities.shape[1])]
    while len(groups) > 1:
        taken = _taken(probabilities)
        i, j = np.unravel_index(taken.argmax(), taken.shape)
        if taken[i, j] <= overlap:
            break
        i, j = sorted((int(i), int(j)))
        probabilities = probabilities.copy()
        probabilities[:, i] += probabilities[:, j]
        probabilities = np.delete(probabilities, j, axis=1)
        groups[i] += groups.pop(j)
    return probabilities, groups


def _taken(probabilities: Float[ndarray, "n cls"]) -> Float[ndarray, "cls cls"]:
    """The share of each class that another is the likeliest for, symmetric."""
    number = probabilities.shape[1]
    chosen = np.eye(number)[probabilities.argmax(axis=1)]
    weights = np.maximum(probabilities.sum(axis=0), 1e-12)
    taken = probabilities.T @ chosen / weights[:, None]
    np.fill_diagonal(taken, 0.0)
    return np.maximum(taken, taken.T)


def _criterion(
    fits: list[Any], sample: Float[ndarray, "n d"], given: int | None
) -> pd.DataFrame:
    """BIC by number, and the number chosen."""
    sizes = np.array(
        [
            np.bincount(fit.predict(sample), minlength=fit.n_components).min()
            for fit in fits
        ]
    )
    bic = np.array([fit.bic(sample) for fit in fits])
    allowed = sizes >= max(LEAST_COUNT, LEAST_SHARE * len(sample))
    allowed[0] = True  # one component is always possible
    best = int(np.argmin(np.where(allowed, bic, np.inf)))
    if given is not None:
        best = given - 1
    return pd.DataFrame(
        {
            "num_components": range(1, len(fits) + 1),
            "bic": bic,
            "smallest": sizes,
            "chosen": np.arange(len(fits)) == best,
        }
    )


def grow(
    points: Float[ndarray, "n d"],
    most: int,
    rng: np.random.Generator,
    patience: int | None = None,
) -> list[Any]:
    """Fitted mixtures of 1, 2, ... `most` components, each the last and one more.

    A new component starts where, with the others held fixed, it raises the likelihood
    most: around a few points of every component, from neighbourhoods of several sizes.

    Args:
        points: Of about unit variance.
        patience: Stop before `most` once so many more components than those at the
            lowest BIC have not lowered it; None: never.

    Returns:
        scikit-learn's `GaussianMixture`, one a number of components.

    Source: Verbeek, Vlassis & Kroese 2003, Neural Comput. 15, 469.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # the matrices are d x d
        fits = [_fit(points, None)]
        bic = [fits[0].bic(points)]
        while len(fits) < most:
            fits.append(_fit(points, _one_more(points, fits[-1], rng)))
            bic.append(fits[-1].bic(points))
            if patience is not None and len(fits) - 1 - np.argmin(bic) >= patience:
                break
    return fits


def _one_more(
    points: Float[ndarray, "n d"], last: Any, rng: np.random.Generator
) -> dict[str, Any]:
    """Where a mixture starts that has one component more than the last."""
    share, mean, covariance = _best_insertion(points, last, rng)
    return {
        "weights_init": np.append(last.weights_ * (1 - share), share),
        "means_init": np.vstack([last.means_, mean]),
        "precisions_init": np.concatenate(
            [last.precisions_, np.linalg.inv(covariance)[None]]
        ),
    }


def _fit(points: Float[ndarray, "n d"], start: dict[str, Any] | None) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    number = 1 if start is None else len(start["weights_init"])
    mixture = GaussianMixture(
        number, max_iter=200, reg_covar=FLOOR, random_state=0, **(start or {})
    )
    with warnings.catch_warnings():  # a slow end of the fit does no harm here
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(points)


def _best_insertion(
    points: Float[ndarray, "n d"], mixture: Any, rng: np.random.Generator
) -> tuple[float, ndarray, ndarray]:
    """Weight, mean and covariance of the component that helps most."""
    base = mixture.score_samples(points)
    labels = mixture.predict(points)
    tries = []
    for index in range(mixture.n_components):
        members = points[labels == index]
        for centre in members[rng.permutation(len(members))[:SEEDS]]:
            share = SHARES[int(rng.integers(len(SHARES)))]
            near = _nearest(members, centre, share * len(points))
            tries.append(_insert(points, base, near))
    return max(tries, key=lambda found: found[0])[1]


def _nearest(
    members: Float[ndarray, "m d"], centre: Float[ndarray, " d"], number: Number
) -> Float[ndarray, "k d"]:
    distance = np.square(members - centre).sum(axis=1)
    number = int(np.clip(number, _enough(members), max(len(members) // 2, 1)))
    return members[np.argpartition(distance, number - 1)[:number]]


def _enough(points: Float[ndarray, "n d"]) -> int:
    """Enough of them for a covariance, where there are so many."""
    return min(len(points), 2 * points.shape[1] + 6)


def _insert(
    points: Float[ndarray, "n d"],
    base: Float[ndarray, " n"],
    near: Float[ndarray, "k d"],
) -> tuple[float, tuple[float, ndarray, ndarray]]:
    """Mean log-likelihood and the new component, after a few steps of EM on it alone.

    Args:
        base: Log density of the mixture without it.
    """
    floor = FLOOR * np.eye(points.shape[1])
    share, mean = len(near) / len(points), near.mean(axis=0)
    covariance = _covariance(near - mean, np.full(len(near), 1 / len(near))) + floor
    total = base
    for _ in range(NUM_STEPS):
        new = np.log(share) + _log_density(points, mean, covariance)
        total = np.logaddexp(np.log1p(-share) + base, new)
        taken = np.exp(new - total)
        share = float(np.clip(taken.mean(), 2 / len(points), 0.9))
        weights = taken / taken.sum()
        mean = weights @ points
        covariance = _covariance(points - mean, weights) + floor
    return float(total.mean()), (share, mean, covariance)


def _covariance(
    offsets: Float[ndarray, "n d"], weights: Float[ndarray, " n"]
) -> Float[ndarray, "d d"]:
    return (offsets * weights[:, None]).T @ offsets


def _log_density(
    points: Float[ndarray, "n d"],
    mean: Float[ndarray, " d"],
    covariance: Float[ndarray, "d d"],
) -> Float[ndarray, " n"]:
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, (points - mean).T)
    normal = np.log(np.diag(factor)).sum() + 0.5 * len(mean) * np.log(2 * np.pi)
    return -0.5 * np.square(white).sum(axis=0) - normal
