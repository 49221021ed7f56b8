"""Gaussian mixtures that grow by one component at a time."""

import warnings
from typing import Any

import numpy as np

from jaxrvae._typing import Float, Number, ndarray

FLOOR = 1e-3  # added to every variance; the data have unit variance
SEEDS = 6  # places tried in every component
SHARES = (0.01, 0.04, 0.2)  # of the points, around a place, that a try starts from
NUM_STEPS = 10


def grow(
    points: Float[ndarray, "n d"], most: int, rng: np.random.Generator
) -> list[Any]:
    """Fitted mixtures of 1, 2, ... `most` components, each the last and one more.

    A new component starts where, with the others held fixed, it raises the likelihood
    most: around a few points of every component, from neighbourhoods of several sizes.

    Args:
        points: Of about unit variance.

    Returns:
        scikit-learn's `GaussianMixture`, one a number of components.

    Source: Verbeek, Vlassis & Kroese 2003, Neural Comput. 15, 469.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):  # the matrices are d x d
        fits = [_fit(points, None)]
        while len(fits) < most:
            fits.append(_fit(points, _one_more(points, fits[-1], rng)))
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
