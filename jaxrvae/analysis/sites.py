"""Pinning sites: places whose content stays another, where walls stayed for longer.

A defect changes the domain that it lies in, whichever way that is polarized: content
there differs from what it is elsewhere as far from a wall. One frame's noise hides
this; the mean over the frames does not. A site that also kept a wall for longer than
walls stay elsewhere has pinned it.
"""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive
from jaxrvae._typing import Bool, Float, Int, Number, ndarray

LEAST = 4.0  # robust standard deviations that a site's mark is above other places
LONGER = 1.25  # times the usual stay
FRAMES = 6  # that a place is seen off walls, at least, of a polarity
MARGIN = 1.5  # times the reach: a wall so near, bent by a site, marks others
ROUNDS = 150  # of sharpening
NOISE = 0.1  # standard deviations, added before it
MOST_BINS = 64  # of the distance to the nearest wall
NORMAL = 1.4826  # standard deviation over the median absolute deviation, of normals


def find_sites(
    maps: Float[ndarray, "frame row col latent"],
    distance: Float[ndarray, "time down across"],
    reach: Number,
    *,
    least: Number = LEAST,
    longer: Number = LONGER,
) -> pd.DataFrame:
    """Defects in a movie of domains, and which of them held a wall.

    Args:
        maps: Dense contents of aligned frames, any number of coordinates.
        distance: To the nearest wall, in places of the map, positive within positive
            domains; infinite in frames without walls.
        reach: Places from a site within which it holds a wall; sites nearer than half
            of that are one.
        least: Marks (`find_marks`) that count.
        longer: Times the usual stay of walls that a pinning site holds one, at least.

    Returns:
        A row a site, the longest stay first: x, y (columns and rows of the map), mark,
        stay (frames in a row that a wall was within reach), usual (median longest stay
        over the places off all sites that a wall visited) and held. Sites that no wall
        came near have held none; whether they would is not known.
    """
    positive("least", least)
    positive("longer", longer)
    marks = find_marks(maps, distance, reach)
    x, y = _find_peaks(marks, float(reach), float(least))
    stay = longest_stay(distance, reach)
    row, col = np.indices(stay.shape)
    off = np.ones(stay.shape, bool)
    for place in zip(x, y, strict=True):
        off &= np.hypot(col - place[0], row - place[1]) > 2 * reach
    usual = usual_stay(stay, off)
    found = pd.DataFrame({"x": x, "y": y, "mark": marks[y, x], "stay": stay[y, x]})
    found["usual"] = usual
    found["held"] = (found["stay"] > 0) & (found["stay"] >= longer * usual)
    found = found.sort_values("stay", ascending=False, kind="stable")
    return found.reset_index(drop=True)


def find_marks(
    maps: Float[ndarray, "frame row col latent"],
    distance: Float[ndarray, "time down across"],
    reach: Number,
) -> Float[ndarray, "row col"]:
    """How far the content of each place lasts off what is usual there.

    Usual is the median over all frames and places of one polarity and one distance
    from the walls, beyond 1.5 times the reach: a wall that waits is no mark. The mean
    of what is left is taken along the direction of content that varies most from place
    to place, against its scatter from frame to frame; towards the side of its longer
    tail, as defects are few. Both polarities are then averaged over their frames. Where
    a wall was that near nearly all the time, the same is done of all frames.

    Returns:
        In robust standard deviations over the places; zero where a place was in
        neither polarity for six frames.

    Raises:
        DataError: Shapes that do not agree, or no place that walls are far from.

    >>> rng = np.random.default_rng(0)
    >>> maps = rng.normal(size=(20, 9, 9, 2))
    >>> maps[:, 4, 5] += 3.0
    >>> marks = find_marks(maps, np.full((20, 9, 9), np.inf), 2.0)
    >>> np.unravel_index(int(marks.argmax()), marks.shape) == (4, 5)
    True
    """
    positive("reach", reach, "It is in places of the map.")
    if distance.shape != maps.shape[:3]:
        raise DataError(
            f"expected distances of the maps' {maps.shape[:3]}; got {distance.shape}."
        )
    off, seen = _marks(maps, distance, float(reach), MARGIN * float(reach))
    on, known = _marks(maps, distance, float(reach), 0.0)
    if not seen.any():
        raise DataError(
            f"expected places > {MARGIN * reach:g} off walls in >= {FRAMES} frames; got"
            " none. Take a smaller reach, or more frames."
        )
    return np.where(seen, off, np.where(known, on, 0.0))


