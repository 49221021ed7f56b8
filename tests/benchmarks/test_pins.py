import numpy as np
import pandas as pd
import pytest

from benchmarks import pins


class Movie:
    """A wall that stands at one of two defects, on a periodic field."""

    numbers = np.arange(6)

    def __init__(self):
        y = np.arange(0.0, 64)
        places = [20, 20, 20, 20, 40, 60]
        walls = [
            pd.DataFrame({"frame": i, "x": p, "y": y}) for i, p in enumerate(places)
        ]
        spots = pd.DataFrame({"x": [20.0, 45.0], "y": [30.0, 10.0]})
        self.truth = {"walls": pd.concat(walls), "pins": spots}

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return np.zeros((64, 64))


def test_truth_knows_which_defect_held():
    grid = np.arange(4.0, 60, 2)
    truth = pins.Truth(Movie(), grid, grid)
    assert truth.inside.all()
    assert truth.held.tolist() == [True, False]
    found = truth.score(np.array([[21.0, 31.0], [5.0, 5.0]]), truth.held)
    assert (found["recall"], found["precision"]) == (1.0, 0.5)
    assert truth.score(np.zeros((0, 2)), truth.held)["recall"] == 0.0


def test_exact_exponent_is_one_for_small_biases():
    assert pins.exact_exponent(np.array([1e-3, 2e-3])) == pytest.approx(1, abs=1e-5)
    assert pins.exact_exponent(pins.STEPS) == pytest.approx(1.022, abs=1e-3)


@pytest.mark.slow
def test_exponent_of_one_movie(monkeypatch):
    monkeypatch.setattr(pins, "STEPS", np.array([0.2, 0.4]))
    found = pins.exponent(0)
    assert found["rows"] == 4
    assert abs(found["exponent"] - 1) < 0.1
