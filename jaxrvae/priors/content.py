"""Priors of the content that are learned with the model.

Each gives the log density of any content and draws from it. What a prior needs of the
model, the encoder of pseudo-images, is handed in as a function.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float, PRNGKey

Encode = Callable[[Array], tuple[Array, Array]]

NUM_COUPLINGS = 4
LEAST_STD = 0.05  # of a component: a mixture must not collapse on one image
MAX_LOG_SCALE = 1.5  # of one coupling


class MixturePrior(nnx.Module):
    """A Gaussian mixture with diagonal components."""

    def __init__(self, content_dim: int, num_components: int, *, rngs: nnx.Rngs):
        shape = (num_components, content_dim)
        self.means = nnx.Param(jax.random.normal(rngs.params(), shape))
        self.log_stds = nnx.Param(jnp.zeros(shape))
        self.logits = nnx.Param(jnp.zeros(num_components))

    def components(self, encode: Encode) -> tuple[Array, Array, Array]:
        """Log weights (component,), means and log standard deviations."""
        del encode
        least = jnp.maximum(self.log_stds[...], np.log(LEAST_STD))
        return jax.nn.log_softmax(self.logits[...]), self.means[...], least


class PseudoPrior(nnx.Module):
    """The mean of the posteriors of pseudo-images, which are learned.

    Args:
        features: (component, ...) what the encoder reads of images to start from.

    Source: Tomczak & Welling 2018, arXiv:1705.07120 (VampPrior).
    """

    def __init__(self, features: Float[Array, "component *n reals"]):
        self.features = nnx.Param(features)

    def components(self, encode: Encode) -> tuple[Array, Array, Array]:
        """Log weights (component,), means and log standard deviations."""
        means, log_stds = encode(self.features[...])
        number = len(means)
        return jnp.full(number, -np.log(number)), means, log_stds


class FlowPrior(nnx.Module):
    """A standard normal bent by affine couplings, each of one half by the other.

    Source: Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803 (RealNVP).
    """

    def __init__(self, content_dim: int, hidden_dim: int, *, rngs: nnx.Rngs):
        kept = [(np.arange(content_dim) + i) % 2 == 0 for i in range(NUM_COUPLINGS)]
        self.kept = tuple(tuple(bool(k) for k in half) for half in kept)
        zero = nnx.initializers.zeros
        self.lift = nnx.List(
            nnx.Linear(content_dim, hidden_dim, rngs=rngs) for _ in kept
        )
        self.out = nnx.List(
            nnx.Linear(hidden_dim, 2 * content_dim, kernel_init=zero, rngs=rngs)
            for _ in kept
        )

    def _coupling(self, index: int, value: Array) -> tuple[Array, Array]:
        """Log scale and shift of the half that is not kept; none of the other."""
        kept = jnp.array(self.kept[index], jnp.float32)
        units = nnx.tanh(self.lift[index](value * kept))
        log_scale, shift = jnp.split(self.out[index](units), 2, axis=-1)
        log_scale = MAX_LOG_SCALE * jnp.tanh(log_scale)
        return (1 - kept) * log_scale, (1 - kept) * shift

    def log_prob(self, content: Float[Array, "*n latent"]) -> Float[Array, "*n"]:
        """Nats."""
        total = jnp.zeros(content.shape[:-1])
        for index in range(NUM_COUPLINGS):
            log_scale, shift = self._coupling(index, content)
            content = content * jnp.exp(log_scale) + shift
            total += log_scale.sum(-1)
        return total + log_normal(content)

    def from_normal(
        self, normal: Float[Array, "*n latent"]
    ) -> Float[Array, "*n latent"]:
        """Contents from numbers that are standard normal."""
        for index in reversed(range(NUM_COUPLINGS)):
            log_scale, shift = self._coupling(index, normal)
            normal = (normal - shift) * jnp.exp(-log_scale)
        return normal


# Beside these a `Program`, or the `ProgramPrior` that has it (`priors/program.py`).
ContentPrior = Any


def is_program(prior: ContentPrior) -> bool:
    """Whether the prior is a NumPyro model; asked without importing NumPyro."""
    return hasattr(prior, "sites")


def at_medians(prior: ContentPrior) -> ContentPrior:
    """The prior with what all patches share at its posterior's median."""
    return prior.at_medians() if hasattr(prior, "at_medians") else prior


def log_normal(
    value: Float[Array, "*n latent"],
    mean: float | Float[Array, "*m latent"] = 0.0,
    log_std: float | Float[Array, "*m latent"] = 0.0,
) -> Float[Array, "*both"]:
    """Log density of independent normal numbers, summed over the last axis.

    >>> round(float(log_normal(jnp.zeros(2))), 4)
    -1.8379
    """
    square = jnp.square((value - mean) * jnp.exp(-jnp.asarray(log_std)))
    return (-0.5 * (square + np.log(2 * np.pi)) - log_std).sum(-1)


def log_prior(
    prior: ContentPrior, content: Float[Array, "*n latent"], encode: Encode
) -> Float[Array, "*n"]:
    """Log density of the contents; None is the standard normal."""
    prior = at_medians(prior)
    if prior is None:
        return log_normal(content)
    if isinstance(prior, FlowPrior) or is_program(prior):
        return prior.log_prob(content)
    log_weights, means, log_stds = prior.components(encode)
    return logsumexp(
        log_weights + log_normal(content[..., None, :], means, log_stds), axis=-1
    )


def sample_prior(
    prior: ContentPrior,
    num_samples: int,
    content_dim: int,
    encode: Encode,
    key: PRNGKey,
) -> Float[Array, "sample latent"]:
    """Draws of the content."""
    if is_program(prior):
        return at_medians(prior).sample(key, num_samples)["content"]
    normal_key, choice_key = jax.random.split(key)
    normal = jax.random.normal(normal_key, (num_samples, content_dim))
    if prior is None:
        return normal
    if isinstance(prior, FlowPrior):
        return prior.from_normal(normal)
    log_weights, means, log_stds = prior.components(encode)
    chosen = jax.random.categorical(choice_key, log_weights, shape=(num_samples,))
    return means[chosen] + jnp.exp(log_stds[chosen]) * normal
