"""RVAE: the model one fits, encodes and decodes with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import known_keys, whole
from jaxrvae._typing import Float, ndarray
from jaxrvae.analysis.ensemble import Ensemble, from_arrays, join, read
from jaxrvae.config import (
    ModelConfig,
    ObjectiveConfig,
    TrainingConfig,
    from_mapping,
    to_mapping,
)
from jaxrvae.config.choices import Choice
from jaxrvae.data.batches import as_images, check_images
from jaxrvae.data.containers import Latents, Patches
from jaxrvae.data.known import learn_known
from jaxrvae.data.mapped import sample_rows
from jaxrvae.models.build import check_program
from jaxrvae.models.fitted import FittedModel
from jaxrvae.models.model_file import read_model, write_model

NUM_CHECKED = 500  # images kept for `check`


class RVAE:
    """A rotationally invariant variational autoencoder of patches.

    `metadata` says, once fitted, what of each channel was `subtracted` from the images
    and what they were then `divided_by`, inside; what comes out is in their own units.

    Options with settings take a name, or a mapping of it and them:
    `decoder={"name": "coordinate", "features": 256}`.

    Args:
        content_dim: Numbers that say what the structure is.
        pose: Any of "rotation", "shift" and "scale": what content does not hold.
        max_shift: Largest shift to either side, as a share of the field.
        decoder: "steerable" (angle and shift integrated out), "affine" (one canonical
            image, bilinear lookup; `units`, `activation`), "affine-cubic" (cubic
            B-spline), "convolutional" (made by convolutions, for 96 pixels and more),
            "coordinate" (a network of point and content; settings `layers`, `features`
            for Fourier features, `skip`), or "auto": steerable where it applies.
        encoder: "turned-copy" (one layer reads K turned copies), "turned-back" (content
            is then read from the image turned back by its likeliest angles, by layers
            of as many `units`; affine decoder, slower, closer), "moved-back" (from its
            pixels, the shift taken back as well: for large ones), "dense" (`layers`),
            "convolutional", "group-convolution" (turns and places attended to), or
            "auto": turned-copy, or dense where the posterior has one copy.
        posterior: Of the pose: "marginal" (steerable), "enumerated" (K turned copies),
            one mode as published, "gaussian", or on the circle, "von_mises" and
            "projected_normal"; or "auto": marginal or enumerated. With the setting
            `classes="gumbel"` classes are drawn (at `temperature`), not summed over:
            for many of them.
        num_turns: K, the turned copies that the encoder reads.
        num_classes: Discrete classes that the decoder is told apart from the content,
            found with it unless `fit` is given labels; 1 for none (`jr.find_classes`
            sorts the content into classes afterwards).
        hidden_dim: Units of every hidden layer.
        likelihood: "gaussian", "bernoulli" or "continuous-bernoulli" (images in
            [0, 1]), "poisson" (counts), "poisson-gaussian" (counts read out with noise)
            or "auto": gaussian. Where there is `noise`, it is "learned", "per-pixel"
            (learned) or a standard deviation in the images' units.
        prior: Of the content: None or "normal", standard normal; learned: "mixture" (of
            Gaussians), "vamp" (of posteriors of pseudo-images), "flow" (RealNVP),
            "horseshoe" (no more numbers than needed) and "stick-breaking" (no more
            classes); setting `components`. Or NumPyro's: a distribution of the content,
            or a model function of one patch's "content" and, if wanted, "angle",
            "shift" and "class" (`jaxrvae.priors.program`).
        angle_prior: None for uniform; `loc` (radians) with `concentration`, von Mises,
            or with `std` (radians), normal; `fold` gives so many equal modes.
        shift_prior: `std`, one or [x, y], of a normal, shares of the field. None:
            uniform up to `max_shift` (steerable) or normal with `max_shift` / 2.
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
        decoder: Choice = "auto",
        encoder: Choice = "auto",
        posterior: Choice = "auto",
        num_turns: int = 8,
        num_classes: int = 1,
        hidden_dim: int = 128,
        likelihood: Choice = "auto",
        prior: Choice = None,
        angle_prior: Mapping[str, Any] | None = None,
        shift_prior: Mapping[str, Any] | None = None,
        seed: int = 0,
        **unknown: Any,
    ):
        fields = list(ModelConfig.__dataclass_fields__)
        known_keys("RVAE", unknown, fields)
        given = locals()
        self.config = ModelConfig(**{name: given[name] for name in fields})
        check_program(self.config)
        self.history = pd.DataFrame()
        self.metadata: dict[str, Any] = {}
        self._fit: FittedModel | None = None
        self.ensemble: Ensemble | None = None
        self._sample: dict[str, ndarray] = {}  # of the images trained on

    def fit(
        self,
        patches: Patches | ndarray,
        labels: Any = None,
        conditions: Any = None,
        spectra: Any = None,
        epochs: int | None = None,
        batch_size: int = 100,
        learning_rate: float = 2e-3,
        objective: Mapping[str, Any] | None = None,
        seeds: int | None = None,
        run_dir: str | Path | None = None,
        save_seconds: float = 20.0,
        devices: int | None = 1,
        parallel: str = "jit",
        accumulate: int | None = None,
        precision: str = "float32",
        stream: bool | None = None,
        progress: bool = True,
    ) -> "RVAE":
        """Train from fresh weights, or from the last checkpoint in the run directory.

        Args:
            patches: Patches, or an array (n, row, col[, channel]); or signals (n, x),
                where the pose has no rotation.
            labels: (n,) class of every patch, -1 where it is to be found.
            conditions: (n,) or (n, m) numbers known of every patch: the content holds
                what they do not say. NaN where one is to be found.
            spectra: (n, values) recorded with every patch: the content then says both,
                see `decode_spectra` and `encode_spectra`.
            epochs: Passes over the images; None: enough for 4000 steps.
            objective: Of `ObjectiveConfig`, as `{"beta": 2.0}`; None: the bound itself.
            seeds: So many members are trained by one program, with seeds from the
                model's own on. `encode` then gives what they agree on.
            run_dir: Checkpoints go there; a run that was stopped goes on from its last
                one and ends bit for bit where it would have ended.
            save_seconds: Between checkpoints; at most so much work is lost.
            devices: To split every batch, or the members, over; None: all there are.
            parallel: How: "jit", one program over a mesh; or "pmap", one a device.
            accumulate: Parts of a batch, in turn; None: as few as fit in memory.
            precision: Of hidden layers' products: "float32", or "bfloat16".
            stream: Read patches from disk in training; None: if over 1 GiB lie there.
            progress: Whether to say how it goes.

        Returns:
            Itself. `history` has a row an epoch: epoch, step, loss and its parts
            (nats per image), noise, seconds; `history.attrs["compile_seconds"]`.

        Raises:
            DataError: If the images cannot be trained on.
            ValueError: If labels, conditions or spectra do not fit them.
            RunError: If the loss stops being finite (the last good weights stay), the
                run directory is in use, or it belongs to other settings or data.
        """
        from jaxrvae.training.fit import Settings, fit_models

        config, images = self.config, as_images(patches)
        check_images(images, config.likelihood_kind, config.rotated)
        known = learn_known(config.num_classes, conditions, len(images), spectra)
        given = {"images": images} | known.arrays(labels, conditions, len(images))
        if known.num_energies:
            given["spectrum"] = known.standard_spectra(spectra, len(images))
        training = TrainingConfig(
            epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
            seed=config.seed, save_seconds=save_seconds, devices=devices, stream=stream,
            parallel=parallel, accumulate=accumulate, precision=precision,
        )  # fmt: skip
        one = Settings(config, from_mapping(ObjectiveConfig, objective or {}), training)
        settings = one if seeds is None else one.ensemble(seeds)
        trained = fit_models(settings, known, given, run_dir, progress)
        self.keep(trained.members, seeds is not None, given)
        self.history = pd.DataFrame(trained.history)
        self.history.attrs["compile_seconds"] = trained.compile_seconds
        if trained.error is not None:
            raise trained.error
        return self

    def encode(
        self, patches: Patches | ndarray, labels: Any = None, conditions: Any = None
    ) -> Latents:
        """Content, angle, shift and their uncertainty for every patch.

        Args:
            labels: (n,) classes where they are known, -1 elsewhere; None: of none.
            conditions: As many a patch as the model was fitted with; NaN, or none at
                all, where they are to be found and the model has learned to.
        """
        table = patches.table if isinstance(patches, Patches) else None
        return self._read(self._checked(patches, labels, conditions), table)

    def check(
        self, patches: Any = None, labels: Any = None, conditions: Any = None
    ) -> list[str]:
        """What looks wrong, a line each; nothing if nothing does.

        Posterior collapse, content that carries the pose, too many or too few content
        dims, angles that the images do not tell.

        Args:
            patches: Such as were trained on; None: a sample of those, kept from `fit`.
            labels, conditions: Of these patches, as `encode` takes them.
        """
        from jaxrvae.analysis.checks import check, unexplained

        fitted, given = self.fitted, self._sample
        if patches is not None:
            given = self._checked(patches, labels, conditions)
        if not given:
            raise ValueError("a loaded model keeps no images; call check(patches).")
        latents = self._read(given)
        return check(latents, unexplained(fitted, latents, given), fitted.config)

    def decode(
        self,
        content: Float[ndarray, "n latent"],
        angle: float | ndarray = 0.0,
        shift: tuple[float, float] | ndarray = (0.0, 0.0),
        scale: float | ndarray = 1.0,
        label: int | ndarray | None = None,
        condition: float | ndarray | None = None,
    ) -> ndarray:
        """Images of contents at poses, in the units of the images trained on.

        Args:
            content: (n, content_dim).
            angle: Radians, counter-clockwise; one, or one an image.
            shift: Pixels (dx, dy), dy downwards; one, or one an image.
            scale: Relative size; one, or one an image.
            label: Class; one, or one an image. None: 0.
            condition: Numbers; one row, or one an image. None: the mean of those
                fitted with.

        Returns:
            (n, row, col[, channel]), or signals (n, x).
        """
        fitted = self.fitted
        content = np.atleast_2d(np.asarray(content, np.float32))
        if content.ndim != 2 or content.shape[1] != self.config.content_dim:
            raise ValueError(
                f"content must be (n, {self.config.content_dim}); got {content.shape}."
            )
        inputs = fitted.known.inputs(content, label, condition)
        images, shape = fitted.decode(inputs, angle, shift, scale), fitted.model.shape
        images = images[..., 0] if shape[2] == 1 else images
        return images[:, 0] if shape[0] == 1 else images

    def decode_spectra(
        self,
        content: Float[ndarray, "n latent"],
        label: int | ndarray | None = None,
        condition: float | ndarray | None = None,
    ) -> Float[ndarray, "n value"]:
        """Spectra of contents, in the units of those fitted with."""
        inputs = self.fitted.known.inputs(np.atleast_2d(content), label, condition)
        return self.fitted.decode_spectra(inputs)

    def encode_spectra(
        self, spectra: Float[ndarray, "n value"]
    ) -> tuple[Float[ndarray, "n latent"], Float[ndarray, "n latent"]]:
        """Content and its standard deviation, from spectra alone."""
        return self.fitted.encode_spectra(spectra)

    def reconstruct(
        self, patches: Patches | ndarray, labels: Any = None, conditions: Any = None
    ) -> ndarray:
        """The patches as the model sees them: content and pose decoded again."""
        found = self.encode(patches, labels, conditions)
        return self.decode(
            found.content,
            found.angle,
            found.shift,
            found.scale,
            label=found.class_probabilities.argmax(1),
            condition=conditions if found.condition is None else found.condition,
        )

    def manifold(
        self,
        shape: tuple[int, int] = (9, 9),
        label: int | None = None,
        condition: float | ndarray | None = None,
        axes: tuple[int, int] = (0, 1),
    ) -> ndarray:
        """Decoded images on a grid of the prior's quantiles.

        Args:
            shape: Rows (second axis, increasing upwards) and columns (first axis,
                increasing to the right); `(1, 9)` traverses the first alone.
            label, condition: As `decode` takes them.
            axes: The two contents that change; others stay at their medians.

        Returns:
            (rows, columns, row, col[, channel]).
        """
        content = self.fitted.manifold_content(*shape, axes)
        flat = content.reshape(-1, self.config.content_dim)
        images = self.decode(flat, label=label, condition=condition)
        return images.reshape(*shape, *images.shape[1:])

    def log_evidence(
        self,
        patches: Patches | ndarray,
        num_samples: int = 100,
        labels: Any = None,
        conditions: Any = None,
    ) -> Float[ndarray, " n"]:
        """Importance-weighted bound on log p(patch), nats; of an ensemble, its best's.

        Args:
            num_samples: Of the content; more of them make the bound tighter.
            labels, conditions: As `encode` takes them.

        Source: Burda et al. 2016, arXiv:1509.00519.
        """
        from jaxrvae.objectives.evidence import log_evidence

        whole("num_samples", num_samples, 1)
        given = self._checked(patches, labels, conditions)
        return log_evidence(self.fitted, given, num_samples)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file (NumPy's npz; nothing is pickled)."""
        fitted, ensemble = self.fitted, self.ensemble
        notes = {"history": self.history.to_dict("list"), "metadata": self.metadata}
        if ensemble is None:
            return write_model(path, [fitted], notes)
        notes["reference"] = ensemble.reference
        return write_model(path, ensemble.members, notes, ensemble.arrays())

    @classmethod
    def load(cls, path: str | Path, prior: Any = None) -> "RVAE":
        """The model that `save` wrote, with the NumPyro prior that it had, if any.

        Raises:
            DataError: If the file is missing or is not such a model.
            ValueError: If it was fitted with another NumPyro model.
        """
        members, notes, arrays = read_model(path, prior)
        rvae = cls(**vars(members[0].config))
        rvae._fit = members[notes.get("reference", 0)]
        if "reference" in notes:
            rvae.ensemble = from_arrays(members, arrays, notes["reference"])
        rvae.history = pd.DataFrame(notes["history"])
        rvae.metadata = notes["metadata"]
        return rvae

    def keep(
        self, members: Sequence[FittedModel], joined: bool, given: dict[str, ndarray]
    ) -> None:
        """What training gave back."""
        self._fit, self.ensemble = members[0], None
        if joined:
            self.ensemble = join(members, given)
            self._fit = members[self.ensemble.reference]
        self.metadata |= self._fit.standards
        self._sample = sample_rows(given, NUM_CHECKED)

    def _read(
        self, given: dict[str, ndarray], table: pd.DataFrame | None = None
    ) -> Latents:
        """What the model, or all members of it, say."""
        if self.ensemble is not None:
            return self.ensemble.encode(given, table)
        return read(self.fitted, given, table)

    @property
    def fitted(self) -> FittedModel:
        """Networks and weights, for what goes beyond this class; not before `fit`."""
        if self._fit is None:
            raise ValueError("the model is not fitted; call fit(patches) or RVAE.load.")
        return self._fit

    def _checked(
        self, patches: Patches | ndarray, labels: Any, conditions: Any
    ) -> dict[str, ndarray]:
        """The patches as arrays that the fitted model takes."""
        fitted, images = self.fitted, self.fitted.images_of(patches)
        return {"images": images} | fitted.known.arrays(labels, conditions, len(images))


def model_from(config: Mapping[str, Any]) -> RVAE:
    """A fresh RVAE with these settings; unknown ones raise."""
    return RVAE(**to_mapping(from_mapping(ModelConfig, config)))
