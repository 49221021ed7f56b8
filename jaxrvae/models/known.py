"""What is known of an image beside its pixels: its class, where given, and conditions.

The decoder gets it after the content, the encoder after its hidden units: the class as
one number a class, 1 for the one meant, then the conditions as they are.
"""

import jax
import jax.numpy as jnp

from jaxrvae._typing import Array, Float
from jaxrvae.data.known import UNKNOWN


def known_numbers(
    features: dict[str, Array], num_classes: int, num_images: int
) -> Float[Array, "batch known"]:
    """The encoder's: zeros for a class that is not known; no columns if there is none.

    Args:
        features: With "label" (n,) and "condition" (n, number) where there are such.
    """
    parts = []
    if num_classes > 1:
        label = features.get("label", jnp.full(num_images, UNKNOWN))
        parts.append(jax.nn.one_hot(label, num_classes))  # none for UNKNOWN
    if "condition" in features:
        parts.append(features["condition"])
    return jnp.concatenate([jnp.zeros((num_images, 0)), *parts], axis=1)


def of_every_class(
    features: dict[str, Array], num_classes: int, content: Float[Array, "batch latent"]
) -> Float[Array, "cls batch input"]:
    """The decoder's inputs: the contents with every class in turn."""
    parts = [jnp.broadcast_to(content, (num_classes, *content.shape))]
    if num_classes > 1:
        classes = jnp.eye(num_classes)[:, None]
        shape = (num_classes, len(content), num_classes)
        parts.append(jnp.broadcast_to(classes, shape))
    if "condition" in features:
        condition = features["condition"]
        parts.append(jnp.broadcast_to(condition, (num_classes, *condition.shape)))
    return jnp.concatenate(parts, axis=-1)


def join_classes(
    features: dict[str, Array], of_class: Float[Array, "cls batch"]
) -> Float[Array, " batch"]:
    """Log probability with the class summed out; that of the known class, if known.

    Args:
        of_class: Log probability of each image given the class; all are as likely.
    """
    num_classes = len(of_class)
    if num_classes == 1:
        return of_class[0]
    total = jax.scipy.special.logsumexp(of_class, axis=0)
    if "label" in features:
        label = features["label"]
        own = jnp.take_along_axis(of_class, jnp.maximum(label, 0)[None], axis=0)[0]
        total = jnp.where(label == UNKNOWN, total, own)
    return total - jnp.log(num_classes)


def class_probabilities(
    features: dict[str, Array], of_class: Float[Array, "cls batch"]
) -> Float[Array, "batch cls"]:
    """By Bayes' theorem; 1 for a class that is known."""
    found = jax.nn.softmax(of_class.T, axis=-1)
    if "label" in features and len(of_class) > 1:
        label = features["label"][:, None]
        known = jax.nn.one_hot(features["label"], len(of_class))
        found = jnp.where(label == UNKNOWN, found, known)
    return found
