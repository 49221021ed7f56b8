"""The von Mises distribution: what the normal distribution is on the line.

Angles in radians, counter-clockwise; concentrations are >= 0, and 0 is uniform. All
is written in `1 - cos` and scaled Bessel functions, so that nothing overflows, and
large concentrations, where this is N(loc, 1 / concentration), keep their digits.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc, i0e, i1e, ndtri

from jaxrvae._typing import Array, Bool, Float, Number, PRNGKey
from jaxrvae.geometry.circle import wrap

NUM_NODES = 16  # of Gauss-Legendre quadrature
NUM_STEPS = 3  # of Halley's method: two end within 1e-4 standard deviations, three 1e-6
REACH = 8.0  # standard deviations: where tails are cut
LARGE = 12.0  # concentration from which on the asymptotic series is used


def log_prob(
    angle: Float[Array, "*n"],
    loc: Number | Float[Array, "*m"],
    concentration: Number | Float[Array, "*k"],
) -> Float[Array, "*all"]:
    """Log density, per radian.

    Source: Mardia & Jupp 2000, Directional Statistics, eq. 3.5.17.

    >>> round(float(log_prob(jnp.array(0.5), 0.0, 0.0)), 4)  # uniform: -log 2 pi
    -1.8379
    """
    return log_ratio_to_uniform(angle, loc, concentration) - math.log(2 * math.pi)


def log_ratio_to_uniform(
    angle: Float[Array, "*n"],
    loc: Number | Float[Array, "*m"],
    concentration: Number | Float[Array, "*k"],
) -> Float[Array, "*all"]:
    """Log of 2 pi times the density: exactly 0 for concentration 0.

    >>> abs(float(log_ratio_to_uniform(jnp.array(0.5), 0.0, 0.0)))
    0.0
    """
    concentration = _array(concentration)
    below = concentration * _versine(angle - loc)
    return -below - _log_i0e(concentration)


def entropy(concentration: Number | Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Differential entropy, nats.

    Source: the expectation of Mardia & Jupp 2000, eq. 3.5.17; E cos = I1 / I0.

    >>> round(float(entropy(0.0)), 4)
    1.8379
    """
    concentration = _array(concentration)
    below = concentration * _gap(concentration)
    return below + _log_i0e(concentration) + math.log(2 * math.pi)


def kl_von_mises(
    loc_q: Number | Float[Array, "*n"],
    k_q: Number | Float[Array, "*m"],
    loc_p: Number | Float[Array, "*i"],
    k_p: Number | Float[Array, "*j"],
) -> Float[Array, "*all"]:
    """KL of q from p, nats: that of their concentrations and of how far they lie apart.

    Args:
        k_p: Concentration of p; 0 is the uniform prior.

    Source: the expectation of Mardia & Jupp 2000, eq. 3.5.17; E cos = I1 / I0.

    >>> float(kl_von_mises(0.3, 5.0, 0.3, 5.0))
    0.0
    """
    k_q, k_p = _array(k_q), _array(k_p)
    gap = _gap(k_q)
    apart = gap + (1 - gap) * _versine(_array(loc_q) - loc_p)  # 1 - E cos(angle - loc)
    return k_p * apart - k_q * gap + _log_i0e(k_p) - _log_i0e(k_q)


def rsample(
    key: PRNGKey,
    loc: Number | Float[Array, "*n"],
    concentration: Number | Float[Array, "*m"],
) -> Float[Array, "*all"]:
    """One draw for each parameter, in [-pi, pi), exact to the float's precision.

    Gradients are those of implicit reparameterization, in both parameters.

    Source: Figurnov, Mohamed & Mnih 2018, arXiv:1805.08498, section 3.

    >>> draws = rsample(jax.random.key(0), jnp.ones(1000), 1e4)
    >>> bool(abs(draws.mean() - 1) < 0.01), bool(abs(draws.std() - 0.01) < 0.001)
    (True, True)
    """
    loc, concentration = jnp.broadcast_arrays(_array(loc), _array(concentration))
    shape, dtype = concentration.shape, concentration.dtype
    least = jnp.nextafter(jnp.array(-1, dtype), jnp.array(0, dtype))
    side = jax.random.uniform(key, shape, dtype, minval=least, maxval=1)
    distance = half_width(1 - jnp.abs(side), concentration)
    return wrap(loc + jnp.where(side < 0, -distance, distance))


