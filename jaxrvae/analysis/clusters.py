"""Content to classes: Gaussian mixtures grown one component at a time, then merged."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, between, whole
from jaxrvae._typing import Float, Int, Number, Shaped, ndarray
from jaxrvae.analysis.mixture import grow
from jaxrvae.data.containers import Latents

SUBSAMPLE = 5000  # contents that the mixtures are fitted to; all are classified
LEAST_SHARE = 0.002  # of the contents, in the smallest component
LEAST_COUNT = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Classes:
    """Classes of patches, the most populous first.

    Attributes:
        latents: The latents with their `class_probabilities` filled.
        table: A row a class: class, count, share, probability (mean, of the class's
            own patches), components (Gaussians merged in it), content_0 ... (of its
            typical patch: where the class is densest).
        bic: A row a number of components tried: num_components, bic (the lower, the
            better), smallest (contents in the smallest component), chosen.
    """

    latents: Latents
    table: pd.DataFrame
    bic: pd.DataFrame

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> Int[ndarray, " n"]:
        """(n,) the most probable class of every patch."""
        return self.latents.class_probabilities.argmax(axis=1)


def find_classes(
    latents: Latents,
    *,
    beside: Shaped[ndarray, "n feature"] | None = None,
    num_classes: int | str = "auto",
    max_classes: int = 12,
    overlap: Number = 0.05,
    seed: int = 0,
) -> Classes:
    """Classes by a mixture of full-covariance Gaussians in the content.

    The mixture grows by one component at a time, set where it raises the likelihood
    most, so that rare species far from the others are found; the number of components
    is that with the lowest Bayesian information criterion. A cloud that is no Gaussian
    takes several components: those that overlap are merged into one class.

    Args:
        beside: Further numbers of every patch that classes may differ in.
        num_classes: How many, or "auto".
        max_classes: At most so many components, where the number is chosen.
        overlap: Components are merged while more than this share of the one would be
            taken for the other; 1 merges none. Unused where `num_classes` is given.
        seed: Of the places tried, and of the sample where there are many patches.

    Raises:
        DataError: If there are fewer patches than 5 a class, or contents that are not
            finite.

    Source: Schwarz 1978, Ann. Stat. 6, 461 (the criterion); Hennig 2010, Adv. Data
    Anal. Classif. 4, 3, section 4.3 (merging).
    """
    between("overlap", overlap, 0, 1)
    features = np.asarray(latents.content, np.float64)
    if beside is not None:
        features = np.hstack([features, np.asarray(beside, np.float64)])
    most = _most(num_classes, max_classes, features)
    rng = np.random.default_rng(seed)
    scaled = (features - np.median(features, axis=0)) / _spread(features)
    sample = scaled
    if len(scaled) > SUBSAMPLE:
        sample = scaled[rng.choice(len(scaled), SUBSAMPLE, replace=False)]
    fits = grow(sample, most, rng)
    bic = _criterion(fits, sample, None if num_classes == "auto" else most)
    best = int(bic["chosen"].to_numpy().argmax())
    probabilities = fits[best].predict_proba(scaled)
    groups = [[i] for i in range(best + 1)]
    if num_classes == "auto":
        probabilities, groups = merge(probabilities, overlap)
    return _ordered(latents, probabilities, groups, bic)


def merge(
    probabilities: Float[ndarray, "n cls"], overlap: Number
) -> tuple[Float[ndarray, "n merged"], list[list[int]]]:
    """Components merged, two at a time, while one is taken for another too often.

    Returns:
        The merged classes' probabilities, and the components in each.

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


def _most(
    num_classes: int | str, max_classes: int, content: Float[ndarray, "n latent"]
) -> int:
    """The largest number of components to try."""
    if not np.isfinite(content).all():
        bad = int((~np.isfinite(content)).any(axis=1).sum())
        raise DataError(
            f"expected finite contents; {bad} of {len(content)} are not. Train the"
            " model again at a lower learning rate."
        )
    if num_classes == "auto":
        whole("max_classes", max_classes, 1)
        return min(max_classes, max(1, len(content) // (2 * LEAST_COUNT)))
    if isinstance(num_classes, str):
        raise ValueError(
            f"num_classes must be 'auto' or a whole number; got {num_classes!r}."
        )
    whole("num_classes", num_classes, 1, "Or 'auto'.")
    if len(content) < LEAST_COUNT * num_classes:
        raise DataError(
            f"expected at least {LEAST_COUNT * num_classes} patches for {num_classes}"
            f" classes; got {len(content)}. Ask for fewer classes."
        )
    return num_classes


def _spread(content: Float[ndarray, "n latent"]) -> Float[ndarray, " latent"]:
    """Standard deviation along each axis; 1 where all are the same."""
    spread = content.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _criterion(
    fits: list[Any], sample: Float[ndarray, "n latent"], given: int | None
) -> pd.DataFrame:
    """BIC by number, and the number chosen: the lowest whose smallest is not tiny."""
    sizes = [
        int(np.bincount(fit.predict(sample), minlength=fit.n_components).min())
        for fit in fits
    ]
    bic = np.array([fit.bic(sample) for fit in fits])
    allowed = np.array(sizes) >= max(LEAST_COUNT, LEAST_SHARE * len(sample))
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


def _ordered(
    latents: Latents,
    probabilities: Float[ndarray, "n cls"],
    groups: list[list[int]],
    bic: pd.DataFrame,
) -> Classes:
    """Classes by population."""
    number = probabilities.shape[1]
    counts = np.bincount(probabilities.argmax(axis=1), minlength=number)
    order = np.argsort(-counts, kind="stable")
    probabilities, counts = probabilities[:, order], counts[order]
    labels = probabilities.argmax(axis=1)
    sums = np.bincount(labels, probabilities.max(axis=1), number)
    table = pd.DataFrame(
        {
            "class": range(number),
            "count": counts,
            "share": counts / len(labels),
            "probability": sums / np.maximum(counts, 1),
            "components": [len(groups[i]) for i in order],
        }
    )
    content = np.asarray(latents.content, np.float64)
    typical = np.array([_densest(content[labels == i]) for i in range(number)])
    for i, values in enumerate(typical.reshape(number, -1).T):
        table[f"content_{i}"] = values
    filled = dataclasses.replace(
        latents, class_probabilities=probabilities.astype(np.float32)
    )
    return Classes(filled, table, bic)


def _densest(points: Float[ndarray, "n latent"]) -> Float[ndarray, " latent"]:
    """The point with the nearest neighbours; NaN if there is none.

    A mean can lie where the class has nothing, as in the middle of a ring.
    """
    from scipy.spatial import KDTree

    if not len(points):
        return np.full(points.shape[1], np.nan)
    points = points[:: max(1, len(points) // SUBSAMPLE)]
    neighbours = min(len(points), max(5, len(points) // 20))
    distance = (
        KDTree(points).query(points, k=neighbours)[0].reshape(len(points), -1)[:, -1]
    )
    return points[int(distance.argmin())]
