"""What the encoder guesses of class and conditions, where it has to.

A condition that is missing for some images is drawn from the guess, which costs its
divergence from the standardized prior; where it is known the guess is taught. So with
classes that are drawn rather than summed over.

Source: Kingma et al. 2014, arXiv:1406.5298 (semi-supervised models); Jang, Gu & Poole
2017, arXiv:1611.01144 (relaxed classes).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.data.known import UNKNOWN
from jaxrvae.models.known import split_guess
from jaxrvae.objectives.elbo import kl_normal
from jaxrvae.priors.content import log_normal

TEACHING = 10.0  # weight of a known condition or class in the guess
EVEN = 20.0  # nats per image, of the classes' mean divergence from even shares


def draw_conditions(
    features: dict[str, Array], guess: Float[Array, "batch guess"], key: PRNGKey
) -> tuple[dict[str, Array], Float[Array, " batch"]]:
    """The features with every condition, and what this costs, nats per image."""
    given = features["condition"]
    _, mean, log_std = split_guess(guess, given.shape[1])
    missing = jnp.isnan(given)
    normal = jax.random.normal(key, given.shape)
    drawn = mean + jnp.exp(log_std) * normal
    known = jnp.where(missing, mean, given)
    divergence = kl_normal(mean, log_std)
    surprise = -log_normal(known[..., None], mean[..., None], log_std[..., None])
    cost = jnp.where(missing, divergence, TEACHING * surprise).sum(-1)
    return features | {"condition": jnp.where(missing, drawn, given)}, cost


def draw_classes(
    features: dict[str, Array],
    logits: Float[Array, "batch cls"],
    temperature: float,
    even: Float[Array, ""],
    key: PRNGKey,
) -> tuple[Float[Array, "batch cls"], Float[Array, " batch"]]:
    """Relaxed classes, one nearly 1 and the others nearly 0, and their cost in nats.

    Args:
        even: Weight, from 1 to 0, of the pull to even shares over the batch.
    """
    number = logits.shape[1]
    noise = jax.random.gumbel(key, logits.shape)
    drawn = jax.nn.softmax((logits + noise) / temperature, axis=-1)
    log_share = jax.nn.log_softmax(logits, axis=-1)
    cost = (jnp.exp(log_share) * log_share).sum(-1) + np.log(number)
    mean = jnp.exp(log_share).mean(0)
    cost += EVEN * even * (mean * jnp.log(number * mean + 1e-9)).sum()
    if "label" in features:
        label = features["label"]
        own = jax.nn.one_hot(label, number)
        known = (label != UNKNOWN)[:, None]
        drawn = jnp.where(known, own, drawn)
        taught = np.log(number) - TEACHING * (own * log_share).sum(-1)
        cost = jnp.where(known[:, 0], taught, cost)
    return drawn, cost
