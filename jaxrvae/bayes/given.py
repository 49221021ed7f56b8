"""A fitted model and patches as arrays, and the parts that read them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, ndarray
from jaxrvae.models.build import angle_log_prior
from jaxrvae.models.fitted import FittedModel
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.priors.content import at_medians
from jaxrvae.priors.pose import angle_prior


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """A fitted steerable model with Gaussian noise, and images of its shape."""

    fitted: FittedModel
    images: ndarray

    @property
    def model(self) -> SteerableModel:
        """The model apart from its weights."""
        found = self.fitted.model
        assert isinstance(found, SteerableModel)
        return found

    @property
    def parts(self) -> tuple[Any, Any, Any, Any, Any]:
        """Model, graph, weights, projection and gauge, as compiled passes take them."""
        own = self.fitted
        return own.model, own.graph, own.params, own.projection, own.gauge

    @property
    def networks(self) -> Any:
        """The networks with their weights."""
        return nnx.merge(self.fitted.graph, self.fitted.params, copy=True)

    @property
    def angle_priors(self) -> tuple[Array, Any]:
        """The option's: log density times 2 pi on the grid, and for any angle."""
        config = self.fitted.config
        return angle_log_prior(config), angle_prior(config.angle_prior)

    @property
    def prior(self) -> Any:
        """Of the content, and of the pose where it states one."""
        return at_medians(self.networks.prior)

    def chunks(self, size: int) -> Iterator[tuple[slice, Array]]:
        """The rows of every chunk, and its images; the last one is filled up."""
        for start in range(0, len(self.images), size):
            part = self.images[start : start + size]
            rows = slice(start, start + len(part))
            if len(part) < size:
                more = np.repeat(part[-1:], size - len(part), axis=0)
                part = np.concatenate([part, more])
            yield rows, jnp.asarray(part)


def given(model: Any, patches: Any, what: str) -> Given:
    """The model's fitted parts, and the patches as images.

    Args:
        model: An RVAE that is fitted, or a `FittedModel`.
        what: Of what they are wanted for, in an error.

    Raises:
        ValueError: If the model is of another kind.
        DataError: If the patches are not of its shape.
    """
    fitted = model if isinstance(model, FittedModel) else model.fitted
    config = fitted.config
    if not isinstance(fitted.model, SteerableModel):
        raise ValueError(
            f"{what} needs decoder='steerable', which integrates the pose out; got"
            f" {config.decoder_family!r}."
        )
    if config.likelihood_kind != "gaussian":
        raise ValueError(
            f"{what} needs likelihood='gaussian'; got {config.likelihood_kind!r}."
        )
    if config.num_classes > 1 or fitted.known.condition_dim:
        raise ValueError(
            f"{what} needs a model without classes or conditions of its own; got"
            f" num_classes={config.num_classes},"
            f" {fitted.known.condition_dim} conditions."
        )
    return Given(fitted, fitted.images_of(patches))
