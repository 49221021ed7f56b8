"""Content to classes: Gaussian mixtures, merged where their components overlap."""

import dataclasses

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, between, whole
from jaxrvae._typing import Float, Int, Number, ndarray
from jaxrvae.analysis.mixture import LEAST_COUNT, SUBSAMPLE, sort_points
from jaxrvae.data.containers import Latents

MOST_GROUPS = 5
MOST_COMPONENTS = 20
OVERLAP = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Classes:
    """Classes of patches, the most populous first.

    Attributes:
        latents: The latents with their `class_probabilities` filled.
        table: A row a class: class, count, share, probability (mean, of the class's
            own patches), components (Gaussians merged in it), symmetry (the order that
            most of its patches have), content_0 ... (of its typical patch: where the
            class is densest).
        bic: A row a number of components tried: group, num_components, bic (the lower,
            the better), smallest (patches in the smallest component), chosen.
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
    groups: Int[ndarray, " n"] | None = None,
    num_classes: int | str = "auto",
    max_classes: int = MOST_COMPONENTS,
    overlap: Number = OVERLAP,
    seed: int = 0,
) -> Classes:
    """Classes by a mixture of full-covariance Gaussians in the content.

    The mixture grows by one component at a time, set where it raises the likelihood
    most, so that rare species far from the others are found; the number of components
    is that with the lowest Bayesian information criterion. A cloud that is no Gaussian
    takes several components: those that overlap are merged into one class.

    Args:
        groups: A number for every patch, such as `find_groups` makes of the atoms'
            brightness; each group has classes of its own.
        num_classes: How many in all, or "auto"; a number goes without groups.
        max_classes: At most so many components a group, where the number is chosen.
        overlap: Components are merged while more than this share of the one would be
            taken for the other; 1 merges none. Unused where `num_classes` is given.
        seed: Of the places tried, and of the sample where there are many patches.

    Raises:
        DataError: If there are fewer patches than 5 a class, or contents that are not
            finite.

    Source: Schwarz 1978, Ann. Stat. 6, 461 (the criterion); Hennig 2010, Adv. Data
    Anal. Classif. 4, 3, section 4.3 (merging).
    """
    content = np.asarray(latents.content, np.float64)
    between("overlap", overlap, 0, 1)
    given = _given(num_classes, max_classes, content)
    if groups is None:
        groups = np.zeros(len(content), int)
    elif given is not None:
        raise ValueError("give num_classes or groups, not both. Groups need 'auto'.")
    blocks, sizes, tables = [], [], []
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        found = sort_points(content[mine], given, max_classes, overlap, seed)
        block = np.zeros((len(content), len(found.sizes)))
        block[mine] = found.probabilities
        blocks.append(block)
        sizes += found.sizes
        tables.append(found.bic.assign(group=group))
    bic = pd.concat(tables, ignore_index=True)
    return _ordered(latents, np.hstack(blocks), np.array(sizes), bic)


def find_groups(values: Float[ndarray, " n"], *, seed: int = 0) -> Int[ndarray, " n"]:
    """The group of every value, counted upwards; a mixture as in `find_classes`.

    Of the logarithm of atoms' brightness, groups are elements (or numbers of atoms in
    a column) as far as the noise lets them be told apart.

    >>> light, heavy = np.linspace(-0.1, 0.1, 90), np.linspace(1.4, 1.6, 10)
    >>> np.bincount(find_groups(np.append(light, heavy))).tolist()
    [90, 10]
    """
    found = sort_points(values[:, None], None, MOST_GROUPS, OVERLAP, seed)
    _, labels = np.unique(found.probabilities.argmax(axis=1), return_inverse=True)
    middles = np.bincount(labels, values) / np.bincount(labels)
    return middles.argsort().argsort()[labels]


def _given(
    num_classes: int | str, max_classes: int, content: Float[ndarray, "n latent"]
) -> int | None:
    """The number of classes asked for; None where it is to be chosen."""
    if not np.isfinite(content).all():
        bad = int((~np.isfinite(content)).any(axis=1).sum())
        raise DataError(
            f"expected finite contents; {bad} of {len(content)} are not. Train the"
            " model again at a lower learning rate."
        )
    whole("max_classes", max_classes, 1)
    if num_classes == "auto":
        return None
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


def _ordered(
    latents: Latents,
    probabilities: Float[ndarray, "n cls"],
    sizes: Int[ndarray, " cls"],
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
            "components": sizes[order],
            "symmetry": [
                np.bincount(latents.symmetry[labels == i], minlength=2).argmax()
                for i in range(number)
            ],
        }
    )
    content = np.asarray(latents.content, np.float64)
    mine = [content[labels == i] for i in range(number)]
    nothing = np.full(content.shape[1], np.nan)
    typical = np.array([p[densest(p)] if len(p) else nothing for p in mine])
    for i, values in enumerate(typical.T):
        table[f"content_{i}"] = values
    filled = dataclasses.replace(
        latents, class_probabilities=probabilities.astype(np.float32)
    )
    return Classes(filled, table, bic)


def densest(points: Float[ndarray, "n latent"]) -> int:
    """The row of the point with the nearest neighbours.

    A mean can lie where the class has nothing, as in the middle of a ring.
    """
    from scipy.spatial import KDTree

    stride = max(1, len(points) // SUBSAMPLE)
    points = points[::stride]
    neighbours = min(len(points), max(5, len(points) // 20))
    distance = KDTree(points).query(points, k=neighbours)[0].reshape(len(points), -1)
    return stride * int(distance[:, -1].argmin())
