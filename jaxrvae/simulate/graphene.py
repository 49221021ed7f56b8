"""Movies of graphene with silicon dopants, as an annular dark-field STEM sees them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._checks import between, one_of, positive, whole
from jaxrvae._typing import Number
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.geometry.grid import unit_length, unit_to_pixel
from jaxrvae.simulate.dopants import Sites, hop, prepare_sites, relax_around
from jaxrvae.simulate.imaging import (
    ATOMIC_NUMBERS,
    FWHM,
    WINDOW,
    carbon_peak,
    contrast,
    cramer_rao,
    render_atoms,
)
from jaxrvae.simulate.lattice import deform, graphene_sheet
from jaxrvae.simulate.scan import as_tuple, check_drift, drift_path

BOND = 0.142  # nm, between carbon atoms of graphene
METADATA = {"simulated": "graphene", "unit": "counts", "counts_per_unit": 1.0}
DOSE = 3e5  # electrons per square angstrom, where neither dose nor snr is given


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sheet:
    """The atoms.

    Attributes:
        num_grains: 1, or 2 that meet along a line through the field.
        angle: Direction of a bond of the first grain, radians; None draws it.
        grain_angle: Turn of the second grain against the first, radians.
        silicon_fraction: Share of the sites that hold Si with three C neighbours.
        fourfold_fraction: Share of the sites that hold Si with four C neighbours, in
            place of two C atoms.
        hop_rate: Probability, a frame, that a threefold Si changes place with a C
            neighbour.
        vacancy_fraction: Share of the sites that are empty.
        strain: (xx, yy, xy), uniform, or the root mean square of xx and yy in a smooth
            random field.
        strain_length: Over which the random field changes, nm.
        silicon_bond: From a threefold Si, which stands out of the plane, to its
            neighbours as seen from above, nm.
    """

    num_grains: int = 1
    angle: Number | None = None
    grain_angle: Number = 0.35
    silicon_fraction: Number = 0.03
    fourfold_fraction: Number = 0.0
    hop_rate: Number = 0.1
    vacancy_fraction: Number = 0.005
    strain: Number | Sequence[Number] = 0.005
    strain_length: Number = 2.0
    silicon_bond: Number = 0.162

    def __post_init__(self) -> None:
        one_of("num_grains", self.num_grains, [1, 2])
        as_tuple(self, "strain", 3)
        between("silicon_fraction", self.silicon_fraction, 0, 0.06)
        between("fourfold_fraction", self.fourfold_fraction, 0, 0.02)
        between("hop_rate", self.hop_rate, 0, 1)
        between("vacancy_fraction", self.vacancy_fraction, 0, 0.03)
        positive("strain_length", self.strain_length)
        between("silicon_bond", self.silicon_bond, BOND, 0.19)
        for part in np.atleast_1d(self.strain).tolist():
            between(
                "strain", part, -0.1 if isinstance(self.strain, Sequence) else 0, 0.1
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scan:
    """The microscope.

    Attributes:
        num_frames: How many.
        size: Pixels along each side.
        pixel_size: nm.
        probe: Full width at half maximum of an atom's image, nm.
        dose: Electrons per square angstrom and frame; not together with snr.
        snr: Height of a carbon atom's peak over the standard deviation of the
            background's noise in one pixel.
        background: Counts a pixel, as a share of a carbon atom's peak.
        drift: (dx, dy) pixels a frame, y downwards, or the standard deviation of the
            steps of a random walk along each axis.
    """

    num_frames: int = 10
    size: int = 256
    pixel_size: Number = 0.015625
    probe: Number = 0.1
    dose: Number | None = None
    snr: Number | None = None
    background: Number = 1.0
    drift: Number | Sequence[Number] = 0.0

    def __post_init__(self) -> None:
        whole("num_frames", self.num_frames, 1)
        whole("size", self.size, 16)
        as_tuple(self, "drift", 2)
        for name in ("pixel_size", "probe", "background"):
            positive(name, getattr(self, name))
        if self.dose is not None and self.snr is not None:
            raise ValueError(
                f"give dose or snr, not both; got dose={self.dose!r} and "
                f"snr={self.snr!r}."
            )
        for name in ("dose", "snr"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name))
        check_drift(self.drift)

    @property
    def sigma(self) -> float:
        """Standard deviation of an atom's image, pixels."""
        return float(self.probe / FWHM / self.pixel_size)

    @property
    def peak(self) -> float:
        """Counts at the peak of a carbon atom, above the background."""
        if self.snr is not None:  # peak = snr sqrt(background), background ~ peak
            return float(self.snr**2 * self.background)
        return carbon_peak(DOSE if self.dose is None else self.dose, self.sigma)


