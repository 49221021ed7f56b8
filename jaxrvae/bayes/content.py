"""Content of patches that belong together: what each says alone, and of a group.

The model's posterior of a content, normal with its mean and standard deviation, is what
the image says times the model's prior. Shared priors take the latter's place, so it is
divided out first: precisions and precision-weighted means subtract. What is left over
is taken to be normal, and the contents' numbers to be independent of each other.

Spreads are those of most evidence (empirical Bayes), the level of all integrated out.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError
from jaxrvae._typing import Float, Int, Number, ndarray

LEAST, MOST = 1e-3, 30.0  # of standard deviations that are learned
LEAST_PRECISION = 1e-6  # below, of a patch over the prior's, it says nothing
FIRST_STEP = 0.7  # of logarithms, in the search for most evidence
CLOSE = 0.02  # of logarithms and of nats, where it ends

Nats = Callable[[ndarray], float]


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """Normal likelihoods of contents, the model's prior divided out.

    Attributes:
        precision: (n, ...) 0 where nothing is said.
        weighted: (n, ...) precision times place.
    """

    precision: ndarray
    weighted: ndarray

    def __len__(self) -> int:
        return len(self.precision)

    def of(self, index: Any) -> "Seen":
        """Of one content number, or some rows of it."""
        return Seen(self.precision[index], self.weighted[index])

    def of_shared(self, own: Number) -> "Seen":
        """What it says of a shared part, beside which each has its own, so spread."""
        rest = 1 / (1 + self.precision * own**2)
        return Seen(self.precision * rest, self.weighted * rest)

    def nats_of_own(self, own: Number) -> float:
        """The log evidence's part of that, but for a constant."""
        rest = 1 / (1 + self.precision * own**2)
        return 0.5 * float((np.log(rest) + own**2 * rest * self.weighted**2).sum())

    def given_shared(
        self, mean: Any, variance: Any, own: Number
    ) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"]]:
        """Contents and their standard deviations, the shared part being so known."""
        rest = 1 / (1 + self.precision * own**2)
        content = rest * (mean + own**2 * self.weighted)
        return content, np.sqrt(own**2 * rest + rest**2 * variance)


@dataclasses.dataclass(frozen=True, eq=False)
class Shared:
    """Means that patches share, each group its own, about a level.

    Attributes:
        mean, variance: (g,) given the patches.
        nats: The log evidence's part.
    """

    level: float
    mean: ndarray
    variance: ndarray
    nats: float


@dataclasses.dataclass(frozen=True, eq=False)
class GroupContent:
    """Contents given their group.

    Attributes:
        content, content_std: (n, d).
        groups: A row a group: content_0, content_std_0, ... of its mean, and number.
        level: (d,) mean of all groups.
        between, within: (d,) standard deviations of the groups' means, and of contents
            about their group's.
    """

    content: ndarray
    content_std: ndarray
    groups: pd.DataFrame
    level: ndarray
    between: ndarray
    within: ndarray


def pool_content(latents: Any, groups: Any, prior_std: Number = 1.0) -> GroupContent:
    """Contents of patches that are alike within groups, as those of a grain or region.

    In a group contents are normal about its mean, and the means normal about a level:
    groups of few patches are drawn to it. Both spreads are learned; with very few
    groups the one between them is uncertain, and may be found to be 0.

    Args:
        latents: Of `encode`; or content and content_std, (n, d) each.
        groups: (n,) labels.
        prior_std: Of the model's prior of the content, normal about 0; inf if content
            and content_std are measurements rather than posteriors.

    Raises:
        DataError: If the arrays do not go together, or no group has two patches.

    Source: Efron & Morris 1973, J. Am. Stat. Assoc. 68, 117.

    >>> found = pool_content((np.zeros((4, 1)), np.full((4, 1), 0.5)), [0, 0, 1, 1])
    >>> found.groups["number"].tolist()
    [2, 2]
    """
    seen = seen_alone(latents, prior_std)
    groups = one_each("groups", groups, len(seen))
    labels, index = np.unique(groups, return_inverse=True)
    number = np.bincount(index)
    if number.max() < 2:
        raise DataError(
            f"groups: each of the {len(labels)} has one patch alone, so that spread"
            " within groups cannot be told from spread between them; merge some."
        )
    parts = [_pooled(seen.of((..., i)), index) for i in range(seen.precision.shape[1])]
    shared, content, std, between, within = zip(*parts, strict=True)
    table: dict[str, Any] = {}
    for i, one in enumerate(shared):
        table[f"content_{i}"] = one.mean
        table[f"content_std_{i}"] = np.sqrt(one.variance)
    table["number"] = number
    return GroupContent(
        np.stack(content, 1),
        np.stack(std, 1),
        pd.DataFrame(table, index=pd.Index(labels, name="group")),
        np.array([one.level for one in shared]),
        np.array(between),
        np.array(within),
    )


