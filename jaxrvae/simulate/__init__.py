"""Simulated movies and patches whose truth is known."""

import inspect
from collections.abc import Callable
from typing import Any

from jaxrvae._checks import known_keys, one_of
from jaxrvae.data.containers import Frames, Patches
from jaxrvae.simulate.glyphs import simulate_glyphs

KINDS: dict[str, Callable[..., Any]] = {"glyphs": simulate_glyphs}


def simulate(kind: str, seed: int = 0, **options: Any) -> Frames | Patches:
    """A simulated data set with its truth; the same seed gives the same data.

    Args:
        kind: "glyphs" (Patches of asymmetric shapes).
        seed: Of all that is random.
        **options: Those of `simulate_glyphs`.

    Raises:
        ValueError: An unknown kind, or an option out of range.
        TypeError: An option that the kind does not take.

    >>> simulate("glyphs", seed=1, num_images=5, size=32).values.shape
    (5, 32, 32)
    """
    one_of("kind", kind, KINDS)
    function = KINDS[kind]
    allowed = [
        name for name in inspect.signature(function).parameters if name != "seed"
    ]
    known_keys(f"simulate({kind!r})", options, allowed)
    return function(seed, **options)
