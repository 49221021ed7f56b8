"""The pose read from the steerable model: modes, refinement below the grid, errors."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float
from jaxrvae.geometry.grid import shift_to_pixel, shift_to_unit
from jaxrvae.models.gauge import Gauge, fix_gauge
from jaxrvae.models.known import class_probabilities, of_every_class, with_conditions
from jaxrvae.models.likelihoods import variance_of
from jaxrvae.models.marginal import explain, natural_pixels
from jaxrvae.models.modes import angle_modes, symmetry_order
from jaxrvae.models.pose_prior import class_log_prior, grid_log_prior
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
    query = model.query(networks, features, fine=True)
    features, condition = with_conditions(features, query.guess)
    mean = query.content
    inputs = of_every_class(features, model.num_classes, mean)
    of_class = jnp.zeros(inputs.shape[:2])
    if model.num_classes > 1:

        def explained(inputs: Float[Array, "batch input"]) -> Float[Array, " batch"]:
            canonical = model.canonical(networks, inputs)
            density = grid_log_prior(model, networks.prior, log_prior, inputs)
            return explain(model, networks, projection, features, canonical, density)

        of_class = jax.vmap(explained)(inputs)
    share = class_log_prior(networks.prior, model.num_classes, mean)
    shares_of_class = class_probabilities(features, of_class, share)
    best = jnp.argmax(shares_of_class, axis=-1)
    inputs = inputs[best, jnp.arange(len(mean))]
    canonical = model.canonical(networks, inputs)
    density = grid_log_prior(model, networks.prior, log_prior, inputs)
    harmonics = model.harmonics(networks, projection, features, canonical, density)
    grid = model.correlations(harmonics)
    batch = len(mean)
    weights = jax.nn.softmax(grid.reshape(batch, -1), axis=-1).reshape(grid.shape)
    angles = jnp.asarray(model.angles(), jnp.float32)
    modes, shares, peaks = jax.vmap(angle_modes, (0, None))(weights.sum(1), angles)
    places = jnp.argmax(jnp.take_along_axis(grid, peaks[:, None, :1], 2)[..., 0], 1)
    pose = highest(model, harmonics, modes[:, 0], places)
    moved = in_pixels(model, pose)
    hidden = model.drift(networks, projection, gauge, inputs)
    angle, shift = fix_gauge(
        modes.at[:, 0].set(pose[:, 0]), shift_to_unit(moved, model.shape), hidden
    )
    spread = covariance(model, harmonics, pose)
    std = jnp.sqrt(jnp.diagonal(spread, axis1=1, axis2=2))
    variance = _pixel_variance(model, networks, projection, canonical)
    symmetry = symmetry_order(canonical, np.array(model.orders), variance)
    return condition | {
        "content": mean,
        "content_std": jnp.exp(query.content_log_std),
        "class_probabilities": shares_of_class,
        "angle": angle[:, 0],
        "angle_std": std[:, 0],
        "angle_modes": jnp.stack([angle, shares], axis=-1),
        "shift": shift_to_pixel(shift, model.shape),
        "shift_std": std[:, 1:],
        "scale": jnp.ones(batch),
        "symmetry": symmetry,
    }


def _pixel_variance(
    model: SteerableModel,
    networks: SteerableNetworks,
    projection: Projection,
    canonical: Float[Array, "batch reals"],
) -> Float[Array, ""] | Float[Array, " batch"]:
    """What a difference of canonical images is measured against: their noise."""
    if model.likelihood == "gaussian":
        return model.noise(networks) ** 2
    natural = natural_pixels(model, projection, canonical) + networks.background[...]
    # In natural parameters a difference counts times the variance of the pixels.
    return 1 / variance_of(model.likelihood, natural).mean((1, 2))
