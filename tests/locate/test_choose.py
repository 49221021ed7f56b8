import numpy as np

from jaxrvae.locate.choose import (
    in_order,
    nearest_distances,
    noise_of,
    pair_costs,
    stays,
)


def atoms(xy):
    xy = np.asarray(xy, float)
    return np.column_stack([xy, np.ones(len(xy)), np.full(len(xy), np.log(2.0))])


def honeycomb(bond=9.0, num=12, jitter=0.5):
    i, j = np.mgrid[:num, :num].reshape(2, -1)
    x = np.sqrt(3) * bond * (i + j / 2)
    y = 1.5 * bond * j
    xy = np.concatenate([np.stack([x, y], 1), np.stack([x, y + bond], 1)])
    return xy + np.random.default_rng(0).normal(0, jitter, xy.shape)


def test_the_one_between_two_goes_not_the_two():
    params = atoms([[0, 0], [9, 0], [4.5, 0], [50, 50]])
    keep = stays(params, np.array([5.0, 4.5, 4.0, 3.0]), 2.0, usual=9.0)
    assert keep.tolist() == [True, True, False, True]


def test_a_bright_atom_stays_and_its_ghosts_go():
    params = atoms([[0, 0], [4, 0], [-4, 0], [0, 4]])
    keep = stays(params, np.array([30.0, 11.0, 10.0, 9.0]), 2.0, usual=9.0)
    assert keep.tolist() == [True, False, False, False]


def test_only_the_worst_of_its_surroundings_goes_at_a_time():
    params = atoms([[0, 0], [9, 0], [50, 0]])
    keep = stays(params, np.array([1.0, 1.5, 0.5]), 2.0, usual=9.0)
    assert keep.tolist() == [False, True, False]


def test_interstitials_cost_more_than_lattice_atoms():
    xy = honeycomb()
    hollow = xy[130] + np.array([0.0, 4.5])  # amid a bond
    params = atoms([*xy, hollow])
    scores = np.full(len(params), 5.0)
    costs = pair_costs(params, scores, usual=9.0)
    assert costs[-1] > np.percentile(costs[:-1], 98)
    order = in_order(params, scores)
    assert order[-1] < 3.0
    assert np.median(order) > 4.5


def test_disorder_costs_nothing_but_short_distances():
    xy = np.random.default_rng(0).uniform(0, 400, (500, 2))
    costs = pair_costs(atoms(xy), np.full(500, 5.0), usual=9.0)
    assert np.percentile(np.abs(costs), 90) < 2.0


def test_noise_of_white_noise_is_one():
    rng = np.random.default_rng(0)
    noise = noise_of(
        rng.normal(size=(200, 200)), rng.uniform(size=(200, 200)), 1.0, None
    )
    np.testing.assert_allclose(noise.factors, 1.0, atol=0.05)


def test_bright_places_with_larger_residuals_are_noisier():
    rng = np.random.default_rng(0)
    bright = rng.uniform(size=(200, 200))
    scores = rng.normal(size=(200, 200)) * np.where(bright > 0.75, 4.0, 1.0)
    noise = noise_of(scores, bright, 1.0, None)
    assert noise.at(np.array([0.95]))[0] > 3.0
    assert noise.at(np.array([0.1]))[0] < 1.3
    quiet = rng.normal(size=(200, 200))
    assert (noise_of(quiet, bright, 1.0, noise).factors >= noise.factors).all()


def test_a_lone_atom_has_no_neighbour():
    assert np.isinf(nearest_distances(atoms([[3, 3]]))).all()
    assert in_order(atoms([[3, 3]]), np.array([5.0])).tolist() == [5.0]
