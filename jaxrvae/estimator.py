"""RVAE: the model one fits, encodes and decodes with."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx

from jaxrvae._checks import DataError, existing_file, known_keys
from jaxrvae._typing import Array, Float, PRNGKey, ndarray
from jaxrvae._version import __version__
from jaxrvae.config import ModelConfig, TrainingConfig, from_mapping, to_mapping
from jaxrvae.data.containers import Latents, Patches
from jaxrvae.geometry.circle import angle_grid
from jaxrvae.geometry.grid import pixel_grid, shift_to_unit
from jaxrvae.geometry.polar import PolarBasis
from jaxrvae.models.affine_posterior import affine_posterior
from jaxrvae.models.build import Model, Networks, build_model, build_networks
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.models.steerable_posterior import steerable_posterior
from jaxrvae.objectives.enumerated import affine_loss
from jaxrvae.objectives.marginal import steerable_loss

CHUNK = 256  # images at a time outside training: bounds the memory
FEATURE_BYTES = 2**30  # kept on the device at most; beyond, made step by step
NUM_ANGLES = 96


class RVAE:
    """A rotationally invariant variational autoencoder of patches.

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
        num_classes: 1; `jr.find_classes` sorts the content into classes.
        hidden_dim: Units of every hidden layer.
        likelihood: "gaussian" (noise learned), "bernoulli" (images in [0, 1]) or
            "auto": gaussian.
        prior: Of the content: None, standard normal.
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
        angle_prior: Mapping[str, float] | None = None,
        shift_prior: str | None = None,
        seed: int = 0,
        **unknown: Any,
    ):
        fields = [field.name for field in dataclasses.fields(ModelConfig)]
        known_keys("RVAE", unknown, fields)
        given = locals()
        self.config = ModelConfig(**{name: given[name] for name in fields})
        self.history = pd.DataFrame()
        self.metadata: dict[str, Any] = {}
        self._model: Model | None = None
        self._params: Any = None
        self._graph: Any = None
        self._projection: Array | None = None

    def fit(
        self,
        patches: Patches | ndarray,
        epochs: int | None = None,
        batch_size: int = 100,
        learning_rate: float = 2e-3,
        run_dir: str | Path | None = None,
        progress: bool = True,
    ) -> "RVAE":
        """Train from fresh weights, or from the last checkpoint in the run directory.

        Args:
            patches: Patches, or an array (n, row, col[, channel]).
            epochs: Passes over the images; None: enough for 1200 steps.
            run_dir: Checkpoints go there; a run that was stopped goes on from its last
                one and ends bit for bit where it would have ended.
            progress: Whether to say how it goes.

        Returns:
            Itself. `history` has a row an epoch: epoch, step, loss and its parts
            (nats per image), noise, seconds; `history.attrs["compile_seconds"]`.

        Raises:
            DataError: If the images cannot be trained on.
            RunError: If the loss stops being finite (the last good weights stay), the
                run directory is in use, or it belongs to other settings or data.
        """
        from jaxrvae.training.checkpoint import data_fingerprint
        from jaxrvae.training.loop import Diverged, train

        images = _images(patches)
        _check_images(images, self.config)
        training = TrainingConfig(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=self.config.seed,
        )
        self._model = build_model(self.config, images)
        self._graph, params = _fresh(self._model, self.config, images)
        self._projection = jax.jit(type(self._model).projection)(self._model)
        fingerprint = {
            "model": to_mapping(self.config),
            "training": to_mapping(training),
        }
        if run_dir is not None:
            fingerprint["data"] = data_fingerprint(images)
        try:
            fitted = train(
                self._loss(images.shape),
                params,
                self._training_features(images),
                training,
                run_dir=run_dir,
                fingerprint=fingerprint,
                progress=progress,
            )
        except Diverged as error:
            self._keep(error.fitted)
            raise
        self._keep(fitted)
        return self

    def encode(self, patches: Patches | ndarray) -> Latents:
        """Content, angle, shift and their uncertainty for every patch."""
        images = self._checked(patches)
        found = _in_chunks(self._encode_chunk, images)
        number = len(images)
        if isinstance(patches, Patches):
            table = patches.table
        else:
            table = pd.DataFrame(index=range(number))
        return Latents(
            **found,
            scale=np.ones(number, np.float32),
            class_probabilities=np.ones((number, 1), np.float32),
            table=table,
        )

    def decode(
        self,
        content: Float[ndarray, "n latent"],
        angle: float | ndarray = 0.0,
        shift: tuple[float, float] | ndarray = (0.0, 0.0),
        scale: float | ndarray = 1.0,
    ) -> Float[ndarray, "n height width"] | Float[ndarray, "n height width channel"]:
        """Images of contents at poses, in the units of the images trained on.

        Args:
            content: (n, content_dim).
            angle: Radians, counter-clockwise; one, or one an image.
            shift: Pixels (dx, dy), dy downwards; one, or one an image.
            scale: Relative size; one, or one an image.
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
        both = np.concatenate([content, poses], axis=1)
        images = _in_chunks(self._decode_chunk, both)["images"]
        return images[..., 0] if model.shape[2] == 1 else images

    def reconstruct(self, patches: Patches | ndarray) -> ndarray:
        """The patches as the model sees them: content and pose decoded again."""
        latents = self.encode(patches)
        return self.decode(latents.content, latents.angle, latents.shift)

    def manifold(self, shape: tuple[int, int] = (9, 9)) -> ndarray:
        """Decoded images on a grid of the prior's quantiles.

        Args:
            shape: Rows (second content, increasing upwards) and columns (first content,
                increasing to the right); further contents are 0.

        Returns:
            (rows, columns, row, col[, channel]).
        """
        from scipy.stats import norm

        rows, columns = shape
        quantiles = [norm.ppf((np.arange(n) + 0.5) / n) for n in (columns, rows)]
        content = np.zeros((rows, columns, self.config.content_dim), np.float32)
        content[..., 0] = quantiles[0]
        if self.config.content_dim > 1:
            content[..., 1] = quantiles[1][::-1, None]
        images = self.decode(content.reshape(rows * columns, -1))
        return images.reshape(rows, columns, *images.shape[1:])

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file (NumPy's npz; nothing is pickled)."""
        model = self._fitted()
        leaves = {
            f"params/{jax.tree_util.keystr(place)}": np.asarray(leaf)
            for place, leaf in jax.tree_util.tree_leaves_with_path(self._params)
        }
        notes = {
            "version": __version__,
            "config": to_mapping(self.config),
            "shape": model.shape,
            "history": self.history.to_dict("list"),
            "metadata": self.metadata,
            "orders": model.basis.orders,
            "radius": model.basis.radius,
        }
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(path.name + ".part")
        with aside.open("wb") as file:
            np.savez(
                file,
                notes=np.array(json.dumps(notes)),
                table=model.basis.table,
                offset=model.offset,
                scale=model.scale,
                **leaves,
            )
        aside.replace(path)

    @classmethod
    def load(cls, path: str | Path) -> "RVAE":
        """The model that `save` wrote.

        Raises:
            DataError: If the file is missing or is not such a model.
        """
        path = existing_file(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            notes = json.loads(str(arrays["notes"]))
            rvae = cls(**notes["config"])
        except Exception as error:
            raise DataError(
                f"{path}: expected a model written by RVAE.save; got "
                f"{type(error).__name__}. Fit the model again and save it."
            ) from error
        blank = np.zeros((1, *notes["shape"]), np.float32)
        fresh = build_model(rvae.config, blank)
        rvae._model = dataclasses.replace(
            fresh,
            basis=PolarBasis(tuple(notes["orders"]), arrays["table"], notes["radius"]),
            offset=jnp.asarray(arrays["offset"]),
            scale=jnp.asarray(arrays["scale"]),
        )
        rvae._graph, params = _fresh(rvae._model, rvae.config, blank)
        rvae._params = jax.tree_util.tree_map_with_path(
            lambda place, _: jnp.asarray(
                arrays[f"params/{jax.tree_util.keystr(place)}"]
            ),
            params,
        )
        rvae._projection = jax.jit(type(rvae._model).projection)(rvae._model)
        rvae.history = pd.DataFrame(notes["history"])
        rvae.metadata = notes["metadata"]
        return rvae

    def _loss(self, shape: tuple[int, ...]) -> Any:
        """(params, batch of features, key) to the loss and its parts."""
        model, graph, projection = self._fitted(), self._graph, self._projection
        assert projection is not None
        log_prior = jnp.asarray(self._log_prior())
        prior = self.config.angle_prior or {"loc": 0.0, "concentration": 0.0}
        angle_prior = prior["loc"], prior["concentration"]
        step_by_step = self._feature_bytes(shape) > FEATURE_BYTES

        def loss(params: Any, batch: Any, key: PRNGKey) -> Any:
            networks = nnx.merge(graph, params)
            if step_by_step:
                batch = model.features(projection, batch["images"])
            if isinstance(model, SteerableModel):
                return steerable_loss(model, networks, batch, log_prior, key)
            return affine_loss(model, networks, batch, angle_prior, key)

        return loss

    def _training_features(self, images: ndarray) -> dict[str, Array]:
        """What the loss reads, on the device."""
        if self._feature_bytes(images.shape) > FEATURE_BYTES:
            return {"images": jnp.asarray(images)}
        found = _in_chunks(self._feature_chunk, images)
        return {name: jnp.asarray(values) for name, values in found.items()}

    def _feature_bytes(self, shape: tuple[int, ...]) -> int:
        model = self._fitted()
        places = model.num_places if isinstance(model, SteerableModel) else 1
        return 4 * shape[0] * places * 2 * len(model.orders)

    def _feature_chunk(self, images: Array) -> dict[str, Array]:
        return _features(self._fitted(), self._projection, images)

    def _encode_chunk(self, images: Array) -> dict[str, Array]:
        log_prior = jnp.asarray(self._log_prior())
        return _encode(
            self._fitted(),
            self._graph,
            self._params,
            self._projection,
            images,
            log_prior,
        )

    def _decode_chunk(self, both: Array) -> dict[str, Array]:
        return {"images": _decode(self._fitted(), self._graph, self._params, both)}

    def _log_prior(self) -> Float[ndarray, " angle"]:
        """Of the grid's angles: log density times 2 pi."""
        angles = angle_grid(NUM_ANGLES)
        if self.config.angle_prior is None:
            return np.zeros(NUM_ANGLES, np.float32)
        concentration = self.config.angle_prior["concentration"]
        height = concentration * np.cos(angles - self.config.angle_prior["loc"])
        from scipy.special import ive

        normal = np.log(ive(0, concentration)) + concentration
        return (height - normal).astype(np.float32)

    def _keep(self, fitted: Any) -> None:
        self._params = fitted.params
        self.history = pd.DataFrame(fitted.history)
        self.history.attrs["compile_seconds"] = fitted.compile_seconds

    def _fitted(self) -> Model:
        if self._model is None:
            raise ValueError("the model is not fitted; call fit(patches) or RVAE.load.")
        return self._model

    def _checked(self, patches: Patches | ndarray) -> ndarray:
        """The patches as an array that the fitted model takes."""
        model, images = self._fitted(), _images(patches)
        if images.shape[1:] != model.shape:
            raise DataError(
                f"patches are {images.shape[1:]} (row, col, channel); the model was "
                f"fitted on {model.shape}. Cut them alike."
            )
        return images


def _fresh(model: Model, config: ModelConfig, images: ndarray) -> tuple[Any, Any]:
    """The networks' graph and fresh weights, made by one compiled program."""
    graphs = []

    @jax.jit
    def weights() -> Any:
        graph, params = nnx.split(build_networks(model, config, images), nnx.Param)
        graphs.append(graph)
        return params

    params = weights()
    return graphs[0], params


@jax.jit
def _features(model: Model, projection: Array, images: Array) -> dict[str, Array]:
    return model.features(projection, images)


@jax.jit(static_argnums=1)
def _encode(
    model: Model,
    graph: Any,
    params: Any,
    projection: Array,
    images: Array,
    log_prior: Array,
) -> dict[str, Array]:
    networks: Any = nnx.merge(graph, params)
    features = model.features(projection, images)
    if isinstance(model, SteerableModel):
        return steerable_posterior(model, networks, features, log_prior)
    return affine_posterior(model, networks, projection, features, log_prior)


@jax.jit(static_argnums=1)
def _decode(model: Model, graph: Any, params: Any, both: Array) -> Array:
    networks: Networks = nnx.merge(graph, params)
    content, poses = both[:, :-4], both[:, -4:]
    canonical = model.canonical(networks, content)

    if isinstance(model, SteerableModel):
        return jax.vmap(lambda c, p: model.render(c, p[0], p[1:3], p[3]))(
            canonical, poses
        )
    points = pixel_grid(*model.shape[:2])
    rendered = jax.vmap(lambda c, p: model.render(c, points, p[0], p[1:3], p[3]))(
        canonical, poses
    )
    return model.recorded(networks, rendered)


def _in_chunks(function: Any, images: ndarray) -> dict[str, ndarray]:
    """The function's arrays for all images, a fixed number at a time."""
    chunk = min(CHUNK, len(images))
    found: list[dict[str, ndarray]] = []
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk]
        short = chunk - len(part)
        if short:
            part = np.concatenate([part, np.repeat(part[-1:], short, axis=0)])
        values = function(jnp.asarray(part))
        found.append(
            {name: np.asarray(v)[: chunk - short] for name, v in values.items()}
        )
    return {name: np.concatenate([f[name] for f in found]) for name in found[0]}


