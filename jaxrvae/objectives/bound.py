"""The bound on log p(image): the content is sampled, class and pose are not.

`E_q(z) [log p(x | z)] - KL(q(z) | p(z))`, where log p(x | z) has the pose integrated
out (steerable) or bounded (affine) and the class summed out; with several samples the
importance-weighted bound. With spectra beside the images, log p(x, spectrum | z), and
the same bound again with the content that the spectrum's encoder states.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.config import ObjectiveConfig
from jaxrvae.data.known import UNKNOWN
from jaxrvae.models.affine import AffineModel
from jaxrvae.models.apply import pseudo_encoder
from jaxrvae.models.build import Model
from jaxrvae.models.known import join_classes, join_inputs, of_every_class, split_guess
from jaxrvae.models.marginal import explain
from jaxrvae.models.pose_prior import any_angle, class_log_prior, grid_log_prior
from jaxrvae.models.steerable import Features, Projection, SteerableModel
from jaxrvae.objectives.elbo import kl_normal
from jaxrvae.objectives.enumerated import bound_over_poses
from jaxrvae.objectives.guesses import draw_classes, draw_conditions
from jaxrvae.priors.content import (
    ContentPrior,
    is_program,
    log_normal,
    log_prior,
)
from jaxrvae.priors.pose import AnglePrior

AnglePriors = tuple[Float[Array, " angle"], AnglePrior]
Pair = tuple[Float[Array, " batch"], Float[Array, " batch"]]

# Shares of the training: until when the content is held at 0 where a class or condition
# could say it instead, and over which it is let go. Else the content would say it all.
HELD, LETTING_GO = 0.2, 0.3
FEW = 3  # copies
NUM_ROUNDS = 30  # of evening out


@dataclasses.dataclass(frozen=True)
class Aim:
    """What is maximized, beside what the model is.

    Attributes:
        angle_prior: On the grid of angles, log density times 2 pi; and for any angle.
        temperature: Of classes that are drawn; None: they are summed over.
        few_copies: The affine model's bound is taken over the likeliest copies alone,
            which most of the weight is on: quicker.
        num_images: That what all of them share is inferred from.
        beta: Instead of the objective's, where members of one program differ in it.
    """

    objective: ObjectiveConfig
    angle_prior: AnglePriors
    temperature: float | None = None
    few_copies: bool = False
    num_images: int = 1
    beta: Array | None = None


def bound_loss(
    model: Model,
    networks: Any,
    projection: Projection,
    features: Features,
    aim: Aim,
    progress: Float[Array, ""],
    key: PRNGKey,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Minus the bound, nats per image, and its parts.

    Args:
        progress: Share of the training that is over.
    """
    query: Any = model.query(networks, features)
    cost = jnp.zeros(())
    num_conditions = 0
    if "condition" in features:
        num_conditions = features["condition"].shape[1]
    if "condition" in features and query.guess.shape[1] >= 2 * num_conditions:
        own = jax.random.fold_in(key, 1)
        features, price = draw_conditions(features, query.guess, own)
        cost += price.mean()
    logits, _, _ = split_guess(query.guess, num_conditions)
    prior = networks.prior
    if is_program(prior):
        prior, shared = prior.drawn(jax.random.fold_in(key, 4))
        cost += shared / aim.num_images
    settings = aim, prior, progress
    bound = _Bound(model, networks, projection, features, query, logits, *settings)
    loss, parts = bound.loss((query.content, query.content_log_std), key)
    parts = {"noise": jnp.mean(model.noise(networks))} | parts
    if "spectrum" in features:
        posterior = networks.spectrum.encode(features["spectrum"])
        back, _ = bound.loss(posterior, jax.random.fold_in(key, 2))
        loss = 0.5 * (loss + back)
    return loss + cost, parts


