"""The focused probe of a STEM: aperture, aberrations and the size of the source."""

import numpy as np

from jaxrvae._checks import at_least, positive
from jaxrvae._typing import Complex, Float, Number

FWHM = 2 * np.sqrt(2 * np.log(2))  # of a Gaussian, in standard deviations


def wavelength(voltage: Number) -> float:
    """Of electrons, nm; the voltage in kV.

    Source: Reimer & Kohl 2008, Transmission Electron Microscopy, equation 2.12.

    >>> round(1e3 * wavelength(60), 2)  # pm
    4.87
    """
    positive("voltage", voltage)
    volts = 1e3 * voltage
    return float(1.226426 / np.sqrt(volts * (1 + 0.978476e-6 * volts)))


def aberration(
    k_x: Float[np.ndarray, "*grid"],
    k_y: Float[np.ndarray, "*grid"],
    electron: Number,
    *,
    defocus: Number = 0.0,
    astigmatism: Number = 0.0,
    astigmatism_angle: Number = 0.0,
    spherical: Number = 0.0,
) -> Float[np.ndarray, "*grid"]:
    """The aberration function chi, radians.

    Args:
        k_x: Spatial frequency to the right, 1/nm.
        k_y: Upwards, 1/nm.
        electron: Wavelength, nm.
        defocus: C1, nm.
        astigmatism: A1, twofold, nm.
        astigmatism_angle: Direction along which A1 adds to C1, radians.
        spherical: C3, nm.

    Source: Kirkland 2020, Advanced Computing in Electron Microscopy, equation 2.22.
    """
    k2 = k_x**2 + k_y**2
    twice = 2 * (np.arctan2(k_y, k_x) - astigmatism_angle)
    first = (defocus + astigmatism * np.cos(twice)) * electron * k2
    return np.pi * (first + spherical / 2 * electron**3 * k2**2)


def probe_transfer(
    shape: tuple[int, int],
    pixel_size: Number,
    *,
    voltage: Number = 60.0,
    convergence: Number = 32.0,
    defocus: Number = 0.0,
    astigmatism: Number = 0.0,
    astigmatism_angle: Number = 0.0,
    spherical: Number = 0.0,
    source: Number = 0.0,
) -> Complex[np.ndarray, "height half"]:
    """Fourier transform (rfft2, periodic) of the probe's intensity, 1 at the origin.

    The intensity is |FT of aperture exp(-i chi)|^2, blurred by a Gaussian source. No
    chromatic aberration.

    Args:
        shape: (rows, columns) of the image it is to be multiplied with.
        pixel_size: nm; small enough that the image holds all that the probe passes.
        voltage: kV.
        convergence: Half angle of the aperture, mrad.
        defocus: C1, nm.
        astigmatism: A1, twofold, nm.
        astigmatism_angle: Radians, counter-clockwise as displayed.
        spherical: C3, micrometres.
        source: Full width at half maximum of the source's image, nm.

    Raises:
        ValueError: Pixels too large for this aperture.

    >>> round(float(abs(probe_transfer((64, 64), 0.02)[0, 0])), 6)
    1.0
    """
    positive("convergence", convergence)
    at_least("source", source, 0)
    electron = wavelength(voltage)
    edge = 1e-3 * convergence / electron
    if 2 * edge * pixel_size > 0.45:
        raise ValueError(
            f"pixel_size must be at most {0.225 / edge:.4f} nm at {voltage} kV and "
            f"{convergence} mrad; got {pixel_size!r}. Take smaller pixels or a smaller "
            "convergence."
        )
    k_y = -np.fft.fftfreq(shape[0], pixel_size)[:, None]
    k_x = np.fft.fftfreq(shape[1], pixel_size)[None]
    k = np.hypot(k_x, k_y)
    step = max(1 / (n * pixel_size) for n in shape)
    aperture = np.clip((edge - k) / step + 0.5, 0, 1)  # its edge takes one sample
    chi = aberration(
        np.broadcast_to(k_x, k.shape),
        np.broadcast_to(k_y, k.shape),
        electron,
        defocus=defocus,
        astigmatism=astigmatism,
        astigmatism_angle=astigmatism_angle,
        spherical=1e3 * spherical,
    )
    intensity = np.abs(np.fft.ifft2(aperture * np.exp(-1j * chi))) ** 2
    transfer = np.fft.rfft2(intensity / intensity.sum())
    half = k[:, : shape[1] // 2 + 1]
    return transfer * np.exp(-2 * (np.pi * source / FWHM * half) ** 2)
