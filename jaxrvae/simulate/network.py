"""Graphene as a network of bonds: which atom is bonded to which, and where it rests."""

import dataclasses

import numpy as np

from jaxrvae._typing import Float, Int, Number
from jaxrvae.simulate.lattice import Lattice

BOND = 0.142  # nm, between carbon atoms
SILICON_BONDS = {3: 0.162, 4: 0.185}  # nm, to carbon, by neighbours, as seen from above
REACH = 6.0  # bonds around a changed site within which atoms give way
BEND = 0.3  # stiffness of bending relative to that of stretching
CLOSE = 1.6  # bonds: atoms nearer than this may be bonded, the nearest first


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """Sites, one entry each; those of atoms that are gone stay, as not alive.

    Attributes:
        positions: (n, 2) nm, at rest, without the strain of ripples.
        neighbours: (n, 4) numbers of bonded sites, in any order; -1 where none.
        silicon: (n,) whether the atom is Si; the others are C.
        alive: (n,) whether there is an atom.
        active: (n,) whether events may befall it: the rest is far from the field.
        grain: (n,) number of the grain.
        atom: (n,) number of the atom.
        adatoms: (m, 3) C atoms above a bond: its two sites, and the atom's number.
        flips: (f, 4) rotated bonds a-b, with the neighbours that a and b gave away.
        changed: (n,) whether anything happened here since the last relaxation.
        num_atoms: How many atoms there ever were.
    """

    positions: np.ndarray
    neighbours: np.ndarray
    silicon: np.ndarray
    alive: np.ndarray
    active: np.ndarray
    grain: np.ndarray
    atom: np.ndarray
    adatoms: np.ndarray
    flips: np.ndarray
    changed: np.ndarray
    num_atoms: int

    @property
    def coordination(self) -> Int[np.ndarray, " site"]:
        """How many neighbours each site has."""
        return (self.neighbours >= 0).sum(1)

    def bonds(self) -> Int[np.ndarray, "bond 2"]:
        """Pairs of bonded sites, the lower number first."""
        first = np.repeat(np.arange(len(self.neighbours)), 4)
        second = self.neighbours.ravel()
        return np.stack([first, second], -1)[second > first]

    def bonded(self, first: int, second: int) -> bool:
        """Whether the two sites are neighbours."""
        return bool((self.neighbours[first] == second).any())


def build_network(lattice: Lattice, active: Number) -> Network:
    """Carbon atoms bonded where they lie close; none moved yet.

    Args:
        lattice: One grain or more.
        active: Half the side of the square within which events happen, nm.
    """
    from scipy.spatial import KDTree

    n = len(lattice)
    pairs = KDTree(lattice.positions).query_pairs(CLOSE * BOND, output_type="ndarray")
    gaps = np.hypot(
        *(lattice.positions[pairs[:, 0]] - lattice.positions[pairs[:, 1]]).T
    )
    neighbours = np.full((n, 4), -1)
    for first, second in pairs[np.argsort(gaps)].tolist():
        if neighbours[first, 2] < 0 and neighbours[second, 2] < 0:  # C bonds thrice
            link(neighbours, first, second)
    odd = (neighbours >= 0).sum(1) != 3
    odd[pairs[(np.abs(gaps / BOND - 1) > 0.02) & _taken(neighbours, pairs)]] = True
    return Network(
        positions=lattice.positions,
        neighbours=neighbours,
        silicon=np.zeros(n, bool),
        alive=np.ones(n, bool),
        active=np.all(np.abs(lattice.positions) <= active, axis=1),
        grain=lattice.grain,
        atom=np.arange(n),
        adatoms=np.zeros((0, 3), int),
        flips=np.zeros((0, 4), int),
        changed=odd,
        num_atoms=n,
    )


