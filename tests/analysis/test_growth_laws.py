import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.growth_laws import fit_power_law


def test_interval_covers_the_exponent():
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        bias = rng.uniform(0.2, 1.0, 8)
        velocity = 2 * bias**1.3 * np.exp(0.1 * rng.normal(size=8))
        found = fit_power_law(bias, velocity)
        inside += found.low <= 1.3 <= found.high
    assert abs(inside / 200 - 0.9) < 5 * np.sqrt(0.09 / 200)


def test_threshold_and_sign_are_taken_off():
    bias = np.array([-0.9, -0.5, 0.1, 0.4, 0.7])
    push = np.clip(np.abs(bias) - 0.2, 0, None)
    found = fit_power_law(bias, np.sign(bias) * 4 * push**2, threshold=0.2)
    assert found.exponent == pytest.approx(2.0)
    assert found.factor == pytest.approx(4.0)
    assert (found.num_rows, found.num_left) == (4, 0)


def test_rows_that_move_back_are_counted():
    bias = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    found = fit_power_law(bias, np.array([-0.01, 0.2, 0.3, 0.4, 0.5]))
    assert (found.num_rows, found.num_left) == (4, 1)


def test_too_little_is_refused():
    with pytest.raises(DataError, match="4 rows"):
        fit_power_law(np.ones(3), np.ones(3))
    with pytest.raises(DataError, match="more than one bias"):
        fit_power_law(np.ones(9), np.ones(9))
