"""Patches of strained graphene whose truth is known: pristine, Si, next to Si, 5-7-7-5.

Every patch is centred on an atom; the lattice is strained along one of its bonds, the
axis of every defect, so that no defect has a factor but the strain.
"""

import numpy as np
import pandas as pd

from jaxrvae.data.containers import Patches
from jaxrvae.simulate.graphene import BOND, DOSE
from jaxrvae.simulate.imaging import FWHM, carbon_peak, contrast, render_atoms
from jaxrvae.simulate.lattice import honeycomb

KINDS = ("pristine", "Si", "next to Si", "Stone-Wales")
SHARES = (0.4, 0.2, 0.2, 0.2)
SYMMETRY = (3, 3, 1, 1)
WINDOW = 1.0  # nm
PROBE = 0.1  # nm, full width at half maximum of an atom
SILICON_BOND = 0.162  # nm, as seen from above
POISSON_RATIO = 0.17  # of graphene; Cao 2018, Polymers 10, 206


def simulate_patches(
    seed: int, num_images: int, size: int = 24, strain: float = 0.08
) -> Patches:
    """Patches in counts, at the dose of `jaxrvae.simulate`'s movies.

    Args:
        seed: The same seed gives the same patches.
        num_images: How many.
        size: Pixels along each side, of 1 nm in all.
        strain: Strains are uniform within this share.

    Returns:
        Patches; `.truth` has shape (number in `KINDS`), angle (radians, the direction
        of the strain), strain and symmetry (the angle is meant modulo 2 pi / symmetry).
    """
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame(
        {
            "shape": rng.choice(len(KINDS), num_images, p=SHARES),
            "angle": rng.uniform(-np.pi, np.pi, num_images),
            "strain": rng.uniform(-strain, strain, num_images),
        }
    )
    truth["symmetry"] = np.array(SYMMETRY)[truth["shape"]]
    pixel, structures = WINDOW / size, [structure(kind) for kind in KINDS]
    sigma, centre = PROBE / FWHM / pixel, (size - 1) / 2
    peak = carbon_peak(DOSE, sigma)
    means = np.empty((num_images, size, size))
    for mean, row in zip(means, truth.itertuples(), strict=True):
        positions, brightness = structures[row.shape]
        stretch = np.array([1 + row.strain, 1 - POISSON_RATIO * row.strain])
        cos, sin = np.cos(row.angle), np.sin(row.angle)
        seen = positions * stretch @ np.array([[cos, sin], [-sin, cos]]) / pixel
        place = centre + seen * [1, -1]  # rows count downwards
        mean[:] = peak + render_atoms(place, peak * brightness, sigma, (size, size))
    table = pd.DataFrame({"frame": np.arange(num_images), "x": centre, "y": centre})
    return Patches(
        values=rng.poisson(means).astype(np.float32),
        table=table,
        truth=truth,
        metadata={"simulated": "graphene patches", "kinds": KINDS, "seed": seed},
    )


def structure(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 2) in nm about the central atom, y up; brightness in carbon atoms.

    The axis lies along x: a bond, that to the Si, or the bond that was turned by 90
    degrees into two five- and two seven-membered rings (not relaxed).
    """
    positions, _ = honeycomb(WINDOW, BOND, 0.0)
    brightness = np.ones(len(positions))
    central = _nearest(positions, (0.0, 0.0))
    partner = _nearest(positions, (BOND, 0.0))
    if kind == "Stone-Wales":
        positions[[central, partner]] = BOND / 2 * np.array([[1, 1], [1, -1]])
    elif kind != "pristine":
        silicon = central if kind == "Si" else partner
        brightness[silicon] = contrast("Si")
        away = positions - positions[silicon]
        distance = np.linalg.norm(away, axis=1)
        beside = (distance > 0) & (distance < 1.1 * BOND)
        positions[beside] = positions[silicon] + SILICON_BOND / BOND * away[beside]
    return positions - positions[central], brightness


def _nearest(positions: np.ndarray, place: tuple[float, float]) -> int:
    return int(np.square(positions - np.array(place)).sum(1).argmin())
