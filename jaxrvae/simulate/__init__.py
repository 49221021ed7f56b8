"""Simulated movies and patches whose truth is known."""

import dataclasses
import inspect
from typing import Any

from jaxrvae._checks import known_keys, one_of
from jaxrvae.data.containers import Frames, Patches
from jaxrvae.simulate.glyphs import simulate_glyphs
from jaxrvae.simulate.graphene import Scan, Sheet, simulate_graphene

KINDS = ("glyphs", "graphene")


def simulate(kind: str, seed: int = 0, **options: Any) -> Frames | Patches:
    """A simulated data set with its truth; the same seed gives the same data.

    Args:
        kind: "graphene", Frames of graphene with silicon dopants; "glyphs", Patches of
            asymmetric shapes.
        seed: Of all that is random.
        **options: For graphene the fields of `Sheet` and `Scan`
            (`jaxrvae.simulate.graphene`), for glyphs those of `simulate_glyphs`.

    Raises:
        ValueError: An unknown kind, or an option out of range.
        TypeError: An option that the kind does not take.

    >>> simulate("glyphs", seed=1, num_images=5, size=32).values.shape
    (5, 32, 32)
    >>> simulate("graphene", num_frames=2, size=64, grain_angle=0.3).values.shape
    (2, 64, 64)
    """
    one_of("kind", kind, KINDS)
    known_keys(f"simulate({kind!r})", options, option_names(kind))
    if kind == "glyphs":
        return simulate_glyphs(seed, **options)
    sheet = {name: options[name] for name in _fields(Sheet) if name in options}
    scan = {name: options[name] for name in _fields(Scan) if name in options}
    return simulate_graphene(seed, Sheet(**sheet), Scan(**scan))


def option_names(kind: str) -> list[str]:
    """What `simulate` takes beside the kind and the seed."""
    if kind == "glyphs":
        return list(inspect.signature(simulate_glyphs).parameters)[1:]
    return _fields(Sheet) + _fields(Scan)


def _fields(group: type) -> list[str]:
    return [field.name for field in dataclasses.fields(group)]
