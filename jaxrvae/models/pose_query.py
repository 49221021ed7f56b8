"""The posterior of pose and content, as the affine model's encoder states it.

With K turned copies it is a mixture: each copy has its probability and a local angle.
With one copy the angle has one mode: a Gaussian on the line, as published, a von Mises,
or a projected normal distribution.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.distributions import projected_normal, von_mises
from jaxrvae.geometry.circle import wrap

OF_COPIES = (
    "logits",
    "turn",
    "angle",
    "angle_log_std",
    "shift",
    "shift_log_std",
    "log_scale",
    "log_scale_log_std",
)
NUM_WRAPS = 5  # turns to either side: a Gaussian's standard deviation is at most e^2


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PoseQuery:
    """Means and log standard deviations.

    Attributes:
        logits: (batch, turn) of the copies.
        turn: (batch, turn) radians, by which each copy is turned back.
        angle: (batch, turn) its middle, radians; `angle_log_std` goes with it: of a von
            Mises distribution -log(concentration) / 2, of a projected normal minus the
            log of its mean's length.
        shift: (batch, turn, 2) unit lengths, in the image's frame.
        log_scale: (batch, turn).
        content: (batch, latent), weighted over the copies.
        guess: (batch, number) what the pooled units say of class and conditions.
        family: Of the angle: "enumerated", "gaussian", "von_mises", "projected_normal".
    """

    logits: Float[Array, "batch turn"]
    turn: Float[Array, "batch turn"]
    angle: Float[Array, "batch turn"]
    angle_log_std: Float[Array, "batch turn"]
    shift: Float[Array, "batch turn 2"]
    shift_log_std: Float[Array, "batch turn 2"]
    log_scale: Float[Array, "batch turn"]
    log_scale_log_std: Float[Array, "batch turn"]
    content: Float[Array, "batch latent"]
    content_log_std: Float[Array, "batch latent"]
    guess: Float[Array, "batch guess"]
    family: str = dataclasses.field(metadata={"static": True})

    @property
    def log_weights(self) -> Float[Array, "batch turn"]:
        """Log probabilities of the copies."""
        return jax.nn.log_softmax(self.logits, axis=-1)

    def likeliest(self, number: int) -> "PoseQuery":
        """The same of the likeliest copies alone."""
        if number >= self.logits.shape[1]:
            return self
        _, index = jax.lax.top_k(self.logits, number)

        def pick(values: Array) -> Array:
            wide = index.reshape(*index.shape, *(1,) * (values.ndim - 2))
            return jnp.take_along_axis(values, wide, axis=1)

        found = {name: pick(getattr(self, name)) for name in OF_COPIES}
        return dataclasses.replace(self, **found)


def draw_angle(query: PoseQuery, key: PRNGKey) -> Float[Array, "batch turn"]:
    """One sample of every copy's angle, with its slope."""
    if query.family == "von_mises":
        return von_mises.rsample(key, query.angle, _concentration(query))
    if query.family == "projected_normal":
        return projected_normal.rsample(key, _mean_vector(query))
    normal = jax.random.normal(key, query.angle.shape)
    return query.angle + jnp.exp(query.angle_log_std) * normal


def log_density_of_angle(
    query: PoseQuery, angle: Float[Array, "batch turn"]
) -> Float[Array, "batch turn"]:
    """Of each copy's own angle, as `draw_angle` draws it, per radian.

    On the circle where there is one copy, else on the line.
    """
    if query.family == "von_mises":
        return von_mises.log_prob(angle, query.angle, _concentration(query))
    if query.family == "projected_normal":
        return projected_normal.log_prob(angle, _mean_vector(query))
    turns = [0.0]
    if query.family == "gaussian":  # wrapped, as the image and the priors are periodic
        turns = 2 * np.pi * np.arange(-NUM_WRAPS, NUM_WRAPS + 1)
        angle = query.angle + wrap(angle - query.angle)
    off = [
        (angle - query.angle + turn) * jnp.exp(-query.angle_log_std) for turn in turns
    ]
    height = logsumexp(-0.5 * jnp.square(jnp.stack(off)), axis=0)
    return height - 0.5 * np.log(2 * np.pi) - query.angle_log_std


def angle_density(
    query: PoseQuery, angles: Float[Array, " angle"]
) -> Float[Array, "batch angle"]:
    """The mixture over the copies on an even grid, no narrower than its step."""
    step = 2 * np.pi / len(angles)
    least = dataclasses.replace(
        query, angle_log_std=jnp.maximum(query.angle_log_std, np.log(step))
    )

    def at(angle: Float[Array, ""]) -> Float[Array, " batch"]:
        near = query.angle + wrap(angle - query.angle)
        density = log_density_of_angle(least, near)
        return jnp.exp(logsumexp(query.log_weights + density, axis=-1))

    return jax.vmap(at, out_axes=1)(angles)


def _concentration(query: PoseQuery) -> Float[Array, "batch turn"]:
    return jnp.exp(-2 * query.angle_log_std)


def _mean_vector(query: PoseQuery) -> Float[Array, "batch turn 2"]:
    direction = jnp.stack([jnp.cos(query.angle), jnp.sin(query.angle)], axis=-1)
    return jnp.exp(-query.angle_log_std)[..., None] * direction
