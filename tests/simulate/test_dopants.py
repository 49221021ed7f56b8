import numpy as np
import pytest

from jaxrvae.simulate.dopants import hop, prepare_sites, relax_around
from jaxrvae.simulate.lattice import graphene_sheet

BOND = 0.142


def grow(seed=0, vacancies=0.005, fourfold=0.003, threefold=0.02, grains=(0.2, 0.6)):
    rng = np.random.default_rng(seed)
    lattice = graphene_sheet(4.0, BOND, list(grains), rng)
    return prepare_sites(
        lattice,
        BOND,
        vacancies=vacancies,
        fourfold=fourfold,
        threefold=threefold,
        rng=rng,
    )


def bonded(sites):
    """Which pairs of atoms are neighbours on the lattice as built."""
    pairs = np.zeros((len(sites.atom),) * 2, bool)
    for site, around in enumerate(sites.neighbours):
        pairs[site, around[around >= 0]] = True
    return pairs


def test_as_many_defects_as_asked():
    sites = grow()
    n = len(sites.atom)
    assert sites.silicon.sum() == round(0.02 * n)
    assert (sites.kind == "Si4").sum() == round(0.003 * n)
    assert (sites.atom < 0).sum() == round(0.005 * n) + round(0.003 * n)
    assert not sites.silicon[sites.atom < 0].any()


def test_no_two_defects_share_a_neighbour():
    sites = grow()
    pairs = bonded(sites)
    defect = sites.silicon | (sites.kind == "Si4") | (sites.atom < 0)
    beside = pairs[:, defect].sum(1)
    two_sites = (sites.kind == "Si4") | np.isin(
        np.arange(len(beside)), sites.target[sites.kind == "Si4"]
    )
    assert beside[~two_sites].max() == 1
    assert not pairs[sites.silicon][:, sites.kind == "boundary"].any()


def test_kinds_by_the_distance_to_defects():
    sites = grow()
    positions, present = sites.lattice.positions, sites.atom >= 0
    vacant = sites.kind == "next to vacancy"
    gap = np.hypot(*(positions[vacant] - positions[sites.target[vacant]]).T)
    np.testing.assert_allclose(gap, BOND)
    assert not present[sites.target[vacant]].any()
    four = np.flatnonzero(sites.kind == "Si4")
    apart = np.hypot(
        *(positions[four][:, None] - positions[present]).transpose(2, 0, 1)
    )
    nearest = np.sort(apart, axis=1)[:, 1:5]
    np.testing.assert_allclose(nearest, BOND * np.sqrt(7) / 2)
    assert (sites.kind == "next to Si").sum() == 4 * len(four)


def test_hops_conserve_silicon_and_go_one_bond():
    sites = grow()
    pairs = bonded(sites)
    shared = pairs.astype(np.float32) @ pairs.astype(np.float32)
    np.fill_diagonal(shared, 0)
    rng = np.random.default_rng(1)
    number, atoms = sites.silicon.sum(), np.sort(sites.atom[sites.silicon])
    for _ in range(20):
        before = {sites.atom[site]: site for site in np.flatnonzero(sites.silicon)}
        sites = hop(sites, 1.0, rng)
        assert sites.silicon.sum() == number
        np.testing.assert_array_equal(np.sort(sites.atom[sites.silicon]), atoms)
        assert sites.free[sites.silicon].all()
        assert not shared[np.ix_(sites.silicon, sites.silicon)].any()
        for site in np.flatnonzero(sites.silicon):
            old = before[sites.atom[site]]
            assert old == site or pairs[old, site]
    occupied = np.sort(sites.atom[sites.atom >= 0])
    assert len(np.unique(occupied)) == len(occupied)


def test_hop_rate():
    sites = grow(vacancies=0.0, fourfold=0.0, threefold=0.004, grains=(0.2,))
    rng = np.random.default_rng(2)
    moved = tries = 0
    for _ in range(200):
        after = hop(sites, 0.3, rng)
        moved += (after.silicon & ~sites.silicon).sum()
        tries += sites.silicon.sum()
    assert abs(moved / tries - 0.3) < 5 * np.sqrt(0.3 * 0.7 / tries)
    np.testing.assert_array_equal(hop(sites, 0.0, rng).atom, sites.atom)


def test_first_neighbours_end_at_the_silicon_bond():
    sites = grow(vacancies=0.0, fourfold=0.0, threefold=0.0005, grains=(0.2,))
    relaxed = relax_around(sites, 0.17)
    for site in np.flatnonzero(sites.silicon):
        around = sites.neighbours[site, :3]
        gaps = np.hypot(*(relaxed[around] - relaxed[site]).T)
        np.testing.assert_allclose(gaps, 0.17, atol=0.002)
    np.testing.assert_array_equal(relax_around(sites, BOND), sites.lattice.positions)


def test_too_many_defects_are_refused():
    with pytest.raises(ValueError, match="silicon_fraction must leave room"):
        grow(threefold=0.2)