def _images(patches: Patches | ndarray) -> ndarray:
    """(n, row, col, channel) float32."""
    values = patches.values if isinstance(patches, Patches) else np.asarray(patches)
    if values.ndim not in (3, 4) or len(values) == 0:
        raise DataError(
            f"patches must be (n, row, col[, channel]) with n >= 1; got {values.shape}."
        )
    values = values[..., None] if values.ndim == 3 else values
    return np.ascontiguousarray(values, np.float32)


def _check_images(images: ndarray, config: ModelConfig) -> None:
    """Refuse what training would choke on."""
    if not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).any((1, 2, 3)).sum())
        raise DataError(
            f"{bad} of {len(images)} patches hold NaN or infinite pixels; drop them or "
            "mend the images they were cut from."
        )
    if float(np.ptp(images)) == 0:
        raise DataError("all patches are one constant; there is nothing to learn.")
    if min(images.shape[1:3]) < 8:
        raise DataError(
            f"patches are {images.shape[1:3]} pixels; at least 8 x 8 are needed. "
            "Cut larger ones."
        )
    if config.likelihood == "bernoulli" and (images.min() < 0 or images.max() > 1):
        raise DataError(
            "likelihood='bernoulli' needs pixels in [0, 1]; got "
            f"[{images.min():.3g}, {images.max():.3g}]. Scale them, or take 'gaussian'."
        )


def model_from(config: Mapping[str, Any]) -> RVAE:
    """A fresh RVAE with these settings; unknown ones raise."""
    return RVAE(**to_mapping(from_mapping(ModelConfig, config)))
