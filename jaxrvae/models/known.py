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
        parts.append(jnp.nan_to_num(features["condition"]))  # 0: not known
    return jnp.concatenate([jnp.zeros((num_images, 0)), *parts], axis=1)


def split_guess(
    guess: Float[Array, "batch guess"], num_conditions: int
) -> tuple[Array, Array, Array]:
    """Logits of the classes; mean and log standard deviation of the conditions.

    Args:
        num_conditions: That can be missing; 0 if the images come without.
    """
    num_classes = max(guess.shape[1] - 2 * num_conditions, 0)
    logits, rest = guess[:, :num_classes], guess[:, num_classes:]
    mean, log_std = jnp.split(rest, 2, axis=1)
    return logits, mean, jnp.clip(log_std - 1.0, -5.0, 1.0)


def with_conditions(
    features: dict[str, Array], guess: Float[Array, "batch guess"]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """The features with the guess where a condition is missing; and the guess itself.

    Returns:
        Features, and "condition" and "condition_std" (n, number), empty where all
        conditions are always given.
    """
    given = features.get("condition", jnp.zeros((len(guess), 0)))
    number = given.shape[1]
    if number == 0 or guess.shape[1] < 2 * number:
        none = jnp.zeros((len(guess), 0))
        return features, {"condition": none, "condition_std": none}
    _, mean, log_std = split_guess(guess, number)
    missing = jnp.isnan(given)
    value = jnp.where(missing, mean, given)
    std = jnp.where(missing, jnp.exp(log_std), 0.0)
    found = {"condition": value, "condition_std": std}
    return features | {"condition": value}, found


def join_inputs(
    features: dict[str, Array],
    content: Float[Array, "batch latent"],
    classes: Float[Array, "batch cls"],
) -> Float[Array, "batch input"]:
    """The decoder's inputs: contents, classes of their own, and conditions."""
    parts = [content, classes]
    if "condition" in features:
        parts.append(features["condition"])
    return jnp.concatenate(parts, axis=-1)


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
    features: dict[str, Array],
    of_class: Float[Array, "cls batch"],
    log_share: Float[Array, "cls batch"] | None = None,
) -> Float[Array, " batch"]:
    """Log probability with the class summed out; that of the known class, if known.

    Args:
        of_class: Log probability of each image given the class.
        log_share: Of the classes; None: all are as likely.
    """
    num_classes = len(of_class)
    if num_classes == 1:
        return of_class[0]
    if log_share is not None:
        of_class = of_class + log_share + jnp.log(num_classes)
    total = jax.scipy.special.logsumexp(of_class, axis=0)
    if "label" in features:
        label = features["label"]
        own = jnp.take_along_axis(of_class, jnp.maximum(label, 0)[None], axis=0)[0]
        total = jnp.where(label == UNKNOWN, total, own)
    return total - jnp.log(num_classes)


def class_probabilities(
    features: dict[str, Array],
    of_class: Float[Array, "cls batch"],
    log_share: Float[Array, "cls batch"] | None = None,
) -> Float[Array, "batch cls"]:
    """By Bayes' theorem; 1 for a class that is known."""
    if log_share is not None:
        of_class = of_class + log_share
    found = jax.nn.softmax(of_class.T, axis=-1)
    if "label" in features and len(of_class) > 1:
        label = features["label"][:, None]
        known = jax.nn.one_hot(features["label"], len(of_class))
        found = jnp.where(label == UNKNOWN, found, known)
    return found
