"""Modes of a posterior over the angle, and the symmetry of what is turned."""

import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int
from jaxrvae.geometry.circle import wrap

NUM_MODES = 6
MAX_SYMMETRY = 12
INDISTINGUISHABLE = 3.0  # nats between an image and its turned copy


def angle_modes(
    weights: Float[Array, " angle"], angles: Float[Array, " angle"]
) -> tuple[Float[Array, " mode"], Float[Array, " mode"], Int[Array, " mode"]]:
    """Local maxima, best first, each with the share of what lies nearest to it."""
    highest = (weights >= jnp.roll(weights, 1)) & (weights > jnp.roll(weights, -1))
    value, place = _largest(jnp.where(highest, weights, -1.0), NUM_MODES)
    place = place.at[0].set(last_highest(weights))
    found = (value > 0).at[0].set(True)
    distance = jnp.abs(wrap(angles[:, None] - angles[place]))
    owner = jnp.argmin(jnp.where(found, distance, jnp.inf), axis=1)
    shares = jnp.zeros(NUM_MODES).at[owner].add(weights)
    return jnp.where(found, angles[place], jnp.nan), shares, place


def _largest(
    values: Float[Array, " number"], count: int
) -> tuple[Float[Array, " mode"], Int[Array, " mode"]]:
    """So many largest values and their places: on a CPU far quicker than a sort."""
    found = []
    for _ in range(count):
        place = last_highest(values)
        found.append((values[place], place))
        values = values.at[place].set(-jnp.inf)
    value, place = zip(*found, strict=True)
    return jnp.stack(value), jnp.stack(place)


def last_highest(values: Float[Array, "*batch number"]) -> Int[Array, "*batch"]:
    """The last place of the highest value: two plain maxima, quicker on a CPU."""
    highest = values == values.max(axis=-1, keepdims=True)
    return jnp.where(highest, jnp.arange(values.shape[-1]), 0).max(axis=-1)


def symmetry_order(
    canonical: Float[Array, "batch reals"],
    orders: np.ndarray,
    variance: Float[Array, ""] | Float[Array, " batch"],
) -> Array:
    """The highest order of rotation that the noise cannot tell from no turn at all.

    Turning the image by 2 pi / n costs `sum |c_m|^2 (1 - cos(2 pi m / n)) / noise^2`
    nats; below `INDISTINGUISHABLE` the image counts as n-fold.
    """
    real, imag = jnp.split(canonical, 2, axis=-1)
    power = jnp.square(real) + jnp.square(imag)
    tried = np.arange(1, MAX_SYMMETRY + 1)
    loss = 1 - np.cos(2 * np.pi * orders[:, None] / tried)
    nats = power @ loss.astype(np.float32) / jnp.reshape(variance, (-1, 1))
    return jnp.max(jnp.where(nats < INDISTINGUISHABLE, tried, 1), axis=-1)
