"""The correlation as a smooth surface over the pose, between the points of its grid.

Poses here are (angle, column, row), the last two in steps of the grid of places. Over
the angle the surface is a sum of harmonics, over the places one of waves.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int, ndarray
from jaxrvae.models.steerable import SteerableModel

NUM_NEWTON = 8
FLOOR = 1e-3  # of minus the Hessian, in steps of the grid
WIDE, NARROW = 4.0, 10.0  # norms of it between which the Laplace form takes over
NUM_WAVES, RIDGE = 12, 1e-6  # of the interpolation between places
QUARTERS = np.array([np.pi / 2, 0.0], np.float32)  # from a sine to cosine and sine
DECREMENT = 0.3  # nats that Newton's next step would gain: beyond, no peak was found

Parts = tuple[Float[Array, " batch"], ...]


def highest(
    model: SteerableModel,
    harmonics: Float[Array, "batch place harmonics"],
    angle: Float[Array, " batch"],
    place: Int[Array, " batch"],
) -> Float[Array, "batch 3"]:
    """Newton's method from a point of the grid to the top of the peak it stands on.

    Source: Nocedal & Wright 2006, Numerical Optimization, 3.4 (modified Hessians).
    """
    num_ticks = len(model.ticks)
    row, column = jnp.divmod(place, num_ticks)
    start = jnp.stack([angle, column.astype(angle.dtype), row.astype(angle.dtype)], 1)
    unit = _unit(model)

    def newton(pose: Array, _: None) -> tuple[Array, None]:
        slope, curvature = _components(model, harmonics, pose)[1:]
        inverse = _inverse(_convex(curvature)[0])[0]
        move = jnp.stack(_applied(inverse, slope), axis=1) * unit
        pose = pose + jnp.clip(move, -unit, unit)
        last = np.array([np.inf, num_ticks - 1, num_ticks - 1], np.float32)
        return jnp.clip(pose, np.array([-np.inf, 0, 0], np.float32), last), None

    return jax.lax.scan(newton, start, None, length=NUM_NEWTON)[0]


def log_peak(
    model: SteerableModel,
    harmonics: Float[Array, "batch place harmonics"],
    pose: Float[Array, "batch 3"],
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """Laplace's approximation of the mean of the surface's exponential over the grid.

    Args:
        pose: The top, as `highest` finds it.

    Returns:
        The log of that mean (the peak's integral over the volume), and how far to trust
        it rather than a sum over the grid: 1 where the peak is narrower than a step, 0
        where it is wider, or where no peak was found.
    """
    value, slope, curvature = _components(model, harmonics, pose)
    free = 3 if len(model.ticks) > 1 else 1
    convex, is_peak = _convex(curvature)
    inverse, determinant = _inverse(convex)
    twice = (1, 1, 1, 2, 2, 2)
    squares = zip(twice, curvature, strict=True)
    sharpness = jnp.sqrt(sum(n * jnp.square(part) for n, part in squares))
    moved = zip(slope, _applied(inverse, slope), strict=True)
    gain = 0.5 * sum(one * other for one, other in moved)
    trust = jnp.clip((sharpness - WIDE) / (NARROW - WIDE), 0, 1)
    trust = jnp.where(is_peak & (gain < DECREMENT), trust, 0.0)
    log_mean = value + 0.5 * free * np.log(2 * np.pi) - 0.5 * jnp.log(determinant)
    log_mean -= np.log(model.num_angles * model.num_places)
    return log_mean, trust


def covariance(
    model: SteerableModel,
    harmonics: Float[Array, "batch place harmonics"],
    pose: Float[Array, "batch 3"],
) -> Float[Array, "batch 3 3"]:
    """Of the Gaussian that fits the peak, in radians and pixels.

    No axis is longer than the grid; one that has a single point has no variance.
    """
    _, _, curvature = _components(model, harmonics, pose)
    if len(model.ticks) == 1:  # its one axis: a library's call a matrix takes longer
        inverse = 1 / jnp.maximum(jnp.abs(curvature[0]), FLOOR)[:, None, None]
    else:
        values, vectors = jnp.linalg.eigh(-_matrix(curvature))
        values = jnp.maximum(jnp.abs(values), FLOOR)
        inverse = jnp.einsum("bij,bj,bkj->bik", vectors, 1 / values, vectors)
    pixel = _pixels_a_step(model)
    scale = _unit(model) * np.array([1.0, pixel, pixel], np.float32)
    return inverse * scale[:, None] * scale


def in_pixels(
    model: SteerableModel, pose: Float[Array, "batch 3"]
) -> Float[Array, "batch 2"]:
    """The pose's displacement in pixels."""
    return model.ticks[0] + _pixels_a_step(model) * pose[:, 1:]


def surface(
    model: SteerableModel,
    harmonics: Float[Array, "batch place harmonics"],
    pose: Float[Array, "batch 3"],
) -> tuple[Float[Array, " batch"], Float[Array, "batch 3"], Float[Array, "batch 3 3"]]:
    """Value, slope and Hessian at one pose of each, by steps of the grid."""
    value, slope, curvature = _components(model, harmonics, pose)
    return value, jnp.stack(slope, axis=-1), _matrix(curvature)


def _components(
    model: SteerableModel,
    harmonics: Float[Array, "batch place harmonics"],
    pose: Float[Array, "batch 3"],
) -> tuple[Float[Array, " batch"], Parts, Parts]:
    """The same, part by part; those of the Hessian as `_matrix` takes them."""
    num_ticks, step = len(model.ticks), 2 * np.pi / model.num_angles
    waves = _waves(pose[:, 0], harmonics.shape[-1] // 2)
    values = jnp.einsum("bph,bdh->bpd", harmonics, waves)
    if num_ticks == 1:
        value, a, aa = values[:, 0, 0], values[:, 0, 1], values[:, 0, 2]
        none = jnp.zeros_like(value)
        return value, (step * a, none, none), (step**2 * aa, *(none,) * 5)
    phase = 2 * np.pi * model.max_frequency * _pixels_a_step(model)
    columns, rows = (between(pose[:, axis], num_ticks, phase) for axis in (1, 2))
    of_rows, of_columns = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 0, 1, 0])
    both = rows[:, of_rows, :, None] * columns[:, of_columns, None, :]
    flat = both.reshape(len(pose), len(of_rows), num_ticks**2)
    parts = jnp.einsum("bip,bpd->idb", flat, values)
    (value, a, aa), (x, ax, _), (xx, _, _), (y, ay, _), (xy, _, _), (yy, _, _) = parts
    curvature = step**2 * aa, xx, yy, step * ax, step * ay, xy
    return value, (step * a, x, y), curvature


