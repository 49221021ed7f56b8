"""The affine model: content makes one canonical image, looked up on posed grids.

The posterior of the pose is enumerated: K turned copies of the image, each with its
probability, a local angle and a shift, all from one shared encoder.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.geometry.polar import PolarBasis
from jaxrvae.geometry.pose import remove_pose, rotate
from jaxrvae.geometry.resample import bilinear, cubic
from jaxrvae.models.gauge import Gauge, drift
from jaxrvae.models.known import known_numbers
from jaxrvae.models.likelihoods import mean_of
from jaxrvae.models.steerable import NOISE_GAIN, Features, Projection, polar_coefs
from jaxrvae.networks.decoders import DenseDecoder
from jaxrvae.networks.encoders import TurnedCopies
from jaxrvae.priors.content import ContentPrior


class AffineNetworks(nnx.Module):
    """All weights of the affine model."""

    def __init__(
        self,
        orders: tuple[int, ...],
        shape: tuple[int, int, int],
        content_dim: int,
        num_turns: int,
        hidden_dim: int,
        known_dim: int = 0,
        mean_gain: float = 1.0,
        background: Float[Array, " channel"] | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        self.copies = TurnedCopies(orders, num_turns, hidden_dim, rngs=rngs)
        self.hidden = nnx.Linear(hidden_dim + known_dim, hidden_dim, rngs=rngs)
        self.out = nnx.Linear(hidden_dim, 7 + 2 * content_dim, rngs=rngs)
        self.decoder = DenseDecoder(
            content_dim + known_dim,
            hidden_dim,
            int(np.prod(shape)),
            mean_gain,
            rngs=rngs,
        )
        none = jnp.zeros(shape[2])
        self.background = nnx.Param(none if background is None else background)
        self.log_noise = nnx.Param(jnp.zeros(()))
        self.prior: ContentPrior = None

    @property
    def noise(self) -> Float[Array, ""]:
        """Standard deviation of the noise, per standardized pixel."""
        return jnp.exp(NOISE_GAIN * self.log_noise[...])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PoseQuery:
    """The posterior over K turned copies, as the encoder states it.

    Attributes:
        logits: (batch, turn) of the copies.
        offset: (batch, turn) mean of the angle beyond the copy's, radians.
        shift: (batch, turn, 2) its mean, unit lengths, in the image's frame.
        content: (batch, latent) its mean, weighted over the copies.
    """

    logits: Float[Array, "batch turn"]
    offset: Float[Array, "batch turn"]
    offset_log_std: Float[Array, "batch turn"]
    shift: Float[Array, "batch turn 2"]
    shift_log_std: Float[Array, "batch turn 2"]
    content: Float[Array, "batch latent"]
    content_log_std: Float[Array, "batch latent"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class AffineModel:
    """What the affine model computes, apart from its weights.

    Attributes:
        basis: Polar basis in which the encoder reads the images.
        offset, scale: Of each channel: what is subtracted, then divided by.
        shape: (rows, columns, channels) of a patch.
        num_turns: Copies that the encoder reads.
        shift_std: Of the shift's normal prior, unit lengths; 0 without shifts.
        interpolation: "bilinear" or "cubic".
        likelihood: Of `models/likelihoods.py`.
        num_classes: That the decoder is told apart from the content; 1 is none.
        rotated: Whether the pose has an angle; without it `num_turns` is 1.
    """

    basis: PolarBasis
    offset: Float[Array, " channel"]
    scale: Float[Array, " channel"]
    shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    num_turns: int = dataclasses.field(metadata={"static": True})
    shift_std: float = dataclasses.field(metadata={"static": True})
    interpolation: str = dataclasses.field(metadata={"static": True})
    likelihood: str = dataclasses.field(metadata={"static": True})
    num_classes: int = dataclasses.field(default=1, metadata={"static": True})
    rotated: bool = dataclasses.field(default=True, metadata={"static": True})

    @property
    def free(self) -> Float[Array, "3"]:
        """1 for what the pose holds of (angle, shift along x, along y), 0 else."""
        shifted = float(self.shift_std > 0)
        return jnp.array([float(self.rotated), shifted, shifted])

    @property
    def orders(self) -> tuple[int, ...]:
        """Angular order of every complex coefficient, channel after channel."""
        return self.basis.orders * self.shape[2]

    def projection(self) -> Projection:
        """The basis on the pixels."""
        values = self.basis.evaluate(pixel_grid(*self.shape[:2]))
        return {"coefs": values.reshape(-1, 1, values.shape[-1])}

    def coefs(
        self, projection: Projection, images: Float[Array, "n height width channel"]
    ) -> Float[Array, "n reals"]:
        """Polar coefficients of images as recorded, standardized."""
        standard = (images - self.offset) / self.scale
        flat = standard.reshape(images.shape[0], -1, self.shape[2])
        return polar_coefs(projection["coefs"], flat)[:, 0]

    def compress(self, projection: Projection, images: Array) -> Features:
        """Coefs (n, reals), and the images that the likelihood is of."""
        unit = (self.basis.num_reals / (self.shape[0] * self.shape[1])) ** 0.5
        standard = (images - self.offset) / self.scale
        return {
            "coefs": unit * self.coefs(projection, images),
            "images": standard if self.likelihood == "gaussian" else images,
        }

    def expand(self, projection: Projection, features: Features) -> Features:
        """The features as they are."""
        del projection
        return features

    def drift(
        self,
        networks: AffineNetworks,
        projection: Projection,
        gauge: Gauge,
        content: Float[Array, "batch latent"],
    ) -> tuple[Float[Array, " batch"], Float[Array, "batch 2"]]:
        """Angle and shift (unit lengths) hidden in the canonical images."""
        del projection
        points = pixel_grid(*self.shape[:2])

        def generate(pixels: Float[Array, " number"]) -> Float[Array, "3 number"]:
            def posed(pose: Float[Array, "3"]) -> Array:
                seen = remove_pose(points, pose[0], pose[1:], jnp.ones(()))
                return cubic(pixels.reshape(self.shape), seen).ravel()

            rows = jax.jacfwd(posed)(jnp.zeros(3)).T
            return rows * self.free[:, None]

        def canonical(z: Float[Array, " latent"]) -> Float[Array, " number"]:
            return self.canonical(networks, z).ravel()

        return jax.vmap(lambda z: drift(canonical, generate, gauge, z))(content)

    def query(self, networks: AffineNetworks, features: Features) -> PoseQuery:
        """The posterior of pose and content."""
        units = nnx.tanh(networks.copies(features["coefs"]))
        known = known_numbers(features, self.num_classes, units.shape[1])
        known = jnp.broadcast_to(known, (*units.shape[:2], known.shape[1]))
        units = jnp.concatenate([units, known], axis=-1)
        out = networks.out(nnx.tanh(networks.hidden(units))).swapaxes(0, 1)
        logits, offset, offset_log_std = out[..., 0], out[..., 1], out[..., 2]
        weights = jax.nn.softmax(logits, axis=-1)
        mean, log_std = jnp.split(
            jnp.einsum("bk,bkc->bc", weights, out[..., 7:]), 2, axis=-1
        )
        bin_width = np.pi / self.num_turns
        shift = self.shift_std * jax.vmap(rotate, (1, 0), 1)(
            out[..., 3:5], self.turns()
        )
        spread = np.log(max(self.shift_std, 1e-6))
        return PoseQuery(
            logits,
            1.5 * bin_width * jnp.tanh(offset) * float(self.rotated),
            jnp.clip(offset_log_std - 1.0, -7.0, 0.0) + np.log(bin_width),
            shift,
            jnp.clip(out[..., 5:7] - 1.0, -7.0, 0.0) + spread,
            mean,
            jnp.clip(log_std - 1.0, -7.0, 1.0),
        )

    def turns(self) -> Float[Array, " turn"]:
        """The copies' angles, radians."""
        return 2 * jnp.pi * jnp.arange(self.num_turns) / self.num_turns

    def canonical(
        self, networks: AffineNetworks, content: Float[Array, "*batch latent"]
    ) -> Float[Array, "*batch height width channel"]:
        """The canonical image less the background: pixels, or spline coefficients.

        Args:
            content: With what is known beside it (`models/known.py`).
        """
        return networks.decoder(content).reshape(*content.shape[:-1], *self.shape)

    def render(
        self,
        canonical: Float[Array, "height width channel"],
        points: Float[Array, "*grid 2"],
        angle: Float[Array, ""],
        shift: Float[Array, "2"],
        scale: Float[Array, ""],
    ) -> Float[Array, "*grid channel"]:
        """One canonical image at a pose, seen at points; the shift in unit lengths."""
        seen = remove_pose(points, angle, shift, scale)
        lookup = cubic if self.interpolation == "cubic" else bilinear
        return lookup(canonical, seen)

    def posed(
        self,
        networks: AffineNetworks,
        inputs: Float[Array, "batch input"],
        points: Float[Array, "height width 2"],
        angle: Float[Array, "batch turn"],
        shift: Float[Array, "batch turn 2"],
    ) -> Float[Array, "batch turn height width channel"]:
        """Every image at poses of its own, with its background, seen at points."""
        none = jnp.zeros(()), jnp.zeros(2)

        def rendered(image: Array, angle: Array, shift: Array) -> Array:
            turned = angle if self.rotated else none[0]
            moved = shift if self.shift_std > 0 else none[1]
            return self.render(image, points, turned, moved, jnp.ones(()))

        canonical = self.canonical(networks, inputs)
        images = jax.vmap(jax.vmap(rendered, (None, 0, 0)))(canonical, angle, shift)
        return images + networks.background[...]

    def recorded(
        self, networks: AffineNetworks, rendered: Float[Array, "*n channel"]
    ) -> Float[Array, "*n channel"]:
        """Rendered images with their background, in the units recorded."""
        values = rendered + networks.background[...]
        if self.likelihood == "gaussian":
            return values * self.scale + self.offset
        return mean_of(self.likelihood, values)