def simulate_graphene(
    seed: int = 0, sheet: Sheet | None = None, scan: Scan | None = None
) -> Frames:
    """A movie in counts, and the truth about every atom in it.

    `.truth["atoms"]` has a row for every atom in the field of every frame:
    frame; x, y (pixels); element; site ("C", "Si", "Si4" in place of two C, "next to
    Si", "next to vacancy", "boundary" between grains); grain; angle (radians, the
    direction of one bond of the lattice here, were it without defects) and symmetry
    (the angle is meant modulo 2 pi / symmetry); direction (radians, from an atom beside
    a Si or vacancy towards it, else NaN); strain_xx, strain_yy, strain_xy (x to the
    right, y up); atom (its number, the same in all frames).

    Further in `.truth`: "drift" (frame, x, y: pixels since the first frame),
    "counts_per_pixel" (the mean expected), "noise" (sigma in pixels, peak by element
    and background in counts, position_bound: the least standard deviation of an
    isolated atom's x by element, pixels) and "options".

    Args:
        seed: The same seed gives the same movie.
        sheet: The atoms.
        scan: The microscope.

    >>> movie = simulate_graphene(0, scan=Scan(num_frames=2, size=64))
    >>> movie.values.shape, movie.pixel_size
    ((2, 64, 64), 0.015625)
    """
    sheet, scan = sheet or Sheet(), scan or Scan()
    sheet_rng, hop_rng, drift_rng, noise_rng = np.random.default_rng(seed).spawn(4)
    angle = float(sheet_rng.uniform(-np.pi / 3, np.pi / 3))
    if sheet.angle is None:
        sheet = dataclasses.replace(sheet, angle=angle)
    drift = drift_path(scan.num_frames, scan.drift, drift_rng)
    sites = _grow(sheet, scan, float(np.abs(drift).max()), sheet_rng)
    frames, tables, totals = [], [], []
    for number in range(scan.num_frames):
        if number:
            sites = hop(sites, sheet.hop_rate, hop_rng)
        atoms = _atoms(sites, sheet, scan, drift[number])
        mean = _expected_counts(atoms, scan)
        counts = noise_rng.poisson(mean).astype(np.float32)
        frames.append(
            Frame(counts, scan.pixel_size, f"graphene {number}", number, METADATA)
        )
        inside = atoms["x"].between(-0.5, scan.size - 0.5, inclusive="left")
        inside &= atoms["y"].between(-0.5, scan.size - 0.5, inclusive="left")
        tables.append(atoms.loc[inside].assign(frame=number))
        totals.append(mean.mean())
    truth = {
        "atoms": pd.concat(tables, ignore_index=True),
        "drift": pd.DataFrame(drift, columns=["x", "y"])
        .rename_axis("frame")
        .reset_index(),
        "counts_per_pixel": float(np.mean(totals)),
        "noise": _noise(scan),
        "options": dataclasses.asdict(sheet) | dataclasses.asdict(scan),
    }
    truth["atoms"].insert(0, "frame", truth["atoms"].pop("frame"))
    return Frames(tuple(frames), metadata={**METADATA, "seed": seed}, truth=truth)


