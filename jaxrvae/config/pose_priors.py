"""Settings of the pose's priors, checked."""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrvae._checks import at_least, known_keys, positive, whole

SHARE = "It is a share of the field."


def checked_angle_prior(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Uniform (None), von Mises or wrapped normal, with `fold` equal modes."""
    if given is None:
        return None
    prior = dict(given)
    known_keys("angle_prior", prior, ("loc", "concentration", "std", "fold"))
    if ("concentration" in prior) == ("std" in prior):
        raise ValueError(
            "angle_prior needs either concentration (von Mises) or std (normal,"
            f" radians); got {prior}. Give one of the two."
        )
    for name in ("loc", "concentration", "std"):
        if name in prior:
            prior[name] = _number(f"angle_prior's {name}", prior[name])
    whole("angle_prior's fold", prior.get("fold", 1), 1, "The number of equal modes.")
    if "std" in prior:
        hint = "Leave angle_prior out for uniform angles."
        positive("angle_prior's std", prior["std"], hint)
    else:
        name = "angle_prior's concentration"
        at_least(name, prior["concentration"], 0.0, "0 is uniform.")
    return prior


def checked_shift_prior(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Normal, with `std` as a share of the field, for both axes or for [x, y]."""
    if given is None:
        return None
    known_keys("shift_prior", given, ("std",))
    if "std" not in given:
        raise ValueError(
            "shift_prior needs std, a share of the field; got none."
            ' Give {"std": 0.05} or {"std": [0.05, 0.02]}, or leave shift_prior out.'
        )
    std, name = given["std"], "shift_prior's std"
    if isinstance(std, (Sequence, np.ndarray)) and not isinstance(std, str):
        if len(std) != 2:
            raise ValueError(f"{name} must be one number or [x, y]; got {std!r}.")
        both = [_number(name, value, SHARE) for value in std]
        for value in both:
            at_least(name, value, 0.0, SHARE)
        if both == [0.0, 0.0]:
            raise ValueError(
                f"{name} must be > 0 along x or y; got {std!r}."
                ' Leave "shift" out of pose for no shift at all.'
            )
        return {"std": both}
    number = _number(name, std, "Or give [x, y]. " + SHARE)
    positive(name, number, SHARE)
    return {"std": number}


def _number(name: str, value: object, hint: str = "") -> float:
    """The value as a float, if it is a finite number."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number):
            return number
    raise ValueError(f"{name} must be a finite number; got {value!r}. {hint}".strip())
