"""The loss that goes with a model."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.config import ModelConfig, ObjectiveConfig
from jaxrvae.models.build import angle_log_prior
from jaxrvae.models.fitted import FittedModel
from jaxrvae.objectives.bound import AnglePrior, bound_loss


def make_loss(fresh: FittedModel, expanded: bool, objective: ObjectiveConfig) -> Any:
    """(params, batch of features, progress, key) to (minus the bound, its parts).

    Args:
        expanded: Whether the features are; if not, they are at every step.
    """
    model, graph, projection = fresh.model, fresh.graph, fresh.projection
    prior = angle_priors(fresh.config)

    def loss(
        params: Any, batch: dict[str, Array], progress: Float[Array, ""], key: PRNGKey
    ) -> tuple[Array, dict[str, Array]]:
        networks: Any = nnx.merge(graph, params)
        if not expanded:
            batch = model.expand(projection, batch)
        return bound_loss(
            model, networks, projection, batch, prior, objective, progress, key
        )

    return loss


def angle_priors(config: ModelConfig) -> AnglePrior:
    """On the grid of angles, log density times 2 pi; as location and concentration."""
    given = config.angle_prior or {"loc": 0.0, "concentration": 0.0}
    von_mises = given["loc"], given["concentration"]
    return jnp.asarray(angle_log_prior(config)), von_mises
