"""log p(image | rendered image), nats per image."""

import jax
import jax.numpy as jnp

from jaxrvae._typing import Array, Float


def log_likelihood(
    kind: str,
    images: Float[Array, "*n height width channel"],
    rendered: Float[Array, "*m height width channel"],
    noise: Float[Array, ""],
) -> Float[Array, "*m"]:
    """Summed over pixels and channels.

    Args:
        kind: "gaussian" (rendered: means) or "bernoulli" (rendered: logits; grey
            levels in [0, 1] are taken as probabilities).
        noise: Standard deviation, Gaussian only.
    """
    if kind == "bernoulli":
        per_pixel = images * rendered - jax.nn.softplus(rendered)
    else:
        square = jnp.square((images - rendered) / noise)
        per_pixel = -0.5 * (square + jnp.log(2 * jnp.pi)) - jnp.log(noise)
    return per_pixel.sum((-3, -2, -1))
