"""Fits of states to drawn contents: mixtures, a Dirichlet process, density."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxrvae._typing import Float, ndarray
from jaxrvae.analysis.mixture import FLOOR, LEAST_COUNT, PATIENCE, grow, merge

THINNED = 4000  # of them, crowded ones thinned out
NEAR = 10  # neighbors that tell how crowded it is
SMALLEST = 0.003  # of the thinned rows, in a component
RESTARTS = 6  # of a mixture's growth
QUICK = 2000  # rows up to which it is restarted
CROWD = 0.004  # of them, in a crowd of hdbscan
SHARE_STEPS = 50

Member = Callable[[Float[ndarray, "n latent"]], Float[ndarray, "n state"]]


class How(NamedTuple):
    """What all fits are told.

    Attributes:
        middle, spread: Of the contents, by which the points were standardized.
        given, most: So many states, or at most so many components.
        overlap: Share taken for one another, from which components are one state.
    """

    middle: Float[ndarray, " latent"]
    spread: Float[ndarray, " latent"]
    given: int | None
    most: int
    overlap: float

    def standardized(
        self, content: Float[ndarray, "n latent"]
    ) -> Float[ndarray, "n latent"]:
        """Contents as the fits see them."""
        return (content - self.middle) / self.spread


def thinned(
    points: Float[ndarray, "m latent"], rng: np.random.Generator
) -> Float[ndarray, "l latent"]:
    """Some of the points, by the root of how far apart they lie.

    What is left of a Gaussian is one, wider by the root of two; what is left of one a
    hundred times rarer is but ten times rarer.
    """
    from scipy.spatial import KDTree

    if len(points) <= THINNED:
        return points
    far = KDTree(points).query(points, k=NEAR + 1)[0][:, -1]
    weight = np.maximum(far, 1e-9) ** (points.shape[1] / 2)
    weight = np.minimum(weight, 30 * np.median(weight))  # outliers are no states
    chosen = rng.choice(len(points), THINNED, replace=False, p=weight / weight.sum())
    return points[chosen]


def fit_mixture(
    points: Float[ndarray, "m latent"], how: How, rng: np.random.Generator
) -> Member:
    """A mixture of Gaussians that grew to the number given, or that BIC asks for."""
    few = thinned(points, rng)
    room = max(1, len(few) // (2 * LEAST_COUNT))
    tried = []
    again = len(few) <= QUICK  # growing can go astray
    for _ in range(RESTARTS if again else 1):
        patience = None if how.given else 2 if again else PATIENCE
        fits = grow(few, how.given or min(how.most, room), rng, patience)
        tried.append(fits[-1] if how.given else _by_bic(fits, few))
    best = min(tried, key=lambda fit: fit.bic(few))
    return _as_member(best, points, how)


def _by_bic(fits: list[Any], points: Float[ndarray, "m latent"]) -> Any:
    """The lowest, of fits without a component for outliers alone."""
    least = max(LEAST_COUNT, SMALLEST * len(points))

    def cost(fit: Any) -> float:
        sizes = np.bincount(fit.predict(points), minlength=fit.n_components)
        return (
            np.inf if fit.n_components > 1 and sizes.min() < least else fit.bic(points)
        )

    return min(fits, key=cost)


def fit_process(
    points: Float[ndarray, "m latent"], how: How, rng: np.random.Generator
) -> Member:
    """A Dirichlet process of Gaussians, cut off at so many."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture
    from threadpoolctl import threadpool_limits

    few = thinned(points, rng)
    fit = BayesianGaussianMixture(
        n_components=min(how.given or how.most, max(1, len(few) // LEAST_COUNT)),
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=0.1,
        max_iter=300,
        reg_covar=FLOOR,
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(few)
    return _as_member(fit, points, how)


def _as_member(fit: Any, points: Float[ndarray, "m latent"], how: How) -> Member:
    """The fit to thinned points as one to all: EM goes on over those, then merging."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    sizes = np.bincount(fit.predict(points), minlength=fit.n_components)
    kept = sizes >= LEAST_COUNT if (sizes >= LEAST_COUNT).any() else sizes > 0
    whole_fit = GaussianMixture(
        int(kept.sum()),
        weights_init=sizes[kept] / sizes[kept].sum(),
        means_init=fit.means_[kept],
        precisions_init=fit.precisions_[kept],
        max_iter=SHARE_STEPS,
        reg_covar=FLOOR,
        random_state=0,
    )
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole_fit.fit(points)
    overlap = how.overlap if how.given is None else 1.0
    groups = merge(whole_fit.predict_proba(points), overlap)[1]

    def classify(content: Float[ndarray, "n latent"]) -> Float[ndarray, "n state"]:
        found = whole_fit.predict_proba(how.standardized(content))
        return np.stack([found[:, group].sum(axis=1) for group in groups], axis=1)

    return classify


def fit_crowds(
    points: Float[ndarray, "m latent"], how: How, rng: np.random.Generator
) -> Member:
    """HDBSCAN of thinned points; others are of the nearest one's crowd, if so near."""
    from scipy.spatial import KDTree
    from sklearn.cluster import HDBSCAN

    few = thinned(points, rng)
    smallest = int(max(2 * LEAST_COUNT, np.ceil(CROWD * len(few))))
    smooth = min(NEAR, len(few))  # how noisy the density is has nothing to do with size
    keep: Any = True  # the points as they are; the stub says str
    fit = HDBSCAN(min_cluster_size=smallest, min_samples=smooth, copy=keep)
    labels = fit.fit_predict(few)
    if labels.max() < 0:
        labels = np.zeros(len(few), int)
    core = few[labels >= 0]
    own, number = labels[labels >= 0], int(labels.max()) + 1
    tree = KDTree(core)
    usual = tree.query(core, k=min(2, len(core)))[0].reshape(len(core), -1)[:, -1]
    reach = np.array([np.quantile(usual[own == i], 0.99) for i in range(number)])

    def classify(content: Float[ndarray, "n latent"]) -> Float[ndarray, "n state"]:
        far, nearest = tree.query(how.standardized(content))
        found = np.zeros((len(content), number))
        near = far <= 2 * reach[own[nearest]]
        found[np.flatnonzero(near), own[nearest][near]] = 1.0
        return found

    return classify
