"""The bound of the steerable model: angle and shift are integrated out.

Only the content is sampled.
`log p(x | z) = log int p(pose) N(x; image(z, pose), noise^2) d pose`. On a grid of
poses that is a logsumexp of correlations. Where the noise is small the posterior is
narrower than the grid's step; the integral over a cell then differs from the grid's
sum, by an amount that is known for a Gaussian peak (`subgrid_correction`).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int, PRNGKey
from jaxrvae.models.steerable import Features, SteerableModel, SteerableNetworks
from jaxrvae.objectives.elbo import kl_normal


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
    harmonics = model.fold(features["coefs"], canonical)
    grid = model.correlations(harmonics) / variance
    num_poses = grid.shape[1] * grid.shape[2]
    weighted = (grid + log_prior).reshape(len(grid), -1)
    correlation = jax.nn.logsumexp(weighted, axis=-1) - np.log(num_poses)
    correlation += subgrid_correction(grid, len(model.ticks))
    square = features["energy"] + jnp.square(canonical).sum(-1)
    constant = 0.5 * model.num_modes * jnp.log(2 * jnp.pi * variance)
    return correlation - 0.5 * square / variance - constant


def subgrid_correction(
    grid: Float[Array, "batch place angle"], num_ticks: int
) -> Float[Array, " batch"]:
    """Log of integral over sum, for a Gaussian peak where the grid's peak is.

    A parabola through the highest point and its neighbours gives the peak's width s
    and offset u, in steps, along each axis; the sum over the grid is then
    `sum_j exp(-(j - u)^2 / 2 s^2)`, the integral `s sqrt(2 pi)`. A peak wider than
    a step needs no correction.
    """
    batch, _, num_angles = grid.shape
    cube = grid.reshape(batch, num_ticks, num_ticks, num_angles)
    top = _argmax(jax.lax.stop_gradient(grid).reshape(batch, -1))
    row, column, angle = jnp.unravel_index(top, cube.shape[1:])
    b = jnp.arange(batch)
    centre = cube[b, row, column, angle]
    below = cube[b, row, column, (angle - 1) % num_angles]
    above = cube[b, row, column, (angle + 1) % num_angles]
    total = _peak_correction(below, centre, above, 0.5)
    if num_ticks > 1:
        i = jnp.clip(row, 1, num_ticks - 2)
        j = jnp.clip(column, 1, num_ticks - 2)
        low, middle, high = (cube[b, i + step, column, angle] for step in (-1, 0, 1))
        total += _peak_correction(low, middle, high, 1.0)
        low, middle, high = (cube[b, row, j + step, angle] for step in (-1, 0, 1))
        total += _peak_correction(low, middle, high, 1.0)
    return total


def _argmax(values: Float[Array, "batch number"]) -> Int[Array, " batch"]:
    """The last place of the highest value: two plain maxima, quicker on a CPU."""
    highest = values == values.max(axis=-1, keepdims=True)
    return jnp.where(highest, jnp.arange(values.shape[-1]), 0).max(axis=-1)


def _peak_correction(
    below: Float[Array, " batch"],
    centre: Float[Array, " batch"],
    above: Float[Array, " batch"],
    limit: float,
) -> Float[Array, " batch"]:
    """That along one axis; the offset is held to the limit, in steps."""
    curvature = jnp.maximum(2 * centre - below - above, 1e-6)
    offset = jnp.clip((above - below) / 2 / curvature, -limit, limit)
    width = jax.lax.rsqrt(jnp.maximum(curvature, 1.0))
    steps = np.arange(-4, 5, dtype=np.float32)
    exponent = -0.5 * jnp.square((steps - offset[:, None]) / width[:, None])
    return jnp.log(width * (2 * np.pi) ** 0.5) - jax.nn.logsumexp(exponent, axis=-1)
