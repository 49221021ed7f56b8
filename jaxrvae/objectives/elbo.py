"""Divergences of the bound, in nats."""

import jax.numpy as jnp

from jaxrvae._typing import Array, Float


def kl_normal(
    mean: Float[Array, "*n"],
    log_std: Float[Array, "*n"],
    prior_std: float | Float[Array, ""] = 1.0,
) -> Float[Array, "*n"]:
    """KL of N(mean, std^2) from N(0, prior_std^2), for each number.

    Source: Kingma & Welling 2014, arXiv:1312.6114, appendix B.

    >>> float(kl_normal(jnp.array(1.0), jnp.array(0.0)))
    0.5
    """
    variance = (jnp.square(mean) + jnp.exp(2 * log_std)) / prior_std**2
    return 0.5 * (variance - 1) - log_std + jnp.log(prior_std)
