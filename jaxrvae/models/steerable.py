"""The steerable model: images and decoder in one polar basis, where turns are phases.

An image at pose (theta, t) is `sum_c Re[c_c(z) exp(-i m_c theta) psi_c(r - t)]`. With
Gaussian noise its likelihood depends on the pose through a correlation alone, which is
had at all angles and at a grid of places at once.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float, ndarray
from jaxrvae.geometry.grid import pixel_grid, shift_to_unit
from jaxrvae.geometry.polar import PolarBasis
from jaxrvae.networks.decoders import DenseDecoder
from jaxrvae.networks.encoders import ContentEncoder

NOISE_GAIN = 10.0  # log noise moves so much faster than a weight

Features = dict[str, Array]


class SteerableNetworks(nnx.Module):
    """All weights of the steerable model."""

    def __init__(
        self,
        orders: tuple[int, ...],
        content_dim: int,
        num_turns: int,
        hidden_dim: int,
        *,
        rngs: nnx.Rngs,
    ):
        self.encoder = ContentEncoder(
            orders, num_turns, hidden_dim, content_dim, rngs=rngs
        )
        self.decoder = DenseDecoder(content_dim, hidden_dim, 2 * len(orders), rngs=rngs)
        self.log_noise = nnx.Param(jnp.zeros(()))

    @property
    def noise(self) -> Float[Array, ""]:
        """Standard deviation of the noise, per standardized pixel."""
        return jnp.exp(NOISE_GAIN * self.log_noise[...])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class SteerableModel:
    """What the steerable model computes, apart from its weights.

    Attributes:
        basis: Of one channel; coefficients of all channels stand one after another.
        offset, scale: Of each channel: what is subtracted, then divided by.
        shape: (rows, columns, channels) of a patch.
        max_frequency: Band limit, cycles per pixel: noise beyond it is left out.
        ticks: Displacements along either axis, pixels; (0.0,) without shifts.
    """

    basis: PolarBasis
    offset: Float[Array, " channel"]
    scale: Float[Array, " channel"]
    shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    max_frequency: float = dataclasses.field(metadata={"static": True})
    ticks: tuple[float, ...] = dataclasses.field(metadata={"static": True})
    num_angles: int = dataclasses.field(default=96, metadata={"static": True})

    @property
    def orders(self) -> tuple[int, ...]:
        """Angular order of every complex coefficient, channel after channel."""
        return self.basis.orders * self.shape[2]

    @property
    def attended(self) -> ndarray:
        """Indices of the coarser grid of places that the encoder reads."""
        num_ticks = len(self.ticks)
        step = 2 if num_ticks > 3 else 1
        ticks = np.arange(num_ticks)[(num_ticks // 2) % step :: step]
        return (ticks[:, None] * num_ticks + ticks).ravel()

    @property
    def num_places(self) -> int:
        """Places of the grid, all of it."""
        return len(self.ticks) ** 2

    @property
    def num_modes(self) -> int:
        """Independent pixel values inside the band: what the noise acts on."""
        return int(band(self.shape, self.max_frequency).sum()) * self.shape[2]

    def projection(self) -> Float[Array, "pixel place reals"]:
        """The basis at every place of the grid, on the pixels."""
        height, width, _ = self.shape
        x, y = np.meshgrid(self.ticks, self.ticks)
        places = shift_to_unit(jnp.stack([x.ravel(), y.ravel()], axis=-1), self.shape)
        points = pixel_grid(height, width).reshape(-1, 2)
        return jnp.stack([self.basis.evaluate(points - t) for t in places], axis=1)

    def features(self, projection: Array, images: Array) -> Features:
        """Coefficients at every place and the energy inside the band.

        Args:
            projection: As `projection()` gives it.
            images: (n, row, col, channel), as recorded.

        Returns:
            coefs (n, place, reals) and energy (n,).
        """
        images = (images - self.offset) / self.scale
        coefs = polar_coefs(projection, images)
        spectrum = jnp.abs(jnp.fft.fft2(images, axes=(1, 2))) ** 2
        inside = band(self.shape, self.max_frequency)[..., None]
        pixels = self.shape[0] * self.shape[1]
        return {"coefs": coefs, "energy": (spectrum * inside).sum((1, 2, 3)) / pixels}

    def content(
        self, networks: SteerableNetworks, features: Features
    ) -> tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]]:
        """Mean and log standard deviation of the content posterior."""
        return networks.encoder(features["coefs"][:, self.attended])

    def canonical(
        self, networks: SteerableNetworks, content: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch reals"]:
        """Coefficients of the canonical image; imaginary parts of order 0 are none."""
        zonal = np.array(self.orders) == 0
        mask = np.concatenate([np.ones_like(zonal), ~zonal]).astype(np.float32)
        return networks.decoder(content) * mask

    def fold(
        self,
        coefs: Float[Array, "batch place reals"],
        canonical: Float[Array, "batch reals"],
    ) -> Float[Array, "batch place harmonics"]:
        """Harmonics s of the correlation over the angle, one set for each place.

        `corr(theta) = sum_m s_m cos(m theta) + s'_m sin(m theta)`, stored [s, s'].
        """
        orders = np.array(self.orders)
        fold = np.zeros((len(orders), orders.max() + 1), np.float32)
        fold[np.arange(len(orders)), orders] = 1.0
        real, imag = jnp.split(coefs, 2, axis=-1)
        own_real, own_imag = jnp.split(canonical[:, None], 2, axis=-1)
        cos = real * own_real + imag * own_imag
        sin = real * own_imag - imag * own_real
        return jnp.concatenate([cos @ fold, sin @ fold], axis=-1)

    def angles(self) -> Float[ndarray, " angle"]:
        """The grid of angles, radians, from -pi on."""
        return 2 * np.pi * np.arange(self.num_angles) / self.num_angles - np.pi

    def correlations(
        self, harmonics: Float[Array, "batch place harmonics"]
    ) -> Float[Array, "batch place angle"]:
        """The correlation of image and canonical image on the grid of poses."""
        orders = np.arange(harmonics.shape[-1] // 2)
        phase = orders[:, None] * self.angles()
        waves = np.concatenate([np.cos(phase), np.sin(phase)]).astype(np.float32)
        return harmonics @ waves

    def render(
        self,
        canonical: Float[Array, " reals"],
        angle: Float[Array, ""],
        shift: Float[Array, "2"],
        scale: Float[Array, ""],
    ) -> Float[Array, "height width channel"]:
        """One image at a pose, in recorded units; the shift in unit lengths, y up."""
        height, width, channels = self.shape
        points = (pixel_grid(height, width) - shift) / scale
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        turn_back = jnp.array([[cos, -sin], [sin, cos]])  # on row vectors
        values = self.basis.evaluate(points @ turn_back)
        real, imag = jnp.split(canonical, 2)
        own = jnp.concatenate(
            [real.reshape(channels, -1), imag.reshape(channels, -1)], axis=1
        )
        return values @ own.T * self.scale + self.offset


def polar_coefs(
    projection: Float[Array, "pixel place reals"],
    images: Float[Array, "n height width channel"],
) -> Float[Array, "n place all_reals"]:
    """Coefficients of all channels at every place: real parts, then imaginary ones."""
    flat = images.reshape(images.shape[0], -1, images.shape[-1])
    coefs = jnp.einsum("npc,ptk->ntck", flat, projection)
    real, imag = jnp.split(coefs, 2, axis=-1)
    parts = [part.reshape(*part.shape[:2], -1) for part in (real, imag)]
    return jnp.concatenate(parts, axis=-1)


def band(shape: tuple[int, ...], max_frequency: float) -> ndarray:
    """(row, col) where the discrete spectrum lies inside the band."""
    rows = np.fft.fftfreq(shape[0])[:, None]
    columns = np.fft.fftfreq(shape[1])[None]
    return np.hypot(rows, columns) <= max_frequency


def place_ticks(max_shift: float, max_frequency: float) -> tuple[float, ...]:
    """Evenly spaced displacements up to +-max_shift pixels, odd in number.

    Two and a half a wavelength of the band limit: the correlation's peak is a parabola
    between them, to within a few percent.
    """
    if max_shift == 0:
        return (0.0,)
    half = max(2, int(np.ceil(max_shift * 2.5 * max_frequency)))
    return tuple(np.linspace(-max_shift, max_shift, 2 * half + 1).tolist())


def make_networks(
    model: SteerableModel, content_dim: int, num_turns: int, hidden_dim: int, seed: int
) -> SteerableNetworks:
    """Fresh weights."""
    return SteerableNetworks(
        model.orders, content_dim, num_turns, hidden_dim, rngs=nnx.Rngs(seed)
    )
