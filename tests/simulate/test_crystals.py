import types

import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.simulate.crystals import (
    cell_of,
    known_cell,
    polarization,
    tile,
    tilts,
)
from jaxrvae.simulate.elements import SYMBOLS, atomic_number, formula


def ase_like(positions, numbers, cell):
    return types.SimpleNamespace(
        positions=np.array(positions, float),
        numbers=np.array(numbers),
        cell=np.array(cell, float),
    )


def test_symbols_stand_at_their_numbers():
    known = {"H": 1, "C": 6, "Si": 14, "Ti": 22, "Mo": 42, "Ba": 56, "Pb": 82, "U": 92}
    assert {name: atomic_number(name) for name in known} == known
    assert len(set(SYMBOLS)) == len(SYMBOLS) == 97
    assert formula((6,)) == "C"


@pytest.mark.parametrize(
    ("structure", "bond", "around"),
    [("graphene", 0.142, 3), ("mos2", 0.1824, 3), ("perovskite", 0.195, 4)],
)
def test_bonds(structure, bond, around):
    places, number, _, _ = tile(known_cell(structure), 2.0, 0.3, np.array([0.1, 0.05]))
    apart = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    assert apart.min() == pytest.approx(bond, abs=1e-3)
    inner = (np.abs(places) < 1.5).all(1)
    near = (apart < 1.1 * bond)[inner].sum(1)
    assert (near == around).all()
    nearest = number[apart.argmin(1)]
    assert (nearest[inner] != number[inner]).all()


def test_cell_of_atoms_as_ase_has_them():
    # 2H MoS2, the S of each pair above one another; across the border of the cell too
    a, b = 3.16, 3.16 * np.sqrt(3) / 2
    cell = [[a, 0, 0], [a / 2, b, 0], [0, 0, 12]]
    s = [a / 2, a / np.sqrt(12)]
    atoms = ase_like([[0, 0, 6], [*s, 4.4], [s[0] + a, s[1], 7.6]], [42, 16, 16], cell)
    made, known = cell_of(atoms), known_cell("mos2")
    np.testing.assert_allclose(made.vectors, known.vectors)
    np.testing.assert_allclose(made.positions, known.positions)
    assert made.atoms == known.atoms
    np.testing.assert_array_equal(made.fragile, known.fragile)
    np.testing.assert_array_equal(made.metal, known.metal)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        ("graphite", "as an ASE Atoms; got str"),
        (ase_like([[0, 0, 0]], [6], np.zeros((3, 3))), "must span the plane"),
        (ase_like([[0, 0, 0]], [6], [[3, 0, 1], [0, 3, 0], [0, 0, 3]]), "must span"),
        (ase_like(np.zeros((0, 3)), [], np.eye(3)), "at least one atom"),
    ],
)
def test_cell_of_refuses(atoms, message):
    with pytest.raises(DataError, match=message):
        cell_of(atoms)


@pytest.mark.parametrize("kind", [180, 90])
def test_domains_end_at_walls_and_carry_no_charge(kind):
    points = np.random.default_rng(0).uniform(-4, 4, (500, 2))
    walls = np.array([-1.0, 1.5])
    vector, domain = polarization(points, walls, kind, 0.2)
    normal = np.array([1.0, 0.0]) if kind == 180 else np.array([1.0, 1.0]) / 2**0.5
    depth = points @ normal
    far = np.abs(depth[:, None] - walls).min(1) > 1.0
    np.testing.assert_array_equal(domain, np.searchsorted(walls, depth))
    expected = {
        180: np.array([[0, 1], [0, -1], [0, 1]]),
        90: np.array([[0, 1], [1, 0], [0, 1]]),
    }[kind]
    np.testing.assert_allclose(vector[far], expected[domain[far]], atol=1e-3)
    across = vector[far] @ normal  # the same on both sides: no bound charge
    np.testing.assert_allclose(across, across[0], atol=1e-3)


def test_tilts_turn_rigid_octahedra_in_opposite_senses():
    cell, tilt = known_cell("perovskite"), 0.1
    places, number, index, _ = tile(cell, 1.5, 0.0, np.zeros(2))
    moved = places + tilts(index, number, tilt)
    senses = {}
    for b in np.flatnonzero(number == 1):
        gap = places - places[b]
        oxygen = np.flatnonzero(np.abs(np.hypot(*gap.T) - 0.195) < 1e-6)
        oxygen = oxygen[number[oxygen] > 1]
        if len(oxygen) < 4:
            continue
        before, after = gap[oxygen], moved[oxygen] - places[b]
        cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
        turn = cross / (before * after).sum(1)
        np.testing.assert_allclose(turn, turn[0], atol=1e-9)
        assert abs(np.arctan(turn[0])) == pytest.approx(tilt)
        senses[tuple(index[b])] = np.sign(turn[0])
    for (i, j), sense in senses.items():
        assert senses.get((i + 1, j), -sense) == -sense
        assert senses.get((i, j + 1), -sense) == -sense
    assert len(senses) > 20
