"""The steerable model: images and decoder in one polar basis, where turns are phases.

An image at pose (theta, t) is `sum_c Re[c_c(z) exp(-i m_c theta) psi_c(r - t)]`. With
Gaussian noise its likelihood depends on the pose through a correlation alone, which is
had at all angles and at a grid of places at once. So it is with every exponential
family, where the sum makes the natural parameter; `models/marginal.py` has the rest.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float, ndarray
from jaxrvae.geometry.band import band, band_modes
from jaxrvae.geometry.circle import angle_grid
from jaxrvae.geometry.grid import pixel_grid, shift_to_unit
from jaxrvae.geometry.polar import PolarBasis, polar_coefs, turn
from jaxrvae.models.gauge import Gauge, drift
from jaxrvae.models.known import known_numbers
from jaxrvae.models.likelihoods import log_base, mean_of
from jaxrvae.networks.decoders import DenseDecoder
from jaxrvae.networks.encoders import ContentEncoder
from jaxrvae.networks.spectra import SpectrumNetworks
from jaxrvae.priors.content import ContentPrior

NOISE_GAIN = 10.0  # log noise moves so much faster than a weight
FINER = 3  # sets of turned copies that are read after training
CPU_IMAGES = 8  # read so at a time: the units of their copies stay in the cache
NATURAL_GAIN = 2.0  # natural parameters that a fresh decoder makes, about

Features = dict[str, Array]
Projection = dict[str, Array]


class SteerableNetworks(nnx.Module):
    """All weights of the steerable model."""

    def __init__(
        self,
        orders: tuple[int, ...],
        content_dim: int,
        num_turns: int,
        hidden_dim: int,
        known_dim: int = 0,
        mean_gain: float = 1.0,
        background: Float[Array, " channel"] | None = None,
        guess_dim: int = 0,
        *,
        rngs: nnx.Rngs,
    ):
        self.encoder = ContentEncoder(
            orders, num_turns, hidden_dim, content_dim, known_dim, rngs=rngs
        )
        self.decoder = DenseDecoder(
            content_dim + known_dim, hidden_dim, 2 * len(orders), mean_gain, rngs=rngs
        )
        self.log_noise = nnx.Param(jnp.zeros(()))
        if background is not None:  # of natural parameters
            self.background = nnx.Param(background)
        guess = nnx.Linear(hidden_dim, guess_dim, rngs=rngs) if guess_dim else None
        self.guess: nnx.Linear | None = nnx.data(guess)
        self.spectrum: SpectrumNetworks | None = nnx.data(None)
        self.prior: ContentPrior = None

    @property
    def noise(self) -> Float[Array, ""]:
        """Standard deviation of the noise, per standardized pixel."""
        return jnp.exp(NOISE_GAIN * self.log_noise[...])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ContentQuery:
    """The posterior of the content, as the encoder states it; see `PoseQuery`."""

    content: Float[Array, "batch latent"]
    content_log_std: Float[Array, "batch latent"]
    guess: Float[Array, "batch guess"]


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
        likelihood: "gaussian", or an exponential family.
        num_classes: That the decoder is told apart from the content; 1 is none.
        fixed_noise: Standard deviation in the images' units; 0: it is learned.
        shift_std: (x, y) pixels, of a normal prior; 0: uniform over the places.
    """

    basis: PolarBasis
    offset: Float[Array, " channel"]
    scale: Float[Array, " channel"]
    shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    max_frequency: float = dataclasses.field(metadata={"static": True})
    ticks: tuple[float, ...] = dataclasses.field(metadata={"static": True})
    num_angles: int = dataclasses.field(default=96, metadata={"static": True})
    likelihood: str = dataclasses.field(default="gaussian", metadata={"static": True})
    num_classes: int = dataclasses.field(default=1, metadata={"static": True})
    fixed_noise: float = dataclasses.field(default=0.0, metadata={"static": True})
    shift_std: tuple[float, float] = dataclasses.field(
        default=(0.0, 0.0), metadata={"static": True}
    )
    reads: ClassVar[str] = "coefs"

    def noise(self, networks: SteerableNetworks) -> Float[Array, ""]:
        """Standard deviation of the noise, per standardized pixel."""
        if self.fixed_noise:
            return self.fixed_noise / self.scale[0]  # all channels have the same
        return networks.noise

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

    def projection(self) -> Projection:
        """Pixels to the band's modes, and these to the basis at every place."""
        height, width, _ = self.shape
        x, y = np.meshgrid(self.ticks, self.ticks)
        places = shift_to_unit(jnp.stack([x.ravel(), y.ravel()], axis=-1), self.shape)
        points = pixel_grid(height, width).reshape(-1, 2)
        modes = jnp.asarray(band_modes(self.shape, self.max_frequency))
        coefs = jax.lax.map(lambda t: modes.T @ self.basis.evaluate(points - t), places)
        # Derivatives of a moved image by its displacement, at none.
        own = self.basis.evaluate(points)
        axes = jnp.eye(2)
        moved = [
            jax.jvp(lambda t: self.basis.evaluate(points - t), (jnp.zeros(2),), (axis,))
            for axis in axes
        ]
        moves = jnp.stack([own.T @ change for _, change in moved])
        found = {"modes": modes, "coefs": coefs.swapaxes(0, 1), "moves": moves}
        if self.likelihood == "gaussian":
            return found
        level = modes.sum(0)[:, None] * (self.offset / self.scale)
        return found | {"level": polar_coefs(found["coefs"], level[None])[0]}

    def drift(
        self,
        networks: SteerableNetworks,
        projection: Projection,
        gauge: Gauge,
        content: Float[Array, "batch latent"],
    ) -> tuple[Float[Array, " batch"], Float[Array, "batch 2"]]:
        """Angle and shift (unit lengths) hidden in the canonical images."""
        canonical = functools.partial(self.canonical, networks)
        generate = functools.partial(self.changes, projection)
        return jax.vmap(lambda z: drift(canonical, generate, gauge, z))(content)

    def changes(
        self, projection: Projection, coefs: Float[Array, " reals"]
    ) -> Float[Array, "3 reals"]:
        """Derivatives by angle and shift (unit lengths) at pose zero; 0 if not free."""
        real, imag = jnp.split(coefs, 2)
        orders, channels = jnp.array(self.orders, jnp.float32), self.shape[2]
        turned = jnp.concatenate([orders * imag, -orders * real])
        if len(self.ticks) == 1:
            return jnp.stack([turned, 0 * turned, 0 * turned])
        parts = jnp.stack([real, imag]).reshape(2, channels, -1)
        own = parts.swapaxes(0, 1).reshape(channels, -1)
        moved = jnp.einsum("aij,cj->aci", projection["moves"], own)
        moved = moved.reshape(2, channels, 2, -1).swapaxes(1, 2).reshape(2, -1)
        return jnp.concatenate([turned[None], moved])

    def compress(self, projection: Projection, images: Array) -> Features:
        """The modes inside the band, (n, mode, channel): all that the model sees.

        Args:
            projection: As `projection()` gives it.
            images: (n, row, col, channel), as recorded.
        """
        standard = (images - self.offset) / self.scale
        flat = standard.reshape(images.shape[0], -1, self.shape[2])
        found = {"modes": jnp.einsum("npc,pm->nmc", flat, projection["modes"])}
        if self.likelihood == "gaussian":
            return found
        base = log_base(self.likelihood, images).sum((1, 2, 3))
        return found | {"total": images.sum((1, 2)), "base": base}

    def expand(self, projection: Projection, features: Features) -> Features:
        """Coefs (n, place, reals) at every place, and energy (n,), from the modes."""
        modes = features["modes"]
        others = {name: v for name, v in features.items() if name != "modes"}
        return others | {
            "coefs": polar_coefs(projection["coefs"], modes),
            "energy": jnp.square(modes).sum((1, 2)),
        }

    def query(
        self, networks: SteerableNetworks, features: Features, fine: bool = False
    ) -> ContentQuery:
        """The posterior of the content.

        Args:
            fine: Read at all places, and between the turns: less of the pose is left in
                the content, at several times the work. For use after training.
        """
        coefs = features["coefs"]
        known = known_numbers(features, self.num_classes, len(coefs))
        if fine:
            on_cpu = jax.default_backend() == "cpu"
            fits = on_cpu and len(coefs) % CPU_IMAGES == 0
            size = CPU_IMAGES if fits else len(coefs)
            groups = coefs.reshape(-1, size, *coefs.shape[1:])
            each = functools.partial(self._pooled_finely, networks)
            pooled = jax.lax.map(each, groups).reshape(len(coefs), -1)
        else:
            pooled = networks.encoder.pool(coefs[:, self.attended])
        guess = jnp.zeros((len(coefs), 0))
        if networks.guess is not None:
            guess = networks.guess(pooled)
        return ContentQuery(*networks.encoder(pooled, known), guess)

    def _pooled_finely(
        self, networks: SteerableNetworks, coefs: Float[Array, "batch place reals"]
    ) -> Float[Array, "batch hidden"]:
        """Hidden units from all places and `FINER` sets of turned copies."""
        step = 2 * np.pi / networks.encoder.copies.num_turns / FINER

        def read(angle: Float[Array, ""]) -> Float[Array, "batch hidden"]:
            angles = jnp.broadcast_to(angle, coefs.shape[:2])
            return networks.encoder.pool(turn(coefs, jnp.array(self.orders), angles))

        angles = [step * jnp.float32(n) for n in range(FINER)]
        return jnp.stack([read(angle) for angle in angles]).mean(0)

    def canonical(
        self, networks: SteerableNetworks, content: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch reals"]:
        """Coefficients of the canonical image; imaginary parts of order 0 are none.

        Args:
            content: With what is known beside it (`models/known.py`).
        """
        zonal = np.array(self.orders) == 0
        mask = np.concatenate([np.ones_like(zonal), ~zonal]).astype(np.float32)
        return networks.decoder(content) * (self.gain * mask)

    @property
    def gain(self) -> float:
        """Of the decoder: natural parameters are not standardized, as images are."""
        if self.likelihood == "gaussian":
            return 1.0
        return NATURAL_GAIN * (self.shape[0] * self.shape[1] / self.num_modes) ** 0.5

    def harmonics(
        self,
        networks: SteerableNetworks,
        projection: Projection,
        features: Features,
        canonical: Float[Array, "batch reals"],
        log_prior: Float[Array, "*places angle"],
    ) -> Float[Array, "batch place harmonics"]:
        """Of the log posterior over the pose, but for a constant; see `fold`."""
        if self.likelihood == "gaussian":
            variance = self.noise(networks) ** 2
            folded = self.fold(features["coefs"], canonical) / variance
        else:
            scales = jnp.repeat(self.scale, self.basis.num_coefs)
            coefs = features["coefs"] + projection["level"]
            folded = self.fold(coefs, canonical * jnp.tile(scales, 2))
        return folded + self.prior_surface(log_prior)

    def fold(
        self,
        coefs: Float[Array, "batch place reals"],
        canonical: Float[Array, "batch reals"],
    ) -> Float[Array, "batch place harmonics"]:
        """Harmonics s of the correlation over the angle, one set for each place.

        `corr(theta) = sum_m s_m cos(m theta) + s'_m sin(m theta)`, stored [s, s'].
        """
        real, imag = jnp.split(coefs, 2, axis=-1)
        own_real, own_imag = jnp.split(canonical[:, None], 2, axis=-1)
        cos = real * own_real + imag * own_imag
        sin = real * own_imag - imag * own_real
        orders = np.array(self.orders)
        of_order = np.equal.outer(orders, np.arange(orders.max() + 1))
        sums = of_order.astype(np.float32)
        return jnp.concatenate([cos @ sums, sin @ sums], axis=-1)

    def angles(self) -> Float[ndarray, " angle"]:
        """The grid of angles, radians, ascending in [-pi, pi)."""
        return angle_grid(self.num_angles)

    def correlations(
        self, harmonics: Float[Array, "batch place harmonics"]
    ) -> Float[Array, "batch place angle"]:
        """The correlation of image and canonical image on the grid of poses."""
        phase = np.arange(harmonics.shape[-1] // 2)[:, None] * self.angles()
        waves = np.concatenate([np.cos(phase), np.sin(phase)]).astype(np.float32)
        return harmonics @ waves

    def prior_harmonics(
        self, log_prior: Float[Array, "*n angle"]
    ) -> Float[Array, "*n harmonics"]:
        """A log density on the grid of angles as harmonics: a part of the surface."""
        waves = np.arange(max(self.orders) + 1)[:, None] * self.angles()
        gain = np.where(waves.any(1), 2.0, 1.0)[:, None] / self.num_angles
        cos, sin = gain * np.cos(waves), gain * np.sin(waves)
        both = np.concatenate([cos, sin]).astype(np.float32)
        return log_prior @ jnp.asarray(both.T)

    def prior_surface(
        self, log_prior: Float[Array, "*places angle"]
    ) -> Float[Array, "*place harmonics"]:
        """The prior of angle and place as harmonics; a mean of 1 over the grid.

        Args:
            log_prior: (angle,), or (batch, place, angle); one place: the same at all,
                but for the model's own prior of the place.
        """
        of_angle = self.prior_harmonics(log_prior)
        own_places = log_prior.ndim > 1 and log_prior.shape[-2] > 1
        if own_places or not max(self.shift_std):
            return of_angle
        constant = np.zeros(of_angle.shape[-1], np.float32)
        constant[0] = 1.0
        return of_angle + self.place_log_prior()[:, None] * constant

    def place_log_prior(self) -> Float[ndarray, " place"]:
        """Log density of every place of the grid, over that of a uniform prior."""
        if not max(self.shift_std):
            return np.zeros(self.num_places, np.float32)
        x, y = np.meshgrid(self.ticks, self.ticks)
        std_x, std_y = self.shift_std
        height = -0.5 * ((x / std_x) ** 2 + (y / std_y) ** 2).ravel()
        return (height - np.log(np.exp(height).mean())).astype(np.float32)

    def render(
        self,
        canonical: Float[Array, " reals"],
        angle: Float[Array, ""],
        shift: Float[Array, "2"],
        scale: Float[Array, ""],
    ) -> Float[Array, "height width channel"]:
        """One image at a pose, in standardized units, or natural ones less background.

        Args:
            shift: Unit lengths, y up.
        """
        height, width, channels = self.shape
        points = (pixel_grid(height, width) - shift) / scale
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        turn_back = jnp.array([[cos, -sin], [sin, cos]])  # on row vectors
        values = self.basis.evaluate(points @ turn_back)
        real, imag = jnp.split(canonical, 2)
        own = jnp.concatenate(
            [real.reshape(channels, -1), imag.reshape(channels, -1)], axis=1
        )
        return values @ own.T

    def recorded(
        self, networks: SteerableNetworks, rendered: Float[Array, "*n channel"]
    ) -> Float[Array, "*n channel"]:
        """Rendered images in the units recorded."""
        if self.likelihood == "gaussian":
            return rendered * self.scale + self.offset
        return mean_of(self.likelihood, rendered + networks.background[...])
