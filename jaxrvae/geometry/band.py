"""The images' discrete spectrum up to a band limit, as real numbers."""

import numpy as np

from jaxrvae._typing import Bool, Float, ndarray

INFORMATIVE = 0.95  # share of what an image tells of its pose
STANDS_OUT = 4.0  # standard errors of a ring's mean power
TINY = 1e-12


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


def informative_frequency(
    images: Float[ndarray, "n row col channel"], share: float = INFORMATIVE
) -> float:
    """The radial frequency, cycles per pixel, below which a share of what tells lies.

    What a wave of frequency f tells of its image's angle and place goes with f^2 times
    its power above the noise. The noise is white, and alone in the spectrum's corners;
    where it is not (images interpolated onto more pixels), more is kept.

    Args:
        images: Less their background.

    Returns:
        0.5 where nothing stands out from the noise.
    """
    height, width = images.shape[1:3]
    power = np.square(np.abs(np.fft.fft2(images, axes=(1, 2)))).mean(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width)))
    frequency, power = frequency.T.ravel(), power.reshape(height * width, -1)
    step = 1 / min(height, width)
    ring = np.rint(frequency / step).astype(int)
    number = np.bincount(ring)
    noise = np.median(power[frequency > 0.5], axis=0)
    told = np.zeros(len(number))
    for of_channel, floor in zip(power.T, noise, strict=True):
        signal = np.bincount(ring, of_channel) / number - floor
        error = floor * np.sqrt(2 / (len(images) * number))  # waves come in pairs
        told += np.where(signal > STANDS_OUT * error, signal, 0) / max(floor, TINY)
    radius = np.arange(len(number)) * step
    told = np.cumsum(told * number * radius**2)
    if told[-1] == 0:
        return 0.5
    return float(min(np.interp(share, told / told[-1], radius), 0.5))


def place_ticks(max_shift: float, max_frequency: float) -> tuple[float, ...]:
    """Evenly spaced displacements up to +-max_shift pixels, odd in number.

    Nearly four a wavelength of the band limit. Between them the correlation's peak must
    be a parabola: with 2.5 a wavelength the angle's error is twice its stated one.
    """
    if max_shift == 0:
        return (0.0,)
    half = max(2, int(np.ceil(max_shift * 3.75 * max_frequency)))
    return tuple(np.linspace(-max_shift, max_shift, 2 * half + 1).tolist())
