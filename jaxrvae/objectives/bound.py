"""The bound on log p(image): the content is sampled, class and pose are not.

`E_q(z) [log p(x | z)] - KL(q(z) | p(z))`, where log p(x | z) has the pose integrated
out (steerable) or bounded (affine) and the class summed out; with several samples the
importance-weighted bound.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.config import ObjectiveConfig
from jaxrvae.models.affine import AffineModel
from jaxrvae.models.apply import pseudo_encoder
from jaxrvae.models.build import Model
from jaxrvae.models.known import join_classes, of_every_class
from jaxrvae.models.marginal import explain
from jaxrvae.models.steerable import Features, Projection, SteerableModel
from jaxrvae.objectives.elbo import kl_normal
from jaxrvae.objectives.enumerated import VonMises, bound_over_poses
from jaxrvae.priors.content import log_normal, log_prior

AnglePrior = tuple[Float[Array, " angle"], VonMises]
Pair = tuple[Float[Array, " batch"], Float[Array, " batch"]]

# Shares of the training: until when the content is held at 0 where a class or condition
# could say it instead, and over which it is let go. Else the content would say it all.
HELD, LETTING_GO = 0.2, 0.3
NUM_ROUNDS = 30  # of evening out


def bound_loss(
    model: Model,
    networks: Any,
    projection: Projection,
    features: Features,
    angle_prior: AnglePrior,
    objective: ObjectiveConfig,
    progress: Float[Array, ""],
    key: PRNGKey,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Minus the bound, nats per image, and its parts.

    Args:
        angle_prior: On the grid of angles, log density times 2 pi; and the same as
            location and concentration.
        progress: Share of the training that is over.
    """
    query: Any = model.query(networks, features)
    mean, log_std = query.content, query.content_log_std
    density, von_mises = angle_prior
    encode = pseudo_encoder(model, networks)
    free = jnp.ones(())
    if model.num_classes > 1 or "condition" in features:
        free = jnp.clip((progress - HELD) / LETTING_GO, 0.0, 1.0)

    def sample(keys: Any) -> tuple[Array, Pair]:
        """Contents; log p(x | content) or its bound, and the likelihood in it."""
        content_key, *pose_keys = keys
        normal = jax.random.normal(content_key, mean.shape)
        content = mean + jnp.exp(log_std) * normal

        def explained(inputs: Float[Array, "batch input"]) -> Pair:
            if isinstance(model, AffineModel):
                both = features, query, inputs
                rest = von_mises, progress, pose_keys
                return bound_over_poses(model, networks, *both, *rest)
            canonical = model.canonical(networks, inputs)
            value = explain(model, networks, projection, features, canonical, density)
            return value, value

        inputs = of_every_class(features, model.num_classes, free * content)
        if model.num_classes == 1:
            return content, explained(inputs[0])
        bounds, likelihoods = jax.vmap(explained)(inputs)
        even = (1 - free) * shared_evenly(jax.lax.stop_gradient(bounds))
        joined = join_classes(features, bounds + even)
        return content, (joined, join_classes(features, likelihoods))

    def log_ratio(content: Float[Array, "*n latent"]) -> Float[Array, "*n"]:
        """Log of posterior over prior."""
        own = log_normal(content, mean, log_std)
        return own - log_prior(networks.prior, content, encode)

    # The steerable model samples no pose, and has the key to itself.
    keys = [key] if isinstance(model, SteerableModel) else jax.random.split(key, 4)
    parts = {"noise": networks.noise}
    number = objective.num_samples
    if number > 1:
        many = [jax.random.split(one, number) for one in keys]
        content, (bound, likelihood) = jax.vmap(sample)(many)
        ratio = log_ratio(content)
        parts |= {"log_likelihood": likelihood.mean(), "kl_content": ratio.mean()}
        return -(logsumexp(bound - ratio, axis=0) - np.log(number)).mean(), parts
    content, (bound, likelihood) = sample(keys)
    if networks.prior is None:
        kl = kl_normal(mean, log_std)
    else:
        kl = log_ratio(content)[:, None]
    parts |= {"log_likelihood": likelihood.mean(), "kl_content": kl.sum(-1).mean()}
    if objective == ObjectiveConfig():
        return (kl.sum(-1) - bound).mean(), parts
    cost = kl_cost(kl, objective, progress, mean.shape[1])
    return cost - bound.mean(), parts


def kl_cost(
    kl: Float[Array, "batch part"],
    objective: ObjectiveConfig,
    progress: Float[Array, ""],
    content_dim: int,
) -> Float[Array, ""]:
    """What the content's KL costs at this point of the training.

    Args:
        kl: Nats, of each content number or of all together.
    """
    risen = jnp.clip(progress / objective.ramp, 0.0, 1.0) if objective.ramp else 1.0
    mean = kl.mean(0)
    if objective.capacity is not None:
        distance = jnp.abs(mean.sum() - risen * objective.capacity)
        return objective.capacity_weight * distance
    free = objective.free_bits * content_dim / kl.shape[1]
    return risen * objective.beta * jnp.maximum(mean, free).sum()


def shared_evenly(bounds: Float[Array, "cls batch"]) -> Float[Array, "cls 1"]:
    """What to add to each class's log likelihood for all to get as many images.

    Without it the class that is a little better at the start gets them all.

    Source: Sinkhorn 1967, Am. Math. Mon. 74, 402; Asano et al. 2020, arXiv:1911.05371.
    """
    num_classes, batch = bounds.shape

    def even(extra: Float[Array, "cls 1"], _: None) -> tuple[Array, None]:
        share = jax.nn.log_softmax(bounds + extra, axis=0)
        mass = logsumexp(share, axis=1, keepdims=True)
        return extra - mass + np.log(batch / num_classes), None

    start = jnp.zeros((num_classes, 1))
    return jax.lax.scan(even, start, None, length=NUM_ROUNDS)[0]