@dataclasses.dataclass(frozen=True, eq=False)
class _Bound:
    """All that the bound depends on but the content's posterior."""

    model: Model
    networks: Any
    projection: Projection
    features: Features
    query: Any
    logits: Float[Array, "batch cls"]
    aim: Aim
    prior: ContentPrior
    progress: Float[Array, ""]

    def loss(
        self, posterior: tuple[Array, Array], key: PRNGKey
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        """Minus the bound for the content drawn from this posterior, and its parts."""
        mean, log_std = posterior
        networks, objective = self.networks, self.aim.objective
        encode = pseudo_encoder(self.model, networks)

        def log_ratio(content: Float[Array, "*n latent"]) -> Float[Array, "*n"]:
            """Log of posterior over prior."""
            own = log_normal(content, mean, log_std)
            return own - log_prior(self.prior, content, encode)

        # The steerable model samples poses for its normalizer alone.
        weights = image_weights(self.features, self.free)
        alone = isinstance(self.model, SteerableModel)
        keys = [key, jax.random.fold_in(key, 3)] if alone else jax.random.split(key, 4)
        parts = {}
        number = objective.num_samples
        if number > 1:
            many = [jax.random.split(one, number) for one in keys]
            content, (bound, likelihood) = jax.vmap(
                lambda keys: self.sample(posterior, keys)
            )(many)
            ratio = log_ratio(content)
            parts |= {"log_likelihood": likelihood.mean(), "kl_content": ratio.mean()}
            values = logsumexp(bound - ratio, axis=0) - np.log(number)
            return -(weights * values).mean(), parts
        content, (bound, likelihood) = self.sample(posterior, keys)
        if self.prior is None:
            kl = kl_normal(mean, log_std)
        else:
            kl = log_ratio(content)[:, None]
        parts |= {"log_likelihood": likelihood.mean(), "kl_content": kl.sum(-1).mean()}
        if objective == ObjectiveConfig() and self.aim.beta is None:
            return (weights * (kl.sum(-1) - bound)).mean(), parts
        weighted = kl * jnp.reshape(weights, (-1, 1))
        own = self.progress, mean.shape[1], self.aim.beta
        cost = kl_cost(weighted, objective, *own)
        return cost - (weights * bound).mean(), parts

    @property
    def free(self) -> Float[Array, ""]:
        """0 while the content is held, then rising to 1."""
        if self.model.num_classes == 1 and "condition" not in self.features:
            return jnp.ones(())
        return jnp.clip((self.progress - HELD) / LETTING_GO, 0.0, 1.0)

    def sample(self, posterior: tuple[Array, Array], keys: Any) -> tuple[Array, Pair]:
        """Contents; log p(x | content) or its bound, and the likelihood in it."""
        content_key, *pose_keys = keys
        mean, log_std = posterior
        normal = jax.random.normal(content_key, mean.shape)
        content = mean + jnp.exp(log_std) * normal
        features, num_classes, free = self.features, self.model.num_classes, self.free
        if self.aim.temperature is not None:
            own = jax.random.fold_in(content_key, 1)
            settings = self.aim.temperature, 1 - free
            drawn, cost = draw_classes(features, self.logits, *settings, own)
            inputs = join_inputs(features, free * content, drawn)
            value, likelihood = self.explained(inputs, pose_keys)
            return content, (value - cost, likelihood)
        inputs = of_every_class(features, num_classes, free * content)
        if num_classes == 1:
            return content, self.explained(inputs[0], pose_keys)
        bounds, likelihoods = jax.vmap(lambda i: self.explained(i, pose_keys))(inputs)
        even = (1 - free) * shared_evenly(jax.lax.stop_gradient(bounds))
        share = class_log_prior(self.prior, num_classes, content)
        joined = join_classes(features, bounds + even, share)
        return content, (joined, join_classes(features, likelihoods, share))

    def explained(self, inputs: Float[Array, "batch input"], pose_keys: Any) -> Pair:
        """Log p(image, and spectrum, | inputs) or its bound, and the likelihood in it.

        Args:
            inputs: The decoder's: content, and what is known beside it.
        """
        model, networks, features = self.model, self.networks, self.features
        density, of_angle = self.aim.angle_prior
        if isinstance(model, AffineModel):
            query = self.query
            if self.aim.few_copies:
                query = query.likeliest(FEW)
            both = features, query, inputs
            of_angle = any_angle(self.prior, model.num_classes, of_angle, inputs)
            rest = of_angle, self.progress, pose_keys
            pair = bound_over_poses(model, networks, *both, *rest)
        else:
            canonical = model.canonical(networks, inputs)
            density = grid_log_prior(model, self.prior, density, inputs)
            own = features, canonical, density
            value = explain(model, networks, self.projection, *own, *pose_keys)
            pair = value, value
        if "spectrum" not in features:
            return pair
        beside = networks.spectrum.log_likelihood(features["spectrum"], inputs)
        weight = self.aim.objective.image_weight
        return weight * pair[0] + beside, weight * pair[1] + beside


def image_weights(
    features: Features, free: Float[Array, ""]
) -> Float[Array, " batch"] | float:
    """How much each image counts; where some have labels, those alone at the start.

    Else the many without find classes of their own, whose numbers are not the labels'.

    Args:
        free: 0 while the content is held, then rising to 1.
    """
    if "label" not in features:
        return 1.0
    weights = jnp.where(features["label"] == UNKNOWN, free, 1.0)
    return weights / jnp.maximum(weights.mean(), 1e-6)


def kl_cost(
    kl: Float[Array, "batch part"],
    objective: ObjectiveConfig,
    progress: Float[Array, ""],
    content_dim: int,
    beta: Float[Array, ""] | None = None,
) -> Float[Array, ""]:
    """What the content's KL costs at this point of the training.

    Args:
        kl: Nats, of each content number or of all together.
        beta: Instead of the objective's.
    """
    risen = jnp.clip(progress / objective.ramp, 0.0, 1.0) if objective.ramp else 1.0
    mean = kl.mean(0)
    if objective.capacity is not None:
        distance = jnp.abs(mean.sum() - risen * objective.capacity)
        return objective.capacity_weight * distance
    free = objective.free_bits * content_dim / kl.shape[1]
    weight = objective.beta if beta is None else beta
    return risen * weight * jnp.maximum(mean, free).sum()


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
