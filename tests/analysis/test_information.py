import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.information import mutual_information


def correlated(number, rho, seed=0):
    x, noise = np.random.default_rng(seed).normal(size=(2, number))
    return x, rho * x + np.sqrt(1 - rho**2) * noise


@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_gaussian_pairs_have_the_closed_form(rho):
    number = 4000
    found = mutual_information(*correlated(number, rho))
    # the local term of a Gaussian pair has variance rho^2; KSG adds its own scatter
    scatter = np.sqrt((rho**2 + 0.5) / number)
    assert abs(found.value + np.log(1 - rho**2) / 2) < 5 * scatter
    assert found.low > found.floor


def test_interval_covers_the_truth():
    truth = -np.log(1 - 0.6**2) / 2
    found = [mutual_information(*correlated(1000, 0.6, s)) for s in range(40)]
    inside = sum(f.low <= truth <= f.high for f in found)
    assert inside >= 40 * 0.9 - 5 * np.sqrt(40 * 0.09)


def test_independent_pairs_stay_at_the_floor():
    rng = np.random.default_rng(1)
    found = [mutual_information(*rng.normal(size=(2, 500)), seed=s) for s in range(40)]
    beyond = sum(f.value > f.floor for f in found)
    assert beyond <= 40 * 0.05 + 5 * np.sqrt(40 * 0.05 * 0.95)


def test_monotone_maps_change_nothing():
    x, y = correlated(800, 0.7)
    plain = mutual_information(x, y)
    assert mutual_information(np.exp(x), y**3) == plain


def test_classes_apart_tell_all_of_their_entropy():
    rng = np.random.default_rng(0)
    cls = rng.integers(0, 3, 3000)
    shares = np.bincount(cls) / 3000
    found = mutual_information(
        5.0 * cls + rng.normal(size=3000) / 9, cls, discrete=True
    )
    assert abs(found.value + (shares * np.log(shares)).sum()) < 0.01


def test_rows_that_repeat_within_groups_widen_the_interval():
    x, y = correlated(200, 0.6)
    alone = mutual_information(x, y)
    noise = np.random.default_rng(2).normal(size=(2, 2000)) / 100
    many = np.repeat([x, y], 10, axis=1) + noise
    groups = np.repeat(np.arange(200), 10)
    grouped = mutual_information(*many, groups)
    blind = mutual_information(*many)
    assert grouped.high - grouped.low > 2 * (blind.high - blind.low)
    assert alone.num_groups == grouped.num_groups == 200


def test_many_rows_are_drawn_from():
    found = mutual_information(*correlated(3000, 0.5), most=500)
    assert found.num_rows == 500


def test_bad_input_is_refused():
    x = np.arange(100.0)
    with pytest.raises(DataError, match="2 groups"):
        mutual_information(x, x, np.zeros(100))
    with pytest.raises(DataError, match="finite"):
        mutual_information(np.where(x == 3, np.nan, x), x)
    with pytest.raises(DataError, match="rows"):
        mutual_information(x[:9], x[:9])
    with pytest.raises(ValueError, match="as many"):
        mutual_information(x, x[:50])
