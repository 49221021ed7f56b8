"""RVAE: the model one fits, encodes and decodes with."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, known_keys, whole
from jaxrvae._typing import Float, ndarray
from jaxrvae.config import (
    ModelConfig,
    ObjectiveConfig,
    TrainingConfig,
    from_mapping,
    to_mapping,
)
from jaxrvae.data.batches import as_images, check_images
from jaxrvae.data.containers import Latents, Patches
from jaxrvae.data.known import learn_known
from jaxrvae.geometry.grid import shift_to_unit
from jaxrvae.models.fitted import FittedModel, fresh_model
from jaxrvae.models.model_file import read_model, write_model
from jaxrvae.objectives.build import make_loss


class RVAE:
    """A rotationally invariant variational autoencoder of patches.

    `metadata` says, once fitted, what of each channel was `subtracted` from the images
    and what they were then `divided_by`, inside; what comes out is in their own units.

    Args:
        content_dim: Numbers that say what the structure is.
        pose: Any of "rotation" and "shift", or neither: what content does not hold.
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
        known_keys("RVAE", unknown, fields)
        given = locals()
        self.config = ModelConfig(**{name: given[name] for name in fields})
        self.history = pd.DataFrame()
        self.metadata: dict[str, Any] = {}
        self._fit: FittedModel | None = None

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
        known = learn_known(self.config.num_classes, conditions, len(images))
        given = known.arrays(labels, conditions, len(images))
        if known.condition_dim and self.config.prior == "vamp":
            raise ValueError(
                "prior='vamp' has pseudo-images but no conditions for them. "
                "Take prior='mixture', or fit without conditions."
            )
        config = self.config
        aim = from_mapping(ObjectiveConfig, objective or {})
        training = TrainingConfig(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=config.seed,
            save_seconds=save_seconds,
        )
        fingerprint: dict[str, Any] = {
            "model": to_mapping(config),
            "training": to_mapping(training),
        }
        if aim != ObjectiveConfig():
            fingerprint["objective"] = to_mapping(aim)
        del fingerprint["training"]["save_seconds"]  # changes nothing that is learned
        if run_dir is not None:
            fingerprint["data"] = data_fingerprint(images)
            fingerprint |= {name: data_fingerprint(v) for name, v in given.items()}
        fresh = fresh_model(config, known, images)
        found = fresh.features(images) | given
        try:
            fitted = train(
                make_loss(fresh, fresh.is_small(len(images)), aim),
                fresh.params,
                {name: jnp.asarray(values) for name, values in found.items()},
                training,
                run_dir=run_dir,
                fingerprint=fingerprint,
                progress=progress,
            )
        except Diverged as error:
            if error.fitted.history:
                self._keep(fresh, error.fitted, {"images": images} | given)
            raise
        self._keep(fresh, fitted, {"images": images} | given)
        return self

    def encode(
        self, patches: Patches | ndarray, labels: Any = None, conditions: Any = None
    ) -> Latents:
        """Content, angle, shift and their uncertainty for every patch.

        Args:
            labels: (n,) classes where they are known, -1 elsewhere; None: of none.
            conditions: As many a patch as the model was fitted with.
        """
        found = self._fitted().encode(self._checked(patches, labels, conditions))
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
            condition: Numbers; one row, or one an image. None: the mean of those
                fitted with.
        """
        fitted = self._fitted()
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
                np.asarray(shift_to_unit(jnp.asarray(moved), fitted.model.shape)),
                np.broadcast_to(np.asarray(scale, np.float32), (number,))[:, None],
            ],
            axis=1,
        )
        images = fitted.decode(fitted.known.inputs(content, label, condition), poses)
        return images[..., 0] if fitted.model.shape[2] == 1 else images

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
        quantile = self._fitted().prior_quantiles
        content = np.zeros((rows, columns, self.config.content_dim), np.float32)
        content[:] = quantile(np.array([0.5]))[0]
        content[..., 0] = quantile((np.arange(columns) + 0.5) / columns)[:, 0]
        if self.config.content_dim > 1:
            upwards = quantile((np.arange(rows) + 0.5) / rows)[::-1, 1]
            content[..., 1] = upwards[:, None]
        flat = content.reshape(rows * columns, -1)
        images = self.decode(flat, label=label, condition=condition)
        return images.reshape(rows, columns, *images.shape[1:])

    def log_evidence(
        self,
        patches: Patches | ndarray,
        num_samples: int = 100,
        labels: Any = None,
        conditions: Any = None,
    ) -> Float[ndarray, " n"]:
        """Importance-weighted bound on log p(patch), nats, over all its pixels.

        Args:
            num_samples: Of the content; more of them make the bound tighter.
            labels, conditions: As `encode` takes them.

        Source: Burda et al. 2016, arXiv:1509.00519.
        """
        from jaxrvae.objectives.evidence import log_evidence

        whole("num_samples", num_samples, 1)
        given = self._checked(patches, labels, conditions)
        return log_evidence(self._fitted(), given, num_samples)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file (NumPy's npz; nothing is pickled)."""
        notes = {"history": self.history.to_dict("list"), "metadata": self.metadata}
        write_model(path, self._fitted(), notes)

    @classmethod
    def load(cls, path: str | Path) -> "RVAE":
        """The model that `save` wrote.

        Raises:
            DataError: If the file is missing or is not such a model.
        """
        fitted, notes = read_model(path)
        rvae = model_from(to_mapping(fitted.config))
        rvae._fit = fitted
        rvae.history = pd.DataFrame(notes["history"])
        rvae.metadata = notes["metadata"]
        return rvae

    def _keep(self, fresh: FittedModel, fitted: Any, given: dict[str, ndarray]) -> None:
        """What training gave back, with its gauge."""
        weighted = dataclasses.replace(fresh, params=fitted.params)
        self._fit = weighted.settled(given)
        self.history = pd.DataFrame(fitted.history)
        self.history.attrs["compile_seconds"] = fitted.compile_seconds
        model, known = fresh.model, fresh.known
        self.metadata |= {
            "subtracted": np.asarray(model.offset).tolist(),
            "divided_by": np.asarray(model.scale).tolist(),
        }
        if known.condition_dim:
            self.metadata["condition_subtracted"] = list(known.subtracted)
            self.metadata["condition_divided_by"] = list(known.divided_by)

    def _fitted(self) -> FittedModel:
        if self._fit is None:
            raise ValueError("the model is not fitted; call fit(patches) or RVAE.load.")
        return self._fit

    def _checked(
        self, patches: Patches | ndarray, labels: Any, conditions: Any
    ) -> dict[str, ndarray]:
        """The patches as arrays that the fitted model takes."""
        fitted, images = self._fitted(), as_images(patches)
        if images.shape[1:] != fitted.model.shape:
            raise DataError(
                f"patches are {images.shape[1:]} (row, col, channel); the model was "
                f"fitted on {fitted.model.shape}. Cut them alike."
            )
        return {"images": images} | fitted.known.arrays(labels, conditions, len(images))


def model_from(config: Mapping[str, Any]) -> RVAE:
    """A fresh RVAE with these settings; unknown ones raise."""
    return RVAE(**to_mapping(from_mapping(ModelConfig, config)))
