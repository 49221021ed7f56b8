"""The pose read from the steerable model: modes, refinement below the grid, errors."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float
from jaxrvae.geometry.grid import shift_to_pixel, shift_to_unit
from jaxrvae.models.gauge import fix_gauge
from jaxrvae.models.modes import angle_modes, symmetry_order
from jaxrvae.models.steerable import (
    Features,
    Projection,
    SteerableModel,
    SteerableNetworks,
)


def steerable_posterior(
    model: SteerableModel,
    networks: SteerableNetworks,
    projection: Projection,
    features: Features,
    log_prior: Float[Array, " angle"],
) -> dict[str, Array]:
    """What `Latents` holds, for a batch; shifts in pixels of the patch, y downwards."""
    mean, log_std = model.content(networks, features)
    canonical = model.canonical(networks, mean)
    variance = networks.noise**2
    harmonics = model.fold(features["coefs"], canonical)
    grid = model.correlations(harmonics) / variance + log_prior
    batch = len(mean)
    weights = jax.nn.softmax(grid.reshape(batch, -1), axis=-1).reshape(grid.shape)
    angles = jnp.asarray(model.angles(), jnp.float32)
    modes, shares, peaks = jax.vmap(angle_modes, (0, None))(weights.sum(1), angles)
    places = jnp.argmax(jnp.take_along_axis(grid, peaks[:, None, :1], 2)[..., 0], 1)
    refine = jax.vmap(lambda h, a, p: _refine(model, h / variance, a, p))
    pose, covariance = refine(harmonics, modes[:, 0], places)
    hidden = model.drift(networks, projection, mean)
    angle, shift = fix_gauge(
        modes.at[:, 0].set(pose[:, 0]), shift_to_unit(pose[:, 1:], model.shape), hidden
    )
    std = jnp.sqrt(jnp.diagonal(covariance, axis1=1, axis2=2))
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


def _refine(
    model: SteerableModel,
    harmonics: Float[Array, "place harmonics"],
    angle: Float[Array, ""],
    place: Array,
) -> tuple[Float[Array, "3"], Float[Array, "3 3"]]:
    """Newton's method on the correlation, interpolated between the places.

    Returns the pose (angle, shift in pixels) and the inverse of minus the Hessian: the
    Gaussian approximation of the posterior around its best mode.
    """
    ticks = np.asarray(model.ticks, np.float32)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    row, column = jnp.divmod(place, len(ticks))
    start = jnp.array([0.0, column, row]).at[0].set(angle)  # in steps of the grid

    def height(pose: Float[Array, "3"]) -> Float[Array, ""]:
        waves = interpolate(pose[1:], harmonics, len(ticks))
        cos, sin = jnp.split(waves, 2)
        phase = jnp.arange(len(cos)) * pose[0]
        return cos @ jnp.cos(phase) + sin @ jnp.sin(phase)

    free = jnp.array([1.0, 1.0, 1.0]) if len(ticks) > 1 else jnp.array([1.0, 0.0, 0.0])
    spare = jnp.diag(1 - free)

    def minus_hessian(pose: Float[Array, "3"]) -> Float[Array, "3 3"]:
        values, vectors = jnp.linalg.eigh(
            -jax.hessian(height)(pose) * free * free[:, None] + spare
        )
        return (vectors * jnp.maximum(jnp.abs(values), 1e-3)) @ vectors.T

    reach = jnp.array([2 * np.pi / model.num_angles, 1.0, 1.0])

    def newton(pose: Float[Array, "3"], _: None) -> tuple[Float[Array, "3"], None]:
        slope = jax.grad(height)(pose) * free
        move = jnp.linalg.solve(minus_hessian(pose), slope)
        pose = start + jnp.clip(pose + move - start, -reach, reach)
        return pose.at[1:].set(jnp.clip(pose[1:], 0.0, len(ticks) - 1.0)), None

    pose, _ = jax.lax.scan(newton, start, None, length=4)
    covariance = jnp.linalg.inv(minus_hessian(pose)) * free * free[:, None]
    unit = jnp.array([1.0, step, step])
    shift = pose[1:] * step + ticks[0]
    return pose.at[1:].set(shift), covariance * unit * unit[:, None]


def interpolate(
    place: Float[Array, "2"], values: Float[Array, "place number"], num_ticks: int
) -> Float[Array, " number"]:
    """Values at a place (column, row) of a square grid, in steps, by polynomials.

    Source: Berrut & Trefethen 2004, SIAM Rev. 46, 501 (Lagrange form).
    """
    if num_ticks == 1:
        return values[0]
    nodes = np.arange(num_ticks)
    powers = np.linalg.inv(np.vander(nodes / (num_ticks - 1) * 2 - 1, increasing=True))
    powers = powers.astype(np.float32)

    def weights(x: Float[Array, ""]) -> Float[Array, " tick"]:
        x = x / (num_ticks - 1) * 2 - 1
        return jnp.stack([x**n for n in range(num_ticks)]) @ powers

    cube = values.reshape(num_ticks, num_ticks, -1)
    return jnp.einsum("r,c,rcn->n", weights(place[1]), weights(place[0]), cube)
