"""Silicon and vacancies in a honeycomb lattice: where they sit and how they move."""

import dataclasses

import numpy as np

from jaxrvae._typing import Float, Number
from jaxrvae.simulate.lattice import Lattice, neighbours

FIRST_SHELL = 1.25  # bonds: farther than first neighbours, nearer than second ones
SECOND_SHELL = 1.86  # bonds: farther than second neighbours, nearer than third ones
PUSH_REACH = 4.0  # bonds from a silicon atom beyond which the lattice is left as it is


@dataclasses.dataclass(frozen=True, eq=False)
class Sites:
    """The lattice's sites and what is on them, one entry a site.

    Attributes:
        lattice: Positions, angles, grains and strain.
        bond: Length of a bond, nm.
        neighbours: (n, 4) numbers of the neighbouring sites, -1 where none.
        near: The sites up to second neighbours of each, itself included.
        free: (n,) whether a threefold Si may be here: no defect or boundary close.
        atom: (n,) number of the atom here, -1 if none.
        silicon: (n,) whether that is a threefold Si.
        kind: (n,) what the site is, apart from threefold Si and their neighbours.
        target: (n,) number of the site of the fourfold Si or vacancy beside this one;
            for a fourfold Si the second of its two sites; -1 for all others.
    """

    lattice: Lattice
    bond: Number
    neighbours: np.ndarray
    near: np.ndarray
    free: np.ndarray
    atom: np.ndarray
    silicon: np.ndarray
    kind: np.ndarray
    target: np.ndarray


def prepare_sites(
    lattice: Lattice,
    bond: Number,
    *,
    vacancies: Number,
    fourfold: Number,
    threefold: Number,
    rng: np.random.Generator,
) -> Sites:
    """Dopants and vacancies drawn at random, no two so close as to share a neighbour.

    Args:
        lattice: Of carbon alone.
        bond: Length of a bond, nm.
        vacancies: Share of the sites that are empty.
        fourfold: Share of the sites that hold a Si in place of two C.
        threefold: Share of the sites that hold a Si in place of one C.
        rng: Draws the places.

    Raises:
        ValueError: No room for so many.
    """
    from scipy.spatial import KDTree

    around = neighbours(lattice.positions, FIRST_SHELL * bond)
    tree = KDTree(lattice.positions)
    near = tree.query_ball_point(lattice.positions, SECOND_SHELL * bond)
    boundary = other_grain_near(lattice, SECOND_SHELL * bond)
    boundary |= (around >= 0).sum(1) != 3
    free = ~boundary & ~(boundary[around] & (around >= 0)).any(1)
    kind = np.where(boundary, "boundary", "C").astype(object)
    atom = np.arange(len(lattice))
    positions = lattice.positions.copy()
    target = np.full(len(lattice), -1)
    for site in _draw(free, near, vacancies, "vacancy_fraction", rng):
        atom[site] = -1
        beside = around[site, :3]
        kind[beside], target[beside] = "next to vacancy", site
    for site in _draw(free, near, fourfold, "fourfold_fraction", rng):
        other = around[site, rng.integers(3)]
        beside = np.setdiff1d(around[[site, other], :3], [site, other])
        kind[beside], target[beside] = "next to Si", site
        kind[site], target[site] = "Si4", other
        positions[site], atom[other] = positions[[site, other]].mean(0), -1
        free[near[other]] = False
    room = free.copy()  # `free` stays: threefold Si may move where others were
    silicon = np.zeros(len(lattice), bool)
    silicon[list(_draw(room, near, threefold, "silicon_fraction", rng))] = True
    lattice = dataclasses.replace(lattice, positions=positions)
    return Sites(lattice, bond, around, near, free, atom, silicon, kind, target)


def hop(sites: Sites, rate: Number, rng: np.random.Generator) -> Sites:
    """Each threefold Si changes place with a C neighbour with the given probability.

    It stays where no neighbouring site is free of defects nearby.
    """
    atom, silicon = sites.atom.copy(), sites.silicon.copy()
    for site in rng.permutation(np.flatnonzero(silicon)):
        if rng.random() >= rate:
            continue
        silicon[site] = False
        choices = [
            new
            for new in sites.neighbours[site, :3]
            if sites.free[new] and not silicon[sites.near[new]].any()
        ]
        new = rng.choice(choices) if choices else site
        silicon[new] = True
        atom[[site, new]] = atom[[new, site]]
    return dataclasses.replace(sites, atom=atom, silicon=silicon)


def relax_around(sites: Sites, silicon_bond: Number) -> Float[np.ndarray, "site 2"]:
    """Positions with the lattice pushed away from each threefold Si, nm.

    First neighbours end at `silicon_bond` of it, as seen from above; farther ones move
    in the same direction by a length that falls with the square of the distance. It
    stands for the relaxation; no energy is minimised.
    """
    from scipy.spatial import KDTree

    positions = sites.lattice.positions
    centres = positions[sites.silicon]
    if not len(centres):
        return positions
    tree = KDTree(positions)
    reached = tree.query_ball_point(centres, PUSH_REACH * sites.bond)
    pushed = np.concatenate(reached).astype(int)
    away = positions[pushed] - np.repeat(centres, [len(r) for r in reached], axis=0)
    distance = np.maximum(np.hypot(*away.T), 0.5 * sites.bond)  # 0 for the Si itself
    push = (silicon_bond - sites.bond) * (sites.bond / distance) ** 2
    moved = positions.copy()
    np.add.at(moved, pushed, away * (push / distance)[:, None])
    return moved


def other_grain_near(lattice: Lattice, distance: Number) -> np.ndarray:
    """Which sites have one of another grain within the distance."""
    from scipy.spatial import KDTree

    found = np.zeros(len(lattice), bool)
    for grain in np.unique(lattice.grain):
        own = lattice.grain == grain
        if not own.all():
            gap, _ = KDTree(lattice.positions[~own]).query(lattice.positions[own])
            found[own] = gap <= distance
    return found


def _draw(free: np.ndarray, near: np.ndarray, share: Number, name: str, rng):
    """Free sites, one by one; `free` is taken away around each."""
    wanted = round(share * len(free))
    for site in rng.permutation(np.flatnonzero(free)):
        if not wanted:
            return
        if free[site]:
            free[near[site]] = False
            wanted -= 1
            yield site
    if wanted:
        raise ValueError(
            f"{name} must leave room between defects; got {share!r}, which is "
            f"{wanted} too many. Lower it, or the other fractions."
        )
