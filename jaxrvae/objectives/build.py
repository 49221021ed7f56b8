"""The loss that goes with a model."""

from typing import Any

import jax.numpy as jnp
from flax import nnx

from jaxrvae._typing import Array, Float, PRNGKey, ndarray
from jaxrvae.models.build import Model
from jaxrvae.models.steerable import Projection, SteerableModel
from jaxrvae.objectives.enumerated import affine_loss
from jaxrvae.objectives.marginal import steerable_loss


def make_loss(
    model: Model,
    graph: Any,
    projection: Projection | None,
    log_prior: Float[ndarray, " angle"],
    angle_prior: tuple[float, float],
) -> Any:
    """(params, batch of features, key) to (minus the bound, its parts).

    Args:
        graph: Of the networks, as `nnx.split` gives it.
        projection: To expand compressed features at every step; None if they are
            expanded already.
        log_prior: Of the angle grid: log density times 2 pi.
        angle_prior: The same prior as location and concentration.
    """
    prior = jnp.asarray(log_prior)

    def loss(
        params: Any, batch: dict[str, Array], key: PRNGKey
    ) -> tuple[Array, dict[str, Array]]:
        networks: Any = nnx.merge(graph, params)
        if projection is not None:
            batch = model.expand(projection, batch)
        if isinstance(model, SteerableModel):
            return steerable_loss(model, networks, batch, prior, key)
        return affine_loss(model, networks, batch, angle_prior, key)

    return loss