def longest_stay(
    distance: Float[ndarray, "frame row col"], reach: Number
) -> Int[ndarray, "row col"]:
    """The most frames in a row that a wall was within reach of each place.

    >>> longest_stay(np.array([3.0, -1, 1, 4, 0])[:, None, None], 2).tolist()
    [[2]]
    """
    run = np.zeros(distance.shape[1:], int)
    longest = run.copy()
    for near in np.abs(distance) <= reach:
        run = np.where(near, run + 1, 0)
        longest = np.maximum(longest, run)
    return longest


def usual_stay(stay: Int[ndarray, "row col"], among: Bool[ndarray, "row col"]) -> float:
    """The median of the longest stays, of the places that a wall visited.

    >>> usual_stay(np.array([[0, 2, 3, 9]]), np.array([[True, True, True, False]]))
    2.5
    """
    visited = among & (stay > 0)
    return float(np.median(stay[visited])) if visited.any() else 0.0


def _marks(
    maps: Float[ndarray, "frame row col latent"],
    distance: Float[ndarray, "frame row col"],
    reach: float,
    margin: float,
) -> tuple[Float[ndarray, "row col"], Bool[ndarray, "row col"]]:
    """Marks from where no wall is nearer than the margin, and where there are any."""
    total, count = np.zeros((2, *maps.shape[1:3]))
    for sign in (1, -1):
        off = sign * distance > margin
        frames = off.sum(0)
        seen = frames >= FRAMES
        if seen.sum() <= 2 * maps.shape[-1]:
            continue
        mark = _lasting(maps, distance, off & seen, reach)
        total += np.where(seen, mark * frames, 0.0)
        count += np.where(seen, frames, 0)
    there = count > 0
    if not there.any():
        return total, there
    mean = total / np.maximum(count, 1)
    middle = np.median(mean[there])
    scale = NORMAL * np.median(np.abs(mean[there] - middle))
    return (mean - middle) / max(scale, 1e-30), there


def _lasting(
    maps: Float[ndarray, "frame row col latent"],
    distance: Float[ndarray, "frame row col"],
    off: Bool[ndarray, "frame row col"],
    reach: float,
) -> Float[ndarray, "row col"]:
    """Mean departure of each place, along the direction that tells places apart."""
    from scipy import ndimage

    bins = np.minimum(np.abs(distance[off]) * 2 / reach, MOST_BINS).astype(int)
    values = maps[off].astype(float)
    names = np.unique(bins)
    usual = np.stack([ndimage.median(part, bins, names) for part in values.T], axis=-1)
    left = values - usual[np.searchsorted(names, bins)]
    place = np.nonzero(off.reshape(len(off), -1))[1]
    number = off[0].size
    frames = np.bincount(place, minlength=number)
    sums = [np.bincount(place, part, number) for part in left.T]
    mean = np.stack(sums, -1) / np.maximum(frames, 1)[:, None]
    scatter = left - mean[place]
    spread = np.atleast_2d(np.cov(scatter.T))
    spread += 1e-9 * np.trace(spread) * np.eye(len(spread)) + 1e-30 * np.eye(
        len(spread)
    )
    whitened = np.linalg.solve(np.linalg.cholesky(spread), mean.T).T
    rows, weights = whitened[frames > 0], frames[frames > 0]
    along = np.linalg.eigh(np.atleast_2d(np.cov(rows.T, aweights=weights)))[1][:, -1]
    mark = whitened @ along
    own = mark[frames > 0]
    middle = np.median(own)
    tail = np.average((own - middle) ** 3, weights=weights)
    return ((mark - middle) * (1 if tail >= 0 else -1)).reshape(off.shape[1:])


