"""Options that have settings of their own: a name, or a mapping with name and settings.

`decoder="coordinate"` and `decoder={"name": "coordinate", "features": 256}` are both
right; what a mapping leaves out keeps its default.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxrvae._checks import known_keys, number, one_of, positive, whole

# A prior may also be a NumPyro distribution, or model function.
Choice = Any
PROGRAM = "program"

CLASSES = {"classes": "enumerated", "temperature": 0.67}
NOISE = {"noise": "learned"}
_PLAIN = (str, int, float, bool, bytes, tuple, type(None))
UNITS = {"units": None, "activation": "tanh"}  # None: hidden_dim

# Of each option: its names, and what each can be told beside, with the defaults.
CHOICES: dict[str, dict[str | None, dict[str, Any]]] = {
    "decoder": {
        "auto": {},
        "steerable": {},
        "affine": UNITS,
        "affine-cubic": UNITS,
        "convolutional": {"width": 32},
        "coordinate": {"layers": 2, "features": 0, "skip": False},
    },
    "encoder": {
        "auto": {},
        "turned-copy": {},
        "turned-back": {"units": None},
        "moved-back": {"units": None},
        "dense": {"layers": 2},
        "convolutional": {"width": 32},
        "group-convolution": {"width": 32},
    },
    "posterior": {
        "auto": CLASSES,
        "marginal": CLASSES,
        "enumerated": CLASSES,
        "gaussian": CLASSES,
        "von_mises": CLASSES,
        "projected_normal": CLASSES,
    },
    "likelihood": {
        "auto": NOISE,
        "gaussian": NOISE,
        "bernoulli": {},
        "continuous-bernoulli": {},
        "poisson": {},
        "poisson-gaussian": NOISE,
    },
    "prior": {
        None: {},
        "normal": {},
        "mixture": {"components": 10},
        "vamp": {"components": 10},
        "flow": {},
        "horseshoe": {},
        "stick-breaking": {"components": 12},
    },
}


class PriorNotGiven(ValueError):
    """A NumPyro model that files only name is needed itself."""


def checked(option: str, given: Choice) -> Choice:
    """The choice as plain values; one that cannot be raises."""
    names = CHOICES[option]
    if option == "prior" and is_program(given):
        return given
    if not isinstance(given, Mapping):
        one_of(option, given, names)
        return given
    if option == "prior" and given.get("name") == PROGRAM:
        raise PriorNotGiven(
            f"prior was a NumPyro model, {given.get('of')}, which no file holds. Hand"
            " it in: RVAE(prior=...), or RVAE.load(path, prior=...)."
        )
    if "name" not in given:
        raise ValueError(f"{option} needs a name beside its settings; got {given!r}.")
    one_of(option, given["name"], names)
    known = names[given["name"]]
    own = {name: value for name, value in given.items() if name != "name"}
    known_keys(f"{option}={given['name']!r}", own, known)
    for name, value in own.items():
        _check_setting(f"{option}'s {name}", name, value)
    if "temperature" in own and own.get("classes") != "gumbel":
        raise ValueError(
            f"{option}'s temperature is of drawn classes; got classes="
            f"{own.get('classes', 'enumerated')!r}. Take classes='gumbel', or leave"
            " temperature out."
        )
    return {"name": given["name"], **own} if own else given["name"]


def is_program(prior: object) -> bool:
    """Whether it is a NumPyro distribution or model function; NumPyro is not read."""
    return callable(prior) or hasattr(prior, "log_prob")


def described(prior: Any) -> dict[str, str]:
    """What files say of a NumPyro model: its name, and a digest of what it does."""
    code = getattr(prior, "__code__", None)
    if code is None:
        import jax

        leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(prior)]
        name, parts = type(prior).__name__, b"".join(leaves)
    else:
        name = f"{prior.__module__}.{prior.__qualname__}"
        held = [cell.cell_contents for cell in prior.__closure__ or ()]
        plain = [v for v in (*code.co_consts, *held) if isinstance(v, _PLAIN)]
        parts = code.co_code + repr((code.co_names, plain)).encode()
    return {"name": PROGRAM, "of": f"{name}:{hashlib.sha256(parts).hexdigest()[:12]}"}


def name_of(given: Choice) -> Any:
    """The name alone."""
    if is_program(given):
        return PROGRAM
    return given["name"] if isinstance(given, Mapping) else given


def setting(option: str, given: Choice, name: str, meant: str | None = None) -> Any:
    """One setting of a choice, or its default; None where the choice has no such.

    Args:
        meant: The name that "auto" stands for.
    """
    if isinstance(given, Mapping) and name in given:
        return given[name]
    own = name_of(given) if meant is None else meant
    return None if own == PROGRAM else CHOICES[option][own].get(name)


def _check_setting(label: str, name: str, value: Any) -> None:
    if name in ("layers", "components", "units"):
        whole(label, value, 1)
    elif name == "width":
        whole(label, value, 2, "32 suits most images.")
    elif name == "features":
        whole(label, value, 0, "0 is none.")
    elif name == "activation":
        one_of(label, value, ("tanh", "gelu"))
    elif name == "skip":
        one_of(label, value if isinstance(value, bool) else None, (True, False))
    elif name == "classes":
        one_of(label, value, ("enumerated", "gumbel"))
    elif name == "temperature":
        positive(label, value)
    elif isinstance(value, str):
        one_of(label, value, ("learned", "per-pixel"), "Or a standard deviation.")
    else:
        positive(label, number(label, value), "Or 'learned', or 'per-pixel'.")
