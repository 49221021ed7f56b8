"""The loss that goes with a model."""

import dataclasses
from typing import Any

from flax import nnx

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.config import ModelConfig, ObjectiveConfig
from jaxrvae.models.build import on_grid
from jaxrvae.models.fitted import FittedModel
from jaxrvae.networks.precision import lower
from jaxrvae.objectives.bound import Aim, AnglePriors, bound_loss
from jaxrvae.priors.pose import AnglePrior, angle_prior


def make_loss(
    fresh: FittedModel,
    expanded: bool,
    objective: ObjectiveConfig,
    few_copies: bool = False,
    precision: str = "float32",
    num_images: int = 1,
) -> Any:
    """(params, features of a batch, progress, key, knobs) to (minus the bound, parts).

    Knobs are what members of one program differ in: any of `beta`, and `angle_loc` with
    `angle_concentration`.

    Args:
        expanded: Whether the features are; if not, they are at every step.
        few_copies: See `Aim`.
        precision: Of hidden layers' products.
        num_images: In all, that what they share is inferred from.
    """
    model, graph, projection = fresh.model, fresh.graph, fresh.projection
    config = fresh.config
    temperature = config.setting("posterior", "temperature") if config.gumbel else None
    aim = Aim(objective, angle_priors(config), temperature, few_copies, num_images)

    def loss(
        params: Any,
        batch: dict[str, Array],
        progress: Float[Array, ""],
        key: PRNGKey,
        knobs: dict[str, Any] | None = None,
    ) -> tuple[Array, dict[str, Array]]:
        networks: Any = nnx.merge(graph, params)
        if precision == "bfloat16":
            lower(networks)
        if not expanded:
            batch = model.expand(projection, batch)
        own = turned(aim, knobs or {})
        return bound_loss(model, networks, projection, batch, own, progress, key)

    return loss


def turned(aim: Aim, knobs: dict[str, Any]) -> Aim:
    """The aim of the member that has these knobs."""
    if "beta" in knobs:
        aim = dataclasses.replace(aim, beta=knobs["beta"])
    if "angle_loc" in knobs:
        numbers = {"loc": knobs["angle_loc"]}
        numbers["concentration"] = knobs["angle_concentration"]
        prior = dataclasses.replace(aim.angle_prior[1], **numbers)
        aim = dataclasses.replace(aim, angle_prior=_both(prior))
    return aim


def angle_priors(config: ModelConfig) -> AnglePriors:
    """On the grid of angles, log density times 2 pi; and for any angle."""
    return _both(angle_prior(config.angle_prior))


def _both(prior: AnglePrior) -> AnglePriors:
    return on_grid(prior), prior
