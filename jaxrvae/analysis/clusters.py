"""Content to classes: a Gaussian mixture whose number of components the data choose."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, whole
from jaxrvae._typing import Float, Int, ndarray
from jaxrvae.data.containers import Latents

SUBSAMPLE = 6000  # contents that the mixtures are fitted to; all are classified
LEAST_SHARE = 0.002  # of the contents, in the smallest class
LEAST_COUNT = 5
NUM_STARTS = 4
FLOOR = 1e-3  # of the contents' variance, added to every component's


@dataclasses.dataclass(frozen=True, eq=False)
class Classes:
    """Classes of patches, the most populous first.

    Attributes:
        latents: The latents with their `class_probabilities` filled.
        table: A row a class: class, count, share, probability (mean, of the patches'
            own class), content_0 ... (its mean).
        bic: A row a number of classes tried: num_classes, bic (nats times 2, of the
            contents fitted), smallest (count in its smallest class), chosen.
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
    num_classes: int | str = "auto",
    max_classes: int = 8,
    seed: int = 0,
) -> Classes:
    """Classes by a mixture of full-covariance Gaussians in the content.

    The number of classes is that with the lowest Bayesian information criterion among
    mixtures without a class so small that it holds outliers alone. Every mixture
    starts several times from seeds spread by k-means++, which lets rare species
    far from the others become classes of their own.

    Args:
        num_classes: How many, or "auto".
        max_classes: At most so many, where the number is chosen.
        seed: Of the starts, and of the sample where there are many patches.

    Raises:
        DataError: If there are fewer patches than 5 a class, or contents that are not
            finite.

    Source: Schwarz 1978, Ann. Stat. 6, 461 (the criterion).
    """
    content = np.asarray(latents.content, np.float64)
    tried = _numbers(num_classes, max_classes, content)
    rng = np.random.default_rng(seed)
    scaled = (content - np.median(content, axis=0)) / _spread(content)
    sample = scaled
    if len(scaled) > SUBSAMPLE:
        sample = scaled[rng.choice(len(scaled), SUBSAMPLE, replace=False)]
    fits = [_fit(sample, number, seed) for number in tried]
    rows = pd.DataFrame(
        {
            "num_classes": tried,
            "bic": [float(fit.bic(sample)) for fit in fits],
            "smallest": [int(_counts(fit, sample).min()) for fit in fits],
        }
    )
    least = max(LEAST_COUNT, LEAST_SHARE * len(sample))
    allowed = rows["smallest"].ge(least) | (len(rows) == 1)
    allowed.iloc[0] = True  # one class is always possible
    best = int(np.argmin(np.where(allowed, rows["bic"], np.inf)))
    rows["chosen"] = rows.index == best
    probabilities = fits[best].predict_proba(scaled)
    return _ordered(latents, probabilities, rows)


def _numbers(
    num_classes: int | str, max_classes: int, content: Float[ndarray, "n latent"]
) -> list[int]:
    """The numbers of classes to try."""
    if not np.isfinite(content).all():
        bad = int((~np.isfinite(content)).any(axis=1).sum())
        raise DataError(
            f"expected finite contents; {bad} of {len(content)} are not. Train the"
            " model again at a lower learning rate."
        )
    if num_classes == "auto":
        whole("max_classes", max_classes, 1)
        most = min(max_classes, max(1, len(content) // (2 * LEAST_COUNT)))
        return list(range(1, most + 1))
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
    return [num_classes]


def _spread(content: Float[ndarray, "n latent"]) -> Float[ndarray, " latent"]:
    """Standard deviation along each axis; 1 where all are the same."""
    spread = content.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _fit(sample: Float[ndarray, "n latent"], number: int, seed: int) -> Any:
    """The likeliest of several mixtures."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        number,
        n_init=NUM_STARTS if number > 1 else 1,
        init_params="k-means++",
        max_iter=300,
        reg_covar=FLOOR,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(sample)


def _counts(fit: Any, sample: Float[ndarray, "n latent"]) -> Int[ndarray, " cls"]:
    return np.bincount(fit.predict(sample), minlength=fit.n_components)


def _ordered(
    latents: Latents, probabilities: Float[ndarray, "n cls"], bic: pd.DataFrame
) -> Classes:
    """Classes by population; equal counts in the order of their first content."""
    labels = probabilities.argmax(axis=1)
    number = probabilities.shape[1]
    counts = np.bincount(labels, minlength=number)
    order = np.argsort(-counts, kind="stable")
    probabilities, counts = probabilities[:, order], counts[order]
    labels = probabilities.argmax(axis=1)
    weight = probabilities / np.maximum(probabilities.sum(axis=0), 1e-12)
    table = pd.DataFrame(
        {"class": range(number), "count": counts, "share": counts / len(labels)}
    )
    own = probabilities.max(axis=1)
    table["probability"] = [
        float(own[labels == i].mean()) if (labels == i).any() else np.nan
        for i in range(number)
    ]
    for i, values in enumerate(np.asarray(latents.content, np.float64).T):
        table[f"content_{i}"] = weight.T @ values
    filled = dataclasses.replace(
        latents, class_probabilities=probabilities.astype(np.float32)
    )
    return Classes(filled, table, bic)
