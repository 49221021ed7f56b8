"""The bound of the steerable model: angle and shift are integrated out.

Only the content is sampled.
`log p(x | z) = log int p(pose) N(x; image(z, pose), noise^2) d pose`. On a grid of
poses that is a logsumexp of correlations; where the noise is small the posterior is
narrower than the grid's step, and the peak's integral is had at its top instead.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int, PRNGKey
from jaxrvae.models.steerable import Features, SteerableModel, SteerableNetworks
from jaxrvae.models.surface import highest, log_peak
from jaxrvae.objectives.elbo import kl_normal

NEAR = 4  # steps of the grid of angles to either side: one peak, where it is narrow


def steerable_loss(
    model: SteerableModel,
    networks: SteerableNetworks,
    features: Features,
    log_prior: Float[Array, " angle"],
    key: PRNGKey,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Minus the bound, nats per image, and its parts.

    Args:
        log_prior: Of the grid's angles, log density times 2 pi: 0 if uniform.
        key: For one sample of the content.
    """
    mean, log_std = model.content(networks, features)
    content = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
    canonical = model.canonical(networks, content)
    variance = networks.noise**2
    log_likelihood = marginal_log_likelihood(
        model, features, canonical, variance, log_prior
    )
    kl_content = kl_normal(mean, log_std).sum(-1)
    loss = (kl_content - log_likelihood).mean()
    return loss, {
        "log_likelihood": log_likelihood.mean(),
        "kl_content": kl_content.mean(),
        "noise": networks.noise,
    }


def marginal_log_likelihood(
    model: SteerableModel,
    features: Features,
    canonical: Float[Array, "batch reals"],
    variance: Float[Array, ""],
    log_prior: Float[Array, " angle"],
) -> Float[Array, " batch"]:
    """Log p(image | canonical image), pose integrated out, over the band's modes."""
    harmonics = model.fold(features["coefs"], canonical) / variance
    harmonics += model.prior_harmonics(log_prior)
    correlation = log_mean_exp(model, harmonics)
    square = features["energy"] + jnp.square(canonical).sum(-1)
    constant = 0.5 * model.num_modes * jnp.log(2 * jnp.pi * variance)
    return correlation - 0.5 * square / variance - constant


def log_mean_exp(
    model: SteerableModel, harmonics: Float[Array, "batch place harmonics"]
) -> Float[Array, " batch"]:
    """Log of the mean of the surface's exponential over all poses.

    Where its highest peak is narrower than the grid's step, that peak's share of the
    sum over the grid tells how much else there is, and Laplace's approximation at the
    peak's top how high it stands.
    """
    grid = model.correlations(harmonics)
    batch, _, num_angles = grid.shape
    highest_value = jax.lax.stop_gradient(grid).max((1, 2))
    by_angle = jnp.exp(grid - highest_value[:, None, None]).sum(1)
    total = by_angle.sum(-1)
    log_mean = highest_value + jnp.log(total) - np.log(grid[0].size)
    fixed = jax.lax.stop_gradient(grid)
    place, angle = jnp.divmod(_argmax(fixed.reshape(batch, -1)), num_angles)
    apart = jnp.abs(jnp.arange(num_angles) - angle[:, None])
    near = jnp.minimum(apart, num_angles - apart) <= NEAR
    share = (by_angle * near).sum(-1) / total
    start = jnp.asarray(model.angles(), jnp.float32)[angle]
    still = jax.lax.stop_gradient(harmonics)
    top = highest(model, still, start, place)
    log_narrow, trust = log_peak(model, harmonics, top)
    return log_mean + trust * (log_narrow - jnp.log(share) - log_mean)


def _argmax(values: Float[Array, "batch number"]) -> Int[Array, " batch"]:
    """The last place of the highest value: two plain maxima, quicker on a CPU."""
    highest = values == values.max(axis=-1, keepdims=True)
    return jnp.where(highest, jnp.arange(values.shape[-1]), 0).max(axis=-1)
