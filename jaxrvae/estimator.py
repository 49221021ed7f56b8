"""RVAE: the model one fits, encodes and decodes with."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, known_keys
from jaxrvae._typing import Array, Float, ndarray
from jaxrvae.config import (
    ModelConfig,
    ObjectiveConfig,
    TrainingConfig,
    from_mapping,
    to_mapping,
)
from jaxrvae.data.batches import as_images, check_images, known_arrays
from jaxrvae.data.containers import Latents, Patches
from jaxrvae.geometry.grid import shift_to_unit
from jaxrvae.models.apply import (
    canonical_images,
    decode,
    draw_prior,
    encode,
    features,
    fresh_networks,
    in_chunks,
    project,
)
from jaxrvae.models.build import Model, aligner, angle_log_prior, build_model
from jaxrvae.models.gauge import no_anchors
from jaxrvae.models.model_file import Stored, read_model, write_model
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.objectives.build import make_loss

FEATURE_BYTES = 2**30  # kept on the device at most; beyond, made step by step
PRIOR_SAMPLE = 10_000  # draws, for its quantiles
GAUGE_SAMPLE = 2000  # images, at most, whose contents the gauge's anchors stand for


class RVAE:
    """A rotationally invariant variational autoencoder of patches.

    `metadata` says, once fitted, what of each channel was `subtracted` from the images
    and what they were then `divided_by`, inside; what comes out is in their own units.

    Args:
        content_dim: Numbers that say what the structure is.
        pose: ("rotation",) or ("rotation", "shift").
        max_shift: Largest shift to either side, as a share of the field.
        decoder: "steerable" (angle and shift integrated out; Gaussian noise), "affine"
            (one canonical image, bilinear lookup), "affine-cubic" (cubic B-spline), or
            "auto": steerable where it applies.
        encoder: "auto" or "turned-copy": one network reads K turned copies.
        posterior: Of the pose: "marginal" with the steerable decoder, "enumerated" with
            the affine one, or "auto".
        num_turns: K, the turned copies that the encoder reads.
        num_classes: Discrete classes that the decoder is told apart from the content,
            found with it unless `fit` is given labels; 1 for none (`jr.find_classes`
            sorts the content into classes afterwards).
        hidden_dim: Units of every hidden layer.
        likelihood: "gaussian" (noise learned), "bernoulli" or "continuous-bernoulli"
            (images in [0, 1]), "poisson" (counts), "poisson-gaussian" (counts read out
            with noise that is learned; affine) or "auto": gaussian.
        prior: Of the content: None or "normal", standard normal; learned: "mixture" (of
            Gaussians), "vamp" (of posteriors of pseudo-images), "flow" (RealNVP).
        prior_components: Of the mixture, or pseudo-images.
        angle_prior: None for uniform, or the `loc` (radians) and `concentration` of a
            von Mises distribution as a mapping.
        shift_prior: None: uniform up to `max_shift` (steerable) or normal with
            `max_shift` / 2 as its standard deviation (affine).
        seed: Of the weights and of all that training draws.

    Raises:
        ValueError: For values out of range and combinations that do not go together.
        TypeError: For other keywords, with the nearest that exists.

    Source: Kalinin et al. 2020, arXiv:2010.09196; Bepler et al. 2019, arXiv:1909.11663.
    """

    def __init__(
        self,
        content_dim: int = 2,
        pose: tuple[str, ...] | list[str] = ("rotation", "shift"),
        max_shift: float = 0.1,
        decoder: str = "auto",
        encoder: str = "auto",
        posterior: str = "auto",
        num_turns: int = 8,
        num_classes: int = 1,
        hidden_dim: int = 128,
        likelihood: str = "auto",
        prior: str | None = None,
        prior_components: int = 10,
        angle_prior: Mapping[str, float] | None = None,
        shift_prior: str | None = None,
        seed: int = 0,
        **unknown: Any,
    ):
        fields = [field.name for field in dataclasses.fields(ModelConfig)]
        fields.remove("condition_dim")  # `fit` sees how many there are
        known_keys("RVAE", unknown, fields)
        given = locals()
        self.config = ModelConfig(**{name: given[name] for name in fields})
        self.history = pd.DataFrame()
        self.metadata: dict[str, Any] = {}
        self._model: Model | None = None
        self._params: Any = None
        self._graph: Any = None
        self._projection: Any = None
        self._gauge = no_anchors(content_dim)

    def fit(
        self,
        patches: Patches | ndarray,
        labels: Any = None,
        conditions: Any = None,
        epochs: int | None = None,
        batch_size: int = 100,
        learning_rate: float = 2e-3,
        objective: Mapping[str, Any] | None = None,
        run_dir: str | Path | None = None,
        save_seconds: float = 20.0,
        progress: bool = True,
    ) -> "RVAE":
        """Train from fresh weights, or from the last checkpoint in the run directory.

        Args:
            patches: Patches, or an array (n, row, col[, channel]).
            labels: (n,) class of every patch, -1 where it is to be found.
            conditions: (n,) or (n, m) numbers known of every patch: the content holds
                what they do not say.
            epochs: Passes over the images; None: enough for 4000 steps.
            objective: Of `ObjectiveConfig`, such as `{"beta": 2.0, "ramp": 0.3}`; None:
                the bound itself.
            run_dir: Checkpoints go there; a run that was stopped goes on from its last
                one and ends bit for bit where it would have ended.
            save_seconds: Between two checkpoints; at most so much work is lost.
            progress: Whether to say how it goes.

        Returns:
            Itself. `history` has a row an epoch: epoch, step, loss and its parts
            (nats per image), noise, seconds; `history.attrs["compile_seconds"]`.

        Raises:
            DataError: If the images cannot be trained on.
            ValueError: If labels or conditions do not fit them.
            RunError: If the loss stops being finite (the last good weights stay), the
                run directory is in use, or it belongs to other settings or data.
        """
        from jaxrvae.training.checkpoint import data_fingerprint
        from jaxrvae.training.loop import Diverged, train

        images = as_images(patches)
        check_images(images, self.config.likelihood_kind)
        conditions = None if conditions is None else np.asarray(conditions)
        columns = 0 if conditions is None else int(np.prod(conditions.shape[1:]))
        config = dataclasses.replace(self.config, condition_dim=columns)
        known = known_arrays(
            labels, conditions, len(images), config.num_classes, columns
        )
        aim = from_mapping(ObjectiveConfig, objective or {})
        training = TrainingConfig(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=self.config.seed,
            save_seconds=save_seconds,
        )
        before = self.config, self._model, self._graph, self._projection
        self.config, self._model = config, build_model(config, images)
        self._graph, params = fresh_networks(self._model, config, images)
        self._projection = project(self._model)
        fingerprint: dict[str, Any] = {
            "model": to_mapping(self.config),
            "training": to_mapping(training),
        }
        if aim != ObjectiveConfig():
            fingerprint["objective"] = to_mapping(aim)
        del fingerprint["training"]["save_seconds"]  # changes nothing that is learned
        if run_dir is not None:
            fingerprint["data"] = data_fingerprint(images)
            fingerprint |= {name: data_fingerprint(v) for name, v in known.items()}
        expanded = self._is_small(images)
        found = in_chunks(self._feature_chunk(expanded), images) | known
        prior = self.config.angle_prior or {"loc": 0.0, "concentration": 0.0}
        try:
            fitted = train(
                make_loss(
                    self._model,
                    self._graph,
                    self._projection,
                    expanded,
                    (
                        jnp.asarray(angle_log_prior(config)),
                        (prior["loc"], prior["concentration"]),
                    ),
                    aim,
                ),
                params,
                {name: jnp.asarray(values) for name, values in found.items()},
                training,
                run_dir=run_dir,
                fingerprint=fingerprint,
                progress=progress,
            )
        except BaseException as error:
            if isinstance(error, Diverged) and error.fitted.history:
                self._keep(error.fitted, {"images": images} | known)
            else:
                self.config, self._model, self._graph, self._projection = before
            raise
        self._keep(fitted, {"images": images} | known)
        offset, scale = np.asarray(self._model.offset), np.asarray(self._model.scale)
        self.metadata |= {"subtracted": offset.tolist(), "divided_by": scale.tolist()}
        return self

    def encode(
        self, patches: Patches | ndarray, labels: Any = None, conditions: Any = None
    ) -> Latents:
        """Content, angle, shift and their uncertainty for every patch.

        Args:
            labels: (n,) classes where they are known, -1 elsewhere; None: of none.
            conditions: As many a patch as the model was fitted with.
        """
        found = in_chunks(
            self._encode_chunk, self._checked(patches, labels, conditions)
        )
        number = len(found["content"])
        if isinstance(patches, Patches):
            table = patches.table
        else:
            table = pd.DataFrame(index=range(number))
        return Latents(
            **found,
            scale=np.ones(number, np.float32),
            table=table,
        )

    def decode(
        self,
        content: Float[ndarray, "n latent"],
        angle: float | ndarray = 0.0,
        shift: tuple[float, float] | ndarray = (0.0, 0.0),
        scale: float | ndarray = 1.0,
        label: int | ndarray | None = None,
        condition: float | ndarray | None = None,
    ) -> Float[ndarray, "n height width"] | Float[ndarray, "n height width channel"]:
        """Images of contents at poses, in the units of the images trained on.

        Args:
            content: (n, content_dim).
            angle: Radians, counter-clockwise; one, or one an image.
            shift: Pixels (dx, dy), dy downwards; one, or one an image.
            scale: Relative size; one, or one an image.
            label: Class; one, or one an image. None: 0.
            condition: Numbers; one row, or one an image. None: 0.
        """
        model = self._fitted()
        content = np.atleast_2d(np.asarray(content, np.float32))
        if content.ndim != 2 or content.shape[1] != self.config.content_dim:
            raise ValueError(
                f"content must be (n, {self.config.content_dim}); got {content.shape}."
            )
        number = len(content)
        moved = np.broadcast_to(np.asarray(shift, np.float32), (number, 2))
        poses = np.concatenate(
            [
                np.broadcast_to(np.asarray(angle, np.float32), (number,))[:, None],
                np.asarray(shift_to_unit(jnp.asarray(moved), model.shape)),
                np.broadcast_to(np.asarray(scale, np.float32), (number,))[:, None],
            ],
            axis=1,
        )
        both = np.concatenate([self._inputs(content, label, condition), poses], axis=1)
        images = in_chunks(self._decode_chunk, both)["images"]
        return images[..., 0] if model.shape[2] == 1 else images

    def reconstruct(
        self, patches: Patches | ndarray, labels: Any = None, conditions: Any = None
    ) -> ndarray:
        """The patches as the model sees them: content and pose decoded again."""
        found = self.encode(patches, labels, conditions)
        return self.decode(
            found.content,
            found.angle,
            found.shift,
            label=found.class_probabilities.argmax(1),
            condition=conditions,
        )

    def manifold(
        self,
        shape: tuple[int, int] = (9, 9),
        label: int | None = None,
        condition: float | ndarray | None = None,
    ) -> ndarray:
        """Decoded images on a grid of the prior's quantiles.

        Args:
            shape: Rows (second content, increasing upwards) and columns (first content,
                increasing to the right); further contents at their medians.
            label, condition: As `decode` takes them.

        Returns:
            (rows, columns, row, col[, channel]).
        """
        rows, columns = shape
        quantile = self._quantiles()
        content = np.zeros((rows, columns, self.config.content_dim), np.float32)
        content[:] = quantile(np.array([0.5]))[0]
        content[..., 0] = quantile((np.arange(columns) + 0.5) / columns)[:, 0]
        if self.config.content_dim > 1:
            upwards = quantile((np.arange(rows) + 0.5) / rows)[::-1, 1]
            content[..., 1] = upwards[:, None]
        flat = content.reshape(rows * columns, -1)
        images = self.decode(flat, label=label, condition=condition)
        return images.reshape(rows, columns, *images.shape[1:])

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file (NumPy's npz; nothing is pickled)."""
        notes = {"history": self.history.to_dict("list"), "metadata": self.metadata}
        model, networks = self._fitted(), (self._graph, self._params)
        write_model(path, Stored(self.config, model, *networks, self._gauge, notes))

    @classmethod
    def load(cls, path: str | Path) -> "RVAE":
        """The model that `save` wrote.

        Raises:
            DataError: If the file is missing or is not such a model.
        """
        stored = read_model(path)
        rvae = model_from(to_mapping(stored.config))
        rvae._model, rvae._gauge = stored.model, stored.gauge
        rvae._graph, rvae._params = stored.graph, stored.params
        rvae._projection = project(stored.model)
        rvae.history = pd.DataFrame(stored.notes["history"])
        rvae.metadata = stored.notes["metadata"]
        return rvae

    def _feature_chunk(self, expanded: bool) -> Any:
        """Images to what training reads of them."""
        model, projection = self._fitted(), self._projection
        return lambda images: features(model, projection, images, expanded)

    def _is_small(self, images: ndarray) -> bool:
        """Whether all features fit on the device at once."""
        model = self._fitted()
        places = model.num_places if isinstance(model, SteerableModel) else 1
        return 8 * len(images) * places * len(model.orders) <= FEATURE_BYTES

    def _encode_chunk(self, given: dict[str, Array]) -> dict[str, Array]:
        log_prior = jnp.asarray(angle_log_prior(self.config))
        return encode(
            self._fitted(),
            self._graph,
            self._params,
            self._projection,
            self._gauge,
            given,
            log_prior,
        )

    def _decode_chunk(self, both: Array) -> dict[str, Array]:
        model, projection = self._fitted(), self._projection
        assert projection is not None
        params, gauge = self._params, self._gauge
        images = decode(model, self._graph, params, projection, gauge, both)
        return {"images": images}

    def _keep(self, fitted: Any, given: dict[str, ndarray]) -> None:
        """The fitted weights, and the gauge that goes with them."""
        from jaxrvae.models.anchors import align, choose_anchors

        self._params, model, config = fitted.params, self._fitted(), self.config
        self._gauge = no_anchors(config.content_dim + config.known_dim)
        step = -(-len(given["images"]) // GAUGE_SAMPLE)
        sample = {name: values[::step] for name, values in given.items()}
        found = in_chunks(self._encode_chunk, sample)
        label = found["class_probabilities"].argmax(1)
        inputs = self._inputs(found["content"], label, sample.get("condition"))
        anchors = choose_anchors(inputs, among=config.known_dim > 0)
        canonical = canonical_images(model, self._graph, self._params, anchors)
        judge = aligner(model)
        projection = self._projection if judge is model else project(judge)
        self._gauge = align(judge, projection, anchors, canonical)
        self.history = pd.DataFrame(fitted.history)
        self.history.attrs["compile_seconds"] = fitted.compile_seconds

    def _inputs(
        self, content: Float[ndarray, "n latent"], label: Any, condition: Any
    ) -> Float[ndarray, "n input"]:
        """The decoder's: contents with what is known beside them."""
        parts, number = [np.asarray(content, np.float32)], len(content)
        if self.config.num_classes > 1:
            chosen = np.broadcast_to(0 if label is None else label, (number,))
            parts.append(np.eye(self.config.num_classes, dtype=np.float32)[chosen])
        if self.config.condition_dim:
            row = np.asarray(0.0 if condition is None else condition, np.float32)
            row = row[:, None] if row.shape == (number,) else row
            parts.append(np.broadcast_to(row, (number, self.config.condition_dim)))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def _quantiles(self) -> Callable[[ndarray], ndarray]:
        """Shares (n,) to contents (n, latent): the prior's quantiles."""
        from scipy.stats import norm

        if self.config.prior in (None, "normal"):
            return lambda share: np.repeat(
                norm.ppf(share)[:, None], self.config.content_dim, 1
            )
        sizes = (PRIOR_SAMPLE, self.config.content_dim)
        drawn = draw_prior(self._fitted(), self._graph, self._params, *sizes)
        return lambda share: np.quantile(drawn, share, axis=0)

    def _fitted(self) -> Model:
        if self._model is None:
            raise ValueError("the model is not fitted; call fit(patches) or RVAE.load.")
        return self._model

    def _checked(
        self, patches: Patches | ndarray, labels: Any = None, conditions: Any = None
    ) -> dict[str, ndarray]:
        """The patches as arrays that the fitted model takes."""
        model, images, config = self._fitted(), as_images(patches), self.config
        if images.shape[1:] != model.shape:
            raise DataError(
                f"patches are {images.shape[1:]} (row, col, channel); the model was "
                f"fitted on {model.shape}. Cut them alike."
            )
        sizes = (len(images), config.num_classes, config.condition_dim)
        return {"images": images} | known_arrays(labels, conditions, *sizes)


def model_from(config: Mapping[str, Any]) -> RVAE:
    """A fresh RVAE with these settings; unknown ones raise."""
    settings = to_mapping(from_mapping(ModelConfig, config))
    condition_dim = settings.pop("condition_dim")
    model = RVAE(**settings)
    model.config = dataclasses.replace(model.config, condition_dim=condition_dim)
    return model
