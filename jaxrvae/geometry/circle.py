"""Angles on the circle, modulo a symmetry where there is one. Radians throughout."""

import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, ndarray


def wrap(
    angle: Float[Array, "*n"], symmetry: int | Float[Array, "*n"] = 1
) -> Float[Array, "*n"]:
    """The angle in [-pi/n, pi/n), n the order of the rotational symmetry.

    >>> round(float(wrap(jnp.array(3.5))), 4)
    -2.7832
    """
    half = jnp.pi / symmetry
    turned = jnp.mod(angle + half, 2 * half) - half
    return jnp.where(turned >= half, -half, turned)  # rounding may land on the edge


def angle_difference(
    first: Float[Array, "*n"],
    second: Float[Array, "*n"],
    symmetry: int | Float[Array, "*n"] = 1,
) -> Float[Array, "*n"]:
    """The shortest turn from the second angle to the first."""
    return wrap(first - second, symmetry)


def mean_angle(angles: Float[Array, " n"], symmetry: int = 1) -> Float[Array, ""]:
    """The direction of the mean of exp(i n angle), in [-pi/n, pi/n).

    Source: Mardia & Jupp 2000, Directional Statistics, section 2.2.
    """
    turned = symmetry * angles
    return jnp.arctan2(jnp.sin(turned).mean(), jnp.cos(turned).mean()) / symmetry


def resultant_length(angles: Float[Array, " n"], symmetry: int = 1) -> Float[Array, ""]:
    """|mean exp(i n angle)|: 1 if all angles agree, 0 if they are uniform.

    Source: Mardia & Jupp 2000, Directional Statistics, section 2.3.
    """
    return jnp.hypot(
        jnp.cos(symmetry * angles).mean(), jnp.sin(symmetry * angles).mean()
    )


def angle_grid(num_angles: int) -> Float[ndarray, " angle"]:
    """Radians, ascending in [-pi, pi), half a step off 0: four mirrored quarters.

    Args:
        num_angles: A multiple of 4.
    """
    return (2 * np.arange(num_angles) + 1) * np.pi / num_angles - np.pi
