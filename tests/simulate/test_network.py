import dataclasses

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from jaxrvae.simulate.lattice import graphene_sheet
from jaxrvae.simulate.network import (
    BOND,
    _angle_terms,
    _bond_terms,
    build_network,
    keating,
    relax,
)


def sheet(angles=(0.2,), half_width=2.5, active=1.2, seed=0):
    rng = np.random.default_rng(seed)
    return build_network(graphene_sheet(half_width, BOND, list(angles), rng), active)


def test_sheet_has_three_bonds_each_of_one_length():
    network = sheet()
    inner = (np.abs(network.positions) < 2.2).all(1)
    assert (network.coordination[inner] == 3).all()
    bonds = network.bonds()
    gap = network.positions[bonds[:, 0]] - network.positions[bonds[:, 1]]
    np.testing.assert_allclose(np.hypot(*gap.T), BOND, rtol=1e-9)
    assert network.bonded(*bonds[0].tolist())
    assert (np.abs(network.positions[network.active]) <= 1.2).all()


def test_perfect_sheet_is_at_rest():
    network = sheet()
    everything = np.ones(len(network.positions), bool)
    terms = *_bond_terms(network, everything), *_angle_terms(network, everything)
    value, slope = keating(network.positions / BOND, *terms)
    assert value == pytest.approx(0, abs=1e-20)
    np.testing.assert_allclose(slope, 0, atol=1e-9)


def test_gradient_against_finite_differences():
    network = sheet(half_width=0.6)
    network.silicon[3] = True
    everything = np.ones(len(network.positions), bool)
    terms = *_bond_terms(network, everything), *_angle_terms(network, everything)
    rng = np.random.default_rng(1)
    points = network.positions / BOND + 0.1 * rng.normal(size=network.positions.shape)
    _, slope = keating(points, *terms)
    numeric = approx_fprime(
        points.ravel(), lambda p: keating(p.reshape(-1, 2), *terms)[0], 1e-7
    )
    np.testing.assert_allclose(slope.ravel(), numeric, atol=1e-5)


def test_relaxation_brings_a_moved_atom_back_and_leaves_the_rest():
    network = sheet()
    site = int(np.hypot(*network.positions.T).argmin())
    moved, changed = network.positions.copy(), network.changed.copy()
    moved[site] += [0.03, -0.02]
    changed[:] = False
    changed[site] = True
    pulled = dataclasses.replace(network, positions=moved, changed=changed)
    rested = relax(pulled)
    np.testing.assert_allclose(rested.positions, network.positions, atol=1e-4)
    far = np.hypot(*(network.positions - moved[site]).T) > 7 * BOND
    np.testing.assert_array_equal(rested.positions[far], network.positions[far])
    assert not rested.changed.any()
    assert relax(rested) is rested


def test_silicon_pushes_its_neighbours_away():
    network = sheet()
    site = int(np.hypot(*network.positions.T).argmin())
    network.silicon[site] = network.changed[site] = True
    rested = relax(network)
    around = rested.neighbours[site, :3]
    gaps = np.hypot(*(rested.positions[around] - rested.positions[site]).T)
    assert (gaps > 0.15).all()  # between the lengths at rest of C-C and Si-C
    assert (gaps < 0.163).all()


def test_grain_boundary_closes():
    network = relax(sheet((0.1, 0.5), half_width=3.0, active=2.0))
    inner = (np.abs(network.positions) < 2.0).all(1)
    assert (network.coordination[inner] == 3).mean() > 0.97
    assert network.coordination.max() <= 3
    bonds = network.bonds()
    bonds = bonds[inner[bonds].all(1)]
    gap = network.positions[bonds[:, 0]] - network.positions[bonds[:, 1]]
    assert np.hypot(*gap.T).min() > 0.7 * BOND
    assert np.hypot(*gap.T).max() < 1.4 * BOND
