"""The pose read from the steerable model: modes, refinement below the grid, errors."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float
from jaxrvae.geometry.grid import shift_to_pixel, shift_to_unit
from jaxrvae.models.gauge import Gauge, fix_gauge
from jaxrvae.models.modes import angle_modes, symmetry_order
from jaxrvae.models.steerable import (
    Features,
    Projection,
    SteerableModel,
    SteerableNetworks,
)
from jaxrvae.models.surface import covariance, highest, in_pixels


def steerable_posterior(
    model: SteerableModel,
    networks: SteerableNetworks,
    projection: Projection,
    gauge: Gauge,
    features: Features,
    log_prior: Float[Array, " angle"],
) -> dict[str, Array]:
    """What `Latents` holds, for a batch; shifts in pixels of the patch, y downwards."""
    mean, log_std = model.content(networks, features)
    canonical = model.canonical(networks, mean)
    variance = networks.noise**2
    harmonics = model.fold(features["coefs"], canonical) / variance
    harmonics += model.prior_harmonics(log_prior)
    grid = model.correlations(harmonics)
    batch = len(mean)
    weights = jax.nn.softmax(grid.reshape(batch, -1), axis=-1).reshape(grid.shape)
    angles = jnp.asarray(model.angles(), jnp.float32)
    modes, shares, peaks = jax.vmap(angle_modes, (0, None))(weights.sum(1), angles)
    places = jnp.argmax(jnp.take_along_axis(grid, peaks[:, None, :1], 2)[..., 0], 1)
    pose = highest(model, harmonics, modes[:, 0], places)
    moved = in_pixels(model, pose)
    hidden = model.drift(networks, projection, gauge, mean)
    angle, shift = fix_gauge(
        modes.at[:, 0].set(pose[:, 0]), shift_to_unit(moved, model.shape), hidden
    )
    spread = covariance(model, harmonics, pose)
    std = jnp.sqrt(jnp.diagonal(spread, axis1=1, axis2=2))
    symmetry = symmetry_order(canonical, np.array(model.orders), variance)
    return {
        "content": mean,
        "content_std": jnp.exp(log_std),
        "angle": angle[:, 0],
        "angle_std": std[:, 0],
        "angle_modes": jnp.stack([angle, shares], axis=-1),
        "shift": shift_to_pixel(shift, model.shape),
        "shift_std": std[:, 1:],
        "symmetry": symmetry,
    }