def _expected_counts(atoms: pd.DataFrame, scan: Scan) -> np.ndarray:
    positions = atoms[["x", "y"]].to_numpy()
    peaks = scan.peak * atoms["element"].map(contrast).to_numpy(float)
    image = render_atoms(positions, peaks, scan.sigma, (scan.size, scan.size))
    return image + scan.peak * scan.background


def _grow(sheet: Sheet, scan: Scan, drift: Number, rng: np.random.Generator) -> Sites:
    """The sites of a sheet that fills every frame, with its dopants."""
    margin = 5 * BOND + WINDOW * scan.probe / FWHM + drift * scan.pixel_size
    stretch = 1 + 4 * float(np.abs(sheet.strain).max())  # of the field at its weakest
    half_width = (scan.size * scan.pixel_size / 2 + margin) * stretch
    first = sheet.angle or 0.0
    angles = [first, first + sheet.grain_angle][: sheet.num_grains]
    lattice = graphene_sheet(half_width, BOND, angles, rng)
    lattice = deform(lattice, sheet.strain, sheet.strain_length, rng)
    return prepare_sites(
        lattice,
        BOND,
        vacancies=sheet.vacancy_fraction,
        threefold=sheet.silicon_fraction,
        fourfold=sheet.fourfold_fraction,
        rng=rng,
    )


def _atoms(sites: Sites, sheet: Sheet, scan: Scan, drift: np.ndarray) -> pd.DataFrame:
    """The truth's table of one frame, with the atoms outside the field."""
    relaxed = relax_around(sites, sheet.silicon_bond)
    kind, target = sites.kind.copy(), sites.target.copy()
    silicon = np.flatnonzero(sites.silicon)
    beside = sites.neighbours[silicon, :3]
    kind[beside], kind[silicon] = "next to Si", "Si"
    target[beside] = silicon[:, None]
    towards = relaxed[target] - relaxed
    direction = np.where(target < 0, np.nan, np.arctan2(towards[:, 1], towards[:, 0]))
    fourfold = kind == "Si4"
    symmetry = np.where(fourfold, 2, 3)
    angle = np.where(fourfold, direction, sites.lattice.angle)
    period = 2 * np.pi / symmetry
    strain = sites.lattice.strain
    x, y = _to_pixels(relaxed, scan) + drift[:, None]
    atoms = pd.DataFrame(
        {
            "x": x,
            "y": y,
            "element": np.where(sites.silicon | fourfold, "Si", "C"),
            "site": kind.astype(str),
            "grain": sites.lattice.grain,
            "angle": np.mod(angle + period / 2, period) - period / 2,
            "symmetry": symmetry,
            "direction": np.where(fourfold, np.nan, direction),
            "strain_xx": strain[:, 0],
            "strain_yy": strain[:, 1],
            "strain_xy": strain[:, 2],
            "atom": sites.atom,
        }
    )
    return atoms.loc[sites.atom >= 0]


def _to_pixels(positions: np.ndarray, scan: Scan) -> np.ndarray:
    """(2, n) x and y in pixels of positions in nm about the field's centre, y up."""
    shape = (scan.size, scan.size)
    unit = jnp.asarray(positions / (scan.pixel_size * unit_length(shape)))
    return np.asarray(unit_to_pixel(unit, shape), float).T


def _noise(scan: Scan) -> dict[str, Any]:
    """What a Cramer-Rao bound needs, and that of an isolated atom."""
    background = scan.peak * scan.background
    peaks = {element: scan.peak * contrast(element) for element in ATOMIC_NUMBERS}
    bounds = {
        element: cramer_rao(scan.sigma, peak, background)["x"]
        for element, peak in peaks.items()
    }
    return {
        "sigma": scan.sigma,
        "peak": peaks,
        "background": background,
        "position_bound": bounds,
    }
