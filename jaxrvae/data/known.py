"""What is known of patches beside their pixels: classes, and numbers as conditions."""

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
    """

    num_classes: int = 1
    subtracted: tuple[float, ...] = ()
    divided_by: tuple[float, ...] = ()

    @property
    def condition_dim(self) -> int:
        """Numbers a patch."""
        return len(self.subtracted)

    @property
    def dim(self) -> int:
        """Numbers that the decoder gets beside the content."""
        return (self.num_classes if self.num_classes > 1 else 0) + self.condition_dim

    def arrays(self, labels: Any, conditions: Any, number: int) -> dict[str, ndarray]:
        """What the model reads: "label" (n,), "condition" (n, number), where known.

        Args:
            labels: None, or a whole number a patch; -1 for a class that is not known.
            conditions: None, or (n,) or (n, number) of any numbers.

        Raises:
            ValueError: For labels outside the classes, and for what does not fit.
        """
        found: dict[str, ndarray] = {}
        if labels is not None:
            found["label"] = _checked_labels(labels, number, self.num_classes)
        given = np.zeros((number, 0), np.float32)
        if conditions is not None:
            given = checked_conditions(conditions, number)
        if given.shape[1] != self.condition_dim:
            raise ValueError(
                f"the model was fitted with {self.condition_dim} conditions an image;"
                f" got {given.shape[1]}. Give the same ones."
            )
        if self.condition_dim:
            found["condition"] = self._standardized(given)
        return found

    def inputs(
        self, content: Float[ndarray, "n latent"], label: Any, condition: Any
    ) -> Float[ndarray, "n input"]:
        """The decoder's: contents with what is known beside them.

        Args:
            label: One, or one a patch; None: 0.
            condition: One row, or one a patch, as recorded; None: the mean.
        """
        parts, number = [np.asarray(content, np.float32)], len(content)
        if self.num_classes > 1:
            chosen = np.broadcast_to(0 if label is None else label, (number,))
            parts.append(np.eye(self.num_classes, dtype=np.float32)[chosen])
        if self.condition_dim:
            middle = self.subtracted if condition is None else condition
            row = np.asarray(middle, np.float32)
            if self.condition_dim == 1 and row.ndim == 1:
                row = row[:, None]
            row = np.broadcast_to(row, (number, self.condition_dim))
            parts.append(self._standardized(row))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def _standardized(
        self, condition: Float[ndarray, "n number"]
    ) -> Float[ndarray, "n number"]:
        offset = np.asarray(self.subtracted, np.float32)
        scale = np.asarray(self.divided_by, np.float32)
        return (condition - offset) / scale


def learn_known(num_classes: int, conditions: Any, number: int) -> Known:
    """Standardizes these conditions, those that the model is fitted with."""
    if conditions is None:
        return Known(num_classes)
    condition = checked_conditions(conditions, number)
    spread = condition.std(0)
    scale = np.where(spread > 0, spread, 1.0)
    return Known(num_classes, tuple(condition.mean(0).tolist()), tuple(scale.tolist()))


def checked_conditions(conditions: Any, number: int) -> Float[ndarray, "n number"]:
    """A row a patch, all of it finite."""
    condition = np.asarray(conditions, np.float32)
    condition = condition[:, None] if condition.ndim == 1 else condition
    if condition.ndim != 2 or len(condition) != number:
        raise ValueError(
            f"conditions must be ({number},) or ({number}, numbers); got"
            f" {np.shape(conditions)}. Give one row an image."
        )
    if not np.isfinite(condition).all():
        raise ValueError("conditions must be finite. Drop the images without.")
    return condition


def _checked_labels(labels: Any, number: int, num_classes: int) -> Int[ndarray, " n"]:
    label = np.asarray(labels)
    if label.shape != (number,) or not np.issubdtype(label.dtype, np.integer):
        raise ValueError(
            f"labels must be {number} whole numbers; got {label.dtype} of shape"
            f" {label.shape}. Take -1 where the class is not known."
        )
    if num_classes == 1:
        raise ValueError(
            "labels need classes; got num_classes=1. Make the model with"
            f" num_classes={max(int(label.max()) + 1, 2)}, or leave labels out."
        )
    if label.min() < UNKNOWN or label.max() >= num_classes:
        raise ValueError(
            f"labels must lie in 0 ... {num_classes - 1}, or be -1 where unknown;"
            f" got {label.min()} ... {label.max()}. Raise num_classes."
        )
    return label.astype(np.int32)
