"""The prior of the pose where a NumPyro model states it, content by content."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.priors.content import ContentPrior, at_medians, is_program


def grid_log_prior(
    model: SteerableModel,
    prior: ContentPrior,
    default: Float[Array, " angle"],
    inputs: Float[Array, "batch input"],
) -> Float[Array, "*places angle"]:
    """Log of the prior over its mean on the grid: (angle,) or (batch, place, angle).

    Args:
        prior: Of the content, and of the pose where it is a NumPyro model with such
            sites.
        default: Of the angle, where it is not.
        inputs: The decoder's: content, and what is known beside it.
    """
    program = at_medians(prior)
    if not is_program(program) or not program.sites.free:
        return default
    angles = jnp.asarray(model.angles(), jnp.float32)
    of_angle = angle_log_prior(program, model.num_classes, default, inputs, angles)
    of_angle = jnp.reshape(of_angle, (-1, 1, len(angles)))
    if "shift" not in program.sites.free:
        return of_angle
    x, y = np.meshgrid(model.ticks, model.ticks)
    places = jnp.asarray(np.stack([x.ravel(), y.ravel()], axis=-1), jnp.float32)
    inputs = inputs if "shift" in program.sites.varying else inputs[:1]
    table = program.log_place(inputs[:, : program.sites.content_dim], places)
    of_place = _of_class(program, model.num_classes, inputs, table)
    return of_angle + of_place[..., None]


def angle_log_prior(
    program: Any,
    num_classes: int,
    default: Float[Array, " one"],
    inputs: Float[Array, "batch input"],
    angles: Float[Array, "*m angle"],
) -> Float[Array, "*n row"]:
    """Log of 2 pi times the angle's density: (angle,), or a row an image or for all.

    Args:
        default: Where the program has no angle.
    """
    if not is_program(program) or "angle" not in program.sites.free:
        return default
    if "angle" not in program.sites.varying and angles.ndim == 1:
        inputs = inputs[:1]
    table = program.log_angle(inputs[:, : program.sites.content_dim], angles)
    return _of_class(program, num_classes, inputs, table)


@dataclasses.dataclass(frozen=True, eq=False)
class AngleOf:
    """A NumPyro model's angle, given the decoder's inputs; as `AnglePrior` is used."""

    program: Any
    num_classes: int
    inputs: Float[Array, "batch input"]
    fold: int = 1
    kind: str = "program"

    def log_density(self, angle: Float[Array, "batch turn"]) -> Array:
        """Log of 2 pi times the density."""
        rest = self.num_classes, jnp.zeros(1), self.inputs
        return angle_log_prior(self.program, *rest, angle)


def any_angle(
    prior: ContentPrior, num_classes: int, default: Any, inputs: Array
) -> Any:
    """The prior for any angle of images with these inputs."""
    program = at_medians(prior)
    if not is_program(program) or "angle" not in program.sites.free:
        return default
    return AngleOf(program, num_classes, inputs)


def class_log_prior(
    prior: ContentPrior, num_classes: int, content: Float[Array, "batch latent"]
) -> Float[Array, "cls batch"] | None:
    """Log probability of each class given the content; None where all are as likely."""
    program = at_medians(prior)
    if num_classes == 1 or not is_program(program):
        return None
    return program.log_share(content).T


def _of_class(
    program: Any,
    num_classes: int,
    inputs: Float[Array, "batch input"],
    table: Float[Array, "batch cls n"],
) -> Float[Array, "batch n"]:
    """Of the class that the inputs name; with none, over the prior's own classes."""
    dim = program.sites.content_dim
    if num_classes > 1:
        return (inputs[:, dim : dim + num_classes, None] * table).sum(1)
    share = program.log_share(inputs[:, :dim])
    return logsumexp(share[..., None] + table, axis=1)
