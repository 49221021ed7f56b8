"""Patches as the array that the models take, and refused where they cannot be."""

from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae._typing import ndarray
from jaxrvae.data.containers import Patches

LEAST_SIZE = 8  # pixels along either side
UNKNOWN = -1  # the label of an image whose class is to be found


def as_images(patches: Patches | ndarray) -> ndarray:
    """(n, row, col, channel) float32, all of it finite."""
    values = patches.values if isinstance(patches, Patches) else np.asarray(patches)
    if values.ndim not in (3, 4) or len(values) == 0:
        raise DataError(
            f"patches must be (n, row, col[, channel]) with n >= 1; got {values.shape}."
        )
    values = values[..., None] if values.ndim == 3 else values
    images = np.ascontiguousarray(values, np.float32)
    if not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).any((1, 2, 3)).sum())
        raise DataError(
            f"{bad} of {len(images)} patches hold NaN or infinite pixels; drop them or "
            "mend the images they were cut from."
        )
    return images


def check_images(images: ndarray, likelihood: str) -> None:
    """Refuse what training would choke on."""
    if float(np.ptp(images)) == 0:
        raise DataError("all patches are one constant; there is nothing to learn.")
    if min(images.shape[1:3]) < LEAST_SIZE:
        raise DataError(
            f"patches are {images.shape[1:3]} pixels; at least {LEAST_SIZE} x "
            f"{LEAST_SIZE} are needed. Cut larger ones."
        )
    highest = {"bernoulli": 1.0, "continuous-bernoulli": 1.0, "poisson": np.inf}
    if likelihood in highest and not (
        images.min() >= 0 and images.max() <= highest[likelihood]
    ):
        raise DataError(
            f"likelihood={likelihood!r} needs pixels in [0, {highest[likelihood]:.0f}];"
            f" got [{images.min():.3g}, {images.max():.3g}]. Scale them, or take"
            " 'gaussian'."
        )


def known_arrays(
    labels: Any, conditions: Any, number: int, num_classes: int, condition_dim: int
) -> dict[str, ndarray]:
    """What is known of the images: "label" (n,) and "condition" (n, number).

    Args:
        labels: None, or a whole number an image; -1 for a class that is not known.
        conditions: None, or (n,) or (n, number) of any numbers.

    Raises:
        ValueError: For labels outside the classes, and for what does not fit.
    """
    found: dict[str, ndarray] = {}
    if labels is not None:
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
        found["label"] = label.astype(np.int32)
    if conditions is not None:
        condition = np.asarray(conditions, np.float32)
        condition = condition[:, None] if condition.ndim == 1 else condition
        if condition.ndim != 2 or len(condition) != number:
            raise ValueError(
                f"conditions must be ({number},) or ({number}, numbers); got"
                f" {np.shape(conditions)}. Give one row an image."
            )
        if not np.isfinite(condition).all():
            raise ValueError("conditions must be finite. Drop the images without.")
        found["condition"] = condition
    given = found["condition"].shape[1] if "condition" in found else 0
    if given != condition_dim:
        raise ValueError(
            f"the model was fitted with {condition_dim} conditions an image; got"
            f" {given}. Give the same ones."
        )
    return found
