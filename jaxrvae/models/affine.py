"""The affine model: content makes one canonical image, seen on posed grids.

The decoder is a network that makes that image, looked up at the points of the posed
grid; or a network of point and content, the coordinate form, evaluated at these points.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.geometry.polar import PolarBasis, polar_coefs, turn
from jaxrvae.geometry.pose import apply_pose, remove_pose, rotate
from jaxrvae.geometry.resample import bilinear, cubic
from jaxrvae.models.affine_networks import NUM_POSE, AffineNetworks
from jaxrvae.models.gauge import NUM_NODES, Gauge, drift
from jaxrvae.models.known import known_numbers
from jaxrvae.models.likelihoods import mean_of
from jaxrvae.models.pose_query import PoseQuery
from jaxrvae.models.steerable import Features, Projection
from jaxrvae.networks.encoders import ContentReader

SCALE_STD = 0.1  # of the log scale's normal prior
NUM_READ = 2  # copies, the likeliest, that are turned back to be read
CHUNK = 4  # images of which a coordinate decoder makes all pixels at a time
# Points at which it is evaluated at a time, elsewhere: bounds the memory, and on a CPU
# keeps it in the cache: training is 1.25 times as fast.
POINTS, CPU_POINTS = 2**18, 2**12
PASSES = 2 * NUM_NODES  # of the decoder, with its slope, for an image's drift


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class AffineModel:
    """What the affine model computes, apart from its weights.

    Attributes:
        basis: Polar basis in which the encoder reads the images.
        offset, scale: Of each channel: what is subtracted, then divided by.
        shape: (rows, columns, channels) of a patch.
        num_turns: Copies that the encoder reads.
        shift_std: (x, y) of the shift's normal prior, unit lengths; 0 without shifts.
        interpolation: "bilinear", "cubic", or "none": a decoder of points.
        likelihood: Of `models/likelihoods.py`.
        num_classes: That the decoder is told apart from the content; 1 is none.
        rotated, scaled: Whether the pose has an angle, a scale.
        posterior: The angle's family, as `PoseQuery` has it.
        reads: What the encoder does: "coefs" or "images".
        fixed_noise: Standard deviation in the images' units; 0: it is learned.
        moved_back: Whether a reader of the content reads the pixels, moved back by the
            whole pose, and not the polar coefficients, turned back alone.
    """

    basis: PolarBasis
    offset: Float[Array, " channel"]
    scale: Float[Array, " channel"]
    shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    num_turns: int = dataclasses.field(metadata={"static": True})
    shift_std: tuple[float, float] = dataclasses.field(metadata={"static": True})
    interpolation: str = dataclasses.field(metadata={"static": True})
    likelihood: str = dataclasses.field(metadata={"static": True})
    num_classes: int = dataclasses.field(default=1, metadata={"static": True})
    rotated: bool = dataclasses.field(default=True, metadata={"static": True})
    scaled: bool = dataclasses.field(default=False, metadata={"static": True})
    posterior: str = dataclasses.field(default="enumerated", metadata={"static": True})
    reads: str = dataclasses.field(default="coefs", metadata={"static": True})
    fixed_noise: float = dataclasses.field(default=0.0, metadata={"static": True})
    moved_back: bool = dataclasses.field(default=False, metadata={"static": True})

    @property
    def shifted(self) -> bool:
        """Whether the pose has a shift, along either axis."""
        return max(self.shift_std) > 0

    @property
    def free(self) -> Float[Array, " pose"]:
        """1 for what the pose holds of (angle, shift along x, y[, log scale]), else 0.

        The scale stands there where it is free alone.
        """
        parts = [self.rotated, *(std > 0 for std in self.shift_std)]
        return jnp.array([float(part) for part in parts] + [1.0] * self.scaled)

    @property
    def orders(self) -> tuple[int, ...]:
        """Angular order of every complex coefficient, channel after channel."""
        return self.basis.orders * self.shape[2]

    def noise(self, networks: AffineNetworks) -> Float[Array, "*pixel"]:
        """Standard deviation per standardized pixel: one, or of every pixel."""
        if self.fixed_noise:
            return self.fixed_noise / self._divided_by
        return networks.noise

    @property
    def _divided_by(self) -> Float[Array, "*channel"]:
        """The scale of what the likelihood is of."""
        return self.scale if self.likelihood == "gaussian" else jnp.ones(())

    def projection(self) -> Projection:
        """The basis on the pixels."""
        if not self.rotated and self.reads == "images":
            return {}
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
        """The images that the likelihood is of; coefs (n, reals) if they are read."""
        standard = (images - self.offset) / self.scale
        found = {"images": standard if self.likelihood == "gaussian" else images}
        if self.reads == "coefs":
            unit = (self.basis.num_reals / (self.shape[0] * self.shape[1])) ** 0.5
            found["coefs"] = unit * self.coefs(projection, images)
        return found

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
            return rows * self.free[:3, None]

        def canonical(z: Float[Array, " latent"]) -> Float[Array, " number"]:
            return self.canonical(networks, z).ravel()

        return self._each(
            lambda z: drift(canonical, generate, gauge, z), content, passes=PASSES
        )

    def _each(self, function: Any, *given: Array, passes: int = 1) -> Any:
        """The function over images; a decoder of points makes few of them at a time."""
        if self.interpolation != "none":
            return jax.vmap(function)(*given)
        points = passes * self.shape[0] * self.shape[1]
        most = CPU_POINTS if jax.default_backend() == "cpu" else POINTS
        size = min(max(most // points, 1), len(given[0]))
        return jax.lax.map(lambda own: function(*own), given, batch_size=size)

    def query(self, networks: AffineNetworks, features: Features) -> PoseQuery:
        """The posterior of pose and content."""
        seen = features[self.reads]
        if self.reads == "images" and self.likelihood != "gaussian":
            seen = (seen - self.offset) / self.scale
        units = nnx.tanh(networks.copies(seen))
        known = known_numbers(features, self.num_classes, units.shape[1])
        wide = jnp.broadcast_to(known, (*units.shape[:2], known.shape[1]))
        out = networks.head(jnp.concatenate([units, wide], axis=-1)).swapaxes(0, 1)
        content_dim = (out.shape[-1] - NUM_POSE - 2 * self.scaled) // 2
        end = NUM_POSE + 2 * content_dim
        logits = out[..., 0] if self.num_turns > 1 else 0 * out[..., 0]
        weights = jax.nn.softmax(logits, axis=-1)
        angle = self._angle(out[..., :3])
        both = jnp.einsum("bk,bkc->bc", weights, out[..., NUM_POSE:end])
        reach = max(max(self.shift_std), 1e-6)
        shift = reach * jax.vmap(rotate, (1, 0), 1)(out[..., 3:5], self.turns())
        shift *= self.free[1:3] > 0
        log_scale, log_scale_log_std = jnp.zeros((2, *logits.shape))
        if self.scaled:
            log_scale = SCALE_STD * out[..., end]
            log_scale_log_std = jnp.clip(out[..., end + 1] - 1.0, -7.0, 0.0)
            log_scale_log_std += np.log(SCALE_STD)
        if networks.reader is not None:
            pose = angle[0], shift, jnp.exp(log_scale)
            both = self._read_back(networks.reader, features, known, logits, pose)
        mean, log_std = jnp.split(both, 2, axis=-1)
        guess = jnp.zeros((len(mean), 0))
        if networks.guess is not None:
            pooled = jnp.einsum("bk,kbh->bh", weights, units)
            guess = networks.guess(pooled)
        return PoseQuery(
            logits,
            jnp.broadcast_to(self.turns(), logits.shape),
            *angle,
            shift,
            jnp.clip(out[..., 5:7] - 1.0, -7.0, 0.0) + np.log(reach),
            log_scale,
            log_scale_log_std,
            mean,
            jnp.clip(log_std - 1.0, -7.0, 1.0),
            guess,
            self.posterior,
        )

    def _read_back(
        self,
        reader: ContentReader,
        features: Features,
        known: Float[Array, "batch known"],
        logits: Float[Array, "batch turn"],
        pose: tuple[Array, Array, Array],
    ) -> Float[Array, "batch both"]:
        """Content, mean and log std, of the image moved back by its likeliest poses.

        All images then lie alike, and the reader need not learn one structure at every
        pose.

        Args:
            pose: Of every copy: angle, shift (unit lengths), scale.
        """
        likeliest, index = jax.lax.top_k(logits, min(NUM_READ, self.num_turns))

        def chosen(values: Float[Array, "batch turn *part"]) -> Array:
            own = index.reshape(*index.shape, *(1,) * (values.ndim - 2))
            return jax.lax.stop_gradient(jnp.take_along_axis(values, own, axis=1))

        angle, shift, scale = (chosen(part) for part in pose)
        if self.moved_back:
            seen = self._moved_back(features["images"], angle, shift, scale)
        else:
            coefs = features["coefs"][:, None]
            both = jnp.broadcast_to(coefs, (*angle.shape, coefs.shape[2]))
            seen = turn(both, jnp.array(self.orders), -angle)
        wide = jnp.broadcast_to(known[:, None], (*angle.shape, known.shape[1]))
        found = reader(jnp.concatenate([seen, wide], axis=-1))
        return jnp.einsum("bk,bkc->bc", jax.nn.softmax(likeliest, axis=-1), found)

    def _moved_back(
        self,
        images: Float[Array, "batch height width channel"],
        angle: Float[Array, "batch copy"],
        shift: Float[Array, "batch copy 2"],
        scale: Float[Array, "batch copy"],
    ) -> Float[Array, "batch copy number"]:
        """Standardized pixels of the images as they lie at pose zero."""
        if self.likelihood != "gaussian":
            images = (images - self.offset) / self.scale
        points = pixel_grid(*self.shape[:2])

        def moved(image: Array, *own: Array) -> Array:
            return bilinear(image, apply_pose(points, *own)).ravel()

        return jax.vmap(jax.vmap(moved, (None, 0, 0, 0)))(images, angle, shift, scale)

    def _angle(
        self, out: Float[Array, "batch turn 3"]
    ) -> tuple[Float[Array, "batch turn"], Float[Array, "batch turn"]]:
        """Its middle and log standard deviation, from three numbers a copy."""
        if not self.rotated:
            return 0 * out[..., 0], 0 * out[..., 0]
        if self.posterior == "enumerated":
            width = np.pi / self.num_turns
            middle = self.turns() + 1.5 * width * jnp.tanh(out[..., 1])
            return middle, jnp.clip(out[..., 2] - 1.0, -7.0, 0.0) + np.log(width)
        log_std = jnp.clip(out[..., 2] - 1.0, -7.0, 2.0)
        if self.posterior == "gaussian":
            return out[..., 1], log_std
        return jnp.arctan2(out[..., 0], out[..., 1]), log_std

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
        if self.interpolation != "none":
            pixels = networks.decoder(content)
            return pixels.reshape(*content.shape[:-1], *self.shape)
        grid = pixel_grid(*self.shape[:2])

        @jax.checkpoint
        def image(one: Float[Array, " latent"]) -> Float[Array, "height width channel"]:
            return networks.decoder(grid, one)

        if content.ndim == 1:
            return image(content)
        flat = content.reshape(-1, content.shape[-1])
        images = jax.lax.map(image, flat, batch_size=min(CHUNK, len(flat)))
        return images.reshape(*content.shape[:-1], *self.shape)

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
        scale: Float[Array, "batch turn"] | None = None,
    ) -> Float[Array, "batch turn height width channel"]:
        """Every image at poses of its own, with its background, seen at points.

        A decoder of points is evaluated there where the poses are few. Many are looked
        up in its image on the pixels instead: one pass of the network, not one a pose.
        """
        none = jnp.zeros(()), jnp.zeros(2), jnp.ones(())
        moves = self.rotated, self.shifted, scale is not None
        given = angle, shift, jnp.zeros(angle.shape) if scale is None else scale

        def pose(own: tuple[Array, ...]) -> tuple[Array, ...]:
            both = zip(moves, own, none, strict=True)
            return tuple(value if free else fixed for free, value, fixed in both)

        if self.interpolation == "none" and angle.shape[1] == 1:

            def evaluated(one: Array, *own: Array) -> Array:
                return networks.decoder(remove_pose(points, *pose(own)), one)

            each = jax.vmap(jax.checkpoint(evaluated), (None, 0, 0, 0))
            images = self._each(each, inputs, *given)
        else:

            def rendered(image: Array, *own: Array) -> Array:
                return self.render(image, points, *pose(own))

            canonical = self.canonical(networks, inputs)
            images = jax.vmap(jax.vmap(rendered, (None, 0, 0, 0)))(canonical, *given)
        return images + networks.background[...]

    def seen(
        self,
        networks: AffineNetworks,
        inputs: Float[Array, "batch input"],
        angle: Float[Array, " batch"],
        shift: Float[Array, "batch 2"],
        scale: Float[Array, " batch"],
    ) -> Float[Array, "batch height width channel"]:
        """Every image at any one pose, whatever the model's own poses hold."""
        points = pixel_grid(*self.shape[:2])
        if self.interpolation == "none":
            own = jax.vmap(remove_pose, (None, 0, 0, 0))(points, angle, shift, scale)
            rendered = self._each(networks.decoder, own, inputs)
        else:
            rendered = jax.vmap(self.render, (0, None, 0, 0, 0))(
                self.canonical(networks, inputs), points, angle, shift, scale
            )
        return self.recorded(networks, rendered)

    def recorded(
        self, networks: AffineNetworks, rendered: Float[Array, "*n channel"]
    ) -> Float[Array, "*n channel"]:
        """Rendered images with their background, in the units recorded."""
        values = rendered + networks.background[...]
        if self.likelihood == "gaussian":
            return values * self.scale + self.offset
        return mean_of(self.likelihood, values)
