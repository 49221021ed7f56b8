"""The posterior density of one patch's latents, its peaks, and ways between them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Bool, Float, PRNGKey
from jaxrvae.geometry.circle import wrap
from jaxrvae.models.pose_prior import grid_log_prior
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.models.surface import between
from jaxrvae.priors.content import is_program, log_prior

NUM_NEWTON = 12
FLOOR = 1e-2  # of curvatures, per standard deviation of the prior


@dataclasses.dataclass(frozen=True, eq=False)
class Patch:
    """The log density of one patch's latents: content, angle, column and row."""

    model: SteerableModel
    networks: Any
    prior: Any
    coefs: Float[Array, "place reals"]
    surface: Float[Array, "*place harmonics"]
    angle_prior: Any

    def log_density(self, latents: Float[Array, " number"]) -> Float[Array, ""]:
        """Nats, but for a constant; places in steps of the grid."""
        model = self.model
        content, angle, place = self.split(latents)
        variance = model.noise(self.networks) ** 2
        canonical = model.canonical(self.networks, content)
        weights = self._weights(place)
        seen = (weights @ self.coefs)[None, None]
        harmonics = model.fold(seen, canonical[None])[0, 0] / variance
        orders = jnp.arange(len(harmonics) // 2)
        waves = jnp.concatenate([jnp.cos(orders * angle), jnp.sin(orders * angle)])
        total = harmonics @ waves - 0.5 * jnp.square(canonical).sum() / variance
        total += log_prior(self.prior, content, lambda x: (x, x))
        if is_program(self.prior) and self.prior.sites.free:
            surface = grid_log_prior(model, self.prior, self.angle_prior, content[None])
            prior = model.prior_surface(surface)
            prior = jnp.broadcast_to(
                prior, (*prior.shape[:-2], len(weights), len(waves))
            )
            total += (weights @ prior.reshape(len(weights), -1)) @ waves
        elif self.surface.ndim > 1:
            total += (weights @ self.surface) @ waves
        else:
            total += self.surface @ waves
        return total

    def split(self, latents: Array) -> tuple[Array, Array, Array]:
        """Content, angle and place; the place is none of the latents of one alone."""
        if len(self.model.ticks) == 1:
            return latents[..., :-1], latents[..., -1], jnp.zeros(2)
        return latents[..., :-3], latents[..., -3], latents[..., -2:]

    def folded(self, place: Float[Array, "*n 2"]) -> Float[Array, "*n 2"]:
        """The place in the grid; beyond its ends lie mirror images of it.

        So a chain meets no wall, and places folded back have the density inside.
        """
        last = max(len(self.model.ticks) - 1, 1)
        return last - jnp.abs(jnp.mod(place, 2 * last) - last)

    def _weights(self, place: Float[Array, "2"]) -> Float[Array, " place"]:
        """Of the grid's places, for a value between them: columns run fastest."""
        model = self.model
        number = len(model.ticks)
        if number == 1:
            return jnp.ones(1)
        step = model.ticks[1] - model.ticks[0]
        phase = 2 * np.pi * model.max_frequency * step
        column, row = between(self.folded(place), number, phase)[:, 0]
        return (row[:, None] * column).ravel()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Peak:
    """Where a peak's top is, and coordinates in which it is a standard normal.

    Attributes:
        root: Of the covariance: latents are `middle + root @ u`.
        back: Its inverse.
    """

    middle: Float[Array, "*chain number"]
    root: Float[Array, "*chain number number"]
    back: Float[Array, "*chain number number"]


def cross(
    peaks: Peak, angle: int, latents: Float[Array, " number"], key: PRNGKey
) -> tuple[Float[Array, " number"], Float[Array, ""], Bool[Array, ""]]:
    """A point as far from another peak as this one is from the first of two at random.

    Args:
        peaks: Of all chains.
        angle: Which of the latents is.

    Returns:
        The point, the log of how much wider the other peak is, and whether the way back
        leads to where it came from, as it must for Metropolis' rule.

    Source: Green 1995, Biometrika 82, 711, eq. 7 (the Jacobian).
    """
    first_key, other_key = jax.random.split(key)
    number = len(peaks.middle)
    first = jax.random.randint(first_key, (), 0, number)
    other = jax.random.randint(other_key, (), 1, max(number, 2))
    other = (first + other) % number
    off = latents - peaks.middle[first]
    off = off.at[angle].set(wrap(off[angle]))
    moved = peaks.root[other] @ (peaks.back[first] @ off)
    sizes = jnp.linalg.slogdet(peaks.root[jnp.stack([first, other])])[1]
    returns = jnp.abs(moved[angle]) < np.pi
    return peaks.middle[other] + moved, sizes[1] - sizes[0], returns


def find_peak(
    patch: Patch, begin: Float[Array, " number"], spread: Float[Array, " number"]
) -> Peak:
    """The peak near there.

    Newton's steps in units of `spread`, each at most one long, against the curvature's
    absolute values.
    """

    def height(u: Array) -> Array:
        return patch.log_density(begin + spread * u)

    def curved(u: Array) -> tuple[Array, Array]:
        values, vectors = jnp.linalg.eigh(-jax.hessian(height)(u))
        return jnp.maximum(jnp.abs(values), FLOOR), vectors

    def newton(u: Array, _: None) -> tuple[Array, None]:
        values, vectors = curved(u)
        move = vectors @ (vectors.T @ jax.grad(height)(u) / values)
        move /= jnp.maximum(jnp.linalg.norm(move), 1.0)
        return jnp.where(height(u + move) > height(u), u + move, u + 0.1 * move), None

    u, _ = jax.lax.scan(newton, jnp.zeros_like(begin), None, length=NUM_NEWTON)
    values, vectors = curved(u)
    root = spread[:, None] * vectors / jnp.sqrt(values)
    back = jnp.sqrt(values)[:, None] * vectors.T / spread
    return Peak(begin + spread * u, root, back)
