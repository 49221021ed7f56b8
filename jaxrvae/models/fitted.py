"""A model with its weights: what it reads of images, and what it makes of contents."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._checks import DataError
from jaxrvae._typing import Array, Float, Int, ndarray
from jaxrvae.config import ModelConfig
from jaxrvae.data.batches import as_images
from jaxrvae.data.known import Known
from jaxrvae.data.mapped import sample_rows
from jaxrvae.geometry.grid import shift_to_unit
from jaxrvae.models.anchors import align, choose_anchors
from jaxrvae.models.apply import (
    canonical_images,
    decode,
    decode_spectra,
    draw_prior,
    encode,
    encode_spectra,
    features,
    fresh_networks,
    in_chunks,
    project,
)
from jaxrvae.models.build import Model, aligner, angle_log_prior, build_model
from jaxrvae.models.gauge import Gauge, no_anchors
from jaxrvae.models.steerable import Projection, SteerableModel

FEATURE_BYTES = 2**30  # kept on the device at most; beyond, made step by step
PRIOR_SAMPLE = 10_000  # draws, for its quantiles
SAMPLE = 2000  # images, at most, that set the gauge and the rest
CLASS_WEIGHT = 1e4  # of classes in the distance to an anchor
LEAST_REST = 1e-3  # standardized


@dataclasses.dataclass(frozen=True, eq=False)
class FittedModel:
    """Weights and all that goes with them.

    Attributes:
        graph, params: Of the networks, as `nnx.split` gives them.
        projection: The model's own, made once.
        rest_std: Standardized spread of what lies beyond the band, per pixel.
    """

    config: ModelConfig
    known: Known
    model: Model
    graph: Any
    params: Any
    projection: Projection
    gauge: Gauge
    rest_std: float = 1.0

    def images_of(self, patches: Any, name: str = "the model") -> ndarray:
        """The patches as images of the shape that it was fitted on.

        Args:
            name: Of the model, in an error.

        Raises:
            DataError: If they are of another.
        """
        images = as_images(patches)
        if images.shape[1:] != self.model.shape:
            raise DataError(
                f"patches are {images.shape[1:]} (row, col, channel); {name} was fitted"
                f" on {self.model.shape}. Cut them alike."
            )
        return images

    def is_small(self, num_images: int) -> bool:
        """Whether all features of so many images fit on the device at once."""
        model = self.model
        places = model.num_places if isinstance(model, SteerableModel) else 1
        return 8 * num_images * places * len(model.orders) <= FEATURE_BYTES

    def features(
        self, images: Float[ndarray, "n height width channel"]
    ) -> dict[str, ndarray]:
        """What training reads of the images: expanded, if `is_small`."""
        expanded = self.is_small(len(images))
        return in_chunks(
            lambda part: features(self.model, self.projection, part, expanded), images
        )

    def encode(self, given: dict[str, ndarray]) -> dict[str, ndarray]:
        """The posterior, as `Latents` holds it.

        Args:
            given: "images", and "label" and "condition" where they are known.
        """
        log_prior = angle_log_prior(self.config)
        parts = self.model, self.graph, self.params, self.projection, self.gauge
        return in_chunks(lambda part: encode(*parts, part, log_prior), given)

    def decode(
        self,
        inputs: Float[ndarray, "n input"],
        angle: float | ndarray,
        shift: tuple[float, float] | ndarray,
        scale: float | ndarray,
    ) -> Float[ndarray, "n height width channel"]:
        """Images in recorded units.

        Args:
            inputs: As `Known.inputs` gives them.
            angle, shift, scale: One, or one an image; the shift in pixels, y downwards.
        """
        number = len(inputs)
        moved = np.broadcast_to(np.asarray(shift, np.float32), (number, 2))
        poses = np.empty((number, 4), np.float32)
        poses[:, 0], poses[:, 3] = angle, scale
        poses[:, 1:3] = shift_to_unit(jnp.asarray(moved), self.model.shape)
        parts = self.model, self.graph, self.params, self.projection, self.gauge

        def images(both: Array) -> dict[str, Array]:
            return {"images": decode(*parts, both)}

        return in_chunks(images, np.concatenate([inputs, poses], axis=1))["images"]

    def decode_spectra(self, inputs: Float[ndarray, "n input"]) -> ndarray:
        """(n, value) spectra in recorded units; inputs as `Known.inputs` gives them."""
        self.known.need_spectra()
        parts = self.graph, self.params
        found = in_chunks(lambda part: decode_spectra(*parts, part), inputs)
        return self.known.recorded_spectra(found["spectra"])

    def encode_spectra(self, spectra: ndarray) -> tuple[ndarray, ndarray]:
        """Content and its standard deviation, (n, latent) each."""
        self.known.need_spectra()
        standard = self.known.standard_spectra(spectra, len(spectra))
        parts = self.graph, self.params
        found = in_chunks(lambda part: encode_spectra(*parts, part), standard)
        return found["content"], found["content_std"]

    @property
    def standards(self) -> dict[str, list[float]]:
        """What is subtracted from images and conditions, and then divided by."""
        found = {
            "subtracted": np.asarray(self.model.offset).tolist(),
            "divided_by": np.asarray(self.model.scale).tolist(),
        }
        if self.known.condition_dim:
            found["condition_subtracted"] = list(self.known.subtracted)
            found["condition_divided_by"] = list(self.known.divided_by)
        return found

    def manifold_content(
        self, rows: int, columns: int, axes: tuple[int, int] = (0, 1)
    ) -> Float[ndarray, "row column latent"]:
        """Contents on a grid of the prior's quantiles, as `RVAE.manifold` lays it."""
        number = self.config.content_dim
        if len(set(axes)) < 2 or not all(0 <= axis < max(number, 2) for axis in axes):
            raise ValueError(
                f"axes must be two contents of 0 ... {number - 1}; got {axes!r}."
            )
        content = np.zeros((rows, columns, number), np.float32)
        content[:] = self.prior_quantiles(np.array([0.5]))[0]
        for axis, count in zip(axes, (columns, rows), strict=True):
            if axis < number:
                steps = self.prior_quantiles((np.arange(count) + 0.5) / count)[:, axis]
                content[..., axis] = steps if axis == axes[0] else steps[::-1, None]
        return content

    def prior_quantiles(
        self, share: Float[ndarray, " n"]
    ) -> Float[ndarray, "n latent"]:
        """Contents below which such shares of the prior lie, number by number."""
        content_dim = self.config.content_dim
        if self.config.prior_family is None:
            from scipy.stats import norm

            return np.repeat(norm.ppf(share)[:, None], content_dim, axis=1)
        parts = self.model, self.graph, self.params
        return np.quantile(draw_prior(*parts, PRIOR_SAMPLE, content_dim), share, axis=0)

    def settled(self, given: dict[str, ndarray]) -> "FittedModel":
        """The same with what is set once it is trained, by the images trained on."""
        sample = sample_rows(given, SAMPLE)
        return self._with_rest(sample["images"])._with_gauge(sample)

    def _with_rest(
        self, images: Float[ndarray, "n height width channel"]
    ) -> "FittedModel":
        model = self.model
        if not isinstance(model, SteerableModel) or model.likelihood != "gaussian":
            return self
        standard = (images - np.asarray(model.offset)) / np.asarray(model.scale)
        flat = standard.reshape(len(images), -1, model.shape[2]).swapaxes(1, 2)
        inside = flat @ np.asarray(self.projection["modes"])
        energy = np.square(flat).sum() - np.square(inside).sum()
        number = flat.size - inside.size
        std = max(energy / max(number, 1), LEAST_REST**2) ** 0.5
        return dataclasses.replace(self, rest_std=float(std))

    def _with_gauge(self, sample: dict[str, ndarray]) -> "FittedModel":
        """The gauge that the contents of these images ask for; none without angles."""
        if not self.config.rotated:
            return self
        found = self.encode(sample)
        label = found["class_probabilities"].argmax(1)
        inputs = self.known.inputs(found["content"], label, None)
        if "condition" in sample:  # standardized already
            found_or_given = found["condition"] if self.known.inferred else None
            own = sample["condition"] if found_or_given is None else found_or_given
            inputs[:, -self.known.condition_dim :] = own
        anchors = choose_anchors(inputs, among=self.known.dim > 0)
        canonical = canonical_images(self.model, self.graph, self.params, anchors)
        judge = aligner(self.model)
        projection = self.projection if judge is self.model else project(judge)
        weight = np.ones(inputs.shape[1])
        weight[-self.known.dim or len(weight) :][: self.known.num_labels] = CLASS_WEIGHT
        gauge = align(judge, projection, anchors, canonical, weight)
        return dataclasses.replace(self, gauge=gauge)


def fresh_model(
    config: ModelConfig,
    known: Known,
    images: Float[ndarray, "n height width channel"],
) -> FittedModel:
    """The model for these images, with the weights that training starts from."""
    return with_fresh_weights(config, known, build_model(config, images), images)


def with_fresh_weights(
    config: ModelConfig,
    known: Known,
    model: Model,
    images: Float[ndarray, "n height width channel"],
) -> FittedModel:
    """The same of a model that is there already."""
    graph, params = fresh_networks(model, config, images, known)
    gauge = no_anchors(config.content_dim + known.dim)
    return FittedModel(config, known, model, graph, params, project(model), gauge)


def fresh_members(
    fresh: FittedModel,
    images: Float[ndarray, "n height width channel"],
    seeds: Int[ndarray, " member"],
) -> Any:
    """Weights of these seeds, along a first axis."""
    parts = fresh.model, fresh.config, images, fresh.known
    return fresh_networks(*parts, seeds)[1]


def leaf_names(params: Any) -> list[str]:
    """What each array of the weights is called, in the order of their leaves."""
    paths = jax.tree_util.tree_leaves_with_path(params)
    return [jax.tree_util.keystr(place) for place, _ in paths]
