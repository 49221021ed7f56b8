"""The loss that goes with a model."""

from typing import Any

from flax import nnx

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.config import ObjectiveConfig
from jaxrvae.models.build import Model
from jaxrvae.models.steerable import Projection
from jaxrvae.objectives.bound import AnglePrior, bound_loss


def make_loss(
    model: Model,
    graph: Any,
    projection: Projection,
    expanded: bool,
    angle_prior: AnglePrior,
    objective: ObjectiveConfig,
) -> Any:
    """(params, batch of features, progress, key) to (minus the bound, its parts).

    Args:
        graph: Of the networks, as `nnx.split` gives it.
        expanded: Whether the features are; if not, they are at every step.
    """

    def loss(
        params: Any, batch: dict[str, Array], progress: Float[Array, ""], key: PRNGKey
    ) -> tuple[Array, dict[str, Array]]:
        networks: Any = nnx.merge(graph, params)
        if not expanded:
            batch = model.expand(projection, batch)
        return bound_loss(
            model, networks, projection, batch, angle_prior, objective, progress, key
        )

    return loss
