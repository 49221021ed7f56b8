"""Asymmetric shapes, each turned, shifted and sheared by amounts that are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._checks import between, one_of, whole
from jaxrvae._typing import Array, Float, Number
from jaxrvae.data.containers import Patches
from jaxrvae.geometry.grid import pixel_grid, shift_to_unit

EDGE = 0.6  # standard deviation of the edge's blur, pixels
CHUNK = 64  # images rendered at a time: bounds the memory

# Corners in turn, x to the right, y up, before centring and scaling.
OUTLINES: dict[str, list[tuple[float, float]]] = {
    "F": [
        (0.0, 0.0),
        (0.22, 0.0),
        (0.22, 0.36),
        (0.54, 0.36),
        (0.54, 0.58),
        (0.22, 0.58),
        (0.22, 0.8),
        (0.76, 0.8),
        (0.76, 1.02),
        (0.0, 1.02),
    ],
    "hook": [
        (0.0, 0.0),
        (0.58, 0.0),
        (0.78, 0.2),
        (0.78, 0.98),
        (0.54, 0.98),
        (0.54, 0.24),
        (0.2, 0.24),
        (0.2, 0.5),
        (0.0, 0.5),
    ],
    "arrow": [
        (0.0, 0.28),
        (0.6, 0.28),
        (0.6, 0.0),
        (1.16, 0.39),
        (0.6, 0.78),
        (0.6, 0.5),
        (0.0, 0.5),
    ],
    "triangle": [(0.0, 0.0), (1.2, 0.0), (0.24, 0.66)],
}
SHAPES = tuple(OUTLINES)
AREA = 0.36  # of every shape, in unit lengths squared: 9 % of the field


def simulate_glyphs(
    seed: int = 0,
    *,
    num_images: int = 8000,
    size: int = 48,
    angle: str | Number = "uniform",
    shift: Number = 0.08,
    shear: Number = 0.3,
    noise: Number = 0.0,
    num_shapes: int = 4,
) -> Patches:
    """Bright shapes on a dark ground: an F, a hook, an arrow and a scalene triangle.

    A point p of the canonical shape appears at `t + R(angle) S p`, with S the shear
    `x += tan(shear) y` in the shape's own frame. All have the same area and are
    centred on their centroids; none looks like itself at another angle.

    Args:
        seed: The same seed gives the same images.
        num_images: How many.
        size: Pixels along each side.
        angle: "uniform" on the circle, or the standard deviation in radians of a
            normal distribution about 0.
        shift: Shifts are uniform within this share of the field, on each axis.
        shear: Shears are uniform within this angle, radians.
        noise: Standard deviation of added Gaussian noise; a shape's height is 1.
        num_shapes: Take the first so many of the four.

    Returns:
        Patches; `.truth` has shape (its number), angle (radians), shift_x and shift_y
        (pixels, y downwards) and shear (radians).

    Raises:
        ValueError: An option out of range.

    >>> patches = simulate_glyphs(0, num_images=3)
    >>> patches.values.shape, list(patches.truth)
    ((3, 48, 48), ['shape', 'angle', 'shift_x', 'shift_y', 'shear'])
    """
    whole("num_images", num_images, 1)
    whole("size", size, 8)
    between("shift", shift, 0, 0.5)
    between("shear", shear, 0, 1.2)
    between("noise", noise, 0, 1e6)
    one_of("num_shapes", num_shapes, range(1, len(SHAPES) + 1))
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame(
        {
            "shape": rng.integers(num_shapes, size=num_images),
            "angle": _draw_angles(rng, angle, num_images),
            "shift_x": rng.uniform(-shift * size, shift * size, num_images),
            "shift_y": rng.uniform(-shift * size, shift * size, num_images),
            "shear": rng.uniform(-shear, shear, num_images),
        }
    )
    values = render_glyphs(truth, size)
    if noise:
        values += noise * rng.standard_normal(values.shape, dtype=np.float32)
    centre = (size - 1) / 2
    table = pd.DataFrame({"frame": np.arange(num_images), "x": centre, "y": centre})
    return Patches(
        values=values,
        table=table,
        truth=truth,
        metadata={"simulated": "glyphs", "shapes": SHAPES[:num_shapes], "seed": seed},
    )


def render_glyphs(poses: pd.DataFrame, size: int) -> np.ndarray:
    """(n, size, size) float32 images, noiseless, of the shapes in the poses listed.

    Args:
        poses: Columns shape, angle, shift_x, shift_y, shear, as in the truth.
        size: Pixels along each side.
    """
    names = ["angle", "shift_x", "shift_y", "shear"]
    angle, shift_x, shift_y, shear = poses[names].to_numpy(np.float32).T
    shapes = jnp.asarray(poses["shape"].to_numpy(np.int32))
    shift = np.stack([shift_x, shift_y], -1)
    images = _render(shapes, jnp.asarray(angle), shift, jnp.asarray(shear), size)
    return np.array(images)


def outlines() -> Float[np.ndarray, "shape corner 2"]:
    """Corners of every shape in unit lengths, y up, centred, the last one repeated."""
    most = max(len(corners) for corners in OUTLINES.values())
    padded = []
    for corners in OUTLINES.values():
        area, centroid = _area_and_centroid(np.array(corners))
        scaled = (np.array(corners) - centroid) * np.sqrt(AREA / area)
        padded.append(np.pad(scaled, ((0, most - len(scaled)), (0, 0)), mode="edge"))
    return np.stack(padded)


def _draw_angles(
    rng: np.random.Generator, angle: str | Number, number: int
) -> np.ndarray:
    if isinstance(angle, str):
        one_of("angle", angle, ["uniform"], "Or give a standard deviation in radians.")
        return rng.uniform(-np.pi, np.pi, number)
    between("angle", angle, 0, 1e3, "It is a standard deviation in radians.")
    return np.mod(rng.normal(0, angle, number) + np.pi, 2 * np.pi) - np.pi


def _area_and_centroid(corners: np.ndarray) -> tuple[float, np.ndarray]:
    """Of a polygon whose corners run counter-clockwise."""
    ahead = np.roll(corners, -1, 0)
    cross = corners[:, 0] * ahead[:, 1] - ahead[:, 0] * corners[:, 1]
    area = cross.sum() / 2
    return area, ((corners + ahead) * cross[:, None]).sum(0) / (6 * area)


def signed_distance(
    points: Float[Array, "point 2"], corners: Float[Array, "corner 2"]
) -> Float[Array, " point"]:
    """Distance from a polygon's outline, negative inside; corners may repeat.

    Inside is where a ray to the right crosses the outline an odd number of times.
    """
    x, y = points.T
    nearest2 = jnp.full_like(x, jnp.inf)
    inside = jnp.zeros_like(x, bool)
    for i in range(len(corners)):  # unrolled: points stay the vectorised axis
        start, end = corners[i - 1], corners[i]
        edge = end - start
        u, v = x - start[0], y - start[1]
        length2 = edge @ edge
        along = (u * edge[0] + v * edge[1]) / jnp.where(length2 > 0, length2, 1)
        along = jnp.clip(along, 0, 1)
        gap2 = (u - along * edge[0]) ** 2 + (v - along * edge[1]) ** 2
        nearest2 = jnp.minimum(nearest2, gap2)
        spans = (start[1] <= y) != (end[1] <= y)
        left = (edge[0] * v - edge[1] * u > 0) == (edge[1] > 0)
        inside ^= spans & left
    return jnp.sqrt(nearest2) * jnp.where(inside, -1, 1)


@functools.partial(jax.jit, static_argnames="size")
def _render(shapes, angles, shifts, shears, size):
    grid = pixel_grid(size, size).reshape(-1, 2)
    corners = jnp.asarray(outlines(), jnp.float32)

    def render_one(item):
        shape, angle, shift, shear = item
        x, y = corners[shape].T
        sheared = jnp.stack([x + jnp.tan(shear) * y, y], -1)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        back = jnp.array([[cos, -sin], [sin, cos]])  # rows times this: R(-angle)
        points = (grid - shift_to_unit(shift, (size, size))) @ back
        distance = signed_distance(points, sheared) * size / 2
        image = jax.scipy.special.erfc(distance / (EDGE * jnp.sqrt(2.0))) / 2
        return image.reshape(size, size)

    return jax.lax.map(render_one, (shapes, angles, shifts, shears), batch_size=CHUNK)
