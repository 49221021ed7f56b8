"""What simulated scans share: drift, and options that are one number or a pair."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrvae._checks import at_least
from jaxrvae._typing import Float, Number


def drift_path(
    num_frames: int, drift: Number | Sequence[Number], rng: np.random.Generator
) -> Float[np.ndarray, "frame 2"]:
    """(dx, dy) pixels since the first frame, y downwards.

    Args:
        num_frames: How many.
        drift: (dx, dy) a frame, or the standard deviation of the steps of a random
            walk along each axis.
        rng: Draws the walk.
    """
    steps = np.arange(num_frames)[:, None]
    if isinstance(drift, Sequence):
        return steps * np.asarray(drift, float)
    walk = rng.normal(0, drift, (num_frames, 2))
    return np.cumsum(np.where(steps > 0, walk, 0), axis=0)


def check_drift(drift: Number | Sequence[Number]) -> None:
    """Refuse a negative standard deviation."""
    if not isinstance(drift, Sequence):
        at_least("drift", drift, 0, "Or give a pair (dx, dy).")


def as_tuple(options: Any, name: str, length: int) -> None:
    """A list in a frozen group of options, as YAML gives it, to a tuple."""
    value = getattr(options, name)
    if isinstance(value, list | tuple):
        if len(value) != length:
            raise ValueError(
                f"{name} must be one number or {length} of them; got {value!r}."
            )
        object.__setattr__(options, name, tuple(value))
