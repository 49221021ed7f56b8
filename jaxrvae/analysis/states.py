"""States: groups of content that many fits to resampled patches agree on."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, between, one_of, whole
from jaxrvae._typing import Float, Int, Number, ndarray
from jaxrvae.analysis.clusters import densest
from jaxrvae.analysis.mixture import LEAST_COUNT
from jaxrvae.analysis.state_fits import (
    How,
    Member,
    fit_crowds,
    fit_mixture,
    fit_process,
)

METHODS = ("gmm", "dirichlet", "hdbscan")
OVERLAP = 0.1  # of a state, taken for another: the two are one
NUM_MEMBERS = 8
MOST_STATES = 12
DRAWN = 20_000  # rows that a member sees
BLOCK = 100_000  # rows classified at a time
JUDGED = 20_000  # rows that members are compared on


@dataclasses.dataclass(frozen=True, eq=False)
class States:
    """States of content, largest first.

    Attributes:
        labels: (n,) state of every row; -1 for rows that hdbscan gives to none.
        probabilities: (n, k) mean over the members; rows of zeros where labels are -1.
        means, covariances: (k, d) and (k, d, d) of each state's contents.
        counts: (k,) rows.
        stability: (k,) mean overlap (Jaccard index) of a state with its like in the
            members; near 1 where every resample has it.
        agreement: Mean adjusted Rand index between members.
        representatives: (k,) row of each state whose neighbors in it are nearest.
        found: How many states each member found.
        members: The fits themselves.
    """

    labels: Int[ndarray, " n"]
    probabilities: Float[ndarray, "n k"]
    means: Float[ndarray, "k latent"]
    covariances: Float[ndarray, "k latent latent"]
    counts: Int[ndarray, " k"]
    stability: Float[ndarray, " k"]
    agreement: float
    representatives: Int[ndarray, " k"]
    found: tuple[int, ...]
    members: Sequence[Member] = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.means)

    def classify(
        self, content: Float[ndarray, "n latent"]
    ) -> tuple[Int[ndarray, " n"], Float[ndarray, "n k"]]:
        """Labels and probabilities of other contents."""
        content = np.asarray(content, np.float64)
        if content.ndim != 2 or content.shape[1] != self.means.shape[1]:
            raise ValueError(
                f"content must be (n, {self.means.shape[1]}); got {content.shape}."
            )
        return _classified(self.members, content)

    def to_dataframe(self) -> pd.DataFrame:
        """A row a state: count, share, stability, representative and mean content."""
        table = pd.DataFrame(
            {
                "state": range(len(self)),
                "count": self.counts,
                "share": self.counts / len(self.labels),
                "stability": self.stability,
                "representative": self.representatives,
            }
        )
        for i, values in enumerate(self.means.T):
            table[f"content_{i}"] = values
        return table


def find_states(
    content: Float[ndarray, "n latent"],
    *,
    num_states: int | str = "auto",
    method: str = "gmm",
    frames: ndarray | None = None,
    num_members: int = NUM_MEMBERS,
    max_states: int = MOST_STATES,
    overlap: Number = OVERLAP,
    seed: int = 0,
) -> States:
    """Groups of content that fits to resampled rows agree on.

    Each member is fitted to resampled rows (whole frames, where they are given), in
    which crowded contents are thinned out so that rare ones are not lost. Components
    that overlap are one state. Kept are as many states as most members find; what a
    row belongs to is the mean of the members.

    Args:
        content: (n, d).
        num_states: How many, or "auto".
        method: "gmm" (mixtures of Gaussians, their number by BIC), "dirichlet" (a
            Dirichlet process of them) or "hdbscan" (density; leaves outliers to none).
        frames: (n,) frame of every row: rows of one are drawn together.
        num_members: Fits.
        max_states: At most so many Gaussians.
        overlap: Share of the one taken for the other, from which two are one.
        seed: Of all that is drawn.

    Raises:
        DataError: Contents that are not finite, or fewer than 5 a state.

    Source: Fraley & Raftery 2002, JASA 97, 611; Hennig 2010, Adv. Data Anal. Classif.
    4, 3 (merging); Hennig 2007, Comput. Stat. Data Anal. 52, 258 (stability by the
    Jaccard index); Campello et al. 2013 (HDBSCAN).

    >>> content = np.random.default_rng(0).normal(size=(900, 2))
    >>> content[:30] += 8
    >>> found = find_states(content)
    >>> found.counts.tolist(), bool(found.stability.min() > 0.95)
    ([870, 30], True)
    """
    content = np.asarray(content, np.float64)
    one_of("method", method, METHODS)
    whole("num_members", num_members, 1)
    whole("max_states", max_states, 1)
    between("overlap", overlap, 0, 1)
    given = _given(content, num_states)
    if method == "hdbscan" and given is not None:
        raise ValueError("hdbscan finds its number of states; leave num_states 'auto'.")
    groups = _groups(frames, len(content))
    spread = content.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    how = How(content.mean(0), spread, given, max_states, float(overlap))
    fit = {"gmm": fit_mixture, "dirichlet": fit_process, "hdbscan": fit_crowds}[method]
    members: list[Member] = []
    for number in range(num_members):
        rng = np.random.default_rng([seed, number])
        drawn = how.standardized(content[_drawn(groups, rng)])
        members.append(fit(drawn, how, rng))
    return _consensus(members, content, np.random.default_rng(seed))


def shares_by_frame(
    states: States | Int[ndarray, " n"], frames: ndarray, *, level: Number = 0.9
) -> pd.DataFrame:
    """Share of every state in every frame.

    Args:
        states: Or the label of every row; -1 counts as none of them.
        frames: (n,) frame of every row.
        level: Of the interval, by Jeffreys' prior: for rows that are independent.

    Returns:
        Columns frame, state, count, share, low, high; sorted so.

    >>> found = shares_by_frame(np.array([0, 0, 1, 0]), np.array([3, 3, 3, 4]))
    >>> found["share"].round(2).tolist()
    [0.67, 0.33, 1.0, 0.0]
    """
    from scipy.stats import beta

    between("level", level, 0, 1)
    labels = states.labels if isinstance(states, States) else np.asarray(states)
    if len(labels) != len(frames):
        raise ValueError(f"expected {len(labels)} frames; got {len(frames)}.")
    number = len(states) if isinstance(states, States) else int(labels.max()) + 1
    names, index = np.unique(frames, return_inverse=True)
    known = labels >= 0
    counts = np.zeros((len(names), number), int)
    np.add.at(counts, (index[known], labels[known]), 1)
    total = np.bincount(index, minlength=len(names))[:, None]
    low, high = (
        beta.ppf(share, counts + 0.5, total - counts + 0.5)
        for share in ((1 - level) / 2, (1 + level) / 2)
    )
    return pd.DataFrame(
        {
            "frame": np.repeat(names, number),
            "state": np.tile(np.arange(number), len(names)),
            "count": counts.ravel(),
            "share": (counts / total).ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
    )


def _given(content: Float[ndarray, "n latent"], num_states: int | str) -> int | None:
    """The number of states asked for; None where it is to be found."""
    if content.ndim != 2 or not content.shape[1]:
        raise ValueError(f"content must be (n, content_dim); got {content.shape}.")
    if not np.isfinite(content).all():
        bad = int((~np.isfinite(content)).any(axis=1).sum())
        raise DataError(
            f"expected finite contents; {bad} of {len(content)} are not. Leave those"
            " rows out."
        )
    if isinstance(num_states, str) and num_states != "auto":
        raise ValueError(
            f"num_states must be 'auto' or a whole number; got {num_states!r}."
        )
    given = None if isinstance(num_states, str) else num_states
    if given is not None:
        whole("num_states", given, 1, "Or 'auto'.")
    least = LEAST_COUNT * (given or 1)
    if len(content) < least:
        raise DataError(
            f"expected at least {least} contents for {given or 1} states; got"
            f" {len(content)}. Cut more patches, or ask for fewer states."
        )
    return given


def _groups(frames: ndarray | None, number: int) -> Int[ndarray, " n"]:
    """What is drawn together; rows alone where there are few frames."""
    if frames is None:
        return np.arange(number)
    frames = np.asarray(frames)
    if frames.shape != (number,):
        raise ValueError(f"frames must hold one a content; got {frames.shape}.")
    names, groups = np.unique(frames, return_inverse=True)
    return groups if len(names) >= NUM_MEMBERS else np.arange(number)


def _drawn(groups: Int[ndarray, " n"], rng: np.random.Generator) -> Int[ndarray, " m"]:
    """Rows of four fifths of the groups: a bootstrap's repeats look like crowds."""
    number = groups.max() + 1
    kept = rng.random(number) < 0.8
    rows = np.flatnonzero(kept[groups])
    if len(rows) < LEAST_COUNT:
        rows = np.arange(len(groups))
    return rng.permutation(rows)[:DRAWN]