def between(
    place: Float[Array, " batch"], num_ticks: int, phase: float
) -> Float[Array, "batch 3 tick"]:
    """Weights of the ticks for a value between them, its slope and its curvature.

    A moved image's correlation has no finer waves than the image. The weights are the
    best for random functions of that band, and exact for parabolas, as a prior's log
    is. (A polynomial through 13 ticks rises by twice a wave's height near the ends of
    the grid, and a decoder learns to make such waves.)

    Args:
        phase: Of the finest wave from a tick to the next, radians.

    Source: Cressie 1993, Statistics for Spatial Data, 3.4 (universal kriging).
    """
    waves, of_waves, of_parabola = _kriging(num_ticks, phase)
    half = (num_ticks - 1) / 2
    x = (place - half)[:, None]
    both = jnp.sin(x * np.tile(waves, 2) + np.repeat(QUARTERS, len(waves)))
    powers = jnp.concatenate([jnp.ones_like(x), x / half, (x / half) ** 2], axis=1)
    return (both @ of_waves + powers @ of_parabola).reshape(-1, 3, num_ticks)


def _waves(
    angle: Float[Array, " batch"], num_orders: int
) -> Float[Array, "batch 3 harmonics"]:
    """Weights of the harmonics for a value at the angle, its slope and curvature.

    One sine of each is taken: a compiler takes those of stacked parts again for each.
    """
    orders = np.arange(num_orders)
    phase = angle[:, None] * np.tile(orders, 2).astype(np.float32)
    both = jnp.sin(phase + np.repeat(QUARTERS, num_orders))
    slopes = _derivatives(orders)
    return (both @ slopes.astype(np.float32)).reshape(len(angle), 3, -1)


def _derivatives(waves: ndarray) -> ndarray:
    """Maps the waves' cosines and sines to them, their slopes and their curvatures."""
    number = len(waves)
    slope = np.zeros((2 * number, 2 * number))
    slope[number:, :number] = -np.diag(waves)  # of a cosine: minus the sine
    slope[:number, number:] = np.diag(waves)
    return np.concatenate([np.eye(2 * number), slope, slope @ slope], axis=1)


