"""From atoms to counts: Gaussian probes, contrast by atomic number, Poisson noise."""

import numpy as np

from jaxrvae._checks import at_least, positive
from jaxrvae._typing import Float, Number

ATOMIC_NUMBERS = {"C": 6, "Si": 14}
CONTRAST_EXPONENT = 1.7  # HAADF intensity goes with the atomic number to this power
# Elastic scattering of one carbon atom into 60 to 200 mrad at 60 kV, square angstroms.
CARBON_CROSS_SECTION = 1.5e-3
WINDOW = 5.0  # standard deviations of the probe within which an atom is drawn
CHUNK = 4000  # atoms drawn at a time: bounds the memory
FWHM = 2 * np.sqrt(2 * np.log(2))  # of a Gaussian, in standard deviations


def contrast(element: str) -> float:
    """Intensity of an atom's image relative to carbon's.

    >>> round(contrast("Si"), 2)
    4.22
    """
    return (ATOMIC_NUMBERS[element] / ATOMIC_NUMBERS["C"]) ** CONTRAST_EXPONENT


def carbon_peak(dose: Number, sigma: Number) -> float:
    """Counts at the peak of a carbon atom, in one frame.

    Args:
        dose: Electrons per square angstrom.
        sigma: Standard deviation of the probe, pixels.

    Source: Reimer & Kohl 2008, Transmission Electron Microscopy, section 5.1: the
    elastic cross-section of Wentzel's screened atom.

    >>> round(carbon_peak(dose=3e5, sigma=2.7), 1)
    9.8
    """
    positive("dose", dose)
    positive("sigma", sigma)
    return dose * CARBON_CROSS_SECTION / (2 * np.pi * sigma**2)


def render_atoms(
    positions: Float[np.ndarray, "atom 2"],
    peaks: Float[np.ndarray, " atom"],
    sigma: Number,
    shape: tuple[int, int],
) -> Float[np.ndarray, "height width"]:
    """The sum of Gaussians, each taken at the pixels' centres.

    Args:
        positions: (x = column, y = row), pixels; atoms outside add their tails.
        peaks: Height of each atom's image.
        sigma: Standard deviation, pixels; beyond 5 of them an atom adds nothing.
        shape: (rows, columns).

    >>> image = render_atoms(np.array([[2.0, 1.0]]), np.array([7.0]), 0.5, (4, 5))
    >>> round(float(image[1, 2]), 3)
    7.0
    """
    height, width = shape
    reach = int(np.ceil(WINDOW * sigma))
    nearest = np.rint(positions).astype(int)
    seen = ((nearest >= -reach) & (nearest < np.array([width, height]) + reach)).all(-1)
    positions, nearest, peaks = positions[seen], nearest[seen], peaks[seen]
    rows, columns = height + 4 * reach, width + 4 * reach  # so that all windows fit
    steps = np.arange(-reach, reach + 1)
    image = np.zeros(rows * columns)
    for start in range(0, len(positions), CHUNK):
        part = slice(start, start + CHUNK)
        offset = (nearest[part] - positions[part])[:, :, None] + steps
        profile = np.exp(-0.5 * (offset / sigma) ** 2)
        values = (peaks[part, None] * profile[:, 1])[:, :, None] * profile[:, 0, None]
        place = nearest[part] + 2 * reach
        row, column = place[:, 1, None] + steps, place[:, 0, None] + steps
        index = (row * columns)[:, :, None] + column[:, None]
        image += np.bincount(index.ravel(), values.ravel(), minlength=image.size)
    inside = slice(2 * reach, 2 * reach + height), slice(2 * reach, 2 * reach + width)
    return image.reshape(rows, columns)[inside]


def cramer_rao(
    sigma: Number, peak: Number, background: Number, fit_sigma: bool = False
) -> dict[str, float]:
    """Least standard deviations of unbiased estimates, for one atom on its own.

    The atom is a Gaussian on a flat background with Poisson noise; x, y, peak and
    background (and sigma, where it is not known beforehand) are estimated jointly
    from the pixels within 5 sigma along each axis.

    Args:
        sigma: Standard deviation of the probe, pixels.
        peak: Counts at the atom's centre, above the background.
        background: Counts a pixel.
        fit_sigma: Whether sigma is estimated too.

    Returns:
        By parameter: "x" and "y" in pixels, "peak" and "background" in counts and,
        if estimated, "sigma" in pixels.

    Source: Kay 1993, Estimation Theory, section 3.7; for Poisson counts the Fisher
    information is the sum over pixels of (d mean/d a) (d mean/d b) / mean.

    >>> bound = cramer_rao(sigma=2.0, peak=100.0, background=10.0)
    >>> round(bound["x"], 3)
    0.052
    """
    positive("sigma", sigma)
    positive("peak", peak)
    at_least("background", background, 0)
    reach = int(np.ceil(WINDOW * sigma))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    profile = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    slopes = {
        "x": peak * profile * x / sigma**2,
        "y": peak * profile * y / sigma**2,
        "peak": profile,
        "background": np.ones_like(profile),
    }
    if fit_sigma:
        slopes["sigma"] = peak * profile * (x**2 + y**2) / sigma**3
    jacobian = np.stack(list(slopes.values()))
    information = (jacobian / (background + peak * profile)) @ jacobian.T
    variances = np.diag(np.linalg.inv(information))
    return dict(zip(slopes, np.sqrt(variances).tolist(), strict=True))
