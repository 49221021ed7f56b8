"""The images' discrete spectrum up to a band limit, as real numbers."""

import numpy as np

from jaxrvae._typing import Bool, Float, ndarray


def band(shape: tuple[int, ...], max_frequency: float) -> Bool[ndarray, "row col"]:
    """Where the discrete spectrum lies inside the band; cycles per pixel."""
    rows = np.fft.fftfreq(shape[0])[:, None]
    columns = np.fft.fftfreq(shape[1])[None]
    return np.hypot(rows, columns) <= max_frequency


def band_modes(
    shape: tuple[int, ...], max_frequency: float
) -> Float[ndarray, "pixel mode"]:
    """Orthonormal waves on the pixels that span all images inside the band.

    White noise of unit spread on the pixels is white noise of unit spread on the modes.

    >>> waves = band_modes((8, 8), 0.2)
    >>> bool(np.allclose(waves.T @ waves, np.eye(waves.shape[1]), atol=1e-5))
    True
    """
    height, width = shape[:2]
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    waves = []
    for i, j in np.argwhere(band(shape, max_frequency)):
        opposite = (-i % height, -j % width)
        phase = 2 * np.pi * (i * row / height + j * column / width)
        if (i, j) == opposite:
            waves.append(np.cos(phase) / np.sqrt(height * width))
        elif (i, j) < opposite:
            norm = np.sqrt(2 / (height * width))
            waves += [norm * np.cos(phase), norm * np.sin(phase)]
    return np.stack(waves, axis=-1).reshape(height * width, -1).astype(np.float32)


def place_ticks(max_shift: float, max_frequency: float) -> tuple[float, ...]:
    """Evenly spaced displacements up to +-max_shift pixels, odd in number.

    Nearly four a wavelength of the band limit. Between them the correlation's peak must
    be a parabola: with 2.5 a wavelength the angle's error is twice its stated one.
    """
    if max_shift == 0:
        return (0.0,)
    half = max(2, int(np.ceil(max_shift * 3.75 * max_frequency)))
    return tuple(np.linspace(-max_shift, max_shift, 2 * half + 1).tolist())
