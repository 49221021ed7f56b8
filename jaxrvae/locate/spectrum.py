"""Noise and detail of an image, read off its own power spectrum."""

import dataclasses

import numpy as np

NOISE_BAND = 0.35  # cycles a pixel; beyond it a resolved image holds noise alone
COARSEST = 2.5  # cycles across the image's shorter side
LEAST_GAIN = 0.3  # where less than this is signal, nothing passes


@dataclasses.dataclass(frozen=True, eq=False)
class Denoised:
    """A Wiener-filtered image.

    Attributes:
        values: (row, col), with the image's mean.
        noise: Standard deviation of the noise in a pixel of the image.
        remaining: Standard deviation of the noise left in a pixel of `values`.
        cutoff: Cycles a pixel at which the filter falls to a half.
    """

    values: np.ndarray
    noise: float
    remaining: float
    cutoff: float

    @property
    def detailed(self) -> bool:
        """Whether anything finer than the image itself stands above the noise."""
        return self.cutoff * min(self.values.shape) > COARSEST


def noise_level(image: np.ndarray) -> float:
    """Standard deviation of white noise, from the highest spatial frequencies.

    The median of exponentially distributed power is ln 2 times its mean, and is not
    led by the few frequencies that a lattice occupies.
    """
    power, radius, _ = _power(image)
    return float(np.sqrt(np.median(power[radius > NOISE_BAND]) / np.log(2)))


def denoise(image: np.ndarray) -> Denoised:
    """The image through the isotropic Wiener filter of its own radial spectrum.

    The gain is made to fall with frequency, so that whatever is finer than the finest
    detail above the noise is left out and all coarser detail passes.

    Source: Kilaas 1998, J. Microsc. 190, 45 (radial Wiener filter for lattices).
    """
    from scipy.fft import irfft2, rfft2

    height, width = image.shape
    power, radius, twice = _power(image)
    num_rings = min(height, width) // 2
    ring = np.minimum((radius * 2 * num_rings).astype(int), num_rings)
    counts = np.bincount(ring.ravel(), twice.ravel())
    mean = np.bincount(ring.ravel(), (twice * power).ravel()) / counts
    noise = float(np.median(power[radius > NOISE_BAND]) / np.log(2))
    independent = np.maximum(counts / 4.5, 1)  # half by symmetry, the taper's 2.25
    surely = mean > noise * (1 + 5 / np.sqrt(independent))
    gain = np.where(surely, 1 - noise / np.maximum(mean, 1e-300), 0.0)
    gain[0] = 1.0
    gain = np.maximum.accumulate(np.where(gain > LEAST_GAIN, gain, 0)[::-1])[::-1]
    gain = np.convolve(np.pad(gain, 2, mode="edge"), [0.1, 0.2, 0.4, 0.2, 0.1], "valid")
    frequencies = (np.arange(len(gain)) + 0.5) / (2 * num_rings)
    pads = [(size // 4, size // 4) for size in image.shape]
    mean_value = float(image.mean())
    wide = np.pad(image - mean_value, pads, mode="reflect")
    response = np.interp(_radius(wide.shape), frequencies, gain, left=1.0)
    share = _times(wide.shape)
    spectrum = np.asarray(rfft2(wide, workers=-1)) * response
    values = np.asarray(irfft2(spectrum, wide.shape, workers=-1))
    values = values[pads[0][0] :, pads[1][0] :][:height, :width] + mean_value
    return Denoised(
        values=values,
        noise=float(np.sqrt(noise)),
        remaining=float(np.sqrt(noise * np.average(response**2, weights=share))),
        cutoff=float(frequencies[gain >= 0.5][-1]),
    )


def _radius(shape: tuple[int, ...]) -> np.ndarray:
    """Cycles a pixel of the components of a real image's Fourier transform."""
    return np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])


def _times(shape: tuple[int, ...]) -> np.ndarray:
    """How many components of the whole transform each of those stands for: 1 or 2."""
    twice = np.full(shape[1] // 2 + 1, 2.0)
    twice[0] = 1.0
    if shape[1] % 2 == 0:
        twice[-1] = 1.0
    return np.broadcast_to(twice, (shape[0], len(twice)))


def _power(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Power a component, of white noise its variance, its frequency, and its number."""
    from scipy.fft import rfft2

    taper = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    spectrum = np.asarray(rfft2((image - image.mean()) * taper, workers=-1))
    power = np.abs(spectrum) ** 2 / (taper**2).sum()
    return power, _radius(image.shape), _times(image.shape)
