"""Simulated movies and patches whose truth is known."""

import dataclasses
import inspect
from typing import Any

from jaxrvae._checks import known_keys, one_of
from jaxrvae.data.containers import Frames, Patches
from jaxrvae.simulate.beam import Flake, simulate_beam
from jaxrvae.simulate.columns import Crystal, Polar, simulate_lattice
from jaxrvae.simulate.events import Rates
from jaxrvae.simulate.ferroelectric import Film, Tip, simulate_ferroelectric
from jaxrvae.simulate.glyphs import simulate_glyphs
from jaxrvae.simulate.graphene import Scan, Sheet, simulate_graphene
from jaxrvae.simulate.microscope import Microscope

MOVIES: dict[str, tuple[Any, ...]] = {  # by kind: what runs it, its groups of options
    "ferroelectric": (simulate_ferroelectric, Film, Tip),
    "beam": (simulate_beam, Flake, Rates, Microscope),
    "lattice": (simulate_lattice, Crystal, Polar, Microscope),
    "graphene": (simulate_graphene, Sheet, Scan),
}
KINDS = ("glyphs", *MOVIES)


def simulate(kind: str, seed: int = 0, **options: Any) -> Frames | Patches:
    """A simulated data set with its truth; the same seed gives the same data.

    Args:
        kind: "graphene", Frames of graphene with silicon dopants; "ferroelectric",
            Frames of domains under a bias; "beam", Frames of graphene that the
            electrons change; "lattice", Frames of MoS2, a perovskite or
            any ASE structure; "glyphs", Patches of asymmetric shapes.
        seed: Of all that is random.
        **options: For graphene the fields of `Sheet` and `Scan`
            (`jaxrvae.simulate.graphene`), for ferroelectrics those of `Film` and `Tip`
            (`jaxrvae.simulate.ferroelectric`), for lattices those of `Crystal`, `Polar`
            (`jaxrvae.simulate.columns`) and `Microscope`
            (`jaxrvae.simulate.microscope`), for graphene under the beam those of
            `Flake` (`jaxrvae.simulate.beam`), `Rates` (`jaxrvae.simulate.events`) and
            `Microscope`, for glyphs those of `simulate_glyphs`.

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
    run, *groups = MOVIES[kind]
    return run(
        seed,
        *(
            group(**{name: options[name] for name in _fields(group) if name in options})
            for group in groups
        ),
    )


def option_names(kind: str) -> list[str]:
    """What `simulate` takes beside the kind and the seed."""
    if kind == "glyphs":
        return list(inspect.signature(simulate_glyphs).parameters)[1:]
    return [name for group in MOVIES[kind][1:] for name in _fields(group)]


def _fields(group: type) -> list[str]:
    return [field.name for field in dataclasses.fields(group)]
