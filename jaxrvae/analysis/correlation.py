"""How far a field is like itself: correlation with distance, and its length."""

import dataclasses

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive
from jaxrvae._typing import Complex, Float, Number, ndarray

LEAST_PAIRS = 0.05  # of all known places, for a distance to be told
BLOCKS = 4  # along each side, that errors of means are taken over


@dataclasses.dataclass(frozen=True, eq=False)
class Correlation:
    """Of a field with itself.

    Attributes:
        distance: Of each value, in the step's unit; whole steps from zero.
        value: 1 at distance zero.
        length: Where it first falls below 1/e, between distances linearly; infinite
            where it does not.
    """

    distance: Float[ndarray, " bin"]
    value: Float[ndarray, " bin"]
    length: float


def correlation_of(
    field: Float[ndarray, "row col"],
    step: Number = 1.0,
    *,
    symmetry: Number | None = None,
) -> Correlation:
    """Mean product of a field's deviations at all pairs of places, by distance.

    Places that are not known (NaN) are left out of pairs. Angles enter as exp(i n
    angle), whose mean stays in: a field of one angle is correlated for ever. Numbers
    have their mean taken out, so lengths beyond a quarter of the field are too short.

    Args:
        field: Evenly spaced.
        step: From place to place, in any unit.
        symmetry: Of angles (radians), the order n; None: plain numbers.

    Raises:
        DataError: Nothing is known, or nothing changes.

    >>> wave = np.sin(2 * np.pi * np.arange(64) / 16) * np.ones((64, 1))
    >>> correlation_of(wave).length > 2
    True
    """
    positive("step", step)
    known = np.isfinite(field)
    waves = _waves(field, known, symmetry)
    power = float(np.square(np.abs(waves)).sum())
    if not power > 1e-12 * max(1.0, float(np.nansum(np.square(field)))):
        raise DataError("expected a field that changes; got one value, or none known.")
    padded = [2 * side for side in field.shape]
    product = np.fft.ifft2(np.abs(np.fft.fft2(waves, padded)) ** 2).real
    pairs = np.fft.ifft2(np.abs(np.fft.fft2(known, padded)) ** 2).real
    down, across = (np.fft.fftfreq(side, 1 / side) for side in padded)
    ring = np.rint(np.hypot(down[:, None], across)).astype(int).ravel()
    sums, count = (np.bincount(ring, part.ravel()) for part in (product, pairs))
    places = np.bincount(ring)
    good = count > LEAST_PAIRS * known.sum() * places
    last = int(np.argmin(good)) if not good.all() else len(good)
    value = sums[:last] / count[:last] / (power / known.sum())
    distance = step * np.arange(last, dtype=float)
    return Correlation(distance, value, _falls_to(distance, value, np.exp(-1)))


def time_series(
    table: pd.DataFrame, names: list[str], groups: str | None = None
) -> pd.DataFrame:
    """Mean and its standard error of columns, per frame.

    Args:
        table: frame, and the columns; without groups also x and y.
        names: Columns of plain numbers.
        groups: Column of what is independent in a frame; None: sixteen regions of the
            frame, as neighbours are alike.

    >>> table = pd.DataFrame({"frame": [0, 0, 1, 1], "a": [1.0, 3.0, 5.0, 5.0]})
    >>> series = time_series(table.assign(g=[0, 1, 0, 1]), ["a"], "g")
    >>> series["a"].tolist(), series["a_error"].tolist()
    ([2.0, 5.0], [1.0, 0.0])
    """
    needed = ["frame", *names, *([groups] if groups else ["x", "y"])]
    missing = [name for name in needed if name not in table]
    if missing:
        raise DataError(f"expected columns {needed}; {missing} are not there.")
    rows = []
    for number, own in table.groupby("frame"):
        row = {"frame": number, "number": len(own)}
        label = own[groups].to_numpy() if groups else _blocks(own)
        for name in names:
            row[name], row[f"{name}_error"] = _mean(own[name].to_numpy(float), label)
        rows.append(row)
    return pd.DataFrame(rows)


def _waves(
    field: Float[ndarray, "row col"], known: ndarray, symmetry: Number | None
) -> Float[ndarray, "row col"] | Complex[ndarray, "row col"]:
    if symmetry is None:
        mean = field[known].mean() if known.any() else 0.0
        return np.where(known, field - mean, 0.0)
    positive("symmetry", symmetry)
    return np.where(known, np.exp(1j * symmetry * np.where(known, field, 0.0)), 0.0)


def _falls_to(distance: ndarray, value: ndarray, level: float) -> float:
    below = np.flatnonzero(value < level)
    if not len(below):
        return float("inf")
    i = below[0]
    part = (value[i - 1] - level) / (value[i - 1] - value[i])
    return float(distance[i - 1] + part * (distance[i] - distance[i - 1]))


def _blocks(own: pd.DataFrame) -> ndarray:
    places = own[["x", "y"]].to_numpy(float)
    low, size = places.min(0), np.maximum(np.ptp(places, axis=0), 1e-9)
    cell = np.minimum((places - low) / size * BLOCKS, BLOCKS - 1).astype(int)
    return cell[:, 0] * BLOCKS + cell[:, 1]


def _mean(values: Float[ndarray, " n"], label: ndarray) -> tuple[float, float]:
    """Mean of the known values, and its error over groups; NaN below two groups."""
    known = np.isfinite(values)
    if not known.any():
        return float("nan"), float("nan")
    mean = values[known].mean()
    group = np.unique(label[known], return_inverse=True)[1]
    off = np.bincount(group, values[known] - mean)
    if len(off) < 2:
        return float(mean), float("nan")
    error = np.sqrt(len(off) / (len(off) - 1) * np.square(off).sum()) / known.sum()
    return float(mean), float(error)
