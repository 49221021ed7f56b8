"""Fields of content and angle over the sample, on a grid."""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive
from jaxrvae._typing import Float, Number, ndarray


def make_field(
    table: pd.DataFrame,
    name: str,
    step: Number,
    *,
    shape: tuple[int, int] | None = None,
    symmetry: Number | None = None,
) -> Float[ndarray, "row col"]:
    """The mean of a column over squares of the sample; NaN where there is no row.

    Args:
        table: Of one frame: x and y (pixels), and the column.
        name: The column.
        step: Side of a square, pixels; the first begins at pixel -0.5.
        shape: Squares down and across; None: as many as hold all rows.
        symmetry: Of angles (radians), the order n that they are meant modulo 2 pi / n;
            their mean is the one on the circle, nearest to zero. None: plain numbers.

    >>> table = pd.DataFrame({"x": [0, 1, 5], "y": [0, 1, 0], "a": [1.0, 3.0, 7.0]})
    >>> make_field(table, "a", 4).tolist()
    [[2.0, 7.0]]
    """
    positive("step", step, "It is in pixels.")
    missing = [column for column in ("x", "y", name) if column not in table]
    if missing or not len(table):
        raise DataError(
            f"expected rows with x, y and {name}; got {len(table)} rows of"
            f" {list(table.columns)}."
        )
    values = table[name].to_numpy(float)
    known = np.isfinite(values)
    places = np.floor((table[["x", "y"]].to_numpy(float) + 0.5) / step).astype(int)
    if shape is None:
        shape = int(places[:, 1].max()) + 1, int(places[:, 0].max()) + 1
    known &= (places >= 0).all(1) & (places < [shape[1], shape[0]]).all(1)
    flat = places[known, 1] * shape[1] + places[known, 0]
    number = shape[0] * shape[1]
    count = np.bincount(flat, minlength=number)
    if symmetry is None:
        sums = np.bincount(flat, values[known], number)
        mean = sums / np.maximum(count, 1)
    else:
        positive("symmetry", symmetry)
        waves = symmetry * values[known]
        sine, cosine = (np.bincount(flat, f(waves), number) for f in (np.sin, np.cos))
        mean = np.arctan2(sine, cosine) / symmetry
    return np.where(count > 0, mean, np.nan).reshape(shape)
