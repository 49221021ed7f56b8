"""Movies of crystals, column by column: MoS2, perovskites, any structure given."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import at_least, between, one_of, positive, whole
from jaxrvae._typing import Float, Number
from jaxrvae.data.containers import Frames
from jaxrvae.simulate.crystals import (
    LATTICE_CONSTANTS,
    Cell,
    cell_of,
    known_cell,
    polarization,
    tile,
    tilts,
)
from jaxrvae.simulate.elements import SYMBOLS, atomic_number, brightness, formula
from jaxrvae.simulate.lattice import Lattice, deform
from jaxrvae.simulate.microscope import Microscope
from jaxrvae.simulate.recording import Recording
from jaxrvae.simulate.scan import as_tuple, drift_path

METADATA = {"simulated": "lattice", "unit": "counts", "counts_per_unit": 1.0}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Crystal:
    """The atoms.

    Attributes:
        structure: "graphene", "mos2", "perovskite", or an ASE `Atoms` (or whatever has
            its positions, numbers and cell), seen along z.
        angle: Turn of the crystal, radians; None draws it.
        layers: Unit cells along the beam.
        vacancy_fraction: Share of the fragile columns (S of MoS2, C, O of a perovskite,
            the lightest element) that lack one atom.
        double_vacancy_fraction: Share of them that lack two.
        loss_rate: Probability, a frame, that a fragile column loses an atom.
        dopant: Symbol of the element that replaces atoms of the heavy columns.
        dopant_fraction: Share of those columns in which one atom is replaced.
        strain: (xx, yy, xy), uniform, or the root mean square of xx and yy in a smooth
            random field.
        strain_length: Over which the random field changes, nm.
    """

    structure: Any = "mos2"
    angle: Number | None = None
    layers: int = 1
    vacancy_fraction: Number = 0.0
    double_vacancy_fraction: Number = 0.0
    loss_rate: Number = 0.0
    dopant: str = "V"
    dopant_fraction: Number = 0.0
    strain: Number | Sequence[Number] = 0.0
    strain_length: Number = 2.0

    def __post_init__(self) -> None:
        if isinstance(self.structure, str):
            hint = "Or give an ASE Atoms."
            one_of("structure", self.structure, LATTICE_CONSTANTS, hint)
        whole("layers", self.layers, 1)
        shares = ("vacancy_fraction", "double_vacancy_fraction", "dopant_fraction")
        for name in (*shares, "loss_rate"):
            between(name, getattr(self, name), 0, 1)
        missing = self.vacancy_fraction + self.double_vacancy_fraction
        between("vacancy_fraction + double_vacancy_fraction", missing, 0, 1)
        atomic_number(self.dopant)
        as_tuple(self, "strain", 3)
        least = -0.1 if isinstance(self.strain, Sequence) else 0
        for part in np.atleast_1d(self.strain).tolist():
            between("strain", part, least, 0.1)
        positive("strain_length", self.strain_length)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Polar:
    """What only a perovskite has.

    Attributes:
        a_site: Symbol of the element at the corners.
        b_site: Symbol of the element at the centre.
        displacement: Of B from its centre in a domain, nm.
        oxygen_share: Oxygen moves by this share of B's displacement.
        domain_wall: 180 (antiparallel, through zero) or 90 (head to tail) degrees.
        num_walls: Parallel, evenly spaced over the field; 0 is one domain.
        domain_wall_width: Walls are tanh(distance / domain_wall_width), nm.
        tilt: Turn of the octahedra about the beam, neighbours in opposite senses,
            radians.
    """

    a_site: str = "Pb"
    b_site: str = "Ti"
    displacement: Number = 0.017
    oxygen_share: Number = -0.5
    domain_wall: int = 180
    num_walls: int = 2
    domain_wall_width: Number = 0.5
    tilt: Number = 0.0

    def __post_init__(self) -> None:
        for symbol in (self.a_site, self.b_site):
            atomic_number(symbol)
        between("displacement", self.displacement, 0, 0.08, "It is in nm.")
        between("oxygen_share", self.oxygen_share, -4, 4)
        one_of("domain_wall", self.domain_wall, [90, 180])
        whole("num_walls", self.num_walls, 0)
        positive("domain_wall_width", self.domain_wall_width)
        at_least("tilt", self.tilt, 0)
        between("tilt", self.tilt, 0, 0.5, "It is in radians.")


def simulate_lattice(
    seed: int = 0,
    crystal: Crystal | None = None,
    polar: Polar | None = None,
    microscope: Microscope | None = None,
) -> Frames:
    """A movie in counts of a crystal, and the truth about every column in it.

    `.truth["atoms"]` has a row for every column in the field of every frame: frame; x,
    y (pixels); element (the heaviest); formula of one cell's depth ("S2", "TiO");
    sublattice (number of the column in its cell); site ("lattice", "vacancy" where
    atoms are missing, "dopant"); missing (how many); displacement_x, displacement_y
    (pixels, y downwards, from where the undistorted cell has it); domain; angle
    (radians, the crystal's turn with the strain's); brightness (relative to one carbon
    atom); atom (the column's number, the same in all frames).

    Further in `.truth`: "vacancies" (frame, x, y, atom: columns with nothing left),
    "drift", "jitter" (frame, row, 2: pixels), "counts_per_pixel", "background" (counts
    a pixel) and "options".

    Args:
        seed: The same seed gives the same movie.
        crystal: The atoms.
        polar: For perovskites: polar displacements, domains and tilts.
        microscope: Probe, scan and dose.

    >>> movie = simulate_lattice(0, microscope=Microscope(num_frames=2, size=64))
    >>> movie.values.shape, sorted(set(movie.truth["atoms"]["formula"]))
    ((2, 64, 64), ['Mo', 'S2'])
    """
    crystal, polar = crystal or Crystal(), polar or Polar()
    microscope = microscope or Microscope()
    if crystal.structure != "perovskite" and polar != Polar():
        raise ValueError(
            f"{[f.name for f in dataclasses.fields(Polar)]} are a perovskite's; got "
            f"structure={crystal.structure!r}. Set structure='perovskite'."
        )
    crystal_rng, loss_rng, drift_rng, noise_rng = np.random.default_rng(seed).spawn(4)
    turn = float(crystal_rng.uniform(-np.pi, np.pi))
    if crystal.angle is None:
        crystal = dataclasses.replace(crystal, angle=turn)
    drift = drift_path(microscope.num_frames, microscope.drift, drift_rng)
    cell = _cell(crystal, polar)
    columns = _grow(crystal, polar, cell, microscope, drift, crystal_rng)
    place = microscope.to_pixels(columns[["x", "y"]].to_numpy())
    shift = columns[["displacement_x", "displacement_y"]].to_numpy()
    shift = shift * [1, -1] / microscope.pixel_size
    columns[["displacement_x", "displacement_y"]] = shift
    recording = Recording(microscope, drift, METADATA, noise_rng)
    for number in range(microscope.num_frames):
        if number:
            columns = _lose(columns, crystal, loss_rng)
        columns = columns.assign(brightness=_brightness(columns, crystal))
        columns[["x", "y"]] = place + drift[number]
        recording.add(columns, columns["brightness"].to_numpy())
    options = vars(crystal) | vars(polar) | vars(microscope)
    truth = _truth(recording.atoms()) | {"options": options}
    return recording.movie(seed, truth)


def _cell(crystal: Crystal, polar: Polar) -> Cell:
    if not isinstance(crystal.structure, str):
        return cell_of(crystal.structure)
    return known_cell(crystal.structure, polar.a_site, polar.b_site)


def _grow(
    crystal: Crystal,
    polar: Polar,
    cell: Cell,
    microscope: Microscope,
    drift: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """A row a column: x, y and displacements in nm, y up."""
    angle = crystal.angle or 0.0
    half_width = microscope.half_width(drift)
    stretch = 1 + 4 * float(np.abs(crystal.strain).max())
    origin = rng.uniform(0, 1, 2) @ cell.vectors
    places, number, index, own = tile(cell, half_width * stretch, angle, origin)
    moved, domain = np.zeros_like(places), np.zeros(len(places), int)
    if crystal.structure == "perovskite":
        part = np.arange(1, polar.num_walls + 1) / (polar.num_walls + 1) - 0.5
        walls = microscope.size * microscope.pixel_size * part
        direction, domain = polarization(
            own, walls, polar.domain_wall, polar.domain_wall_width
        )
        share = np.array([0.0, 1.0, polar.oxygen_share, polar.oxygen_share])[number]
        moved = polar.displacement * share[:, None] * direction
        moved += tilts(index, number, polar.tilt)
    cos, sin = np.cos(angle), np.sin(angle)
    moved = moved @ np.array([[cos, sin], [-sin, cos]])
    zero = np.zeros(len(places), int)
    strained = deform(
        Lattice(places + moved, np.full(len(places), angle), zero, np.zeros((0, 3))),
        crystal.strain,
        crystal.strain_length,
        rng,
    )
    columns = pd.DataFrame(strained.positions, columns=["x", "y"])
    columns = columns.assign(
        formula=np.array([formula(c) for c in cell.atoms])[number],
        sublattice=number,
        missing=0,
        dopant=False,
        displacement_x=moved[:, 0],
        displacement_y=moved[:, 1],
        domain=domain,
        angle=np.mod(strained.angle + np.pi, 2 * np.pi) - np.pi,
        fragile=cell.fragile[number],
        depth=np.array([len(c) for c in cell.atoms])[number] * crystal.layers,
        atom=np.arange(len(places)),
    )
    return _spoil(columns, cell, crystal, rng)


def _spoil(
    columns: pd.DataFrame, cell: Cell, crystal: Crystal, rng: np.random.Generator
) -> pd.DataFrame:
    """With the vacancies and dopants of the start, and what each column is made of."""
    number = columns["sublattice"].to_numpy()
    chance = rng.random(len(columns))
    double = chance < crystal.double_vacancy_fraction
    single = chance < crystal.double_vacancy_fraction + crystal.vacancy_fraction
    missing = (single.astype(int) + double) * columns["fragile"].to_numpy()
    doped = (rng.random(len(columns)) < crystal.dopant_fraction) & cell.metal[number]
    heavy = np.array([max(c) for c in cell.atoms])[number]
    light = np.array([min(c) for c in cell.atoms])[number]
    whole_column = np.array([sum(map(brightness, c)) for c in cell.atoms])[number]
    return columns.assign(
        missing=np.minimum(missing, columns["depth"]),
        dopant=doped,
        element=np.array(SYMBOLS)[np.where(doped, _number(crystal), heavy)],
        whole=whole_column * crystal.layers,
        heavy=[brightness(z) for z in heavy.tolist()],
        light=[brightness(z) for z in light.tolist()],
    )


def _number(crystal: Crystal) -> int:
    return atomic_number(crystal.dopant)


def _lose(
    columns: pd.DataFrame, crystal: Crystal, rng: np.random.Generator
) -> pd.DataFrame:
    """One frame later: some fragile columns have lost an atom."""
    lost = (rng.random(len(columns)) < crystal.loss_rate) & columns["fragile"]
    return columns.assign(
        missing=np.minimum(columns["missing"] + lost, columns["depth"])
    )


def _brightness(
    columns: pd.DataFrame, crystal: Crystal
) -> Float[np.ndarray, " column"]:
    """Relative to one carbon atom: the atoms there are, and one dopant."""
    full = columns["whole"] - columns["missing"] * columns["light"]
    swap = brightness(_number(crystal)) - columns["heavy"]
    full = full + columns["dopant"] * swap
    return full.where(columns["missing"] < columns["depth"], 0).to_numpy(float)


def _truth(seen: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables of atoms and of empty columns."""
    gone = seen["missing"] == seen["depth"]
    site = np.where(seen["missing"] > 0, "vacancy", "lattice")
    seen = seen.assign(site=np.where(seen["dopant"], "dopant", site))
    names = ["frame", "x", "y", "element", "formula", "sublattice", "site", "missing"]
    names += ["displacement_x", "displacement_y", "domain", "angle", "brightness"]
    return {
        "atoms": seen.loc[~gone, [*names, "atom"]].reset_index(drop=True),
        "vacancies": seen.loc[gone, ["frame", "x", "y", "atom"]].reset_index(drop=True),
    }
