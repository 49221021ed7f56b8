"""How wall velocity follows the bias: a power law and its exponent's interval."""

import dataclasses

import numpy as np

from jaxrvae._checks import DataError, between
from jaxrvae._typing import Float, Number, ndarray

LEAST = 4  # rows that move


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """velocity = factor |bias - threshold| ** exponent.

    Attributes:
        low, high: Interval of the exponent.
        num_rows: Rows fitted.
        num_left: Rows left out, as the wall does not move the way the bias pushes: a
            law without a threshold is not to be trusted where there are many.
    """

    exponent: float
    low: float
    high: float
    factor: float
    num_rows: int
    num_left: int


def fit_power_law(
    bias: Float[ndarray, " n"],
    velocity: Float[ndarray, " n"],
    *,
    threshold: Number = 0.0,
    level: Number = 0.9,
) -> PowerLaw:
    """Least squares of log velocity over log bias.

    The interval is Student's, of independent relative errors of one size.

    Args:
        bias: Any unit; its sign is that of the motion it pushes to.
        velocity: Signed, positive where a positive bias pushes.
        threshold: Bias (its size) below which nothing moves; rows there are left out.
        level: Of the interval.

    Raises:
        DataError: Fewer than four rows move, or all under one bias.

    >>> bias = np.array([0.1, 0.2, 0.4, 0.8])
    >>> round(fit_power_law(bias, 3 * bias**1.5).exponent, 3)
    1.5
    """
    from scipy.special import stdtrit

    between("level", level, 0.01, 0.999)
    push = np.abs(bias) - threshold
    along = velocity * np.sign(bias)
    known = np.isfinite(push) & np.isfinite(along)
    good = known & (push > 0) & (along > 0)
    if good.sum() < LEAST or np.ptp(push[good]) == 0:
        raise DataError(
            f"expected >= {LEAST} rows that move, under more than one bias; got"
            f" {int(good.sum())}. Lower the threshold, or take more frames."
        )
    x, y = np.log(push[good]), np.log(along[good])
    off = x - x.mean()
    exponent = float(off @ y / (off @ off))
    left = y - y.mean() - exponent * off
    free = len(x) - 2
    half = np.sqrt(left @ left / free / (off @ off)) * stdtrit(free, 0.5 + level / 2)
    factor = float(np.exp(y.mean() - exponent * x.mean()))
    return PowerLaw(
        exponent,
        float(exponent - half),
        float(exponent + half),
        factor,
        len(x),
        int((known & (push > 0)).sum()) - len(x),
    )
