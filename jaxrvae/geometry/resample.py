"""Image lookup at any points: bilinear, and cubic B-spline. Outside the image is 0.

Points are in unit lengths, x to the right, y up.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int, ndarray
from jaxrvae.geometry.grid import unit_to_pixel


def bilinear(
    image: Float[Array, "height width channel"], points: Float[Array, "*grid 2"]
) -> Float[Array, "*grid channel"]:
    """Values at the points, linear along rows and columns."""
    height, width, channels = image.shape
    place = unit_to_pixel(points, image.shape) + 1.0  # of the padded image
    padded = jnp.pad(image, ((1, 2), (1, 2), (0, 0))).reshape(-1, channels)
    x = jnp.clip(place[..., 0], 0.0, width + 1.0)
    y = jnp.clip(place[..., 1], 0.0, height + 1.0)
    left, top = _floor(x), _floor(y)
    part_x, part_y = x - left, y - top
    index = top * (width + 3) + left

    def look_up(flat: Float[Array, " number"]) -> Float[Array, "*grid"]:
        def at(index: Int[Array, "*grid"]) -> Float[Array, "*grid"]:
            return flat.at[index].get(mode="promise_in_bounds")

        upper = (1 - part_x) * at(index) + part_x * at(index + 1)
        below = index + width + 3
        lower = (1 - part_x) * at(below) + part_x * at(below + 1)
        return (1 - part_y) * upper + part_y * lower

    # Single numbers are looked up twice as fast as rows of channels, even of one.
    return jnp.stack([look_up(padded[:, i]) for i in range(channels)], axis=-1)


def cubic(
    coefs: Float[Array, "height width channel"], points: Float[Array, "*grid 2"]
) -> Float[Array, "*grid channel"]:
    """Values at the points of the cubic B-spline with these coefficients.

    Args:
        coefs: As `spline_coefs` gives them; or free numbers, then the image is the
            smooth one that they make.

    Source: Unser 1999, IEEE Signal Process. Mag. 16(6), 22.
    """
    height, width, channels = coefs.shape
    place = unit_to_pixel(points, coefs.shape) + 3.0  # of the padded coefficients
    padded = jnp.pad(coefs, ((3, 4), (3, 4), (0, 0))).reshape(-1, channels)
    x = jnp.clip(place[..., 0], 1.0, width + 4.0)  # two pixels out, a spline is 0
    y = jnp.clip(place[..., 1], 1.0, height + 4.0)
    left, top = _floor(x), _floor(y)
    across, down = _cubic_weights(x - left), _cubic_weights(y - top)
    total = jnp.zeros((*points.shape[:-1], channels), coefs.dtype)
    for i in range(4):
        row = jnp.zeros_like(total)
        for j in range(4):
            index = (top + i - 1) * (width + 7) + left + j - 1
            row += across[..., j, None] * padded[index]
        total += down[..., i, None] * row
    return total


def spline_coefs(
    image: Float[Array, "height width channel"],
) -> Float[Array, "height width channel"]:
    """Coefficients of the cubic B-spline through the image's pixels, 0 outside."""
    height, width, _ = image.shape
    down, across = _inverse_filter(height), _inverse_filter(width)
    return jnp.einsum("ij,jkc,lk->ilc", down, image, across)


def _inverse_filter(size: int) -> Float[ndarray, "{size} {size}"]:
    """The inverse of the B-spline's sampling at the pixels."""
    matrix = np.diag(np.full(size, 4 / 6))
    matrix += np.diag(np.full(size - 1, 1 / 6), 1) + np.diag(
        np.full(size - 1, 1 / 6), -1
    )
    return np.linalg.inv(matrix).astype(np.float32)


def _cubic_weights(part: Float[Array, "*grid"]) -> Float[Array, "*grid 4"]:
    """Weights of the pixels at -1, 0, 1, 2 from the one below."""
    rest = 1 - part
    return jnp.stack(
        [
            rest**3 / 6,
            (4 - 6 * part**2 + 3 * part**3) / 6,
            (4 - 6 * rest**2 + 3 * rest**3) / 6,
            part**3 / 6,
        ],
        axis=-1,
    )


def _floor(values: Float[Array, "*grid"]) -> Int[Array, "*grid"]:
    return jnp.floor(jax.lax.stop_gradient(values)).astype(jnp.int32)
