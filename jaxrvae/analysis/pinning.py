"""Pinning sites: where the content repeats while the wall waits."""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive, whole
from jaxrvae._typing import Bool, Float, Int, Number, ndarray
from jaxrvae.analysis.growth import content_motion

STILL = 0.3  # standard deviations of content that a wall at rest moves, at most


def find_waits(
    maps: Float[ndarray, "frame row col latent"],
    walls: Bool[ndarray, "time down across"],
    *,
    still: Number = STILL,
) -> Int[ndarray, "row col"]:
    """The most frames in a row that a wall stood at each place and repeated itself.

    Args:
        maps: Dense contents of aligned frames.
        walls: Where a wall lies, frame by frame.
        still: Steps of the content (`content_motion`) that count as none.
    """
    positive("still", still)
    if walls.shape != maps.shape[:3]:
        raise DataError(
            f"expected walls of the maps' {maps.shape[:3]}; got {walls.shape}."
        )
    rests = (content_motion(maps) < still) & walls[1:] & walls[:-1]
    run = np.zeros(walls.shape[1:], int)
    longest = run.copy()
    for now in rests:
        run = np.where(now, run + 1, 0)
        longest = np.maximum(longest, run)
    return longest


def find_pins(
    waits: Int[ndarray, "row col"], least: int, reach: Number = 2.0
) -> pd.DataFrame:
    """Places where walls waited longest, apart from one another.

    More precise than complete: sites that hold a wall for less than `least`, or one
    stretch of wall together, are missed.

    Args:
        waits: As `find_waits` gives them.
        least: Steps that a wall waited, at least.
        reach: Places that a site is wide; sites nearer than twice that are one.

    Returns:
        A row a site, longest first: x, y (columns and rows of the map), wait (steps).

    >>> waits = np.zeros((9, 9), int)
    >>> waits[2, 6] = 8
    >>> find_pins(waits, 5).to_dict("records")
    [{'x': 6, 'y': 2, 'wait': 8}]
    """
    from scipy import ndimage

    whole("least", least, 1)
    positive("reach", reach)
    smooth = ndimage.gaussian_filter(waits.astype(float), reach / 2)
    held = ndimage.maximum_filter(waits, size=2 * int(np.ceil(reach)) + 1)
    order = np.argsort(-smooth, axis=None, kind="stable")
    order = order[held.ravel()[order] >= least]
    free = np.ones(waits.shape, bool)
    row, col = np.indices(waits.shape)
    sites = []
    for place in order:
        y, x = divmod(int(place), waits.shape[1])
        if not free[y, x]:
            continue
        free &= np.hypot(row - y, col - x) >= 2 * reach
        if smooth[y, x] == _around(smooth, y, x, reach):
            sites.append((x, y, int(held[y, x])))
    table = pd.DataFrame(sites, columns=["x", "y", "wait"])
    table = table.sort_values("wait", ascending=False, kind="stable")
    return table.reset_index(drop=True)


def _around(values: Float[ndarray, "row col"], y: int, x: int, reach: Number) -> float:
    far = int(np.ceil(reach))
    return float(
        values[max(y - far, 0) : y + far + 1, max(x - far, 0) : x + far + 1].max()
    )
