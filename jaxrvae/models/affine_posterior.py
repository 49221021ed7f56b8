"""The pose read from the affine model: modes, refinement on the pixels, errors."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int
from jaxrvae.geometry.circle import angle_grid, wrap
from jaxrvae.geometry.grid import pixel_grid, shift_to_pixel, unit_length
from jaxrvae.geometry.pose import remove_pose
from jaxrvae.geometry.resample import cubic, spline_coefs
from jaxrvae.models.affine import AffineModel, AffineNetworks, PoseQuery
from jaxrvae.models.gauge import Gauge, fix_gauge
from jaxrvae.models.likelihoods import log_likelihood
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
    canonical = model.canonical(networks, query.content)
    if model.interpolation == "bilinear":
        splines = jax.vmap(spline_coefs)(canonical)
    else:
        splines = canonical
    angles = jnp.asarray(angle_grid(NUM_ANGLES), jnp.float32)
    density = _angle_density(model, query, angles) * jnp.exp(log_prior)
    modes, shares, _ = jax.vmap(angle_modes, (0, None))(
        density / density.sum(-1, keepdims=True), angles
    )
    best = _best_copy(model, networks, query, canonical, features["images"])
    shift = jnp.take_along_axis(query.shift, best[:, None, None], 1)[:, 0]
    angle = jnp.take_along_axis(model.turns() + query.offset, best[:, None], 1)
    modes, shares = _put_first(modes, shares, angle[:, 0])
    start = jnp.concatenate([angle, shift], axis=-1)
    pose, covariance = jax.vmap(lambda s, x, p: _refine(model, networks, s, x, p))(
        splines, features["images"], start
    )
    std = jnp.sqrt(jnp.diagonal(covariance, axis1=1, axis2=2))
    hidden = model.drift(networks, projection, gauge, query.content)
    angle, shift = fix_gauge(modes.at[:, 0].set(pose[:, 0]), pose[:, 1:], hidden)
    images = model.recorded(networks, canonical)
    coefs = model.coefs(projection, images)
    variance = networks.noise**2
    if model.likelihood == "bernoulli":
        spread = (images * (1 - images)).mean((1, 2, 3))
        variance = spread / jnp.square(model.scale).mean()
    return {
        "content": query.content,
        "content_std": jnp.exp(query.content_log_std),
        "angle": angle[:, 0],
        "angle_std": std[:, 0],
        "angle_modes": jnp.stack([angle, shares], axis=-1),
        "shift": shift_to_pixel(shift, model.shape),
        "shift_std": std[:, 1:] * unit_length(model.shape),
        "symmetry": symmetry_order(coefs, np.array(model.orders), variance),
    }


def _best_copy(
    model: AffineModel,
    networks: AffineNetworks,
    query: PoseQuery,
    canonical: Float[Array, "batch height width channel"],
    images: Float[Array, "batch height width channel"],
) -> Int[Array, " batch"]:
    """The copy whose pose explains the image best, the encoder's word being a prior."""
    points, one = pixel_grid(*model.shape[:2]), jnp.ones(())
    angle = model.turns() + query.offset

    def rendered(image: Array, angle: Array, shift: Array) -> Array:
        moved = shift if model.shift_std > 0 else jnp.zeros(2)
        return model.render(image, points, angle, moved, one)

    posed = jax.vmap(jax.vmap(rendered, (None, 0, 0)))(canonical, angle, query.shift)
    posed = posed + networks.background[...]
    fit = log_likelihood(model.likelihood, images[:, None], posed, networks.noise)
    return jnp.argmax(fit + jax.nn.log_softmax(query.logits), axis=-1)


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
    moves = jnp.array([1.0, 1.0, 1.0] if model.shift_std > 0 else [1.0, 0.0, 0.0])

    def rendered(pose: Float[Array, "3"]) -> Array:
        points = remove_pose(grid, pose[0], pose[1:], one)
        return (cubic(splines, points) + networks.background[...]).ravel()

    def information(pose: Float[Array, "3"]) -> tuple[Array, Array]:
        slope = jax.jacfwd(rendered)(pose) * moves
        mean, weight = rendered(pose), 1 / networks.noise**2
        if model.likelihood == "bernoulli":
            mean = jax.nn.sigmoid(mean)
            score, fisher = slope.T @ (image.ravel() - mean), mean * (1 - mean)
            return score, (slope * fisher[:, None]).T @ slope
        return slope.T @ (image.ravel() - mean) * weight, slope.T @ slope * weight

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
