"""Frames to atoms: where they are, how bright, how wide, and how sure."""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, between, positive
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate import seek

COLUMNS = ["frame", "x", "y", "intensity", "sigma", "confidence"]


def find_atoms(
    movie: Frames,
    *,
    spacing: float | None = None,
    channel: int = 0,
    false_share: float = 0.01,
    least_confidence: float = 0.5,
    num_rounds: int = 3,
) -> pd.DataFrame:
    """Atoms (or atomic columns) of every frame, to a fraction of a pixel.

    The image's own spectrum gives its noise and the filter that removes it; maxima of
    the filtered image start a model of overlapping Gaussians on a smooth background
    that is fitted to the raw pixels for all atoms at once. What the residual still
    holds above the noise is added, what the fit finds no evidence for is taken out,
    and the model fitted again.

    Args:
        movie: Frames with bright atoms (annular dark field, or inverted bright field).
        spacing: Distance of neighbouring atoms in nm (in pixels where the pixel size
            is not known). Without it, that of the filtered image's maxima.
        channel: Which channel, where images have several.
        false_share: Atoms expected from noise alone, as a share of the sites that the
            frame has room for.
        least_confidence: Atoms less probable than this are left out.
        num_rounds: Times that the residual is searched for more.

    Returns:
        One row an atom: frame (its number), x and y (pixels), intensity (peak height
        above the background, in the image's units), sigma (Gaussian width, pixels) and
        confidence (the probability that it is an atom and not noise).

    Raises:
        DataError: A frame holds no atoms.
    """
    if spacing is not None:
        positive("spacing", spacing, "It is in nm, or pixels without a pixel size.")
    between("false_share", false_share, 1e-9, 0.5)
    between("least_confidence", least_confidence, 0.0, 1.0)
    movie.index_by_number()
    tables = []
    for frame in movie:
        options = seek.Options(
            spacing=_in_pixels(spacing, frame),
            false_share=false_share,
            num_rounds=num_rounds,
        )
        image = _image(frame, channel)
        found = seek.seek(image, options).table
        if found is None or not len(found):
            raise DataError(
                f"{frame.name or f'frame {frame.number}'}: expected atoms; found none"
                " above the noise. Check the channel and that atoms are bright, or give"
                " their distance: find_atoms(movie, spacing=nm)."
            )
        found.insert(0, "frame", frame.number)
        tables.append(found)
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _in_pixels(spacing: float | None, frame: Frame) -> float | None:
    if spacing is None or frame.pixel_size is None:
        return spacing
    return spacing / frame.pixel_size


def _image(frame: Frame, channel: int) -> np.ndarray:
    values = frame.values
    return np.asarray(values if values.ndim == 2 else values[..., channel], np.float64)
