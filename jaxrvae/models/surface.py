"""The correlation as a smooth surface over the pose, between the points of its grid.

Poses here are (angle, column, row), the last two in steps of the grid of places. Over
the angle the surface is a sum of harmonics, over the places one of waves.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int
from jaxrvae.models.steerable import SteerableModel

NUM_NEWTON = 8
FLOOR = 1e-3  # of minus the Hessian, in steps of the grid
WIDE, NARROW = 4.0, 10.0  # norms of it between which the Laplace form takes over
NUM_WAVES, RIDGE = 12, 1e-6  # of the interpolation between places
DECREMENT = 0.3  # nats that Newton's next step would gain: beyond, no peak was found


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
        slope, curvature = surface(model, harmonics, pose)[1:]
        convex = _convex(curvature * unit[:, None] * unit)[0]
        inverse = _inverse(convex)[0]
        move = jnp.einsum("bij,bj->bi", inverse, slope * unit) * unit
        pose = pose + jnp.clip(move, -unit, unit)
        return pose.at[:, 1:].set(jnp.clip(pose[:, 1:], 0, num_ticks - 1)), None

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
    unit = _unit(model)
    value, slope, curvature = surface(model, harmonics, pose)
    slope, curvature = slope * unit, curvature * unit[:, None] * unit
    free = 3 if len(model.ticks) > 1 else 1
    convex, is_peak = _convex(curvature)
    inverse, determinant = _inverse(convex)
    sharpness = jnp.sqrt(jnp.square(curvature).sum((1, 2)))
    gain = 0.5 * jnp.einsum("bi,bij,bj->b", slope, inverse, slope)
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
    unit = _unit(model)
    _, _, curvature = surface(model, harmonics, pose)
    values, vectors = jnp.linalg.eigh(-curvature * unit[:, None] * unit)
    values = jnp.maximum(jnp.abs(values), FLOOR)
    inverse = jnp.einsum("bij,bj,bkj->bik", vectors, 1 / values, vectors)
    pixel = _pixels_a_step(model)
    scale = unit * np.array([1.0, pixel, pixel], np.float32)
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
    """Value, slope and Hessian at one pose of each."""
    num_ticks = len(model.ticks)
    phase = 2 * np.pi * model.max_frequency * _pixels_a_step(model)
    orders = np.arange(harmonics.shape[-1] // 2, dtype=np.float32)
    turns = pose[:, :1] * orders
    cos, sin = jnp.cos(turns), jnp.sin(turns)
    waves = jnp.stack(
        [
            jnp.concatenate([cos, sin], axis=1),
            jnp.concatenate([-orders * sin, orders * cos], axis=1),
            jnp.concatenate([-(orders**2) * cos, -(orders**2) * sin], axis=1),
        ],
        axis=1,
    )
    values = jnp.einsum("bph,bdh->bpd", harmonics, waves)
    cube = values.reshape(len(pose), num_ticks, num_ticks, 3)
    columns, rows = (between(pose[:, axis], num_ticks, phase) for axis in (1, 2))
    parts = jnp.einsum("brcd,bjr,bic->dijb", cube, rows, columns)
    a, x, y = parts[1, 0, 0], parts[0, 1, 0], parts[0, 0, 1]
    ax, ay, xy = parts[1, 1, 0], parts[1, 0, 1], parts[0, 1, 1]
    aa, xx, yy = parts[2, 0, 0], parts[0, 2, 0], parts[0, 0, 2]
    hessian = jnp.stack([aa, ax, ay, ax, xx, xy, ay, xy, yy], axis=-1)
    return parts[0, 0, 0], jnp.stack([a, x, y], -1), hessian.reshape(-1, 3, 3)


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
    if num_ticks == 1:
        one, none = jnp.ones_like(place), jnp.zeros_like(place)
        return jnp.stack([one, none, none], axis=1)[..., None]
    waves, mixing = _kriging(num_ticks, phase)
    half = (num_ticks - 1) / 2
    x = (place - half)[:, None]
    cos, sin = jnp.cos(x * waves), jnp.sin(x * waves)
    one, none = jnp.ones_like(x), jnp.zeros_like(x)
    derivatives = [
        [cos, sin, one, x / half, jnp.square(x / half)],
        [-waves * sin, waves * cos, none, one / half, 2 * x / half**2],
        [-(waves**2) * cos, -(waves**2) * sin, none, none, 2 * one / half**2],
    ]
    values = jnp.stack([jnp.concatenate(row, axis=1) for row in derivatives], axis=1)
    return values @ mixing


@functools.cache
def _kriging(num_ticks: int, phase: float) -> tuple[np.ndarray, np.ndarray]:
    """Waves, and the weights of their cosines, sines and a parabola at every tick.

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
    mixing = np.concatenate([of_waves @ solution[:num_ticks], solution[num_ticks:]])
    return waves.astype(np.float32), mixing.astype(np.float32)


def _unit(model: SteerableModel) -> np.ndarray:
    """One step of the grid along each axis; 0 where it has one point."""
    place = 1.0 if len(model.ticks) > 1 else 0.0
    return np.array([2 * np.pi / model.num_angles, place, place], np.float32)


def _pixels_a_step(model: SteerableModel) -> float:
    return model.ticks[1] - model.ticks[0] if len(model.ticks) > 1 else 0.0


def _convex(
    curvature: Float[Array, "batch 3 3"],
) -> tuple[Float[Array, "batch 3 3"], Array]:
    """Minus the Hessian, with a heavier diagonal where it is not positive; if it was.

    Axes that are held still have zeros in the Hessian, and get a 1 on the diagonal.
    """
    eye = jnp.eye(3)
    weight = jnp.abs(curvature).sum(-1, keepdims=True)
    own = -curvature + eye * (weight == 0)
    a, b, c = own[:, 0, 0], own[:, 1, 1], own[:, 0, 1]
    _, determinant = _inverse(own)
    # Sylvester's leading minors
    good = (a > FLOOR) & (a * b - c * c > FLOOR**2) & (determinant > FLOOR**3)
    heavy = own * (1 - eye) + eye * (weight + FLOOR)
    return jnp.where(good[:, None, None], own, heavy), good


def _inverse(
    matrix: Float[Array, "batch 3 3"],
) -> tuple[Float[Array, "batch 3 3"], Float[Array, " batch"]]:
    """Inverse and determinant of symmetric matrices, by cross products."""
    first, second, third = matrix[:, 0], matrix[:, 1], matrix[:, 2]
    cofactors = jnp.stack(
        [
            jnp.cross(second, third),
            jnp.cross(third, first),
            jnp.cross(first, second),
        ],
        axis=1,
    )
    determinant = jnp.einsum("bi,bi->b", first, cofactors[:, 0])
    return cofactors / determinant[:, None, None], determinant