def _pooled(
    seen: Seen, index: Int[ndarray, " n"]
) -> tuple[Shared, ndarray, ndarray, float, float]:
    """Groups, contents and standard deviations, spread between and within."""

    def shared(spreads: ndarray) -> Shared:
        part = seen.of_shared(spreads[1])
        return shared_means(sums(part, index), spreads[0])

    def nats(spreads: ndarray) -> float:
        return shared(spreads).nats + seen.nats_of_own(spreads[1])

    starts = [(b, w) for b in (0.05, 0.3, 1.5) for w in (0.05, 0.3, 1.5)]
    between, within = most_likely(nats, starts, [(LEAST, MOST)] * 2)
    found = shared(np.array([between, within]))
    both = found.mean[index], found.variance[index]
    return found, *seen.given_shared(*both, within), between, within


def seen_alone(latents: Any, prior_std: Number) -> Seen:
    """What the patches alone say, from latents or (content, content_std).

    Raises:
        DataError: If these are not numbers of the same shape.
    """
    if isinstance(latents, tuple):
        content, std = (np.asarray(part, np.float64) for part in latents)
    else:
        content = np.asarray(latents.content, np.float64)
        std = np.asarray(latents.content_std, np.float64)
    if content.ndim != 2 or content.shape != std.shape or not content.size:
        raise DataError(
            "content and content_std must both be (patch, number) and hold one; got"
            f" shapes {content.shape} and {std.shape}."
        )
    good = np.isfinite(content) & np.isfinite(std) & (std > 0)
    if not good.all():
        raise DataError(
            "content must be finite, and content_std finite and > 0; that of patch"
            f" {np.flatnonzero(~good.all(1))[0]} is not. Leave such patches out."
        )
    if not prior_std > 0:
        raise ValueError(f"prior_std must be > 0, or inf; got {prior_std!r}.")
    precision = std**-2.0 - float(prior_std) ** -2
    says = precision > LEAST_PRECISION / std**2
    weighted = content / std**2
    return Seen(np.where(says, precision, 0.0), np.where(says, weighted, 0.0))


def shared_means(seen: Seen, between: Number) -> Shared:
    """The groups' means, normal about a level that is integrated out.

    Args:
        seen: Of the groups' means; groups that nothing is said of are at the level.
        between: Their spread; 0 if all are at the level.
    """
    rest = 1 / (1 + seen.precision * between**2)
    total = max(float((seen.precision * rest).sum()), LEAST_PRECISION)
    level = float((seen.weighted * rest).sum()) / total
    mean = rest * (level + between**2 * seen.weighted)
    nats = np.log(rest) + between**2 * rest * seen.weighted**2
    nats = 0.5 * float(nats.sum() - np.log(total) + level**2 * total)
    return Shared(level, mean, between**2 * rest + rest**2 / total, nats)


def sums(seen: Seen, index: Int[ndarray, " n"]) -> Seen:
    """Of each group, in the order of its number."""
    return Seen(np.bincount(index, seen.precision), np.bincount(index, seen.weighted))


def most_likely(
    nats: Nats,
    starts: Sequence[tuple[float, ...]],
    bounds: Sequence[tuple[float, float]],
    first_step: float = FIRST_STEP,
) -> Float[ndarray, " number"]:
    """The positive numbers of most evidence, sought from the best of the starts.

    Source: Nelder & Mead 1965, Comput. J. 7, 308.
    """
    from scipy.optimize import minimize

    low, high = np.log(np.array(bounds)).T
    begin = np.log(max(starts, key=lambda start: nats(np.array(start))))
    begin = np.clip(begin, low, high)
    inward = np.where(begin + first_step > high, -first_step, first_step)
    found = minimize(
        lambda logs: -nats(np.exp(logs)),
        begin,
        method="Nelder-Mead",
        bounds=list(zip(low, high, strict=True)),
        options={
            "initial_simplex": np.vstack([begin, begin + np.diag(inward)]),
            "xatol": CLOSE,
            "fatol": CLOSE,
        },
    )
    return np.exp(found.x)


def one_each(name: str, values: Any, number: int) -> ndarray:
    """As an array, if there is one for each patch."""
    values = np.asarray(values)
    if values.shape != (number,):
        raise DataError(
            f"{name} must be one for each of the {number} patches; got shape"
            f" {values.shape}."
        )
    return values
