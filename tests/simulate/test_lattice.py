import numpy as np
import pytest

from jaxrvae.simulate.lattice import (
    Lattice,
    deform,
    graphene_sheet,
    honeycomb,
    neighbours,
)

BOND = 0.142


def distances(positions):
    between = positions[:, None] - positions
    apart = np.hypot(*between.transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    return apart


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.0])
def test_honeycomb_bonds(angle):
    positions, sublattice = honeycomb(1.0, BOND, angle, (0.03, -0.05))
    assert np.abs(positions).max() <= 1.0
    apart = distances(positions)
    inner = (np.abs(positions) < 0.8).all(1)
    near = apart < 1.1 * BOND
    assert (near[inner].sum(1) == 3).all()
    np.testing.assert_allclose(apart[near], BOND, rtol=1e-9)
    for i, j in zip(*np.nonzero(near), strict=True):
        assert sublattice[i] != sublattice[j]
        x, y = positions[j] - positions[i]
        told = angle + np.pi * sublattice[i]
        assert abs(np.exp(3j * np.arctan2(y, x)) - np.exp(3j * told)) < 1e-9


def test_honeycomb_density_and_origin():
    half_width = 6.0
    positions, sublattice = honeycomb(half_width, BOND, 0.3, (0.05, 0.02))
    density = 4 / (3 * np.sqrt(3) * BOND**2)
    expected = density * (2 * half_width) ** 2
    on_the_edge = 4 * 2 * half_width / BOND
    assert abs(len(positions) - expected) < 5 * on_the_edge**0.5
    assert np.hypot(*(positions[sublattice == 0] - [0.05, 0.02]).T).min() < 1e-9


def test_neighbours_against_all_pairs():
    points = np.random.default_rng(0).uniform(0, 1, (60, 2))
    found = neighbours(points, 0.12)
    apart = distances(points)
    for row, near in zip(found, apart, strict=True):
        expected = np.argsort(near)[: min(4, (near <= 0.12).sum())]
        np.testing.assert_array_equal(row[row >= 0], expected)


def test_two_grains_meet_without_atoms_too_close():
    sheet = graphene_sheet(3.0, BOND, [0.1, 0.5], np.random.default_rng(1))
    assert set(sheet.grain) == {0, 1}
    apart = distances(sheet.positions)
    assert apart.min() >= 0.8 * BOND - 1e-9
    alone = (apart < 1.3 * BOND).sum(1)
    inner = (np.abs(sheet.positions) < 2.6).all(1)
    assert alone[inner].min() >= 2
    turned = np.exp(3j * sheet.angle[sheet.grain == 1]) / np.exp(3j * 0.5)
    np.testing.assert_allclose(np.abs(turned.imag), 0, atol=1e-9)
    assert len(sheet) > 0.95 * 36 * 4 / (3 * np.sqrt(3) * BOND**2)


def test_uniform_strain_moves_points_by_the_tensor():
    positions, _ = honeycomb(1.0, BOND, 0.0)
    zeros = np.zeros(len(positions))
    lattice = Lattice(positions, zeros, zeros, np.zeros((len(positions), 3)))
    strained = deform(lattice, (0.02, -0.01, 0.005), 1.0, np.random.default_rng(0))
    x, y = positions.T
    expected = np.stack([1.02 * x + 0.005 * y, 0.005 * x + 0.99 * y], -1)
    np.testing.assert_allclose(strained.positions, expected)
    np.testing.assert_allclose(strained.strain, [[0.02, -0.01, 0.005]] * len(x))
    np.testing.assert_array_equal(strained.angle, zeros)


def test_random_strain_is_the_gradient_of_the_displacement():
    step = 1e-5
    grid = np.stack(np.meshgrid(*[np.linspace(-3, 3, 25)] * 2), -1).reshape(-1, 2)
    points = np.concatenate([grid, grid + [step, 0], grid + [0, step]])
    zeros = np.zeros(len(points))
    lattice = Lattice(points, zeros, zeros, np.zeros((len(points), 3)))
    strained = deform(lattice, 0.01, 1.5, np.random.default_rng(4))
    moved = (strained.positions - points).reshape(3, -1, 2)
    by_x, by_y = (moved[1] - moved[0]) / step, (moved[2] - moved[0]) / step
    told = strained.strain[: len(grid)]
    np.testing.assert_allclose(by_x[:, 0], told[:, 0], atol=1e-6)
    np.testing.assert_allclose(by_y[:, 1], told[:, 1], atol=1e-6)
    np.testing.assert_allclose((by_y[:, 0] + by_x[:, 1]) / 2, told[:, 2], atol=1e-6)
    turn = (by_x[:, 1] - by_y[:, 0]) / 2
    np.testing.assert_allclose(strained.angle[: len(grid)], turn, atol=1e-6)
    assert np.sqrt((strained.strain[:, :2] ** 2).mean()) == pytest.approx(0.01)