def _consensus(
    members: list[Member], content: Float[ndarray, "n latent"], rng: np.random.Generator
) -> States:
    """As many states as most members find, in the terms of the most agreeable."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score

    judged = content[rng.permutation(len(content))[:JUDGED]]
    tables = [member(judged) for member in members]
    labels = [_labels(table) for table in tables]
    found = tuple(table.shape[1] for table in tables)
    number = max(set(found), key=lambda k: (found.count(k), k))  # missed more than made
    alike = np.array([[adjusted_rand_score(a, b) for b in labels] for a in labels])
    usual = [i for i, k in enumerate(found) if k == number]
    reference = max(usual, key=lambda i: alike[i].sum())
    order = np.argsort(
        -np.bincount(labels[reference][labels[reference] >= 0], minlength=number),
        kind="stable",
    )
    kept: list[Member] = []
    overlaps = []
    for i, member in enumerate(members):
        jaccard = _jaccard(labels[reference], labels[i], number, found[i])[order]
        rows, columns = linear_sum_assignment(-jaccard)
        best = np.zeros(number)
        best[rows] = jaccard[rows, columns]
        if i != reference:
            overlaps.append(best)
        if found[i] == number:
            kept.append(_reordered(member, columns))
    stability = np.mean(overlaps, axis=0) if overlaps else np.ones(number)
    off = ~np.eye(len(members), dtype=bool)
    agreement = float(alike[off].mean()) if len(members) > 1 else 1.0
    own, probabilities = _classified(kept, content)
    counts = np.bincount(own[own >= 0], minlength=number)
    if (counts == 0).any():  # states that the members' mean gives no row
        full = np.flatnonzero(counts)
        kept = [_reordered(member, full) for member in kept]
        own, probabilities = _classified(kept, content)
        counts, stability = counts[full], stability[full]
    order = np.argsort(-counts, kind="stable")
    kept = [_reordered(member, order) for member in kept]
    place = np.append(np.argsort(order), -1)
    own, probabilities = place[own], probabilities[:, order]
    rows = [np.flatnonzero(own == i) for i in range(len(order))]
    mine = [content[of] for of in rows]
    return States(
        labels=own,
        probabilities=probabilities,
        means=np.array([points.mean(axis=0) for points in mine]),
        covariances=np.array(
            [np.cov(p.T, bias=True).reshape(p.shape[1], -1) for p in mine]
        ),
        counts=counts[order],
        stability=stability[order],
        agreement=agreement,
        representatives=np.array(
            [of[densest(points)] for of, points in zip(rows, mine, strict=True)]
        ),
        found=found,
        members=kept,
    )


def _reordered(member: Member, columns: ndarray) -> Member:
    return lambda content: member(content)[:, columns]


def _labels(probabilities: Float[ndarray, "n k"]) -> Int[ndarray, " n"]:
    return np.where(probabilities.sum(axis=1) > 0.5, probabilities.argmax(axis=1), -1)


def _classified(
    members: Sequence[Member], content: Float[ndarray, "n latent"]
) -> tuple[Int[ndarray, " n"], Float[ndarray, "n k"]]:
    """By the mean of the members, a block of rows at a time."""
    from threadpoolctl import threadpool_limits

    parts = []
    with threadpool_limits(1, user_api="blas"):
        for start in range(0, len(content), BLOCK):
            block = content[start : start + BLOCK]
            parts.append(sum(member(block) for member in members) / len(members))
    probabilities = np.concatenate(parts)
    labels = _labels(probabilities)
    return labels, np.where((labels >= 0)[:, None], probabilities, 0.0)


def _jaccard(
    first: Int[ndarray, " n"], second: Int[ndarray, " n"], rows: int, columns: int
) -> Float[ndarray, "{rows} {columns}"]:
    """Overlap of every state of the one with every one of the other."""
    known = (first >= 0) & (second >= 0)
    both = np.zeros((rows, columns))
    np.add.at(both, (first[known], second[known]), 1)
    one = np.bincount(first[first >= 0], minlength=rows)[:, None]
    other = np.bincount(second[second >= 0], minlength=columns)
    return both / np.maximum(one + other - both, 1)
