"""Domains as numbers: walls' length and bending, areas, and what a step displaced."""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError
from jaxrvae._typing import Float, Number
from jaxrvae.data.containers import Frames
from jaxrvae.locate.polarity import find_polarity
from jaxrvae.locate.walls import find_walls, polarity_field

SURE = 0.9  # confidence of the points whose bending is taken


def measure_domains(
    movie: Frames,
    *,
    drift: pd.DataFrame | None = None,
    min_size: Number | None = None,
    amplitude: str | None = None,
    phase: str | None = None,
    offset: Number | None = None,
) -> pd.DataFrame:
    """A row a frame: how long its walls are, and what moved since the frame before.

    Args:
        movie: As `find_walls` takes it.
        drift: frame, x, y: pixels since the first frame, taken off before frames are
            compared; None: they lie on one another.
        min_size, amplitude, phase, offset: As `find_walls` takes them.

    Returns:
        frame; walls (how many); length (nm) of all together; curvature (one over nm,
        the median size of it); positive (share of the field); displaced (square nm
        whose polarity is another than in the frame before) and grown (the positive
        domains' gain in it); of the field that both frames show. Pixels take the place
        of nm where the pixel size is not known.

    Raises:
        DataError: As `find_walls`; or frames of different shapes.
    """
    polar = find_polarity(movie, amplitude=amplitude, phase=phase, offset=offset)
    if len({frame.shape for frame in polar}) > 1:
        raise DataError(
            "expected frames of one shape, to compare them; got several. Measure them"
            " one by one: measure_domains(movie[i:i+1])."
        )
    moved = _moves(movie, drift)
    walls = find_walls(polar, min_size=min_size)
    rows, before = [], None
    for i, frame in enumerate(polar):
        unit = frame.pixel_size or 1.0
        own = walls[walls["frame"] == frame.number]
        arcs = np.asarray(own.groupby("wall")["arc"].max())
        seen = _fixed(polarity_field(frame, min_size).values, moved[i])
        change = np.full(2, np.nan)
        if before is not None:
            both = np.isfinite(seen) & np.isfinite(before)
            gained = both & (seen > 0) & (before <= 0)
            lost = both & (seen <= 0) & (before > 0)
            change = np.array([gained.sum() + lost.sum(), gained.sum() - lost.sum()])
        sure = np.asarray(own["confidence"]) > SURE
        bend = np.abs(np.asarray(own["curvature"])[sure])
        rows.append(
            {
                "frame": frame.number,
                "walls": len(arcs),
                "length": float(arcs.sum()) * unit,
                "curvature": float(np.median(bend)) / unit if len(bend) else np.nan,
                "positive": float((seen[np.isfinite(seen)] > 0).mean()),
                "displaced": float(change[0]) * unit**2,
                "grown": float(change[1]) * unit**2,
            }
        )
        before = seen
    return pd.DataFrame(rows)


def _moves(movie: Frames, drift: pd.DataFrame | None) -> Float[np.ndarray, "frame 2"]:
    if drift is None:
        return np.zeros((len(movie), 2))
    if not {"frame", "x", "y"} <= set(drift.columns):
        raise DataError(
            f"drift must have the columns frame, x and y; got {list(drift.columns)}."
        )
    table = drift.set_index("frame")[["x", "y"]]
    missing = sorted(set(movie.numbers.tolist()) - set(table.index))
    if missing:
        raise DataError(f"drift must have a row for every frame; lacks {missing[:5]}.")
    return table.loc[movie.numbers].to_numpy(float)


def _fixed(
    values: Float[np.ndarray, "row col"], move: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "row col"]:
    """The field where the first frame has it; NaN beyond the frame's edge."""
    from scipy.ndimage import shift

    if not move.any():
        return values
    return shift(values, -move[::-1], order=1, mode="constant", cval=np.nan)
