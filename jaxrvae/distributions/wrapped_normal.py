"""The wrapped normal distribution: a normal angle, modulo a turn.

Angles in radians, counter-clockwise. Narrow ones are summed over turns, wide ones over
Fourier orders, so that either sum is short.

Source: Mardia & Jupp 2000, Directional Statistics, section 3.5.7.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from jaxrvae._typing import Array, Float, Number, PRNGKey
from jaxrvae.geometry.circle import wrap

WIDE = 2.0  # radians: a standard deviation from which on Fourier's form is used
TURNS = range(-2, 3)
ORDERS = (1, 2, 3)


def log_prob(
    angle: Float[Array, "*n"],
    loc: Number | Float[Array, "*m"],
    std: Number | Float[Array, "*k"],
) -> Float[Array, "*all"]:
    """Log density, per radian.

    >>> round(float(log_prob(jnp.array(0.5), 0.0, 50.0)), 4)  # uniform: -log 2 pi
    -1.8379
    """
    return log_ratio_to_uniform(wrap(angle - loc), std) - math.log(2 * math.pi)


def log_ratio_to_uniform(
    angle: Float[Array, "*n"], std: Number | Float[Array, "*m"]
) -> Float[Array, "*all"]:
    """Log of 2 pi times the density of N(0, std^2), wrapped; angle in [-pi, pi)."""
    is_wide = std > WIDE
    narrow, wide = jnp.where(is_wide, WIDE, std), jnp.where(is_wide, std, WIDE)
    turns = [angle / narrow + 2 * math.pi * turn / narrow for turn in TURNS]
    log_sum = logsumexp(-0.5 * jnp.square(jnp.stack(turns)), axis=0)
    by_turns = log_sum + 0.5 * math.log(2 * math.pi) - jnp.log(narrow)
    waves = [jnp.exp(-0.5 * (m * wide) ** 2) * jnp.cos(m * angle) for m in ORDERS]
    by_orders = jnp.log1p(2 * sum(waves))
    return jnp.where(is_wide, by_orders, by_turns)


def rsample(
    key: PRNGKey, loc: Number | Float[Array, "*n"], std: Number | Float[Array, "*m"]
) -> Float[Array, "*all"]:
    """One draw for each parameter, in [-pi, pi), with slopes in both.

    >>> draws = rsample(jax.random.key(0), jnp.full(1000, 3.0), 0.1)
    >>> bool((abs(wrap(draws - 3.0)) < 0.5).all())
    True
    """
    shape = jnp.broadcast_shapes(jnp.shape(loc), jnp.shape(std))
    return wrap(loc + std * jax.random.normal(key, shape))
