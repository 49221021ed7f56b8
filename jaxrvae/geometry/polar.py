"""The Fourier-Bessel basis of the disc: images whose turns are phases.

An image on the disc is `f(r, phi) = Re sum_c a_c g_c(r) exp(i m_c phi)`, with the
angular orders m_c >= 0. Turning it counter-clockwise by theta multiplies a_c by
exp(-i m_c theta): no interpolation, no pixels. The radial functions are Bessel
functions with zero slope at the disc's edge (an image need not vanish there),
orthonormal on the pixels.

Coefficients are stored as reals: `[Re a_0 ... Re a_C-1, Im a_0 ... Im a_C-1]`, so that
the inner product of two images is the dot product of their coefficients.

Source: Zhao & Singer 2013, J. Opt. Soc. Am. A 30, 871 (steerable principal components).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int, ndarray
from jaxrvae.geometry.grid import pixel_grid

RADIAL_NODES = 1024


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PolarBasis:
    """Steerable functions on the disc, as a table of radial functions.

    Attributes:
        orders: Angular order of each complex coefficient: runs 0, 1, 2, ..., one for
            each radial function.
        table: (node, coef) radial functions at radii 0 ... radius, already weighted so
            that the real basis functions are orthonormal on the pixels.
        radius: Of the disc, in unit lengths.
    """

    orders: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    table: Float[ndarray, "node coef"] | Float[Array, "node coef"]
    radius: float = dataclasses.field(metadata={"static": True})

    @property
    def num_coefs(self) -> int:
        """The number of complex coefficients."""
        return len(self.orders)

    @property
    def num_reals(self) -> int:
        """The number of real coefficients that can differ from zero."""
        return 2 * self.num_coefs - self.orders.count(0)

    def evaluate(self, points: Float[Array, "*grid 2"]) -> Float[Array, "*grid reals"]:
        """Basis functions at points (x, y) in unit lengths; 0 outside the disc."""
        radius = jnp.hypot(points[..., 0], points[..., 1])
        phi = jnp.arctan2(points[..., 1], points[..., 0])
        place = jnp.minimum(radius / self.radius, 1.0) * (self.table.shape[0] - 1)
        low = jnp.clip(place.astype(jnp.int32), 0, self.table.shape[0] - 2)
        part = (place - low)[..., None]
        table = jnp.asarray(self.table)
        radial = (1 - part) * table[low] + part * table[low + 1]
        radial = jnp.where((radius <= self.radius)[..., None], radial, 0.0)
        phase = phi[..., None] * jnp.array(self.orders, jnp.float32)
        return jnp.concatenate(
            [radial * jnp.cos(phase), -radial * jnp.sin(phase)], axis=-1
        )


def turn(
    coefs: Float[Array, "*n reals"],
    orders: Int[Array, " coef"],
    angle: Float[Array, "*n"],
) -> Float[Array, "*n reals"]:
    """Coefficients of the images turned counter-clockwise by the angle."""
    real, imag = jnp.split(coefs, 2, axis=-1)
    phase = angle[..., None] * orders
    cos, sin = jnp.cos(phase), jnp.sin(phase)
    return jnp.concatenate([real * cos + imag * sin, imag * cos - real * sin], axis=-1)


def polar_coefs(
    projection: Float[Array, "point place reals"],
    values: Float[Array, "n point channel"],
) -> Float[Array, "n place all_reals"]:
    """Coefficients of all channels at every place: real parts, then imaginary ones."""
    coefs = jnp.einsum("npc,ptk->ntck", values, projection)
    real, imag = jnp.split(coefs, 2, axis=-1)
    parts = [part.reshape(*part.shape[:2], -1) for part in (real, imag)]
    return jnp.concatenate(parts, axis=-1)


def fourier_bessel(
    height: int, width: int, max_frequency: float, radius: float | None = None
) -> PolarBasis:
    """The basis for images of height x width pixels, up to a spatial frequency.

    Args:
        max_frequency: Cycles per pixel; at most 0.5. The number of real coefficients is
            about (pi * max_frequency * disc's radius in pixels)^2.
        radius: Of the disc in unit lengths; by default the largest inside the image.
    """
    from scipy.special import jnp_zeros, jv

    unit = max(height, width) / 2
    radius = min(height, width) / max(height, width) if radius is None else radius
    cutoff = 2 * np.pi * max_frequency * unit * radius
    nodes = np.linspace(0.0, 1.0, RADIAL_NODES)
    points = np.asarray(pixel_grid(height, width)).reshape(-1, 2)
    points = points[np.hypot(*points.T) <= radius]
    found = []  # (place among the order's roots, order, radial function)
    order = 0
    while True:
        roots = jnp_zeros(order, int(cutoff / np.pi) + 3)
        roots = np.concatenate([[0.0], roots]) if order == 0 else roots
        roots = roots[roots <= cutoff]
        if len(roots) == 0:
            break
        radial = jv(order, nodes[:, None] * roots)
        radial = radial @ _whitening(radial, order, points, radius)
        found += [(i, order, radial[:, i]) for i in range(len(roots))]
        order += 1
    found.sort(key=lambda item: item[:2])
    table = np.stack([item[2] for item in found], axis=1).astype(np.float32)
    return PolarBasis(tuple(item[1] for item in found), table, float(radius))


def _whitening(
    radial: Float[ndarray, "node root"],
    order: int,
    points: Float[ndarray, "point 2"],
    radius: float,
) -> Float[ndarray, "root root"]:
    """The symmetric mixing that makes one order's functions orthonormal on pixels."""
    place = np.hypot(*points.T) / radius * (len(radial) - 1)
    low = np.minimum(place.astype(int), len(radial) - 2)
    part = (place - low)[:, None]
    values = (1 - part) * radial[low] + part * radial[low + 1]
    gram = values.T @ values / (2 if order else 1)  # the mean of cos^2 is one half
    eigenvalues, vectors = np.linalg.eigh(gram)
    return (vectors / np.sqrt(eigenvalues)) @ vectors.T
