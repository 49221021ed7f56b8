"""The bound of the affine model: the turned copies enumerated, not sampled.

`sum_k q_k [log p(x | pose_k, z) - KL(offset, shift)_k] - KL(q | angle's prior) - KL(z)`
with one sample of the local offset, the shift and the content each. The sum over pixels
is estimated, without bias, from every second pixel along rows and columns, from a
corner drawn anew at every step (the last row or column of an odd size is left out).
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.models.affine import AffineModel, AffineNetworks
from jaxrvae.models.likelihoods import log_likelihood
from jaxrvae.models.steerable import Features
from jaxrvae.objectives.elbo import kl_normal

STRIDE = 2  # pixels, in the estimate of the likelihood


def affine_loss(
    model: AffineModel,
    networks: AffineNetworks,
    features: Features,
    angle_prior: tuple[float, float],
    key: PRNGKey,
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """Minus the bound, nats per image, and its parts.

    Args:
        angle_prior: Location and concentration of the angle's von Mises prior.
        key: For one sample, and the corner of the pixels' lattice.
    """
    query = model.query(networks, features)
    content_key, angle_key, shift_key, corner_key = jax.random.split(key, 4)
    content = query.content + jnp.exp(query.content_log_std) * jax.random.normal(
        content_key, query.content.shape
    )
    offset = query.offset + jnp.exp(query.offset_log_std) * jax.random.normal(
        angle_key, query.offset.shape
    )
    angle = model.turns() + offset
    shift = query.shift + jnp.exp(query.shift_log_std) * jax.random.normal(
        shift_key, query.shift.shape
    )
    images, points = _lattice(features["images"], model.shape, corner_key)
    canonical = model.canonical(networks, content)
    one, still = jnp.ones(()), jnp.zeros(2)

    def rendered(image: Array, angle: Array, shift: Array) -> Array:
        moved = shift if model.shift_std > 0 else still
        return model.render(image, points, angle, moved, one)

    posed = jax.vmap(jax.vmap(rendered, (None, 0, 0)))(canonical, angle, shift)
    posed = posed + networks.background[...]
    share = points.shape[0] * points.shape[1] / (model.shape[0] * model.shape[1])
    likelihood = (
        log_likelihood(model.likelihood, images[:, None], posed, networks.noise) / share
    )
    kl_pose = kl_normal(query.offset, query.offset_log_std, np.pi / model.num_turns)
    if model.shift_std > 0:
        kl_pose += kl_normal(query.shift, query.shift_log_std, model.shift_std).sum(-1)
    log_weights = jax.nn.log_softmax(query.logits, axis=-1)
    loc, concentration = angle_prior
    log_prior = concentration * (jnp.cos(angle - loc) - 1)
    log_prior -= jnp.log(jax.scipy.special.i0e(concentration))
    kl_turn = log_weights + np.log(model.num_turns) - log_prior
    bound = (jnp.exp(log_weights) * (likelihood - kl_pose - kl_turn)).sum(-1)
    kl_content = kl_normal(query.content, query.content_log_std).sum(-1)
    return (kl_content - bound).mean(), {
        "log_likelihood": (jnp.exp(log_weights) * likelihood).sum(-1).mean(),
        "kl_content": kl_content.mean(),
        "noise": networks.noise,
    }


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
