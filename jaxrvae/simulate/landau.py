"""Time-dependent Ginzburg-Landau: how the polarization of a tetragonal film relaxes.

Reduced units: polarization in spontaneous polarizations, time in relaxation times of
the bulk, lengths in pixels, fields and energies in those of the free energy below.
Borders are periodic. Components come in the order out of plane (z), right (x), up (y).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrvae._typing import Array, Float, Key, Number

COERCIVE_FIELD = 2 / 27**0.5  # reduced field at which the bulk switches as one
COUPLING = 2.0  # of unlike components; above 1 the minima lie along the axes
CHARGE = 1.0  # energy of bound charge in the plane: walls stay head to tail


class Landscape(NamedTuple):
    """What differs from place to place.

    Attributes:
        stiffness: alpha, 1 where the film is perfect; one layer a component.
        field: Local field along z, reduced.
    """

    stiffness: Float[Array, "component height width"]
    field: Float[Array, "height width"]


def free_energy(
    polarization: Float[Array, "component height width"],
    landscape: Landscape,
    bias: Number | Float[Array, ""],
    wall_width: Number,
) -> Float[Array, ""]:
    """Sum over pixels of the reduced free energy.

    `-alpha P_i^2 / 2 + P_i^4 / 4 + g P_i^2 P_j^2 / 2 + kappa |grad P|^2 / 2 - E P_z`,
    and the energy of bound charge in the plane. A wall has the profile
    tanh(distance / wall_width), so that kappa = wall_width^2 / 2.

    Source: Li, Hu, Liu & Chen 2002, doi:10.1016/S1359-6454(01)00360-3, reduced to the
    fourth order, elasticity left to `stiffness`.

    >>> up = jnp.ones((1, 8, 8))
    >>> flat = Landscape(jnp.ones((1, 8, 8)), jnp.zeros((8, 8)))
    >>> float(free_energy(up, flat, 0.0, 2.0)) / 64
    -0.25
    """
    squares = polarization**2
    unlike = (squares.sum(0) ** 2 - (squares**2).sum(0)) / 2
    local = (squares**2 / 4 - landscape.stiffness * squares / 2).sum(0)
    local += COUPLING * unlike / 2 - (landscape.field + bias) * polarization[0]
    hats = jnp.fft.fft2(polarization)
    k_x, k_y = _wave_numbers(polarization.shape[-2:], half=False)
    k2 = k_x**2 + k_y**2
    waves = wall_width**2 / 4 * (k2 * jnp.abs(hats) ** 2).sum()
    if len(polarization) == 3:
        along = jnp.abs(k_x * hats[1] + k_y * hats[2]) ** 2
        waves += CHARGE / 2 * (along / jnp.where(k2 > 0, k2, 1)).sum()
    return local.sum() + waves / local.size


@functools.partial(jax.jit, static_argnames=("num_steps",))
def evolve(
    polarization: Float[Array, "component height width"],
    bias: Float[Array, " frame"],
    landscape: Landscape,
    wall_width: Number | Float[Array, ""],
    temperature: Number | Float[Array, ""],
    step: Number | Float[Array, ""],
    num_steps: int,
    key: Key[Array, ""],
) -> Float[Array, "frame component height width"]:
    """The polarization after each of the frames, `num_steps` steps a frame.

    Gradients are taken implicitly in Fourier space, the rest explicitly: stable for
    steps below 1 relaxation time, and the energy falls without noise.

    Args:
        polarization: At the start.
        bias: Field along z during each frame, reduced.
        landscape: Local stiffness and fields.
        wall_width: Pixels.
        temperature: Reduced k_B T of one pixel. The noise has two values, which gives
            the moments of white noise to the order of the steps (Kloeden & Platen
            1992, section 14.1) at the cost of one random bit.
        step: Relaxation times.
        num_steps: A frame.
        key: Of the thermal noise.

    Source: Chen & Shen 1998, doi:10.1016/S0010-4655(97)00115-X.
    """
    shape = polarization.shape[-2:]
    k_x, k_y = _wave_numbers(shape, half=True)
    k2 = k_x**2 + k_y**2
    damping = 1 + step * wall_width**2 / 2 * k2
    noise = jnp.sqrt(2 * temperature * step)

    def advance(
        state: Float[Array, "component height width"], inputs: tuple[Array, Array]
    ) -> tuple[Array, None]:
        field, step_key = inputs
        squares = state**2
        others = squares.sum(0) - squares
        force = state * (landscape.stiffness - squares - COUPLING * others)
        force = force.at[0].add(landscape.field + field)
        kicked = state + step * force + noise * _signs(step_key, state.shape)
        hats = jnp.fft.rfft2(kicked) / damping
        if len(state) == 3:
            along = (k_x * hats[1] + k_y * hats[2]) / jnp.where(k2 > 0, k2, 1)
            along *= step * CHARGE / (damping + step * CHARGE)
            hats = hats.at[1].add(-k_x * along).at[2].add(-k_y * along)
        return jnp.fft.irfft2(hats, s=shape), None

    def one_frame(state: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        field, frame_key = inputs
        keys = jax.random.split(frame_key, num_steps)
        state, _ = jax.lax.scan(advance, state, (jnp.full(num_steps, field), keys))
        return state, state

    keys = jax.random.split(key, len(bias))
    return jax.lax.scan(one_frame, polarization, (bias, keys))[1]


def _wave_numbers(shape: tuple[int, ...], half: bool) -> tuple[Array, Array]:
    """Radians a pixel along x (columns) and y (up); of a real transform if half."""
    columns = jnp.fft.rfftfreq(shape[1]) if half else jnp.fft.fftfreq(shape[1])
    return 2 * jnp.pi * columns[None], -2 * jnp.pi * jnp.fft.fftfreq(shape[0])[:, None]


def _signs(key: Key[Array, ""], shape: tuple[int, ...]) -> Array:
    """Independent -1 and +1, each with one random bit."""
    words = jax.random.bits(key, (*shape[:-1], -(-shape[-1] // 32)), jnp.uint32)
    bits = (words[..., None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
    signs = 2 * bits.astype(jnp.float32) - 1
    return signs.reshape(*shape[:-1], -1)[..., : shape[-1]]
