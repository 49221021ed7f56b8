"""The affine model's bound on log p(image | content), over the posterior of the pose.

Over K turned copies the sum is exact:
`sum_k q_k [log p(x | pose_k, z) - KL(offset, shift)_k] - KL(q | angle's prior)`
with one sample of the local angle and the shift each. The sum over pixels is
estimated, without bias, from every second pixel along rows and columns, from a corner
drawn anew at every step (the last row or column of an odd size is left out). With one
copy, the published form, all pixels are read.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.distributions.von_mises import kl_von_mises
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.models.affine import SCALE_STD, AffineModel
from jaxrvae.models.affine_networks import AffineNetworks
from jaxrvae.models.likelihoods import log_likelihood
from jaxrvae.models.pose_query import PoseQuery, draw_angle, log_density_of_angle
from jaxrvae.models.steerable import Features
from jaxrvae.objectives.elbo import kl_normal
from jaxrvae.priors.content import log_normal

STRIDE = 2  # pixels, in the estimate of the likelihood
# Gaussian noise beyond the learned one, standardized, and the share of the training
# over which it falls to none. Without it, one seed in ten or so stays in an optimum of
# twice the noise, whose contents tell the classes apart less well.
FIRST_NOISE, NOISY_SHARE = 1.0, 0.3

Poses = tuple[
    Float[Array, "batch turn"], Float[Array, "batch turn 2"], Float[Array, "batch turn"]
]


def bound_over_poses(
    model: AffineModel,
    networks: AffineNetworks,
    features: Features,
    query: PoseQuery,
    inputs: Float[Array, "batch input"],
    angle_prior: Any,
    progress: Float[Array, ""],
    keys: Any,
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """The bound and the expected log likelihood in it, nats per image.

    Args:
        inputs: The decoder's: content, and what is known beside it.
        progress: Share of the training that is over; noise is added at its start.
        keys: For one sample of angle, shift and scale, and the corner of the lattice.
    """
    *pose_keys, corner_key = keys
    angle, shift, log_scale = _draw(query, pose_keys)
    images, points = features["images"], pixel_grid(*model.shape[:2])
    noise = model.noise(networks)
    if query.family == "enumerated":
        whole = images, points, jnp.broadcast_to(noise, model.shape)
        thin = [_lattice(part, model.shape, corner_key) for part in whole]
        images, points = thin[:2]
        noise = thin[2] if noise.ndim == 3 else noise
        if not model.fixed_noise:
            extra = FIRST_NOISE * jnp.clip(1 - progress / NOISY_SHARE, 0.0, 1.0)
            noise = jnp.hypot(noise, extra)
    scale = jnp.exp(log_scale) if model.scaled else None
    posed = model.posed(networks, inputs, points, angle, shift, scale)
    share = points.shape[0] * points.shape[1] / (model.shape[0] * model.shape[1])
    likelihood = log_likelihood(model.likelihood, images[:, None], posed, noise) / share
    kl_pose = jnp.zeros_like(angle)
    if model.rotated:
        kl_pose += _kl_angle(model, query, angle, angle_prior)
    for axis, std in enumerate(model.shift_std):
        if std > 0:
            own = query.shift[..., axis], query.shift_log_std[..., axis]
            kl_pose += kl_normal(*own, std)
    if model.scaled:
        kl_pose += kl_normal(query.log_scale, query.log_scale_log_std, SCALE_STD)
    weights = jnp.exp(query.log_weights)
    bound = (weights * (likelihood - kl_pose - query.log_weights)).sum(-1)
    return bound, (weights * likelihood).sum(-1)


def estimate_over_poses(
    model: AffineModel,
    networks: AffineNetworks,
    features: Features,
    query: PoseQuery,
    inputs: Float[Array, "batch input"],
    angle_prior: Any,
    keys: Any,
) -> Float[Array, " batch"]:
    """Log of an estimate, without bias, of p(image | inputs), from all pixels.

    One sample of angle, shift and scale for every copy, weighted by prior over
    posterior.
    """
    angle, shift, log_scale = _draw(query, keys)
    points = pixel_grid(*model.shape[:2])
    scale = jnp.exp(log_scale) if model.scaled else None
    posed = model.posed(networks, inputs, points, angle, shift, scale)
    images, noise = features["images"][:, None], model.noise(networks)
    value = log_likelihood(model.likelihood, images, posed, noise)
    if model.rotated:
        value += _log_prior(model, query, angle, angle_prior)
        value -= log_density_of_angle(query, angle)
    for axis, std in enumerate(model.shift_std):
        if std > 0:
            part = shift[..., axis : axis + 1]
            mean = query.shift[..., axis : axis + 1]
            value += log_normal(part, 0.0, np.log(std))
            log_std = query.shift_log_std[..., axis : axis + 1]
            value -= log_normal(part, mean, log_std)
    if model.scaled:
        part = log_scale[..., None]
        own = query.log_scale[..., None], query.log_scale_log_std[..., None]
        value += log_normal(part, 0.0, np.log(SCALE_STD)) - log_normal(part, *own)
    return logsumexp(value, axis=-1)


def _draw(query: PoseQuery, keys: Any) -> Poses:
    """One sample of the angle, the shift and the log scale of every copy."""
    angle_key, shift_key = keys
    angle = draw_angle(query, angle_key)
    normal = jax.random.normal(shift_key, query.shift.shape)
    shift = query.shift + jnp.exp(query.shift_log_std) * normal
    normal = jax.random.normal(jax.random.fold_in(shift_key, 1), query.log_scale.shape)
    return angle, shift, query.log_scale + jnp.exp(query.log_scale_log_std) * normal


def _kl_angle(
    model: AffineModel,
    query: PoseQuery,
    angle: Float[Array, "batch turn"],
    prior: Any,
) -> Float[Array, "batch turn"]:
    """Divergence of each copy's angle from the prior's share of it.

    Exact where there is a closed form, else estimated at the sample.
    """
    own = query.angle, query.angle_log_std
    if query.family == "enumerated":
        offset = query.angle - query.turn
        width = np.pi / model.num_turns
        kl_offset = kl_normal(offset, query.angle_log_std, width)
        return kl_offset - (prior.log_density(angle) - np.log(model.num_turns))
    plain = prior.fold == 1
    if query.family == "gaussian" and plain and prior.kind == "normal":
        return kl_normal(own[0] - prior.loc, own[1], prior.concentration**-0.5)
    if query.family == "von_mises" and plain and prior.kind == "von_mises":
        concentration = jnp.exp(-2 * own[1])
        return kl_von_mises(own[0], concentration, prior.loc, prior.concentration)
    return log_density_of_angle(query, angle) - _log_prior(model, query, angle, prior)


def _log_prior(
    model: AffineModel,
    query: PoseQuery,
    angle: Float[Array, "batch turn"],
    prior: Any,
) -> Float[Array, "batch turn"]:
    """Log density of each copy's share of the prior, per radian.

    The K copies share it softly: a normal of the bin's width around each.
    """
    log_prior = prior.log_density(angle)
    if query.family != "enumerated":
        return log_prior - np.log(2 * np.pi)
    offset = (angle - query.turn)[..., None]
    width = np.log(np.pi / model.num_turns)
    return log_prior - np.log(model.num_turns) + log_normal(offset, 0.0, width)


def _lattice(
    values: Float[Array, "*n height width last"],
    shape: tuple[int, int, int],
    key: PRNGKey,
) -> Float[Array, "*n row column last"]:
    """Every second pixel from a random corner: the same one for the same key."""
    height, width, _ = shape
    steps = min(STRIDE, height), min(STRIDE, width)
    rows, columns = height // steps[0], width // steps[1]
    row, column = jax.random.randint(key, (2,), 0, jnp.array(steps))
    cut = values[..., : rows * steps[0], : columns * steps[1], :]
    last = values.shape[-1]
    split = cut.reshape(*cut.shape[:-3], rows, steps[0], columns, steps[1], last)
    split = jnp.take(split, column, axis=-2)
    return jnp.take(split, row, axis=-3)
