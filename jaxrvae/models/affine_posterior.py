"""The pose read from the affine model: modes, refinement on the pixels, errors."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float
from jaxrvae.geometry.circle import angle_grid, wrap
from jaxrvae.geometry.grid import pixel_grid, shift_to_pixel, unit_length
from jaxrvae.geometry.pose import remove_pose
from jaxrvae.geometry.resample import cubic, spline_coefs
from jaxrvae.models.affine import AffineModel, AffineNetworks, PoseQuery
from jaxrvae.models.gauge import Gauge, fix_gauge
from jaxrvae.models.known import class_probabilities, of_every_class
from jaxrvae.models.likelihoods import log_likelihood, scoring_weights
from jaxrvae.models.modes import angle_modes, symmetry_order
from jaxrvae.models.steerable import Features, Projection

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
    inputs = of_every_class(features, model.num_classes, query.content)
    images = features["images"]
    fit = jax.vmap(lambda i: _fit(model, networks, query, i, images))(inputs)
    shares_of_class = class_probabilities(features, logsumexp(fit, axis=-1))
    chosen = jnp.argmax(shares_of_class, axis=-1), jnp.arange(len(images))
    inputs, best = inputs[chosen], jnp.argmax(fit[chosen], axis=-1)
    canonical = model.canonical(networks, inputs)
    if model.interpolation == "bilinear":
        splines = jax.vmap(spline_coefs)(canonical)
    else:
        splines = canonical
    angles = jnp.asarray(angle_grid(NUM_ANGLES), jnp.float32)
    density = _angle_density(model, query, angles) * jnp.exp(log_prior)
    modes, shares, _ = jax.vmap(angle_modes, (0, None))(
        density / density.sum(-1, keepdims=True), angles
    )
    shift = jnp.take_along_axis(query.shift, best[:, None, None], 1)[:, 0]
    angle = jnp.take_along_axis(model.turns() + query.offset, best[:, None], 1)
    modes, shares = _put_first(modes, shares, angle[:, 0])
    start = jnp.concatenate([angle, shift], axis=-1)
    pose, covariance = jax.vmap(lambda s, x, p: _refine(model, networks, s, x, p))(
        splines, images, start
    )
    std = jnp.sqrt(jnp.diagonal(covariance, axis1=1, axis2=2))
    hidden = model.drift(networks, projection, gauge, inputs)
    angle, shift = fix_gauge(modes.at[:, 0].set(pose[:, 0]), pose[:, 1:], hidden)
    symmetry = _symmetry(model, networks, projection, canonical)
    return {
        "content": query.content,
        "content_std": jnp.exp(query.content_log_std),
        "class_probabilities": shares_of_class,
        "angle": angle[:, 0],
        "angle_std": std[:, 0],
        "angle_modes": jnp.stack([angle, shares], axis=-1),
        "shift": shift_to_pixel(shift, model.shape),
        "shift_std": std[:, 1:] * unit_length(model.shape),
        "symmetry": symmetry,
    }


def _fit(
    model: AffineModel,
    networks: AffineNetworks,
    query: PoseQuery,
    inputs: Float[Array, "batch input"],
    images: Float[Array, "batch height width channel"],
) -> Float[Array, "batch turn"]:
    """Log likelihood of each copy's pose, the encoder's word being a prior."""
    points, angle = pixel_grid(*model.shape[:2]), model.turns() + query.offset
    posed = model.posed(networks, inputs, points, angle, query.shift)
    fit = log_likelihood(model.likelihood, images[:, None], posed, networks.noise)
    return fit + jax.nn.log_softmax(query.logits)


def _symmetry(
    model: AffineModel,
    networks: AffineNetworks,
    projection: Projection,
    canonical: Float[Array, "batch height width channel"],
) -> Array:
    """The order of rotational symmetry of the decoded images."""
    decoded = model.recorded(networks, canonical)
    variance = networks.noise**2
    if model.likelihood != "gaussian":
        natural = canonical + networks.background[...]
        _, weight, fisher = scoring_weights(model.likelihood, natural, networks.noise)
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


def _angle_density(
    model: AffineModel, query: PoseQuery, angles: Float[Array, " angle"]
) -> Float[Array, "batch angle"]:
    """The mixture over the copies, no narrower than the grid's step."""
    centre = model.turns() + query.offset
    width = jnp.maximum(jnp.exp(query.offset_log_std), 2 * np.pi / NUM_ANGLES)
    distance = wrap(angles[:, None] - centre[:, None]) / width[:, None]
    weights = jax.nn.softmax(query.logits) / width
    return jnp.einsum("bk,bak->ba", weights, jnp.exp(-0.5 * jnp.square(distance)))


def _refine(
    model: AffineModel,
    networks: AffineNetworks,
    splines: Float[Array, "height width channel"],
    image: Float[Array, "height width channel"],
    start: Float[Array, "3"],
) -> tuple[Float[Array, "3"], Float[Array, "3 3"]]:
    """Three scoring steps on (angle, shift), and the covariance of what they end at.

    A canonical image with noise of its own has steeper slopes than the true one, and
    its expected information is too high; the observed one, the score's slope, is not.

    Source: Kendall & Stuart, The Advanced Theory of Statistics 2, 18.21 (scoring);
    White 1982, Econometrica 50, 1 (the covariance).
    """
    grid = pixel_grid(*model.shape[:2])
    one = jnp.ones(())
    moves = model.free

    def rendered(pose: Float[Array, "3"]) -> Array:
        points = remove_pose(grid, pose[0], pose[1:], one)
        return (cubic(splines, points) + networks.background[...]).ravel()

    def information(pose: Float[Array, "3"]) -> tuple[Array, Array]:
        slope = jax.jacfwd(rendered)(pose) * moves
        mean, weight, fisher = scoring_weights(
            model.likelihood, rendered(pose), networks.noise
        )
        score = slope.T @ (weight * (image.ravel() - mean))
        return score, (slope * fisher[:, None]).T @ slope

    prior = jnp.array([1e-2, 1.0, 1.0])
    if model.shift_std > 0:
        prior = prior.at[1:].set(1 / model.shift_std**2)
    reach = jnp.array([0.1, 0.05, 0.05])

    def scoring(pose: Float[Array, "3"], _: None) -> tuple[Float[Array, "3"], None]:
        score, matrix = information(pose)
        score = score - prior * moves * pose * jnp.array([0.0, 1.0, 1.0])
        move = jnp.linalg.solve(matrix + jnp.diag(prior), score)
        return pose + jnp.clip(move, -reach, reach) * moves, None

    pose, _ = jax.lax.scan(scoring, start, None, length=3)
    _, expected = information(pose)
    observed = -jax.jacfwd(lambda pose: information(pose)[0])(pose) * moves
    covariance = _sandwich(expected + jnp.diag(prior), observed + jnp.diag(prior))
    return pose, covariance * moves * moves[:, None]


def _sandwich(
    expected: Float[Array, "3 3"], observed: Float[Array, "3 3"]
) -> Float[Array, "3 3"]:
    """observed^-1 expected observed^-1, the former held to a share of the latter."""
    root = jnp.linalg.inv(jnp.linalg.cholesky(expected))
    share, vectors = jnp.linalg.eigh(root @ (observed + observed.T) / 2 @ root.T)
    back = root.T @ vectors / jnp.maximum(share, LEAST_SHARE)
    return back @ back.T
