"""The affine model's bound on log p(image | content): turned copies, enumerated.

`sum_k q_k [log p(x | pose_k, z) - KL(offset, shift)_k] - KL(q | angle's prior)`
with one sample of the local offset and the shift each. The sum over pixels is
estimated, without bias, from every second pixel along rows and columns, from a corner
drawn anew at every step (the last row or column of an odd size is left out).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.models.affine import AffineModel, AffineNetworks, PoseQuery
from jaxrvae.models.likelihoods import log_likelihood
from jaxrvae.models.steerable import Features
from jaxrvae.objectives.elbo import kl_normal
from jaxrvae.priors.content import log_normal

Scalar = float | Float[Array, ""]
VonMises = tuple[Scalar, Scalar]  # location and concentration

STRIDE = 2  # pixels, in the estimate of the likelihood
# Gaussian noise beyond the learned one, standardized, and the share of the training
# over which it falls to none. Without it, one seed in ten or so stays in an optimum of
# twice the noise, whose contents tell the classes apart less well.
FIRST_NOISE, NOISY_SHARE = 1.0, 0.3


def bound_over_poses(
    model: AffineModel,
    networks: AffineNetworks,
    features: Features,
    query: PoseQuery,
    inputs: Float[Array, "batch input"],
    angle_prior: VonMises,
    progress: Float[Array, ""],
    keys: Any,
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """The bound and the expected log likelihood in it, nats per image.

    Args:
        inputs: The decoder's: content, and what is known beside it.
        angle_prior: Location and concentration of the angle's von Mises prior.
        progress: Share of the training that is over; noise is added at its start.
        keys: For one sample of angle and shift, and the corner of the pixels' lattice.
    """
    *pose_keys, corner_key = keys
    offset, shift = _draw(query, pose_keys)
    angle = model.turns() + offset
    images, points = _lattice(features["images"], model.shape, corner_key)
    posed = model.posed(networks, inputs, points, angle, shift)
    share = points.shape[0] * points.shape[1] / (model.shape[0] * model.shape[1])
    extra = FIRST_NOISE * jnp.clip(1 - progress / NOISY_SHARE, 0.0, 1.0)
    noise = jnp.hypot(networks.noise, extra)
    likelihood = log_likelihood(model.likelihood, images[:, None], posed, noise) / share
    kl_pose = jnp.zeros_like(query.offset)
    if model.rotated:
        width = np.pi / model.num_turns
        kl_pose += kl_normal(query.offset, query.offset_log_std, width)
    if model.shift_std > 0:
        kl_pose += kl_normal(query.shift, query.shift_log_std, model.shift_std).sum(-1)
    log_weights = jax.nn.log_softmax(query.logits, axis=-1)
    kl_turn = log_weights - _log_prior_of_turns(model, angle, angle_prior)
    weights = jnp.exp(log_weights)
    bound = (weights * (likelihood - kl_pose - kl_turn)).sum(-1)
    return bound, (weights * likelihood).sum(-1)


def estimate_over_poses(
    model: AffineModel,
    networks: AffineNetworks,
    features: Features,
    query: PoseQuery,
    inputs: Float[Array, "batch input"],
    angle_prior: VonMises,
    keys: Any,
) -> Float[Array, " batch"]:
    """Log of an estimate, without bias, of p(image | inputs), from all pixels.

    One sample of angle and shift for every copy, weighted by prior over posterior.
    """
    offset, shift = _draw(query, keys)
    angle = model.turns() + offset
    points = pixel_grid(*model.shape[:2])
    posed = model.posed(networks, inputs, points, angle, shift)
    images = features["images"][:, None]
    value = log_likelihood(model.likelihood, images, posed, networks.noise)
    value += _log_prior_of_turns(model, angle, angle_prior)
    if model.rotated:
        width = np.log(np.pi / model.num_turns)
        value += log_normal(offset[..., None], 0.0, width)
        own = query.offset[..., None], query.offset_log_std[..., None]
        value -= log_normal(offset[..., None], *own)
    if model.shift_std > 0:
        value += log_normal(shift, 0.0, np.log(model.shift_std))
        value -= log_normal(shift, query.shift, query.shift_log_std)
    return logsumexp(value, axis=-1)


def _draw(
    query: PoseQuery, keys: Any
) -> tuple[Float[Array, "batch turn"], Float[Array, "batch turn 2"]]:
    """One sample of the angle beyond the copy's, and of the shift."""
    angle_key, shift_key = keys
    normal = jax.random.normal(angle_key, query.offset.shape)
    offset = query.offset + jnp.exp(query.offset_log_std) * normal
    normal = jax.random.normal(shift_key, query.shift.shape)
    return offset, query.shift + jnp.exp(query.shift_log_std) * normal


def _log_prior_of_turns(
    model: AffineModel,
    angle: Float[Array, "batch turn"],
    angle_prior: VonMises,
) -> Float[Array, "batch turn"]:
    """All copies are as likely, but for the von Mises prior of the angle."""
    if not model.rotated:
        return jnp.zeros_like(angle)
    loc, concentration = angle_prior
    log_prior = concentration * (jnp.cos(angle - loc) - 1)
    log_prior -= jnp.log(jax.scipy.special.i0e(concentration))
    return log_prior - np.log(model.num_turns)


def _lattice(
    images: Float[Array, "batch height width channel"],
    shape: tuple[int, int, int],
    key: PRNGKey,
) -> tuple[Array, Array]:
    """Every second pixel from a random corner, and where these pixels lie."""
    height, width, channels = shape
    rows, columns = height // STRIDE, width // STRIDE
    row, column = jax.random.randint(key, (2,), 0, STRIDE)
    grid = pixel_grid(height, width)

    def thin(values: Array, last: int) -> Array:
        cut = values[..., : rows * STRIDE, : columns * STRIDE, :]
        split = cut.reshape(*cut.shape[:-3], rows, STRIDE, columns, STRIDE, last)
        split = jnp.take(split, column, axis=-2)
        return jnp.take(split, row, axis=-3)

    return thin(images, channels), thin(grid, 2)
