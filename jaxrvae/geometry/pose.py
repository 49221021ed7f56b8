"""Affine poses: where a point of the canonical image appears, and the way back.

A point p of the canonical image appears at `t + s R(theta) p`; unit lengths, y up.
"""

import jax.numpy as jnp

from jaxrvae._typing import Array, Float


def rotate(
    points: Float[Array, "*grid 2"], angle: Float[Array, ""]
) -> Float[Array, "*grid 2"]:
    """Points turned counter-clockwise about the origin.

    >>> turned = rotate(jnp.array([1.0, 0.0]), jnp.array(jnp.pi / 2))
    >>> bool(jnp.allclose(turned, jnp.array([0.0, 1.0]), atol=1e-6))
    True
    """
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = points[..., 0], points[..., 1]
    return jnp.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)


def apply_pose(
    points: Float[Array, "*grid 2"],
    angle: Float[Array, ""],
    shift: Float[Array, "2"],
    scale: Float[Array, ""],
) -> Float[Array, "*grid 2"]:
    """Where the canonical image's points appear."""
    return rotate(points, angle) * scale + shift


def remove_pose(
    points: Float[Array, "*grid 2"],
    angle: Float[Array, ""],
    shift: Float[Array, "2"],
    scale: Float[Array, ""],
) -> Float[Array, "*grid 2"]:
    """Which points of the canonical image appear there."""
    return rotate((points - shift) / scale, -angle)
