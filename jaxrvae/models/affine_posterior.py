"""The pose read from the affine model: modes, refinement on the pixels, errors."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float, Int
from jaxrvae.geometry.circle import angle_grid, wrap
from jaxrvae.geometry.grid import pixel_grid, shift_to_pixel, unit_length
from jaxrvae.geometry.pose import remove_pose
from jaxrvae.geometry.resample import cubic, spline_coefs
from jaxrvae.models.affine import SCALE_STD, AffineModel
from jaxrvae.models.affine_networks import AffineNetworks
from jaxrvae.models.gauge import Gauge, fix_gauge
from jaxrvae.models.known import class_probabilities, of_every_class, with_conditions
from jaxrvae.models.likelihoods import log_likelihood, scoring_weights
from jaxrvae.models.modes import angle_modes, symmetry_order
from jaxrvae.models.pose_prior import angle_log_prior, class_log_prior
from jaxrvae.models.pose_query import PoseQuery, angle_density
from jaxrvae.models.steerable import Features, Projection
from jaxrvae.priors.content import at_medians

NUM_ANGLES = 96
LEAST_SHARE = 0.2  # of the expected information, that is observed


def affine_posterior(
    model: AffineModel,
    networks: AffineNetworks,
    projection: Projection,
    gauge: Gauge,
    features: Features,
    log_prior: Float[Array, " angle"],
) -> dict[str, Array]:
    """What `Latents` holds, for a batch; shifts in pixels of the patch, y down.

    Args:
        log_prior: Of `angle_grid(NUM_ANGLES)`: log density times 2 pi.
    """
    query = model.query(networks, features)
    features, condition = with_conditions(features, query.guess)
    inputs = of_every_class(features, model.num_classes, query.content)
    images = features["images"]
    fit = jax.vmap(lambda i: _fit(model, networks, query, i, images))(inputs)
    share = class_log_prior(networks.prior, model.num_classes, query.content)
    shares_of_class = class_probabilities(features, logsumexp(fit, axis=-1), share)
    chosen = jnp.argmax(shares_of_class, axis=-1), jnp.arange(len(images))
    inputs, best = inputs[chosen], jnp.argmax(fit[chosen], axis=-1)
    canonical = model.canonical(networks, inputs)
    angles = jnp.asarray(angle_grid(NUM_ANGLES), jnp.float32)
    density = angle_density(query, angles)
    if query.family == "enumerated":
        program = at_medians(networks.prior)
        own = program, model.num_classes, log_prior, inputs, angles
        density *= jnp.exp(angle_log_prior(*own))
    modes, shares, _ = jax.vmap(angle_modes, (0, None))(
        density / density.sum(-1, keepdims=True), angles
    )
    stated = _stated(model, query, best)
    modes, shares = _put_first(modes, shares, stated[0][:, 0])
    if query.family == "enumerated":
        pose, covariance = _refined(model, networks, canonical, images, stated[0])
        std = jnp.sqrt(jnp.diagonal(covariance, axis1=1, axis2=2))
    else:  # the published form: the encoder has the last word
        pose, std = stated
    hidden = model.drift(networks, projection, gauge, inputs)
    angle, shift = fix_gauge(modes.at[:, 0].set(pose[:, 0]), pose[:, 1:3], hidden)
    symmetry = jnp.ones(len(images), int)
    if model.rotated:
        symmetry = _symmetry(model, networks, projection, canonical)
    return condition | {
        "content": query.content,
        "content_std": jnp.exp(query.content_log_std),
        "class_probabilities": shares_of_class,
        "angle": angle[:, 0],
        "angle_std": std[:, 0],
        "angle_modes": jnp.stack([angle, shares], axis=-1),
        "shift": shift_to_pixel(shift, model.shape),
        "shift_std": std[:, 1:3] * unit_length(model.shape),
        "scale": jnp.exp(pose[:, 3]) if model.scaled else jnp.ones(len(images)),
        "symmetry": symmetry,
    }


def _stated(
    model: AffineModel, query: PoseQuery, best: Int[Array, " batch"]
) -> tuple[Float[Array, "batch pose"], Float[Array, "batch pose"]]:
    """(angle, shift[, log scale]) of one copy each, and their standard deviations."""

    def joined(
        angle: Float[Array, "batch turn"],
        shift: Float[Array, "batch turn 2"],
        log_scale: Float[Array, "batch turn"],
    ) -> Float[Array, "batch pose"]:
        parts = [angle[..., None], shift, log_scale[..., None]]
        parts = jnp.concatenate(parts if model.scaled else parts[:2], axis=-1)
        return jnp.take_along_axis(parts, best[:, None, None], 1)[:, 0]

    log_std = query.angle_log_std, query.shift_log_std, query.log_scale_log_std
    pose = joined(query.angle, query.shift, query.log_scale)
    return pose, jnp.exp(joined(*log_std)) * model.free


def _refined(
    model: AffineModel,
    networks: AffineNetworks,
    canonical: Float[Array, "batch height width channel"],
    images: Float[Array, "batch height width channel"],
    start: Float[Array, "batch pose"],
) -> tuple[Float[Array, "batch pose"], Float[Array, "batch pose pose"]]:
    splines = canonical
    if model.interpolation != "cubic":
        splines = jax.vmap(spline_coefs)(canonical)
    return jax.vmap(lambda s, x, p: _refine(model, networks, s, x, p))(
        splines, images, start
    )


def _fit(
    model: AffineModel,
    networks: AffineNetworks,
    query: PoseQuery,
    inputs: Float[Array, "batch input"],
    images: Float[Array, "batch height width channel"],
) -> Float[Array, "batch turn"]:
    """Log likelihood of each copy's pose, the encoder's word being a prior."""
    points = pixel_grid(*model.shape[:2])
    scale = jnp.exp(query.log_scale) if model.scaled else None
    posed = model.posed(networks, inputs, points, query.angle, query.shift, scale)
    noise = model.noise(networks)
    fit = log_likelihood(model.likelihood, images[:, None], posed, noise)
    return fit + query.log_weights


def _symmetry(
    model: AffineModel,
    networks: AffineNetworks,
    projection: Projection,
    canonical: Float[Array, "batch height width channel"],
) -> Array:
    """The order of rotational symmetry of the decoded images."""
    decoded = model.recorded(networks, canonical)
    variance = jnp.square(model.noise(networks)).mean()
    if model.likelihood != "gaussian":
        natural = canonical + networks.background[...]
        _, weight, fisher = scoring_weights(
            model.likelihood, natural, model.noise(networks)
        )
        # Of a pixel's value, as `decoded` has it.
        spread = fisher / jnp.square(jnp.maximum(weight, 1e-6))
        variance = spread.mean((1, 2, 3)) / jnp.square(model.scale).mean()
    coefs = model.coefs(projection, decoded)
    return symmetry_order(coefs, np.array(model.orders), variance)


def _put_first(
    modes: Float[Array, "batch mode"],
    shares: Float[Array, "batch mode"],
    angle: Float[Array, " batch"],
) -> tuple[Float[Array, "batch mode"], Float[Array, "batch mode"]]:
    """The modes with the one nearest to the angle in the first place."""
    distance = jnp.abs(wrap(modes - angle[:, None]))
    nearest = jnp.nanargmin(distance, axis=1)[:, None]
    place = jnp.arange(modes.shape[1])
    order = jnp.where(place == 0, nearest, jnp.where(place == nearest, 0, place))
    return (
        jnp.take_along_axis(modes, order, 1),
        jnp.take_along_axis(shares, order, 1),
    )


def _refine(
    model: AffineModel,
    networks: AffineNetworks,
    splines: Float[Array, "height width channel"],
    image: Float[Array, "height width channel"],
    start: Float[Array, " pose"],
) -> tuple[Float[Array, " pose"], Float[Array, "pose pose"]]:
    """Three scoring steps on (angle, shift[, log scale]); the covariance at their end.

    A canonical image with noise of its own has steeper slopes than the true one, and
    its expected information is too high; the observed one, the score's slope, is not.

    Source: Kendall & Stuart, The Advanced Theory of Statistics 2, 18.21 (scoring);
    White 1982, Econometrica 50, 1 (the covariance).
    """
    grid = pixel_grid(*model.shape[:2])
    moves, noise = model.free, model.noise(networks)
    noise = jnp.broadcast_to(noise, model.shape).ravel()

    def rendered(pose: Float[Array, " pose"]) -> Array:
        size = jnp.exp(pose[3]) if model.scaled else jnp.ones(())
        points = remove_pose(grid, pose[0], pose[1:3], size)
        return (cubic(splines, points) + networks.background[...]).ravel()

    def information(pose: Float[Array, " pose"]) -> tuple[Array, Array]:
        slope = jax.jacfwd(rendered)(pose) * moves
        mean, weight, fisher = scoring_weights(model.likelihood, rendered(pose), noise)
        score = slope.T @ (weight * (image.ravel() - mean))
        return score, (slope * fisher[:, None]).T @ slope

    stds = [std or 1.0 for std in model.shift_std] + [SCALE_STD] * model.scaled
    prior = jnp.array([1e-2, *(std**-2 for std in stds)])
    towards = jnp.ones(len(prior)).at[0].set(0.0)  # the angle's prior is flat here
    reach = jnp.full(len(prior), 0.05).at[0].set(0.1)

    def scoring(pose: Array, _: None) -> tuple[Array, None]:
        score, matrix = information(pose)
        score = score - prior * moves * pose * towards
        move = jnp.linalg.solve(matrix + jnp.diag(prior), score)
        return pose + jnp.clip(move, -reach, reach) * moves, None

    pose, _ = jax.lax.scan(scoring, start, None, length=3)
    _, expected = information(pose)
    observed = -jax.jacfwd(lambda pose: information(pose)[0])(pose) * moves
    covariance = _sandwich(expected + jnp.diag(prior), observed + jnp.diag(prior))
    return pose, covariance * moves * moves[:, None]


def _sandwich(
    expected: Float[Array, "pose pose"], observed: Float[Array, "pose pose"]
) -> Float[Array, "pose pose"]:
    """observed^-1 expected observed^-1, the former held to a share of the latter."""
    root = jnp.linalg.inv(jnp.linalg.cholesky(expected))
    share, vectors = jnp.linalg.eigh(root @ (observed + observed.T) / 2 @ root.T)
    back = root.T @ vectors / jnp.maximum(share, LEAST_SHARE)
    return back @ back.T
