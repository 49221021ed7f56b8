"""Settings of the pose's priors, checked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrvae._checks import at_least, known_keys, number, positive, whole

SHARE = "It is a share of the field."


def checked_angle_prior(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Uniform (None), von Mises or wrapped normal, with `fold` equal modes."""
    if given is None:
        return None
    _check_mapping("angle_prior", given, '{"loc": 0.0, "std": 0.5}')
    prior = dict(given)
    known_keys("angle_prior", prior, ("loc", "concentration", "std", "fold"))
    if ("concentration" in prior) == ("std" in prior):
        raise ValueError(
            "angle_prior needs either concentration (von Mises) or std (normal,"
            f" radians); got {prior}. Give one of the two."
        )
    for name in ("loc", "concentration", "std"):
        if name in prior:
            prior[name] = number(f"angle_prior's {name}", prior[name])
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
    _check_mapping("shift_prior", given, '{"std": 0.05}')
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
        both = [number(name, value, SHARE) for value in std]
        for value in both:
            at_least(name, value, 0.0, SHARE)
        if both == [0.0, 0.0]:
            raise ValueError(
                f"{name} must be > 0 along x or y; got {std!r}."
                ' Leave "shift" out of pose for no shift at all.'
            )
        return {"std": both}
    width = number(name, std, "Or give [x, y]. " + SHARE)
    positive(name, width, SHARE)
    return {"std": width}


def _check_mapping(name: str, given: object, such: str) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be settings such as {such}; got {given!r}.")
