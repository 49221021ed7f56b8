"""Domain walls over the polarity they were found in."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxrvae.data.containers import Frames
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 10.4  # inches
MOST_ACROSS = 3


def wall_maps(movie: Frames, walls: pd.DataFrame) -> "Figure":
    """Frames side by side, each with its walls as lines.

    Args:
        movie: Of polarity, as `find_polarity` gives it.
        walls: As `find_walls` gives them.
    """
    columns = min(len(movie), MOST_ACROSS)
    rows = -(-len(movie) // columns)
    side = WIDTH / max(columns, 2)
    height, width = movie[0].shape[:2]
    with style.styled():
        figure, axes = style.new_figure(
            side * columns, rows * (side * height / width + 0.25), rows, columns
        )
        for axis in axes.flat[len(movie) :]:
            axis.set_visible(False)
        for axis, frame in zip(axes.flat, movie, strict=False):
            style.show_frame(axis, frame)
            own = walls.loc[walls["frame"] == frame.number]
            points, wall = np.asarray(own[["x", "y"]]), np.asarray(own["wall"])
            step = float(np.median(np.diff(own["arc"]))) if len(own) > 1 else 0.0
            for index in np.unique(wall):
                xy = points[wall == index]
                if np.hypot(*(xy[0] - xy[-1])) < 2 * step:  # closed
                    xy = np.concatenate([xy, xy[:1]])
                axis.plot(*xy.T, color="black", lw=1.0)
            axis.set_title(frame.name or f"frame {frame.number}")
        return figure
