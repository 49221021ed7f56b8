"""Patches, or signals, as the array that the models take; or refused."""

from collections.abc import Iterator

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae._typing import ndarray
from jaxrvae.data.containers import Patches
from jaxrvae.data.mapped import let_go

LEAST_SIZE = 8  # pixels along either side
CHUNK = 4096  # patches looked at in one go: those on disk need not fit into memory


def as_images(patches: Patches | ndarray) -> ndarray:
    """(n, row, col, channel) float32, all of it finite; signals (n, x) as one row."""
    values = patches.values if isinstance(patches, Patches) else np.asarray(patches)
    if values.ndim == 2:
        values = values[:, None, :]
    if values.ndim not in (3, 4) or len(values) == 0:
        raise DataError(
            "patches must be (n, row, col[, channel]), or signals (n, x), with n >= 1;"
            f" got {values.shape}."
        )
    values = values[..., None] if values.ndim == 3 else values
    images = np.ascontiguousarray(values, np.float32)
    bad = sum(int((~np.isfinite(c).all((1, 2, 3))).sum()) for c in _chunks(images))
    if bad:
        raise DataError(
            f"{bad} of {len(images)} patches hold NaN or infinite pixels; drop them or "
            "mend the images they were cut from."
        )
    return images


def check_images(images: ndarray, likelihood: str, rotated: bool = True) -> None:
    """Refuse what training would choke on."""
    ends = [(chunk.min(), chunk.max()) for chunk in _chunks(images)]
    least, most = min(low for low, _ in ends), max(high for _, high in ends)
    if least == most:
        raise DataError("all patches are one constant; there is nothing to learn.")
    signals = images.shape[1] == 1
    if signals and rotated:
        raise DataError(
            "signals (n, x) cannot be turned. Take pose=('shift',), or pose=()."
        )
    if min(images.shape[1 + signals : 3]) < LEAST_SIZE:
        raise DataError(
            f"patches are {images.shape[1:3]} pixels; at least {LEAST_SIZE} x "
            f"{LEAST_SIZE} are needed. Cut larger ones."
        )
    highest = {"bernoulli": 1.0, "continuous-bernoulli": 1.0, "poisson": np.inf}
    if likelihood in highest and not (least >= 0 and most <= highest[likelihood]):
        raise DataError(
            f"likelihood={likelihood!r} needs pixels in [0, {highest[likelihood]:.0f}];"
            f" got [{least:.3g}, {most:.3g}]. Scale them, or take"
            " 'gaussian'."
        )


def _chunks(images: ndarray) -> Iterator[ndarray]:
    """Some at a time; of those on disk, one part is in memory."""
    for start in range(0, len(images), CHUNK):
        yield images[start : start + CHUNK]
        let_go(images)
