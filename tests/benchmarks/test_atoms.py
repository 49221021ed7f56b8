import numpy as np
import pandas as pd
import pytest

from benchmarks.atoms import match, position_bounds
from jaxrvae.simulate.imaging import cramer_rao

NOISE = {"sigma": 2.7, "peak": {"C": 9.0, "Si": 38.0}, "background": 9.0}


def test_bound_of_a_lone_atom_is_that_of_the_closed_problem():
    truth = pd.DataFrame({"x": [40.2], "y": [39.7], "element": ["Si"]})
    bounds = position_bounds(truth, NOISE, (80, 80))
    expected = cramer_rao(2.7, 38.0, 9.0)["x"]
    np.testing.assert_allclose(bounds, expected, rtol=0.01)


def test_overlap_raises_the_bound():
    truth = pd.DataFrame({"x": [36.0, 42.0], "y": [40.0, 40.0], "element": ["C", "C"]})
    pair = position_bounds(truth, NOISE, (80, 80))
    lone = position_bounds(truth[:1], NOISE, (80, 80))
    assert pair[0, 0] > 1.2 * lone[0, 0]
    assert pair[0, 0] == pytest.approx(pair[1, 0], rel=1e-6)


def test_every_row_is_matched_once():
    truth = pd.DataFrame({"x": [0.0, 10.0], "y": [0.0, 0.0]})
    found = pd.DataFrame({"x": [0.5, -0.2, 30.0], "y": [0.0, 0.0, 0.0]})
    first, second, distance = match(found, truth, reach=3.0)
    assert (first.tolist(), second.tolist()) == ([1], [0])
    np.testing.assert_allclose(distance, [0.2])
