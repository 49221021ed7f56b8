"""The projected normal distribution: the direction of a normal point in the plane.

The point is N(mean, 1) along x and y. A mean of length 0 gives uniform angles, a long
one N(direction, 1 / length^2). Angles in radians, counter-clockwise.

Sources: Presnell, Morrison & Littell 1998, J. Am. Stat. Assoc. 93, 1068; Mardia & Jupp
2000, Directional Statistics, section 3.5.6.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.geometry.circle import wrap

FAR = 2.0  # behind the mean: from there on by the continued fraction
NUM_TERMS = 30  # of it: all a float's digits at FAR


def log_prob(
    angle: Float[Array, "*n"], mean: Float[Array, "*m 2"]
) -> Float[Array, "*all"]:
    """Log density, per radian.

    In polar coordinates about the origin the plane's density, integrated over the
    radius: `exp(-across^2 / 2) / 2 pi * int r exp(-(r - along)^2 / 2) dr`.

    Args:
        mean: (x, y) of the point.

    >>> round(float(log_prob(jnp.array(0.5), jnp.zeros(2))), 4)  # uniform: -log 2 pi
    -1.8379
    """
    along, across = _components(angle, mean)
    return _log_radial(along) - 0.5 * jnp.square(across) - math.log(2 * math.pi)


def rsample(key: PRNGKey, mean: Float[Array, "*n 2"]) -> Float[Array, "*n"]:
    """One draw for each mean, in [-pi, pi).

    Gradients hold the angle and average over the radius (implicit reparameterization):
    those along one drawn point would have no finite variance where the mean is short.

    Source: Figurnov, Mohamed & Mnih 2018, arXiv:1805.08498.

    >>> draws = rsample(jax.random.key(0), jnp.tile(jnp.array([0.0, 50.0]), (1000, 1)))
    >>> bool(abs(draws.mean() - jnp.pi / 2) < 0.01)
    True
    """
    return _direction(jax.random.normal(key, mean.shape, mean.dtype), mean)


@jax.custom_jvp
def _direction(
    normal: Float[Array, "*n 2"], mean: Float[Array, "*n 2"]
) -> Float[Array, "*n"]:
    point = mean + normal
    return wrap(jnp.arctan2(point[..., 1], point[..., 0]))


@_direction.defjvp
def _direction_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """A point at radius r turns by its move across, over r. `normal` is held."""
    normal, mean = primals
    angle = _direction(normal, mean)
    along, _ = _components(angle, mean)
    _, across = _components(angle, tangents[1])
    return angle, across * _mean_inverse_radius(along)


def _components(angle: Array, vector: Array) -> tuple[Array, Array]:
    """Of the vector, along the angle's direction and a quarter turn on."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = vector[..., 0], vector[..., 1]
    return x * cos + y * sin, y * cos - x * sin


def _log_radial(along: Array) -> Array:
    """Log of the integral of r exp(-(r - along)^2 / 2) over r > 0."""
    is_far, near, far = _sides(along)
    front = jnp.exp(-0.5 * near**2) + near * _normal_below(near)
    tail = _mills_tail(far)
    behind = jnp.log(tail / (far + tail)) - 0.5 * far**2
    return jnp.where(is_far, behind, jnp.log(front))


def _mean_inverse_radius(along: Array) -> Array:
    """The mean of 1 / r where the density of r is that of `_log_radial`."""
    is_far, near, far = _sides(along)
    below = _normal_below(near)
    front = below / (jnp.exp(-0.5 * near**2) + near * below)
    return jnp.where(is_far, 1 / _mills_tail(far), front)


def _sides(along: Array) -> tuple[Array, Array, Array]:
    """Whether far behind, and the argument of either form: FAR where it is not used."""
    is_far = along < -FAR
    return is_far, jnp.where(is_far, -FAR, along), jnp.where(is_far, -along, FAR)


def _normal_below(value: Array) -> Array:
    """Integral of exp(-t^2 / 2) from -infinity."""
    return math.sqrt(2 * math.pi) * ndtr(value)


def _mills_tail(value: Array) -> Array:
    """C = 1/(x + 2/(x + 3/(x + ...))), where 1/(x + C) is Mills' ratio R of the normal.

    Then 1 - x R = C / (x + C), the radial integral far behind the mean, with no digits
    lost.

    Source: Abramowitz & Stegun 1964, eq. 26.2.14.
    """
    fraction = value
    for term in range(NUM_TERMS, 1, -1):
        fraction = value + term / fraction
    return 1 / fraction
