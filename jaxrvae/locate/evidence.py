"""How sure an atom is: its height against its standard error beside its neighbours."""

import jax
import jax.numpy as jnp

from jaxrvae._typing import Array, Float


def overlap(first: Float[Array, "4"], second: Float[Array, "4"]) -> Float[Array, ""]:
    """The integral over the plane of the product of two Gaussian atoms.

    Args:
        first: x, y, height, log sigma.
        second: The same of the other one.
    """
    return first[2] * second[2] * _unit_overlap(first, second)[0]


def _unit_overlap(first: Float[Array, "4"], second: Float[Array, "4"]):
    """The same for unit heights, the gap, and the sum of the variances."""
    gap = first[:2] - second[:2]
    one, two = jnp.exp(2 * first[3]), jnp.exp(2 * second[3])
    total = one + two
    area = 2 * jnp.pi * one * two / total
    return area * jnp.exp(-jnp.sum(gap**2) / (2 * total)), gap, total


def products(
    first: Float[Array, "4"], second: Float[Array, "4"]
) -> Float[Array, "3 3"]:
    """Scalar products of two atoms' derivatives in x, y and height: of `overlap`."""
    unit, gap, total = _unit_overlap(first, second)
    one, two, u = first[2], second[2], gap / total
    places = one * two * (jnp.eye(2) / total - u[:, None] * u)
    rows = jnp.concatenate([places, (-one * u)[:, None]], axis=1)
    heights = jnp.append(two * u, 1.0)
    return unit * jnp.concatenate([rows, heights[None]])


def _height_variance(group: Float[Array, "near 4"], there: Float[Array, " near"]):
    """Variance of the first atom's height, per unit of the pixels' variance.

    The others' positions and heights and a constant background are unknown as well.
    """
    num = len(group)
    pairs = jax.vmap(lambda a: jax.vmap(lambda b: products(a, b))(group))(group)
    pairs = pairs * there[:, None, None, None] * there[None, :, None, None]
    normal = pairs.transpose(0, 2, 1, 3).reshape(3 * num, 3 * num)
    area = 2 * jnp.pi * jnp.exp(2 * group[:, 3]) * there
    flat = jnp.stack([0 * area, 0 * area, area], axis=1).ravel()
    reach = 5.0 * jnp.exp(group[0, 3])  # the background is known from this far around
    normal = jnp.block([[normal, flat[:, None]], [flat[None], 4 * reach**2]])
    scale = jnp.sqrt(jnp.diag(normal)) + 1e-6
    normal = normal / scale / scale[:, None]
    lone = jnp.append(jnp.repeat(1 - there, 3), 0.0)
    normal = normal + jnp.diag(lone + 1e-4)
    # the height last: its variance is one over the square of the factor's last element
    last = jnp.array([*range(2), *range(3, len(normal)), 2])
    factor = jnp.linalg.cholesky(normal[last][:, last])
    return 1 / (factor[-1, -1] * scale[2]) ** 2


@jax.jit
def height_errors(
    groups: Float[Array, "atom near 4"], there: Float[Array, "atom near"]
) -> Float[Array, " atom"]:
    """Standard errors of heights, per unit of a pixel's noise.

    Args:
        groups: x, y, height and log sigma of each atom, first, and of those nearest.
        there: 1 where they are there, 0 in the padding.
    """
    least = 1e-3 * groups[:, :1, 2]
    groups = groups.at[:, :, 2].set(jnp.maximum(groups[:, :, 2], least))
    variances = jax.vmap(_height_variance)(groups, there)
    return jnp.sqrt(jnp.maximum(variances, 1e-12))
