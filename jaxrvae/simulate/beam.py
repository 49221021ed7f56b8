"""Movies of graphene that the beam changes, by kinetic Monte Carlo on its bonds."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import between, one_of, positive
from jaxrvae._typing import Number
from jaxrvae.data.containers import Frames
from jaxrvae.simulate.actions import befall
from jaxrvae.simulate.dopants import SECOND_SHELL, other_grain_near
from jaxrvae.simulate.events import Event, Rates, advance, candidates
from jaxrvae.simulate.imaging import contrast
from jaxrvae.simulate.lattice import Lattice, draw_strain, graphene_sheet, strained
from jaxrvae.simulate.microscope import Microscope
from jaxrvae.simulate.network import BOND, Network, build_network, relax
from jaxrvae.simulate.recording import Recording
from jaxrvae.simulate.scan import as_tuple, drift_path

METADATA = {"simulated": "beam", "unit": "counts", "counts_per_unit": 1.0}
RIM = 8 * BOND  # nm at the sheet's border that is kept from events and never seen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flake:
    """The graphene before the beam has done anything.

    Attributes:
        num_grains: 1, or 2 that meet along a line through the field.
        angle: Direction of a bond of the first grain, radians; None draws it.
        grain_angle: Turn of the second grain against the first, radians.
        silicon_fraction: Share of the atoms that are Si with three C neighbours.
        fourfold_fraction: Share that are Si with four, in place of two C.
        vacancy_fraction: Share that are missing.
        strain: (xx, yy, xy), uniform, or the root mean square of xx and yy in a smooth
            random field, as ripples give it.
        strain_length: Over which the random field changes, nm.
    """

    num_grains: int = 1
    angle: Number | None = None
    grain_angle: Number = 0.35
    silicon_fraction: Number = 0.01
    fourfold_fraction: Number = 0.001
    vacancy_fraction: Number = 0.001
    strain: Number | Sequence[Number] = 0.005
    strain_length: Number = 2.0

    def __post_init__(self) -> None:
        one_of("num_grains", self.num_grains, [1, 2])
        as_tuple(self, "strain", 3)
        between("silicon_fraction", self.silicon_fraction, 0, 0.04)
        between("fourfold_fraction", self.fourfold_fraction, 0, 0.01)
        between("vacancy_fraction", self.vacancy_fraction, 0, 0.03)
        positive("strain_length", self.strain_length)
        least = -0.1 if isinstance(self.strain, Sequence) else 0
        for part in np.atleast_1d(self.strain).tolist():
            between("strain", part, least, 0.1)


def simulate_beam(
    seed: int = 0,
    flake: Flake | None = None,
    rates: Rates | None = None,
    microscope: Microscope | None = None,
) -> Frames:
    """A movie in counts of graphene under the beam, with its atoms and events.

    `.truth["atoms"]` has a row for every atom in the field of every frame: frame; x, y
    (pixels); element; site ("C", "Si", "Si4", "next to Si", "next to vacancy" with a
    neighbour missing, "Stone-Wales" on a turned bond, "boundary" between grains,
    "adatom"); coordination (0 for adatoms); grain; strain_xx, strain_yy, strain_xy (of
    the ripples; x to the right, y up); atom (its number, the same in all frames).

    `.truth["events"]` has a row an event: frame (the first that shows it), time (frames
    since the first), kind (see `Event` and `Rates` in `jaxrvae.simulate.events`), x, y
    (pixels of that frame) and atoms (their numbers). Further: "drift", "jitter" (frame,
    row, 2: pixels), "counts_per_pixel", "background" and "options".

    Args:
        seed: The same seed gives the same movie.
        flake: The atoms at the start.
        rates: Of every event, a frame.
        microscope: Probe, scan and dose.

    >>> movie = simulate_beam(0, microscope=Microscope(num_frames=2, size=64))
    >>> movie.values.shape, list(movie.truth["events"])[:3]
    ((2, 64, 64), ['frame', 'time', 'kind'])
    """
    flake, rates = flake or Flake(), rates or Rates()
    microscope = microscope or Microscope()
    sheet_rng, event_rng, drift_rng, noise_rng = np.random.default_rng(seed).spawn(4)
    angle = float(sheet_rng.uniform(-np.pi / 3, np.pi / 3))
    if flake.angle is None:
        flake = dataclasses.replace(flake, angle=angle)
    drift = drift_path(microscope.num_frames, microscope.drift, drift_rng)
    network = _grow(flake, microscope.half_width(drift), sheet_rng)
    ripples = draw_strain(
        network.positions, flake.strain, flake.strain_length, sheet_rng
    )
    recording, log = Recording(microscope, drift, METADATA, noise_rng), []
    for number in range(microscope.num_frames):
        if number:
            network, events = advance(network, rates, number - 1, 1, event_rng)
            log += _rows(events, number, ripples, microscope, drift[number])
        network = relax(network)
        atoms = _table(network, flake, ripples, microscope)
        atoms[["x", "y"]] += drift[number]
        recording.add(atoms, atoms["element"].map(contrast).to_numpy(float))
    names = ["frame", "time", "kind", "x", "y", "atoms"]
    truth: dict[str, Any] = {
        "atoms": recording.atoms(),
        "events": pd.DataFrame(log, columns=names),
        "options": vars(flake) | vars(rates) | vars(microscope),
    }
    return recording.movie(seed, truth)


def _grow(flake: Flake, half_width: float, rng: np.random.Generator) -> Network:
    """A sheet larger than the field by a rim, with its defects, at rest."""
    stretch = 1 + 4 * float(np.abs(flake.strain).max())
    active = half_width * stretch
    angles = [flake.angle or 0.0, (flake.angle or 0.0) + flake.grain_angle]
    sheet = graphene_sheet(active + RIM, BOND, angles[: flake.num_grains], rng)
    network = build_network(sheet, active)
    num_atoms = int(network.active.sum())
    fourfold = round(flake.fourfold_fraction * num_atoms)
    wanted = {
        "dope": round(flake.silicon_fraction * num_atoms) + fourfold,
        "to fourfold": fourfold,
        "knock": round(flake.vacancy_fraction * num_atoms),
    }
    for kind, number in wanted.items():
        for _ in range(number):
            network = _spoil(network, kind, rng)
    return network


def _spoil(network: Network, kind: str, rng: np.random.Generator) -> Network:
    """One defect more, where there is room for it."""
    if kind != "dope":
        places = candidates(network)[kind]
        if len(places):
            which = places[rng.integers(len(places))]
            return befall(network, kind, which, rng)[0]
    else:
        places = candidates(network)["knock"][:, 0]
        near = network.neighbours[network.silicon].ravel()
        near = network.neighbours[near[near >= 0]].ravel()
        places = np.setdiff1d(places, near[near >= 0])
        if len(places):
            silicon, changed = network.silicon.copy(), network.changed.copy()
            site = rng.choice(places)
            silicon[site] = changed[site] = True
            return dataclasses.replace(network, silicon=silicon, changed=changed)
    raise ValueError(
        "silicon_fraction, fourfold_fraction and vacancy_fraction must leave room "
        f"between defects; got too many for {len(network.positions)} atoms. Lower them."
    )


def _table(
    network: Network, flake: Flake, ripples: Any, microscope: Microscope
) -> pd.DataFrame:
    """The truth's table of one frame, without drift, with atoms outside the field."""
    n = len(network.positions)
    lattice = Lattice(network.positions, np.zeros(n), network.grain, np.zeros((n, 3)))
    count, around = network.coordination, network.neighbours
    site = np.full(n, "C", dtype=object)
    if flake.num_grains > 1:
        site[other_grain_near(lattice, SECOND_SHELL * BOND)] = "boundary"
    site[count < 3] = "next to vacancy"
    site[network.flips[:, :2].ravel()] = "Stone-Wales"
    beside = around[network.silicon & network.alive].ravel()
    site[beside[beside >= 0]] = "next to Si"
    site[network.silicon] = np.where(count[network.silicon] == 4, "Si4", "Si")
    above = network.adatoms[:, :2]
    middles = network.positions[above].mean(1)
    positions = np.concatenate([network.positions, middles])
    moved, gradient = ripples(positions)
    m = len(middles)
    shape = Lattice(positions, np.zeros(n + m), np.zeros(n + m), np.zeros((n + m, 3)))
    shape = strained(shape, moved, gradient)
    pixels = microscope.to_pixels(shape.positions)
    atoms = pd.DataFrame(
        {
            "x": pixels[:, 0],
            "y": pixels[:, 1],
            "element": np.append(np.where(network.silicon, "Si", "C"), ["C"] * m),
            "site": np.append(site.astype(str), ["adatom"] * m),
            "coordination": np.append(count, np.zeros(m, int)),
            "grain": np.append(network.grain, network.grain[above[:, 0]]),
            "strain_xx": shape.strain[:, 0],
            "strain_yy": shape.strain[:, 1],
            "strain_xy": shape.strain[:, 2],
            "atom": np.append(network.atom, network.adatoms[:, 2]),
        }
    )
    return atoms.loc[np.append(network.alive, np.ones(m, bool))]


def _rows(
    events: list[Event],
    frame: int,
    ripples: Any,
    microscope: Microscope,
    drift: np.ndarray,
) -> list[tuple[Any, ...]]:
    """Of the truth's table of events."""
    if not events:
        return []
    places = np.array([event.place for event in events])
    pixels = microscope.to_pixels(places + ripples(places)[0]) + drift
    return [
        (frame, event.time, event.kind, float(x), float(y), event.atoms)
        for event, (x, y) in zip(events, pixels, strict=True)
    ]