@functools.cache
def _kriging(num_ticks: int, phase: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Waves, and what maps their cosines and sines, and 1, u, u^2, to the weights.

    The covariance is that of power `sqrt(1 - u^2) exp(-2 u^2)` at a share u of the
    finest wave: a disc of frequencies seen along an axis, where images fall off.
    """
    node = np.pi * (np.arange(NUM_WAVES) + 0.5) / (2 * NUM_WAVES)
    waves = phase * np.cos(node)
    power = np.sin(node) ** 2 * np.exp(-2 * np.cos(node) ** 2)
    power /= power.sum()
    ticks = np.arange(num_ticks) - (num_ticks - 1) / 2
    cos, sin = np.cos(np.outer(waves, ticks)), np.sin(np.outer(waves, ticks))
    of_waves = np.concatenate([power[:, None] * cos, power[:, None] * sin])
    covariance = cos.T @ of_waves[:NUM_WAVES] + sin.T @ of_waves[NUM_WAVES:]
    covariance += RIDGE * np.eye(num_ticks)
    parabola = np.vander(ticks / ticks[-1], 3, increasing=True)
    system = np.block([[covariance, parabola], [parabola.T, np.zeros((3, 3))]])
    solution = np.linalg.inv(system)[:, :num_ticks]
    half = ticks[-1]
    slope = np.array([[0, 1, 0], [0, 0, 2], [0, 0, 0]]) / half
    powers = np.concatenate([np.eye(3), slope, slope @ slope], axis=1)

    def weights(derived: ndarray, mixing: ndarray) -> ndarray:
        parts = derived.reshape(len(derived), 3, -1) @ mixing
        return parts.reshape(len(derived), -1).astype(np.float32)

    of_waves = weights(_derivatives(waves), of_waves @ solution[:num_ticks])
    of_parabola = weights(powers, solution[num_ticks:])
    return waves.astype(np.float32), of_waves, of_parabola


def _unit(model: SteerableModel) -> np.ndarray:
    """One step of the grid along each axis; 0 where it has one point."""
    place = 1.0 if len(model.ticks) > 1 else 0.0
    return np.array([2 * np.pi / model.num_angles, place, place], np.float32)


def _pixels_a_step(model: SteerableModel) -> float:
    return model.ticks[1] - model.ticks[0] if len(model.ticks) > 1 else 0.0


def _matrix(parts: Parts) -> Float[Array, "batch 3 3"]:
    """Symmetric, from its diagonal and what stands at (0, 1), (0, 2) and (1, 2)."""
    p, q, r, u, v, w = parts
    return jnp.stack([p, u, v, u, q, w, v, w, r], axis=-1).reshape(-1, 3, 3)


def _convex(curvature: Parts) -> tuple[Parts, Array]:
    """Minus the Hessian, with a heavier diagonal where it is not positive; if it was.

    Axes that are held still have zeros in the Hessian, and get a 1 on the diagonal.
    """
    p, q, r, u, v, w = (-part for part in curvature)
    weights = [
        abs(p) + abs(u) + abs(v),
        abs(q) + abs(u) + abs(w),
        abs(r) + abs(v) + abs(w),
    ]
    diagonal = zip((p, q, r), weights, strict=True)
    p, q, r = (part + (weight == 0) for part, weight in diagonal)
    _, determinant = _inverse((p, q, r, u, v, w))
    # Sylvester's leading minors
    good = (p > FLOOR) & (p * q - u * u > FLOOR**2) & (determinant > FLOOR**3)
    heavy = *(weight + FLOOR for weight in weights), *(jnp.zeros_like(p),) * 3
    own = p, q, r, u, v, w
    return tuple(
        jnp.where(good, one, other) for one, other in zip(own, heavy, strict=True)
    ), good


def _inverse(parts: Parts) -> tuple[Parts, Float[Array, " batch"]]:
    """Inverse and determinant of symmetric matrices, by cofactors."""
    p, q, r, u, v, w = parts
    across = v * w - u * r, u * w - q * v, u * v - p * w
    along = q * r - w * w, p * r - v * v, p * q - u * u
    determinant = p * along[0] + u * across[0] + v * across[1]
    return tuple(part / determinant for part in (*along, *across)), determinant


def _applied(parts: Parts, vector: Parts) -> Parts:
    """A symmetric matrix times a vector."""
    (p, q, r, u, v, w), (x, y, z) = parts, vector
    return p * x + u * y + v * z, u * x + q * y + w * z, v * x + w * y + r * z