def _find_peaks(
    marks: Float[ndarray, "row col"], reach: float, least: float
) -> tuple[Int[ndarray, " site"], Int[ndarray, " site"]]:
    """Columns and rows of sites, also of those that overlap, strongest first.

    Marks are taken for a sum of one profile, that of the sites themselves.
    """
    from scipy import ndimage

    x, y = _peaks(marks, marks, reach, least)
    profile = _profile(marks, x, y, reach)
    if profile is None:
        return x, y
    sharp = _sharpened(np.clip(marks, 0, None) + NOISE, profile)
    height = 25 * ndimage.uniform_filter(sharp, 5)  # of a profile, all of one site
    close = ndimage.gaussian_filter(sharp, 0.8)
    col, row = _peaks(close, np.minimum(height, marks), 0.5 * reach, least)
    for first in zip(x, y, strict=True):  # what sharpening loses, as at the border
        if (np.hypot(col - first[0], row - first[1]) >= reach).all():
            col, row = np.append(col, first[0]), np.append(row, first[1])
    return col, row


def _peaks(
    values: Float[ndarray, "row col"],
    heights: Float[ndarray, "row col"],
    reach: float,
    least: float,
) -> tuple[Int[ndarray, " site"], Int[ndarray, " site"]]:
    """Highest values first, each farther than the reach from those before."""
    from scipy import ndimage

    near = 2 * max(int(np.ceil(reach / 2)), 1) + 1
    top = (values == ndimage.maximum_filter(values, near)) & (heights >= least)
    top[[0, -1]] = top[:, [0, -1]] = False  # beyond the border it may be higher
    row, col = np.nonzero(top)
    kept: list[int] = []
    for i in np.argsort(-values[row, col], kind="stable"):
        away = np.hypot(row[kept] - row[i], col[kept] - col[i])
        if (away >= reach).all():
            kept.append(int(i))
    return col[kept], row[kept]


def _profile(
    marks: Float[ndarray, "row col"],
    x: Int[ndarray, " site"],
    y: Int[ndarray, " site"],
    reach: float,
) -> Float[ndarray, "side side"] | None:
    """A lone site's marks, of height one; None where all sites lie at the border."""
    from scipy import ndimage

    far = int(np.ceil(2.5 * reach))
    around = np.arange(-far, far + 1)
    rings = np.rint(2 * np.hypot(around[:, None], around)).astype(int)
    names = np.unique(rings)
    found = []
    for col, row in zip(x, y, strict=True):
        if min(col, row) >= far and col + far < marks.shape[1]:
            cut = marks[row - far : row + far + 1, col - far : col + far + 1]
            if cut.shape == rings.shape:
                found.append(ndimage.median(cut / marks[row, col], rings, names))
    if not found:
        return None
    lone = np.quantile(found, 0.3, axis=0)  # what lies beside others is higher
    lone = np.minimum.accumulate(np.clip(lone, 0, 1))
    lone = (lone - lone[-1]) / max(lone[0] - lone[-1], 1e-6)
    return np.interp(rings, names, lone)


def _sharpened(
    values: Float[ndarray, "row col"], profile: Float[ndarray, "side side"]
) -> Float[ndarray, "row col"]:
    """What the profile has made the values of.

    Source: Richardson 1972, 10.1364/JOSA.62.000055.
    """
    from scipy.signal import fftconvolve

    inside = fftconvolve(np.ones_like(values), profile, mode="same")
    sharp = np.full_like(values, values.mean() / profile.sum())
    for _ in range(ROUNDS):
        ratio = values / np.maximum(fftconvolve(sharp, profile, mode="same"), 1e-6)
        sharp = sharp * fftconvolve(ratio, profile, mode="same") / inside
    return np.maximum(sharp, 0.0)
