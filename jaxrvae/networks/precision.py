"""Products of hidden units in bfloat16: quicker where a device has units for it."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from jaxrvae.networks.encoders import TurnedCopies

# Layers that keep float32: places of points, contents, and what a likelihood reads.
EXACT = frozenset({"lift", "mix", "out", "score", "guess"})


def lower(networks: Any) -> None:
    """Hidden layers compute in bfloat16 from here on.

    Parameters stay float32, and so do their gradients; sums are the device's, float32
    on every accelerator. Layers that read coordinates or contents, or whose numbers
    make images, are left as they are: there a part in 256 is more than the posterior's
    errors.
    """
    for path, module in nnx.iter_modules(networks):
        layer = isinstance(module, nnx.Linear | nnx.Conv)
        if isinstance(module, TurnedCopies) or (layer and not EXACT & set(path)):
            module.dtype = jnp.bfloat16
