"""log p(image | rendered image), nats per image.

Bernoulli, continuous Bernoulli and Poisson are exponential families: with the natural
parameter eta at a pixel, `log p(x) = x eta - A(eta) + log h(x)`. The decoders make eta
itself, so that a pose meets the image in one sum, `sum x eta`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from jaxrvae._typing import Array, Float

FAMILIES = ("bernoulli", "continuous-bernoulli", "poisson")
SMALL = 0.05  # natural parameters for which a series replaces 0 / 0
MAX_LOG_RATE = 15.0


def log_likelihood(
    kind: str,
    images: Float[Array, "*n height width channel"],
    rendered: Float[Array, "*m height width channel"],
    noise: Float[Array, "*pixel"],
) -> Float[Array, "*m"]:
    """Summed over pixels and channels.

    Args:
        kind: "gaussian" (rendered: means), one of `FAMILIES` (rendered: natural
            parameters; for Bernoulli grey levels in [0, 1] are taken as probabilities),
            or "poisson-gaussian" (rendered: log rates), counts read out with noise,
            taken as normal with the variance that counts and noise have together.
        noise: Standard deviation, Gaussian kinds only.
    """
    if kind in FAMILIES:
        per_pixel = images * rendered - log_partition(kind, rendered)
        return (per_pixel + log_base(kind, images)).sum((-3, -2, -1))
    if kind == "poisson-gaussian":
        rate = mean_of(kind, rendered)
        variance = rate + jnp.square(noise)
        square = jnp.square(images - rate) / variance
        per_pixel = -0.5 * (square + jnp.log(2 * jnp.pi * variance))
    else:
        square = jnp.square((images - rendered) / noise)
        per_pixel = -0.5 * (square + jnp.log(2 * jnp.pi)) - jnp.log(noise)
    return per_pixel.sum((-3, -2, -1))


def log_partition(kind: str, natural: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """A(eta).

    Source: Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845 (continuous Bernoulli).
    """
    if kind == "bernoulli":
        return jax.nn.softplus(natural)
    if kind == "poisson":
        return jnp.exp(jnp.minimum(natural, MAX_LOG_RATE))
    # log((exp(eta) - 1) / eta), even but for a slope of 1/2
    size = jnp.maximum(jnp.abs(natural), SMALL)
    exact = size + jnp.log(-jnp.expm1(-size)) - jnp.log(size) - 0.5 * size
    square = jnp.square(natural)
    series = square / 24 - jnp.square(square) / 2880
    return 0.5 * natural + jnp.where(jnp.abs(natural) < SMALL, series, exact)


def mean_of(kind: str, natural: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The image that the rendered values mean: of a family, the slope of A."""
    if kind == "gaussian":
        return natural
    if kind == "bernoulli":
        return jax.nn.sigmoid(natural)
    if kind in ("poisson", "poisson-gaussian"):
        return jnp.exp(jnp.minimum(natural, MAX_LOG_RATE))
    return jax.jvp(
        lambda n: log_partition(kind, n), (natural,), (jnp.ones_like(natural),)
    )[1]


def variance_of(kind: str, natural: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Of a pixel's value: the curvature of A."""
    return jax.jvp(lambda n: mean_of(kind, n), (natural,), (jnp.ones_like(natural),))[1]


def log_base(kind: str, images: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Log h(x), which no parameter moves."""
    return -gammaln(images + 1) if kind == "poisson" else jnp.zeros_like(images)


def natural_of(kind: str, mean: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The natural parameter that goes with a mean, to start from; not exact for all."""
    if kind in ("poisson", "poisson-gaussian"):
        return np.log(np.maximum(mean, 0.05))
    mean = np.clip(mean, 0.01, 0.99)
    return np.log(mean / (1 - mean))


def scoring_weights(
    kind: str, rendered: Float[Array, "*n"], noise: Float[Array, "*pixel"]
) -> tuple[Float[Array, "*n"], Float[Array, "*n"], Float[Array, "*n"]]:
    """Of each pixel: its mean, the weight of a residual, the information.

    The slope of the log likelihood by `rendered` is weight times (x - mean).
    """
    mean = mean_of(kind, rendered)
    if kind == "gaussian":
        weight = jnp.broadcast_to(1 / jnp.square(noise), rendered.shape)
        return mean, weight, weight
    if kind == "poisson-gaussian":
        weight = mean / (mean + jnp.square(noise))
        return mean, weight, mean * weight
    return mean, jnp.ones_like(rendered), variance_of(kind, rendered)