def _taken(neighbours: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Which of the pairs are bonded."""
    return (neighbours[pairs[:, 0]] == pairs[:, 1:]).any(1)


def link(neighbours: np.ndarray, first: int, second: int) -> None:
    """Bond two sites, in place."""
    for here, there in ((first, second), (second, first)):
        free = np.flatnonzero(neighbours[here] < 0)
        assert len(free)
        neighbours[here, free[0]] = there


def unlink(neighbours: np.ndarray, first: int, second: int) -> None:
    """Break the bond of two sites, in place."""
    for here, there in ((first, second), (second, first)):
        slot = np.flatnonzero(neighbours[here] == there)
        assert len(slot) == 1
        neighbours[here, slot[0]] = -1
        neighbours[here] = np.sort(neighbours[here])[::-1]


def relax(network: Network) -> Network:
    """Atoms near changed sites moved to where the elastic energy is least.

    Source: Keating 1966, doi:10.1103/PhysRev.145.637: bonds resist stretching, and
    angles at atoms with up to three neighbours leaving 120 degrees.
    """
    from scipy.optimize import minimize
    from scipy.spatial import KDTree

    changed = network.positions[network.changed]
    if not len(changed):
        return network
    gap, _ = KDTree(changed).query(network.positions)
    free = (gap < REACH * BOND) & network.alive & _inner(network)
    bonds, bond_rest = _bond_terms(network, free)
    angles, angle_rest = _angle_terms(network, free)

    def energy(moved: np.ndarray) -> tuple[float, np.ndarray]:
        points = network.positions / BOND
        points[free] = moved.reshape(-1, 2)
        value, slope = keating(points, bonds, bond_rest, angles, angle_rest)
        return value, slope[free].ravel()

    start = (network.positions[free] / BOND).ravel()
    found = minimize(
        energy, start, jac=True, method="L-BFGS-B", options={"maxiter": 100}
    )
    positions = network.positions.copy()
    positions[free] = found.x.reshape(-1, 2) * BOND
    return dataclasses.replace(
        network, positions=positions, changed=np.zeros_like(network.changed)
    )


def keating(
    points: Float[np.ndarray, "site 2"],
    bonds: Int[np.ndarray, "bond 2"],
    bond_rest: Float[np.ndarray, " bond"],
    angles: Int[np.ndarray, "angle 3"],
    angle_rest: Float[np.ndarray, " angle"],
) -> tuple[float, Float[np.ndarray, "site 2"]]:
    """Elastic energy and its gradient; lengths in C-C bonds.

    Args:
        points: Positions.
        bonds: Pairs of sites.
        bond_rest: Their lengths at rest.
        angles: A site and two of its neighbours.
        angle_rest: Products of the two bonds' lengths at rest.
    """
    slope = np.zeros_like(points)
    along = points[bonds[:, 0]] - points[bonds[:, 1]]
    excess = (along**2).sum(1) - bond_rest**2
    stiff = 3 / (16 * bond_rest**2)
    value = (stiff * excess**2).sum()
    push = (4 * stiff * excess)[:, None] * along
    np.add.at(slope, bonds[:, 0], push)
    np.subtract.at(slope, bonds[:, 1], push)
    one, two = (points[angles[:, i]] - points[angles[:, 0]] for i in (1, 2))
    bent = (one * two).sum(1) + angle_rest / 2  # cos 120 degrees = -1/2
    stiff = 3 * BEND / (8 * angle_rest)
    value += (stiff * bent**2).sum()
    pull = (2 * stiff * bent)[:, None]
    np.add.at(slope, angles[:, 1], pull * two)
    np.add.at(slope, angles[:, 2], pull * one)
    np.subtract.at(slope, angles[:, 0], pull * (one + two))
    return float(value), slope


def _inner(network: Network) -> np.ndarray:
    """Sites off the sheet's rim, which stays where it is."""
    rim = np.abs(network.positions).max() - 2 * BOND
    return (np.abs(network.positions) < rim).all(1)


def _rest(network: Network, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Lengths at rest, in C-C bonds."""
    length = np.ones(len(first))
    count = network.coordination
    for sites in (first, second):
        here = network.silicon[sites]
        long = np.where(count[sites] == 4, SILICON_BONDS[4], SILICON_BONDS[3])
        length[here] = long[here] / BOND
    return length


def _bond_terms(network: Network, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    bonds = network.bonds()
    bonds = bonds[free[bonds].any(1)]
    return bonds, _rest(network, bonds[:, 0], bonds[:, 1])


def _angle_terms(network: Network, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At sites with up to three neighbours: those come first, unused places last."""
    count = network.coordination
    triples = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        centre = np.flatnonzero((count <= 3) & (count > j))
        ordered = -np.sort(-network.neighbours[centre], axis=1)
        triples.append(np.stack([centre, ordered[:, i], ordered[:, j]], -1))
    angles = np.concatenate(triples)
    angles = angles[free[angles].any(1)]
    rest = _rest(network, angles[:, 0], angles[:, 1])
    return angles, rest * _rest(network, angles[:, 0], angles[:, 2])
