"""What is known of patches beside their pixels: classes, conditions, spectra."""

import dataclasses
from typing import Any

import numpy as np

from jaxrvae._typing import Float, Int, ndarray

UNKNOWN = -1  # the label of an image whose class is to be found


@dataclasses.dataclass(frozen=True)
class Known:
    """How many classes there are, and how conditions are standardized.

    Attributes:
        subtracted, divided_by: Of each number that is a condition.
        inferred: Whether conditions may be missing, and are then to be found.
        mean_spectrum, spectrum_scale: Subtracted from spectra, and divided by.
    """

    num_classes: int = 1
    subtracted: tuple[float, ...] = ()
    divided_by: tuple[float, ...] = ()
    inferred: bool = False
    mean_spectrum: tuple[float, ...] = ()
    spectrum_scale: float = 1.0

    @property
    def condition_dim(self) -> int:
        """Numbers a patch."""
        return len(self.subtracted)

    @property
    def dim(self) -> int:
        """Numbers that the decoder gets beside the content."""
        return self.num_labels + self.condition_dim

    @property
    def num_labels(self) -> int:
        """Of these, numbers that say the class."""
        return self.num_classes if self.num_classes > 1 else 0

    @property
    def num_energies(self) -> int:
        """Values of a spectrum; 0 without spectra."""
        return len(self.mean_spectrum)

    def arrays(self, labels: Any, conditions: Any, number: int) -> dict[str, ndarray]:
        """What the model reads: "label" (n,), "condition" (n, number), where known.

        Args:
            labels: None, or a whole number a patch; -1 for a class that is not known.
            conditions: None, or (n,) or (n, number) of any numbers; NaN where missing.

        Raises:
            ValueError: For labels outside the classes, and for what does not fit.
        """
        found: dict[str, ndarray] = {}
        if labels is not None:
            found["label"] = _checked_labels(labels, number, self.num_classes)
        missing = self.condition_dim if self.inferred else 0
        given = np.full((number, missing), np.nan, np.float32)
        if conditions is not None:
            given = checked_conditions(conditions, number)
        if np.isnan(given).any() and not self.inferred:
            raise ValueError(
                "the model was fitted with every condition, and cannot infer those that"
                " are missing. Give all, or fit with some of them NaN."
            )
        if given.shape[1] != self.condition_dim:
            raise ValueError(
                f"the model was fitted with {self.condition_dim} conditions an image;"
                f" got {given.shape[1]}. Give the same ones."
            )
        if self.condition_dim:
            found["condition"] = self._standardized(given)
        return found

    def need_spectra(self) -> None:
        """Refuse a model that was fitted without any."""
        if not self.num_energies:
            raise ValueError("the model was fitted without spectra; fit(spectra=...).")

    def standard_spectra(self, spectra: Any, number: int) -> Float[ndarray, "n energy"]:
        """Spectra as the model reads them."""
        values = checked_spectra(spectra, number)
        if values.shape[1] != self.num_energies:
            raise ValueError(
                f"the model was fitted with {self.num_energies} values a spectrum; got"
                f" {values.shape[1]}. Give spectra of the same kind."
            )
        mean = np.asarray(self.mean_spectrum, np.float32)
        return (values - mean) / np.float32(self.spectrum_scale)

    def recorded_spectra(
        self, standard: Float[ndarray, "n energy"]
    ) -> Float[ndarray, "n energy"]:
        """Spectra of the model in the units recorded."""
        mean = np.asarray(self.mean_spectrum, np.float32)
        return standard * np.float32(self.spectrum_scale) + mean

    def recorded_conditions(
        self, mean: Float[ndarray, "n number"], std: Float[ndarray, "n number"]
    ) -> tuple[Float[ndarray, "n number"], Float[ndarray, "n number"]]:
        """Conditions of the model, and their errors, in the units recorded."""
        scale = np.asarray(self.divided_by, np.float32)
        return mean * scale + np.asarray(self.subtracted, np.float32), std * scale

    def inputs(
        self, content: Float[ndarray, "n latent"], label: Any, condition: Any
    ) -> Float[ndarray, "n input"]:
        """The decoder's: contents with what is known beside them.

        Args:
            label: One, or one a patch; None: 0.
            condition: One row, or one a patch, as recorded; None: the mean.

        Raises:
            ValueError: For what the model does not have, and for what does not fit.
        """
        parts, number = [np.asarray(content, np.float32)], len(content)
        if self.num_classes > 1:
            chosen = np.asarray(0 if label is None else label)
            chosen = np.full(number, chosen) if chosen.ndim == 0 else chosen
            chosen = _checked_labels(chosen, number, self.num_classes, least=0)
            parts.append(np.eye(self.num_classes, dtype=np.float32)[chosen])
        elif np.any(label):  # 0 is the only one
            raise ValueError(f"the model has no classes; got label={label!r}.")
        if self.condition_dim:
            middle = self.subtracted if condition is None else condition
            parts.append(self._standardized(self._rows(middle, number)))
        elif condition is not None:
            raise ValueError("the model was fitted without conditions; got some.")
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def _rows(self, condition: Any, number: int) -> Float[ndarray, "n number"]:
        """One row for all, or a row each, of finite numbers."""
        row = np.asarray(condition, np.float32)
        if self.condition_dim == 1 and row.ndim == 1:
            row = row[:, None]
        if not np.isfinite(row).all():
            raise ValueError("condition must be finite. Leave it out for the mean.")
        try:
            return np.broadcast_to(row, (number, self.condition_dim))
        except ValueError:
            raise ValueError(
                f"condition must be {self.condition_dim} numbers, or so many for each"
                f" of {number} contents; got {np.shape(condition)}."
            ) from None

    def _standardized(
        self, condition: Float[ndarray, "n number"]
    ) -> Float[ndarray, "n number"]:
        offset = np.asarray(self.subtracted, np.float32)
        scale = np.asarray(self.divided_by, np.float32)
        return (condition - offset) / scale


