import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxrvae.analysis.mixture import _log_density, grow

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def points():
    centres = np.array([[0.0, 0.0], [2.0, 0.5], [-1.0, 2.0], [0.5, -2.0]])
    owner = RNG.choice(4, 1500, p=[0.6, 0.25, 0.12, 0.03])
    return centres[owner] + 0.15 * RNG.normal(size=(1500, 2))


@pytest.fixture(scope="module")
def fits(points):
    return grow(points, 5, np.random.default_rng(1))


def test_density_is_that_of_scipy():
    covariance = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, 0.0], [0.1, 0.0, 0.5]])
    mean, points = RNG.normal(size=3), RNG.normal(size=(50, 3))
    expected = multivariate_normal(mean, covariance).logpdf(points)
    np.testing.assert_allclose(_log_density(points, mean, covariance), expected)


def test_likelihood_grows_with_every_component(fits, points):
    scores = [fit.score(points) for fit in fits]
    assert [fit.n_components for fit in fits] == [1, 2, 3, 4, 5]
    assert (np.diff(scores) > -1e-3).all()


def test_criterion_finds_the_number(fits, points):
    assert int(np.argmin([fit.bic(points) for fit in fits])) + 1 == 4


def test_weights_are_those_of_the_species(fits):
    found = np.sort(fits[3].weights_)
    error = 5 * np.sqrt(0.25 / 1500)  # five standard errors of the largest share
    np.testing.assert_allclose(found, [0.03, 0.12, 0.25, 0.6], atol=error)


def test_one_dimension_and_repeated_points_are_taken():
    line = np.repeat([0.0, 1.0], 40)[:, None]
    assert [fit.n_components for fit in grow(line, 2, np.random.default_rng(0))] == [
        1,
        2,
    ]
