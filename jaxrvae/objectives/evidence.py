"""log p(image), all its pixels: the importance-weighted bound with many samples.

The content is drawn from its posterior; class and pose are summed and integrated out
(steerable) or importance-weighted too (affine). The steerable decoder with Gaussian
noise explains what lies inside the band; what lies beyond it, white noise of a spread
of its own, is added, so that decoders compare.

Source: Burda, Grosse & Salakhutdinov 2016, arXiv:1509.00519.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float, PRNGKey, ndarray
from jaxrvae.models.affine import AffineModel
from jaxrvae.models.apply import in_chunks, pseudo_encoder
from jaxrvae.models.build import Model
from jaxrvae.models.fitted import FittedModel
from jaxrvae.models.known import join_classes, of_every_class, with_conditions
from jaxrvae.models.marginal import explain
from jaxrvae.models.pose_prior import any_angle, class_log_prior, grid_log_prior
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.objectives.bound import AnglePriors
from jaxrvae.objectives.build import angle_priors
from jaxrvae.objectives.enumerated import estimate_over_poses
from jaxrvae.priors.content import at_medians, log_normal, log_prior


def log_evidence(
    fitted: FittedModel, given: dict[str, ndarray], num_samples: int
) -> Float[ndarray, " n"]:
    """Nats per image, in the units recorded; a lower bound that samples tighten.

    Args:
        given: "images", and "label" and "condition" where they are known.
    """
    weights = log_weights(fitted, given, num_samples)
    return np.logaddexp.reduce(weights, axis=1) - np.float32(np.log(num_samples))


def log_weights(
    fitted: FittedModel, given: dict[str, ndarray], num_samples: int
) -> Float[ndarray, "n sample"]:
    """Log of p(image, content) over q(content), whose mean over samples is p(image)."""
    parts = fitted.model, fitted.graph, fitted.params, fitted.projection
    prior, key = angle_priors(fitted.config), jax.random.key(0)

    def chunk(part: dict[str, Array]) -> dict[str, Array]:
        nats = _weights(*parts, part, prior, fitted.rest_std, num_samples, key)
        return {"nats": nats}

    return in_chunks(chunk, given)["nats"]


@jax.jit(static_argnums=(1, 7))
def _weights(
    model: Model,
    graph: Any,
    params: Any,
    projection: dict[str, Array],
    given: dict[str, Array],
    angle_prior: AnglePriors,
    rest_std: Float[Array, ""] | float,
    num_samples: int,
    key: PRNGKey,
) -> Float[Array, "batch sample"]:
    networks: Any = nnx.merge(graph, params)
    images, known = given["images"], {k: v for k, v in given.items() if k != "images"}
    features = model.expand(projection, model.compress(projection, images)) | known
    query: Any = model.query(networks, features)
    features, _ = with_conditions(features, query.guess)
    mean, log_std = query.content, query.content_log_std
    prior = at_medians(networks.prior)
    encode = pseudo_encoder(model, networks)

    def weight(key: PRNGKey) -> Float[Array, " batch"]:
        content_key, *pose_keys = jax.random.split(key, 3)
        content = mean + jnp.exp(log_std) * jax.random.normal(content_key, mean.shape)
        inputs = of_every_class(features, model.num_classes, content)

        def explained(inputs: Float[Array, "batch input"]) -> Float[Array, " batch"]:
            density, of_angle = angle_prior
            if isinstance(model, AffineModel):
                of_angle = any_angle(prior, model.num_classes, of_angle, inputs)
                return estimate_over_poses(
                    model, networks, features, query, inputs, of_angle, pose_keys
                )
            canonical = model.canonical(networks, inputs)
            density = grid_log_prior(model, prior, density, inputs)
            return explain(model, networks, projection, features, canonical, density)

        share = class_log_prior(prior, model.num_classes, content)
        value = join_classes(features, jax.lax.map(explained, inputs), share)
        value -= log_normal(content, mean, log_std)
        return value + log_prior(prior, content, encode)

    weights = jax.lax.map(weight, jax.random.split(key, num_samples))
    return (weights + _beyond(model, features, images, rest_std)).T


def _beyond(
    model: Model,
    features: dict[str, Array],
    images: Float[Array, "batch height width channel"],
    rest_std: Float[Array, ""] | float,
) -> Float[Array, ""] | Float[Array, " batch"]:
    """What is left to say: the pixels' units, and what lies outside the band."""
    if model.likelihood != "gaussian":
        return jnp.zeros(())
    height, width, channels = model.shape
    units = -height * width * jnp.log(model.scale).sum()
    if not isinstance(model, SteerableModel):
        return units
    number = height * width * channels - model.num_modes
    standard = (images - model.offset) / model.scale
    energy = jnp.square(standard).sum((1, 2, 3)) - features["energy"]
    spread = jnp.log(2 * jnp.pi * jnp.square(rest_std))
    return units - 0.5 * (energy / jnp.square(rest_std) + number * spread)
