"""How far tracked atoms hop, in bonds of the lattice that they hop on."""

import numpy as np
import pandas as pd

from jaxrvae._checks import positive
from jaxrvae._typing import Number
from jaxrvae.locate.position_drift import shift_of_frames
from jaxrvae.locate.tracking import check_positions

REST = 0.5  # bonds: what moves less has stayed on its site
SHELLS = np.sqrt([1, 3, 4, 7, 9, 12, 13, 16])  # bonds: distances in a honeycomb
BONDS = np.array([1, 2, 3, 3, 4, 4, 5, 5])  # and how many bonds lead there


def measure_hops(
    table: pd.DataFrame, *, bond: Number, drift: pd.DataFrame | None = None
) -> pd.DataFrame:
    """A row for every time that a tracked atom was seen on another site than before.

    Columns: track; frame (the first that shows it there); elapsed (frames since it was
    seen before); x, y (pixels, before); dx, dy (pixels, y downwards, without drift);
    length (in bonds); bonds (how many lead to the site of a honeycomb whose distance is
    nearest; 0 beyond 4 bonds' length); off_site (bonds between the two: above .2 it is
    no hop from site to site, or the drift is wrong; NaN beyond).

    Args:
        table: Columns frame, x, y (pixels) and track, as `jaxrvae.link` gives them.
        bond: Distance of neighbours, pixels.
        drift: Columns frame, x, y (pixels since the first frame), as
            `jaxrvae.find_drift` or `jaxrvae.locate.position_drift.drift_of_positions`
            gives them; None: positions are without drift.

    Raises:
        DataError: Columns are missing or not finite; the drift lacks frames.

    >>> seen = pd.DataFrame({"frame": [0, 1, 3], "x": [5.0, 5.2, 15.1], "y": 4.0})
    >>> hops = measure_hops(seen.assign(track=0), bond=10.0)
    >>> hops["elapsed"].tolist(), hops["length"].round(2).tolist()
    ([2], [0.99])
    """
    positive("bond", bond, "It is in pixels.")
    check_positions(table, ("x", "y", "track"))
    own = table.loc[:, ["track", "frame", "x", "y"]]
    own = own.sort_values(by=["track", "frame"], ignore_index=True)
    still = own[["x", "y"]].to_numpy(np.float64)
    if drift is not None:
        still = still - shift_of_frames(drift, own["frame"].to_numpy())
    step, before = np.diff(still, axis=0), own.iloc[:-1]
    length = np.hypot(*step.T) / float(bond)
    same = np.diff(own["track"].to_numpy()) == 0
    went = same & (length > REST)
    nearest = np.abs(length[:, None] - SHELLS).argmin(axis=1)
    known = length < SHELLS[-1] + REST
    hops = pd.DataFrame(
        {
            "track": before["track"].to_numpy(),
            "frame": own["frame"].to_numpy()[1:],
            "elapsed": np.diff(own["frame"].to_numpy()),
            "x": before["x"].to_numpy(),
            "y": before["y"].to_numpy(),
            "dx": step[:, 0],
            "dy": step[:, 1],
            "length": length,
            "bonds": np.where(known, BONDS[nearest], 0),
            "off_site": np.where(known, length - SHELLS[nearest], np.nan),
        }
    )
    return hops.loc[went].reset_index(drop=True)
