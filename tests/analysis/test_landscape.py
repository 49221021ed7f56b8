import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.landscape import find_free_energy, known_free_energy

NUMBER = 4000


def gaussian(dim, number=NUMBER, seed=0):
    return np.random.default_rng(seed).normal(size=(number, dim))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_of_a_gaussian_is_a_parabola(dim):
    content = 0.3 * gaussian(dim) + 5.0
    found = find_free_energy(content, num_bootstraps=0)
    out = np.zeros((7, dim))
    out[:, 0] = np.linspace(-2, 2, 7)
    expected = 0.5 * out[:, 0] ** 2
    # 4000 points, of which some 80 a unit lie beyond two spreads in one dim
    np.testing.assert_allclose(found(0.3 * out + 5.0), expected, atol=0.25)


def test_two_wells_in_one_dim_have_their_depths():
    rng = np.random.default_rng(0)

    def energy(x):
        return 3 * (x**2 - 1) ** 2 + 0.5 * x

    tried = rng.uniform(-2, 2, 100_000)
    content = tried[rng.uniform(size=tried.shape) < np.exp(-energy(tried) - 0.6)]
    found = find_free_energy(content[:20_000, None], num_bootstraps=20)
    at = np.linspace(-1.5, 1.5, 13)
    expected = energy(at) - energy(np.linspace(-2, 2, 10_001)).min()
    error = np.abs(found(at[:, None]) - expected)
    std = found.resampled(at[:, None]).std(axis=0)
    assert (error < 4 * std + 0.02).all()  # and some bias of the smoothing
    assert (std < 0.2).all()


@pytest.mark.slow
def test_places_without_data_are_not_invented():
    rng = np.random.default_rng(0)
    content = np.concatenate(
        [rng.normal(-3, 0.3, (500, 2)), rng.normal(3, 0.3, (500, 2))]
    )
    found = find_free_energy(content, num_bootstraps=2)
    assert np.isnan(found(np.array([0.0, 0.0])))
    assert np.isnan(found(np.array([50.0, 0.0])))
    assert np.isfinite(found(np.array([-3.0, -3.0])))
    assert found.values.shape == found.std.shape == found.shape
    assert np.nanmin(found.values) == pytest.approx(0.0, abs=1e-3)
    assert np.isnan(found.std[~found.populated.reshape(found.shape)]).all()
    assert [len(axis) for axis in found.axes] == list(found.shape)


@pytest.mark.slow
def test_bands_hold_the_truth():
    truth = 0.5 * (np.array([0.5, 1.0, 1.5]) ** 2)
    at = np.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0], [1.5, 0.0]])
    inside = []
    for seed in range(6):
        found = find_free_energy(
            gaussian(2, 1000, seed), num_bootstraps=20, num_cells=32, seed=seed
        )
        drawn = found.resampled(at)
        rise = drawn[:, 1:] - drawn[:, :1]
        error = found(at)[1:] - found(at)[0] - truth
        inside.append(np.abs(error) < 2.5 * rise.std(axis=0, ddof=1))
    assert np.mean(inside) > 0.8


def test_copies_in_a_frame_are_not_taken_for_structure():
    """Ten copies are worth one: held out together, they ask for no peak."""
    content = np.repeat(gaussian(2, 300), 10, axis=0)
    content += 0.01 * gaussian(2, len(content), 1)
    frames = np.repeat(np.arange(300), 10)
    options = {"num_bootstraps": 0, "num_cells": 32}
    apart = find_free_energy(content, **options)
    blocks = find_free_energy(content, frames, **options)
    assert blocks.width > 4 * apart.width
    at = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    rise = blocks(at)[1:] - blocks(at)[0]
    np.testing.assert_allclose(rise, 0.5, atol=0.3)  # of 300: some 0.1


def test_more_than_two_dims_have_bands_too():
    found = find_free_energy(gaussian(3, 600), num_bootstraps=3)
    assert found.shape == ()
    assert found.axes == []
    low, high = found.band(np.zeros((1, 3)), 0.8)
    assert low < high
    assert np.isnan(found(np.full(3, 30.0)))


def test_of_the_same_seed_is_the_same():
    content = gaussian(2, 500)
    options = {"num_bootstraps": 2, "num_cells": 24, "seed": 3}
    first, second = (find_free_energy(content, **options) for _ in "ab")
    np.testing.assert_array_equal(first.std, second.std)


def test_known_one_is_met_between_its_nodes():
    found = known_free_energy(lambda z: jnp.sum(z**2) + 3.0, (-1.0, -1.0), (1.0, 1.0))
    at = np.random.default_rng(0).uniform(-0.9, 0.9, (20, 2))
    np.testing.assert_allclose(found(at), np.square(at).sum(1), atol=2e-3)


def test_refusals():
    good = gaussian(2, 100)
    with pytest.raises(ValueError, match="must be \\(n, content_dim\\)"):
        find_free_energy(good[:, 0])
    with pytest.raises(DataError, match="at least 50 contents"):
        find_free_energy(good[:20])
    with pytest.raises(DataError, match="1 of 100 are not"):
        find_free_energy(np.where(np.arange(100)[:, None] == 3, np.nan, good))
    with pytest.raises(DataError, match=r"content \[1\] is the same"):
        find_free_energy(good * [1.0, 0.0])
    with pytest.raises(ValueError, match="one a content"):
        find_free_energy(good, np.zeros(3))
    with pytest.raises(ValueError, match="single one"):
        find_free_energy(good, np.zeros(100))
    with pytest.raises(ValueError, match="0 or at least 2"):
        find_free_energy(good, num_bootstraps=1)
    with pytest.raises(ValueError, match="num_bootstraps >= 2"):
        find_free_energy(good, num_bootstraps=0, num_cells=16).band(good)
