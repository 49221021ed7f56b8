import numpy as np
import pytest

from jaxrvae import DataError
from jaxrvae.bayes import pool_classes
from jaxrvae.bayes.spatial import neighbours

SIZE = 40


def lattice(size=SIZE):
    rows, columns = np.indices((size, size))
    return np.stack([columns.ravel(), rows.ravel()], 1) * 10.0


def noisy(truth, num_classes, noise, rng):
    """Class probabilities from a measurement of each class's indicator."""
    measured = np.eye(num_classes)[truth] + noise * rng.standard_normal(
        (len(truth), num_classes)
    )
    height = measured / noise**2
    prob = np.exp(height - height.max(1, keepdims=True))
    return prob / prob.sum(1, keepdims=True)


def domains(rng, num_classes):
    """Classes of the nearest of a few seeds: domains with straight walls."""
    places = lattice()
    seeds = rng.uniform(0, SIZE * 10, (12, 2))
    nearest = np.linalg.norm(places[:, None] - seeds, axis=2).argmin(1)
    return nearest % num_classes


def errors(prob, truth):
    return (prob.argmax(1) != truth).mean()


@pytest.mark.parametrize("num_classes", [2, 3])
def test_domains(num_classes):
    rng = np.random.default_rng(num_classes)
    truth = domains(rng, num_classes)
    prob = noisy(truth, num_classes, 0.9, rng)
    found = pool_classes(prob, lattice(), num_neighbours=4)
    np.testing.assert_allclose(found.prob.sum(1), 1, rtol=1e-4)
    assert errors(found.prob, truth) < 0.5 * errors(prob, truth)
    assert (np.diag(found.affinity) > 0).all()


def test_a_chessboard_whose_classes_shun_each_other():
    rng = np.random.default_rng(5)
    truth = np.indices((SIZE, SIZE)).sum(0).ravel() % 2
    prob = noisy(truth, 2, 1.0, rng)
    found = pool_classes(prob, lattice(), num_neighbours=4)
    assert errors(found.prob, truth) < 0.2 * errors(prob, truth)
    assert (np.diag(found.affinity) < 0).all()


def test_classes_that_do_not_care_are_left_as_they_are():
    rng = np.random.default_rng(6)
    truth = rng.integers(0, 2, SIZE**2)
    prob = noisy(truth, 2, 0.8, rng)
    found = pool_classes(prob, lattice())
    assert abs(found.affinity).max() < 0.35
    assert errors(found.prob, truth) < errors(prob, truth) + 0.01


def test_a_pair_by_brute_force(monkeypatch):
    """Two patches: beliefs are exact, given the affinity found."""
    prob = np.array([[0.7, 0.3], [0.2, 0.8]])
    found = pool_classes(prob, [[0.0, 0.0], [1.0, 0.0]])
    joint = prob[0][:, None] * prob[1] * np.exp(found.affinity)
    joint /= joint.sum()
    expected = [joint.sum(1), joint.sum(0)]
    np.testing.assert_allclose(found.prob, expected, atol=2e-3)


def test_neighbours_are_of_one_frame():
    frame = np.repeat([0, 1], SIZE**2)
    places = np.concatenate([lattice()] * 2)
    edges = neighbours(places, frame, 4)
    assert (frame[edges[:, 0]] == frame[edges[:, 1]]).all()
    assert len(np.unique(edges, axis=0)) == len(edges)
    alone = neighbours(np.zeros((1, 2)), np.zeros(1, int), 4)
    assert alone.shape == (0, 2)


def test_ten_thousand_atoms():
    rng = np.random.default_rng(7)
    places = rng.uniform(0, 1000, (12_000, 2))
    truth = (places[:, 0] > 500).astype(int)
    prob = noisy(truth, 2, 1.0, rng)
    found = pool_classes(prob, places)
    assert errors(found.prob, truth) < 0.3 * errors(prob, truth)


def test_bad_arrays():
    with pytest.raises(DataError, match="two at least"):
        pool_classes(np.ones((4, 1)), np.zeros((4, 2)))
    with pytest.raises(DataError, match=r"positions must be \(4, 2\)"):
        pool_classes(np.ones((4, 2)) / 2, np.zeros((3, 2)))
