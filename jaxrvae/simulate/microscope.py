"""An annular dark-field STEM: from columns of atoms to counts."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxrvae._checks import at_least, positive, whole
from jaxrvae._typing import Bool, Complex, Float, Number
from jaxrvae.geometry.grid import unit_length, unit_to_pixel
from jaxrvae.simulate.imaging import CARBON_CROSS_SECTION, render_atoms
from jaxrvae.simulate.probe import probe_transfer
from jaxrvae.simulate.scan import as_tuple, check_drift

GRIDDING = 1.0  # pixels: Gaussians drawn for the probe's place, divided out again
COMPILED = 1024  # positions are converted by multiples of this many
TAILS = 0.8  # nm around the field whose atoms' tails still reach into it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Microscope:
    """The probe, the scan and the detector.

    Attributes:
        num_frames: How many.
        size: Pixels along each side.
        pixel_size: nm.
        voltage: kV.
        convergence: Half angle of the aperture, mrad.
        defocus: C1, nm.
        astigmatism: A1, twofold, nm.
        astigmatism_angle: Direction along which A1 adds to C1, radians.
        spherical: C3, micrometres.
        source: Full width at half maximum of the source's image, nm.
        dose: Electrons per square angstrom and frame.
        background: Counts a pixel, as a share of the mean of the first frame's atoms.
        jitter: Standard deviation of where a line of the scan starts, along and across
            it, pixels.
        drift: (dx, dy) pixels a frame, y downwards, or the standard deviation of the
            steps of a random walk along each axis.
    """

    num_frames: int = 10
    size: int = 256
    pixel_size: Number = 0.015625
    voltage: Number = 60.0
    convergence: Number = 32.0
    defocus: Number = 0.0
    astigmatism: Number = 0.0
    astigmatism_angle: Number = 0.0
    spherical: Number = 0.0
    source: Number = 0.06
    dose: Number = 3e5
    background: Number = 0.3
    jitter: Number = 0.0
    drift: Number | Sequence[Number] = 0.0

    def __post_init__(self) -> None:
        whole("num_frames", self.num_frames, 1)
        whole("size", self.size, 16)
        as_tuple(self, "drift", 2)
        check_drift(self.drift)
        for name in ("pixel_size", "voltage", "convergence", "dose"):
            positive(name, getattr(self, name))
        for name in ("source", "background", "jitter"):
            at_least(name, getattr(self, name), 0)

    @property
    def margin(self) -> int:
        """Pixels drawn around the field."""
        return int(np.ceil(TAILS / self.pixel_size + 4 * self.jitter))

    def half_width(self, drift: Float[np.ndarray, "frame 2"]) -> float:
        """Of the square, in nm, whose atoms matter for some frame."""
        pixels = self.size / 2 + self.margin + float(np.abs(drift).max())
        return pixels * self.pixel_size

    def to_pixels(
        self, positions: Float[np.ndarray, "atom 2"]
    ) -> Float[np.ndarray, "atom 2"]:
        """Pixels (x = column, y = row) of nm about the field's centre, y up."""
        shape, n = (self.size, self.size), len(positions)
        unit = np.zeros((-(-n // COMPILED) * COMPILED, 2))  # few shapes are compiled
        unit[:n] = positions / (self.pixel_size * unit_length(shape))
        return np.asarray(unit_to_pixel(jnp.asarray(unit), shape), float)[:n]


def blur(microscope: Microscope) -> Complex[np.ndarray, "height half"]:
    """What `expected_counts` multiplies the Fourier transform of its Gaussians with."""
    side = microscope.size + 2 * microscope.margin
    transfer = probe_transfer(
        (side, side),
        microscope.pixel_size,
        voltage=microscope.voltage,
        convergence=microscope.convergence,
        defocus=microscope.defocus,
        astigmatism=microscope.astigmatism,
        astigmatism_angle=microscope.astigmatism_angle,
        spherical=microscope.spherical,
        source=microscope.source,
    )
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    gain = np.exp(2 * (np.pi * GRIDDING) ** 2 * (rows**2 + columns**2))
    passed = np.abs(transfer) > 1e-6  # beyond, nothing but rounding is amplified
    return np.where(passed, transfer * gain, 0)


def expected_counts(
    positions: Float[np.ndarray, "atom 2"],
    brightness: Float[np.ndarray, " atom"],
    microscope: Microscope,
    kernel: Complex[np.ndarray, "height half"],
) -> Float[np.ndarray, "height width"]:
    """Mean counts of the atoms, without background, the margin around the field too.

    An atom gives dose x cross-section counts in all, spread as the probe's intensity.

    Args:
        positions: Pixels of the field (x = column, y = row).
        brightness: Relative to one carbon atom.
        microscope: Dose, size and margin.
        kernel: From `blur`.
    """
    side = microscope.size + 2 * microscope.margin
    total = microscope.dose * CARBON_CROSS_SECTION * brightness
    peaks = total / (2 * np.pi * GRIDDING**2)
    place = positions + microscope.margin
    drawn = render_atoms(place, peaks, GRIDDING, (side, side))
    image = np.fft.irfft2(np.fft.rfft2(drawn) * kernel, s=(side, side))
    return np.maximum(image, 0)


def record(
    mean: Float[np.ndarray, "height width"],
    background: Number,
    microscope: Microscope,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "row col"], Float[np.ndarray, "row 2"]]:
    """Counts of one frame, and how far each line was off, (dx, dy) pixels.

    Args:
        mean: From `expected_counts`.
        background: Counts a pixel.
        microscope: Size, margin and jitter.
        rng: Draws the jitter and the counts.
    """
    from scipy import ndimage

    size, margin = microscope.size, microscope.margin
    off = microscope.jitter * rng.standard_normal((size, 2))
    if microscope.jitter:
        rows, columns = np.mgrid[:size, :size] + float(margin)
        places = [rows + off[:, 1:], columns + off[:, :1]]
        image = np.maximum(ndimage.map_coordinates(mean, places, order=3), 0)
    else:
        image = mean[margin : margin + size, margin : margin + size]
    return rng.poisson(image + background).astype(np.float32), off


def in_field(
    positions: Float[np.ndarray, "atom 2"], size: int
) -> Bool[np.ndarray, " atom"]:
    """Which positions (pixels) lie within the image."""
    return np.all((positions >= -0.5) & (positions < size - 0.5), axis=-1)
