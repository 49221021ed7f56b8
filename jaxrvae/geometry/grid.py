"""Pixel grids, and the one place that turns pixels into unit coordinates and back.

Unit coordinates: x to the right, y up, the origin at the image's centre, the unit half
the longer side, so that the pixel *edges* of the longer axis lie at -1 and +1.
Pixel positions: x = column, y = row, centres at integers.
"""

import jax.numpy as jnp

from jaxrvae._typing import Array, Float


def unit_length(shape: tuple[int, ...]) -> float:
    """Pixels per unit: half the longer side.

    >>> unit_length((32, 48))
    24.0
    """
    return max(shape[:2]) / 2


def pixel_to_unit(
    positions: Float[Array, "*points 2"], shape: tuple[int, ...]
) -> Float[Array, "*points 2"]:
    """Pixel positions (x = column, y = row) as unit coordinates (x right, y up)."""
    height, width = shape[:2]
    centre = jnp.array([(width - 1) / 2, (height - 1) / 2])
    return (positions - centre) * jnp.array([1.0, -1.0]) / unit_length(shape)


def unit_to_pixel(
    points: Float[Array, "*points 2"], shape: tuple[int, ...]
) -> Float[Array, "*points 2"]:
    """Unit coordinates (x right, y up) as pixel positions (x = column, y = row)."""
    height, width = shape[:2]
    centre = jnp.array([(width - 1) / 2, (height - 1) / 2])
    return points * jnp.array([1.0, -1.0]) * unit_length(shape) + centre


def shift_to_unit(
    shift: Float[Array, "*n 2"], shape: tuple[int, ...]
) -> Float[Array, "*n 2"]:
    """Displacements in pixels (dx, dy downwards) in unit lengths (y up)."""
    return shift * jnp.array([1.0, -1.0]) / unit_length(shape)


def shift_to_pixel(
    shift: Float[Array, "*n 2"], shape: tuple[int, ...]
) -> Float[Array, "*n 2"]:
    """Displacements in unit lengths (y up) in pixels (dx, dy downwards)."""
    return shift * jnp.array([1.0, -1.0]) * unit_length(shape)


def pixel_grid(height: int, width: int) -> Float[Array, "{height} {width} 2"]:
    """Unit coordinates (x, y) of every pixel's centre.

    >>> grid = pixel_grid(2, 2)
    >>> grid[0, 0].tolist()  # the top left pixel
    [-0.5, 0.5]
    """
    columns, rows = jnp.meshgrid(jnp.arange(width), jnp.arange(height))
    positions = jnp.stack([columns, rows], axis=-1).astype(jnp.float32)
    return pixel_to_unit(positions, (height, width))
