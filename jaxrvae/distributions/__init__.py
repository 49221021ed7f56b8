"""Circular distributions; NumPyro's form of them is loaded when it is first used."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrvae.distributions.circular import (
        ProjectedNormal,
        Symmetric,
        VonMises,
        WrappedNormal,
    )

__all__ = ["ProjectedNormal", "Symmetric", "VonMises", "WrappedNormal"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from jaxrvae.distributions import circular

    return getattr(circular, name)