@jax.custom_jvp
def half_width(
    tail: Float[Array, "*n"], concentration: Float[Array, "*n"]
) -> Float[Array, "*n"]:
    """Radians to either side of loc beyond which a share `tail` of the angles lies.

    Halley's method on the distribution function, which is had by quadrature, from the
    normal approximation of sin(angle / 2), or from uniform angles.

    Args:
        tail: In (0, 1], for instance 0.05 for the interval that holds 95 %.

    >>> round(float(half_width(jnp.array(0.05), jnp.array(100.0))), 3)  # normal: 0.196
    0.197
    """
    inner = tail > 0.5  # of the two sides of the angle the one that holds less
    share = jnp.where(inner, 1 - tail, tail) * jnp.pi * i0e(concentration)

    def halley(_: object, angle: Array) -> Array:
        integral, _ = _moments(angle, concentration, inner)
        height = jnp.minimum(concentration * _versine(angle), 60.0)  # no overflow
        missing = integral - share * jnp.exp(height)
        newton = jnp.where(inner, -missing, missing)
        curvature = concentration * jnp.sin(angle)
        return jnp.clip(angle + newton / (1 - newton * curvature / 2), 0.0, jnp.pi)

    narrow = jnp.sqrt(jnp.maximum(concentration, 1.0))
    beyond = erfc(math.sqrt(2) * narrow)  # of the normal: what the circle has not
    normal = -ndtri(0.5 * (beyond + tail * (1 - beyond)))
    start = 2 * jnp.arcsin(jnp.minimum(normal / (2 * narrow), 1.0))
    start = jnp.where(concentration < 1, jnp.pi * (1 - tail), start)
    return jax.lax.fori_loop(0, NUM_STEPS, halley, start)


@half_width.defjvp
def _half_width_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Moves by -(dF / d concentration) / density, without either's cancellations.

    dF / d concentration is the integral of (cos - I1/I0) times the density up to the
    angle, or minus that beyond it: whichever has a single sign is taken.
    """
    tail, concentration = primals
    angle = half_width(tail, concentration)
    gap = _gap(concentration)
    inner = _versine(angle) < gap
    integral, below = _moments(angle, concentration, inner)
    slope = gap * integral - below
    slope = jnp.where(inner, -slope, slope)
    height = concentration * _versine(angle)
    density = jnp.exp(-height) / (jnp.pi * i0e(concentration))
    return angle, slope * tangents[1] - tangents[0] / density


def _moments(
    angle: Float[Array, "*n"],
    concentration: Float[Array, "*n"],
    inner: Bool[Array, "*n"],
) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """Integrals of density / density(angle) over [0, angle], or from the angle on.

    The second one is of 1 - cos times that. Written node by node: one fused loop, twice
    as quick on a CPU as an axis of nodes.
    """
    reach = REACH / jnp.sqrt(jnp.maximum(concentration, 1.0))
    low = jnp.where(inner, 0.0, angle)
    width = jnp.where(inner, angle, jnp.minimum(jnp.pi - angle, reach))
    here = _versine(angle)
    total, below = jnp.zeros_like(angle), jnp.zeros_like(angle)
    for node, weight in zip(*np.polynomial.legendre.leggauss(NUM_NODES), strict=True):
        there = _versine(low + float(node + 1) / 2 * width)
        part = float(weight) / 2 * jnp.exp(concentration * (here - there))
        total, below = total + part, below + part * there
    return width * total, width * below


def _versine(angle: Array) -> Array:
    """1 - cos, with all its digits near 0."""
    return 2 * jnp.square(jnp.sin(angle / 2))


def _gap(concentration: Array) -> Array:
    """1 - I1/I0: by how much the mean of exp(i angle) falls short of 1.

    Source: Abramowitz & Stegun 1964, eq. 9.7.1 (large concentrations).
    """
    is_large = concentration > LARGE
    low = jnp.where(is_large, LARGE, concentration)
    high = jnp.where(is_large, concentration, LARGE)
    part = 1 / high
    terms = (1 / 2, 1 / 8, 1 / 8, 25 / 128, 13 / 32, 1073 / 1024)
    series = jnp.zeros_like(part)
    for term in reversed(terms):
        series = (series + term) * part
    return jnp.where(is_large, series, 1 - i1e(low) / i0e(low))


@jax.custom_jvp
def _log_i0e(concentration: Array) -> Array:
    """Log I0, less the concentration: JAX's i0e is 1e-7 off at 0, its slope by 1."""
    return jnp.where(concentration > 0, jnp.log(i0e(concentration)), 0.0)


@_log_i0e.defjvp
def _log_i0e_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _log_i0e(*primals), -_gap(*primals) * tangents[0]


def _array(value: Number | Array) -> Array:
    """A floating array, of the precision it had."""
    return 1.0 * jnp.asarray(value)
