"""How much one quantity tells of another: mutual information, with its interval.

The estimate is a mean over rows of log p(x, y) / p(x) p(y), and that is the estimate's
own influence function. Its error is therefore that of a mean, taken over whole groups
(frames, regions), as rows of a group are not independent.
"""

import dataclasses

import numpy as np

from jaxrvae._checks import DataError, between, whole
from jaxrvae._typing import Float, Int, Number, Shaped, ndarray

MOST = 10_000  # rows looked at; the cost beyond is that of drawing them
NEIGHBORS = 4
SHUFFLES = 19  # the largest of them is passed by chance in 1 of 20 cases


@dataclasses.dataclass(frozen=True)
class Information:
    """Mutual information in nats.

    Attributes:
        value: The estimate; near zero it may be negative.
        low, high: Interval, from the spread over groups.
        floor: The largest value found with the pairing destroyed; lower values say
            nothing.
        num_rows, num_groups: What it was found from.
    """

    value: float
    low: float
    high: float
    floor: float
    num_rows: int
    num_groups: int


def mutual_information(
    first: Float[ndarray, " n"],
    second: Shaped[ndarray, " row"],
    groups: Shaped[ndarray, " label"] | None = None,
    *,
    discrete: bool = False,
    level: Number = 0.9,
    most: int = MOST,
    seed: int = 0,
) -> Information:
    """What two quantities say of one another, unchanged by monotone maps of either.

    Pairings are destroyed by rolling the second along rows in order of their groups,
    which leaves what neighbouring rows share in place.

    Args:
        first: A number a row.
        second: A number a row, or a class where `discrete`.
        groups: Of rows that are not independent; None: each row is its own.
        level: Of the interval.
        most: Rows drawn, at random, where there are more.

    Source: Kraskov, Stoegbauer and Grassberger 2004, 10.1103/PhysRevE.69.066138, eq. 8;
    Ross 2014, 10.1371/journal.pone.0087357, eq. 2, for classes.

    Raises:
        DataError: Too few rows or groups, or values that are not finite.

    >>> x = np.random.default_rng(0).normal(size=2000)
    >>> found = mutual_information(x, x**3 + np.roll(x, 7))
    >>> found.low > found.floor
    True
    """
    from scipy.special import stdtrit

    between("level", level, 0.01, 0.999)
    whole("most", most, 100)
    rng = np.random.default_rng(seed)
    groups = np.arange(len(first)) if groups is None else np.asarray(groups)
    if not len(first) == len(second) == len(groups):
        raise ValueError(
            f"expected as many rows of each; got {len(first)}, {len(second)} and"
            f" {len(groups)} (groups)."
        )
    if len(first) < 10 * NEIGHBORS:
        raise DataError(f"expected >= {10 * NEIGHBORS} rows; got {len(first)}.")
    if not np.isfinite(first).all() or not (discrete or np.isfinite(second).all()):
        raise DataError("expected finite values; drop the rows with NaN first.")
    if len(first) > most:
        rows = np.sort(rng.choice(len(first), most, replace=False))
        first, second, groups = first[rows], second[rows], groups[rows]
    order = np.argsort(groups, kind="stable")
    labels = np.unique(groups[order], return_inverse=True)[1]
    if labels[-1] < 1:
        raise DataError("expected >= 2 groups; got 1. Split the frame into regions.")
    x = _scores(first[order], rng)
    if discrete:
        y, terms_of = np.unique(second[order], return_inverse=True)[1], _class_terms
    else:
        y, terms_of = _scores(second[order], rng), _pair_terms
    terms = terms_of(x, y)
    value = float(terms.mean())
    error = _group_error(terms - value, labels)
    half = error * float(stdtrit(labels[-1], 0.5 + level / 2))
    rolls = rng.integers(len(x) // 10, len(x) - len(x) // 10, SHUFFLES)
    floor = max(float(terms_of(x, np.roll(y, int(roll))).mean()) for roll in rolls)
    return Information(
        value, value - half, value + half, floor, len(x), int(labels[-1]) + 1
    )


def _scores(values: ndarray, rng: np.random.Generator) -> Float[ndarray, " n"]:
    """Normal scores of the ranks; ties in random order."""
    from scipy.special import ndtri

    order = np.lexsort((rng.random(len(values)), values))
    ranks = np.empty(len(values))
    ranks[order] = np.arange(len(values))
    return ndtri((ranks + 0.5) / len(values))


def _pair_terms(
    x: Float[ndarray, " n"], y: Float[ndarray, " n"]
) -> Float[ndarray, " n"]:
    from scipy.spatial import KDTree
    from scipy.special import digamma

    points = np.stack([x, y], 1)
    distance, _ = KDTree(points).query(points, k=NEIGHBORS + 1, p=np.inf)
    radius = distance[:, -1]
    within = digamma(_inside(x, x, radius)) + digamma(_inside(y, y, radius))
    return digamma(NEIGHBORS) + digamma(len(x)) - within


def _class_terms(
    x: Float[ndarray, " n"], cls: Int[ndarray, " n"]
) -> Float[ndarray, " n"]:
    """Rows of classes seen once say nothing: zero."""
    from scipy.spatial import KDTree
    from scipy.special import digamma

    terms = np.zeros(len(x))
    for own in np.unique(cls):
        rows = np.flatnonzero(cls == own)
        if len(rows) < 2:
            continue
        near = min(NEIGHBORS, len(rows) - 1)
        mine = x[rows]
        distance, _ = KDTree(mine[:, None]).query(mine[:, None], k=near + 1)
        among = digamma(_inside(x, mine, distance[:, -1]))
        terms[rows] = digamma(len(x)) - digamma(len(rows)) + digamma(near) - among
    return terms


def _inside(
    values: Float[ndarray, " n"], at: Float[ndarray, " m"], radius: Float[ndarray, " m"]
) -> Int[ndarray, " m"]:
    """How many values lie nearer than the radius, itself among them."""
    ordered = np.sort(values)
    radius = radius * (1 - 1e-12)
    low = np.searchsorted(ordered, at - radius, "left")
    return np.maximum(np.searchsorted(ordered, at + radius, "right") - low, 1)


def _group_error(off: Float[ndarray, " n"], labels: Int[ndarray, " n"]) -> float:
    """Standard error of the mean, of rows that depend on others of their group."""
    sums = np.bincount(labels, off)
    number = len(sums)
    return float(np.sqrt(number / (number - 1) * np.square(sums).sum()) / len(off))
