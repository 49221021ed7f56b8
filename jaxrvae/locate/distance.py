"""How far each place of a PFM frame lies from the nearest wall, and on which side."""

import numpy as np
import pandas as pd

from jaxrvae._typing import Float, ndarray
from jaxrvae.data.containers import Frames
from jaxrvae.locate.walls import polarity_field


def wall_distance(
    movie: Frames,
    walls: pd.DataFrame,
    x: Float[ndarray, " col"],
    y: Float[ndarray, " row"],
) -> Float[ndarray, "frame row col"]:
    """Pixels to the nearest point of a wall, positive within positive domains.

    Args:
        movie: Of polarity, as `find_polarity` gives it.
        walls: As `find_walls` gives them, spaced a pixel or so.
        x, y: Columns and rows of a grid, pixels.

    Returns:
        Infinite, with the sign of the domain, in frames without walls.

    >>> from jaxrvae.data.containers import Frame
    >>> column = np.tile(np.arange(32.0) - 15.5, (32, 1))
    >>> both = Frame(np.stack([column, abs(column)], axis=-1))
    >>> movie = Frames((both,), channels=("polarity", "amplitude"))
    >>> walls = pd.DataFrame({"frame": 0, "x": 15.5, "y": np.arange(32.0)})
    >>> wall_distance(movie, walls, np.array([3.0, 20.0]), np.array([8.0])).tolist()
    [[[-12.5, 4.5]]]
    """
    from scipy.ndimage import map_coordinates
    from scipy.spatial import KDTree

    row, col = (part.ravel() for part in np.meshgrid(y, x, indexing="ij"))
    found = []
    for frame in movie:
        own = walls.loc[walls["frame"] == frame.number, ["x", "y"]].to_numpy(float)
        far = np.full(len(row), np.inf)
        if len(own):
            far = np.asarray(KDTree(own).query(np.stack([col, row], -1))[0])
        field = polarity_field(frame).values
        side = map_coordinates(field, (row, col), order=1, mode="nearest")
        found.append(np.copysign(far, side).reshape(len(y), len(x)))
    return np.stack(found)
