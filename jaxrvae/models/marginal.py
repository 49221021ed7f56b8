"""The likelihood of the steerable model: angle and shift are integrated out.

`log p(x | z) = log int p(pose) N(x; image(z, pose), noise^2) d pose`. On a grid of
poses that is a logsumexp of correlations; where the noise is small the posterior is
narrower than the grid's step, and the peak's integral is had at its top instead.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float, Int, PRNGKey
from jaxrvae.geometry.polar import turn
from jaxrvae.models.likelihoods import log_partition
from jaxrvae.models.modes import last_highest
from jaxrvae.models.steerable import (
    Features,
    Projection,
    SteerableModel,
    SteerableNetworks,
)
from jaxrvae.models.surface import highest, log_peak

NUM_TRAINED, NUM_POSES = 4, 32  # poses of the normalizer: in training, and elsewhere
NEAR = 4  # steps of the grid of angles to either side: one peak, where it is narrow


def explain(
    model: SteerableModel,
    networks: SteerableNetworks,
    projection: Projection,
    features: Features,
    canonical: Float[Array, "batch reals"],
    log_prior: Float[Array, "*places angle"],
    key: PRNGKey | None = None,
) -> Float[Array, " batch"]:
    """Log p(image | canonical image), pose integrated out.

    Args:
        key: Of the poses that the normalizer is taken at, other likelihoods than the
            Gaussian; None: more of them, the same every time.
    """
    if model.likelihood == "gaussian":
        variance = model.noise(networks) ** 2
        return marginal_log_likelihood(model, features, canonical, variance, log_prior)
    harmonics = model.harmonics(networks, projection, features, canonical, log_prior)
    background = networks.background[...]
    level = (features["total"] * background).sum(-1)
    partition = log_normalizer(model, projection, canonical, background, log_prior, key)
    return log_mean_exp(model, harmonics) + level - partition + features["base"]


def log_normalizer(
    model: SteerableModel,
    projection: Projection,
    canonical: Float[Array, "batch reals"],
    background: Float[Array, " channel"],
    log_prior: Float[Array, "*places angle"],
    key: PRNGKey | None,
) -> Float[Array, " batch"]:
    """Log of the mean over the poses' prior of exp(sum over pixels of A(eta)).

    It is what `mean over poses of exp(sum x eta)` must be divided by to be a density of
    images. Taken at one pose alone, a decoder lowers it there by detail between the
    pixels, and explains images at all others.
    """
    number = NUM_TRAINED if key is not None else NUM_POSES
    key = jax.random.key(0) if key is None else key
    angle_key, place_key = jax.random.split(key)
    of_place = jnp.asarray(model.place_log_prior())
    if log_prior.ndim > 1:  # (1, place, angle): the same for all images
        both = log_prior[0]
        log_prior = logsumexp(both, axis=0)
        of_place = logsumexp(both, axis=1) if len(both) > 1 else of_place
    angle = jax.random.categorical(angle_key, log_prior, shape=(number,))
    place = jax.random.categorical(place_key, of_place, shape=(number,))

    def at(pose: tuple[Array, Array]) -> Float[Array, " batch"]:
        above = natural_pixels(model, projection, canonical, *pose)
        return log_partition(model.likelihood, above + background).sum((1, 2))

    angles = jnp.asarray(model.angles(), jnp.float32)[angle]
    values = jax.lax.map(at, (angles, place))
    return logsumexp(values, axis=0) - np.log(number)


def natural_pixels(
    model: SteerableModel,
    projection: Projection,
    canonical: Float[Array, "batch reals"],
    angle: Float[Array, ""] | float = 0.0,
    place: Int[Array, ""] | None = None,
) -> Float[Array, "batch pixel channel"]:
    """Natural parameters of the canonical images at a pose, less the background.

    Args:
        place: Of the grid; None: its middle.
    """
    place = jnp.array(model.num_places // 2) if place is None else place
    turned = turn(canonical, jnp.array(model.orders), jnp.full(len(canonical), angle))
    channels, size = model.shape[2], model.basis.num_coefs
    parts = turned.reshape(-1, 2, channels, size)
    own = parts.swapaxes(1, 2).reshape(-1, channels, 2 * size)
    modes = jnp.einsum("mk,bck->bmc", projection["coefs"][:, place], own)
    return jnp.einsum("pm,bmc->bpc", projection["modes"], modes)


def marginal_log_likelihood(
    model: SteerableModel,
    features: Features,
    canonical: Float[Array, "batch reals"],
    variance: Float[Array, ""],
    log_prior: Float[Array, "*places angle"],
) -> Float[Array, " batch"]:
    """The same for Gaussian noise, over the band's modes."""
    harmonics = model.fold(features["coefs"], canonical) / variance
    harmonics += model.prior_surface(log_prior)
    correlation = log_mean_exp(model, harmonics)
    square = features["energy"] + jnp.square(canonical).sum(-1)
    constant = 0.5 * model.num_modes * jnp.log(2 * jnp.pi * variance)
    return correlation - 0.5 * square / variance - constant


def log_mean_exp(
    model: SteerableModel, harmonics: Float[Array, "batch place harmonics"]
) -> Float[Array, " batch"]:
    """Log of the mean of the surface's exponential over all poses.

    Where its highest peak is narrower than the grid's step, that peak's share of the
    sum over the grid tells how much else there is, and Laplace's approximation at the
    peak's top how high it stands.
    """
    grid = model.correlations(harmonics)
    batch, _, num_angles = grid.shape
    highest_value = jax.lax.stop_gradient(grid).max((1, 2))
    by_angle = jnp.exp(grid - highest_value[:, None, None]).sum(1)
    total = by_angle.sum(-1)
    log_mean = highest_value + jnp.log(total) - np.log(grid[0].size)
    fixed = jax.lax.stop_gradient(grid)
    place, angle = jnp.divmod(last_highest(fixed.reshape(batch, -1)), num_angles)
    apart = jnp.abs(jnp.arange(num_angles) - angle[:, None])
    near = jnp.minimum(apart, num_angles - apart) <= NEAR
    share = (by_angle * near).sum(-1) / total
    start = jnp.asarray(model.angles(), jnp.float32)[angle]
    still = jax.lax.stop_gradient(harmonics)
    top = highest(model, still, start, place)
    log_narrow, trust = log_peak(model, harmonics, top)
    return log_mean + trust * (log_narrow - jnp.log(share) - log_mean)