def learn_known(
    num_classes: int, conditions: Any, number: int, spectra: Any = None
) -> Known:
    """Standardizes these conditions and spectra, which the model is fitted with."""
    found: dict[str, Any] = {}
    if conditions is not None:
        condition = checked_conditions(conditions, number)
        if np.isnan(condition).all(0).any():
            raise ValueError("a condition is missing for every image. Leave it out.")
        spread = np.nanstd(condition, axis=0)
        found["subtracted"] = tuple(np.nanmean(condition, axis=0).tolist())
        found["divided_by"] = tuple(np.where(spread > 0, spread, 1.0).tolist())
        found["inferred"] = bool(np.isnan(condition).any())
    if spectra is not None:
        values = checked_spectra(spectra, number)
        mean = values.mean(0)
        found["mean_spectrum"] = tuple(mean.tolist())
        found["spectrum_scale"] = float((values - mean).std()) or 1.0
    return Known(num_classes, **found)


def checked_conditions(conditions: Any, number: int) -> Float[ndarray, "n number"]:
    """A row a patch, none of it infinite; NaN where it is missing."""
    condition = np.asarray(conditions, np.float32)
    condition = condition[:, None] if condition.ndim == 1 else condition
    if condition.ndim != 2 or len(condition) != number:
        raise ValueError(
            f"conditions must be ({number},) or ({number}, numbers); got"
            f" {np.shape(conditions)}. Give one row an image."
        )
    if np.isinf(condition).any():
        raise ValueError("conditions must not be infinite. Take NaN where missing.")
    return condition


def checked_spectra(spectra: Any, number: int) -> Float[ndarray, "n energy"]:
    """A spectrum a patch, all of it finite."""
    values = np.asarray(spectra, np.float32)
    if values.ndim != 2 or len(values) != number or values.shape[1] == 0:
        raise ValueError(
            f"spectra must be ({number}, values); got {values.shape}."
            " Give one spectrum a patch."
        )
    if not np.isfinite(values).all():
        raise ValueError("spectra must be finite. Drop the patches without.")
    return values


def _checked_labels(
    labels: Any, number: int, num_classes: int, least: int = UNKNOWN
) -> Int[ndarray, " n"]:
    label = np.asarray(labels)
    if label.shape != (number,) or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(
            f"labels must be {number} whole numbers; got {label.dtype} of shape"
            f" {label.shape}. Give one a patch."
        )
    if num_classes == 1:
        raise ValueError(
            "labels need classes; got num_classes=1. Make the model with"
            f" num_classes={max(int(label.max()) + 1, 2)}, or leave labels out."
        )
    if number and (label.min() < least or label.max() >= num_classes):
        unknown = ", or be -1 where unknown" if least == UNKNOWN else ""
        raise ValueError(
            f"labels must lie in 0 ... {num_classes - 1}{unknown};"
            f" got {label.min()} ... {label.max()}. Take one of the model's classes."
        )
    return label.astype(np.int32)
