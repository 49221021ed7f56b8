"""Windows everywhere: points on a grid of every frame, as dense as one likes."""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, at_least, positive
from jaxrvae._typing import Number
from jaxrvae.data.containers import Frames


def grid_points(movie: Frames, step: Number, *, margin: Number = 0.0) -> pd.DataFrame:
    """Points `step` pixels apart in every frame, to cut patches around.

    A step of 1 is a window around every pixel. The grid lies centred in the frame.

    Args:
        movie: Frames of any shapes.
        step: Pixels between points along a row and between rows.
        margin: Pixels left free at each edge; half a window keeps every patch.

    Returns:
        One row a point, row by row: frame (its number), x and y (pixels).

    Raises:
        DataError: A frame has no room for a point.

    >>> from jaxrvae.data.containers import Frame
    >>> movie = Frames((Frame(np.zeros((5, 9))),))
    >>> grid_points(movie, 4).query("y == 0")["x"].tolist()
    [0.0, 4.0, 8.0]
    """
    positive("step", step, "It is in pixels.")
    at_least("margin", margin, 0)
    tables = []
    for frame in movie:
        places = [_places(size - 1, step, margin) for size in frame.shape[:2]]
        if not (len(places[0]) and len(places[1])):
            raise DataError(
                f"{frame.name or f'frame {frame.number}'}: expected room for a point;"
                f" {frame.shape[:2]} less a margin of {margin:g} has none. Lower it."
            )
        y, x = np.meshgrid(*places, indexing="ij")
        table = {"frame": frame.number, "x": x.ravel(), "y": y.ravel()}
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def _places(length: int, step: Number, margin: Number) -> np.ndarray:
    """Evenly from edge to edge, with what is left over shared by both."""
    room = length - 2 * margin
    if room < 0:
        return np.zeros(0)
    steps = np.floor(room / step + 1e-9)
    return margin + (room - steps * step) / 2 + step * np.arange(int(steps) + 1)
