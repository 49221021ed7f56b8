import numpy as np
import pandas as pd
import pytest

from benchmarks import ferroelectric


@pytest.fixture
def square():
    """Walls of a square, whose normals point outwards."""
    along = np.arange(-20, 20.5, 1.0)
    sides = []
    for turn in range(4):
        cos, sin = np.cos(turn * np.pi / 2), np.sin(turn * np.pi / 2)
        x, y = 20 * cos - along * sin, 20 * sin + along * cos
        sides.append(pd.DataFrame({"x": x, "y": y, "direction": turn * np.pi / 2}))
    return pd.concat(sides, ignore_index=True).assign(frame=3)


def test_truth_of_walls_and_corners(square):
    points = pd.DataFrame({"x": [20.0, 19, 0], "y": [0.0, 18, 0], "frame": 3})
    found = ferroelectric.with_truth(points, square)
    np.testing.assert_allclose(found["distance"], [0, 1, 20])
    assert found["turn"].tolist() == pytest.approx([0, 90, 0])
    assert found["normal"][0] == 0
    none = ferroelectric.with_truth(points.assign(frame=0), square)
    assert np.isinf(none["distance"]).all()


def test_scores_of_content_that_knows():
    rng = np.random.default_rng(0)
    number = 600
    kind = rng.integers(0, 3, number)
    points = pd.DataFrame(
        {
            "wall": kind > 0,
            "distance": np.where(kind > 0, 0.5, 30.0),
            "turn": np.array([0.0, 10.0, 90.0])[kind],
            "normal": rng.uniform(-np.pi, np.pi, number),
            "frame": np.arange(number) % 5,
        }
    )
    angle = np.asarray(points["normal"]) + 2.0  # up to one constant
    content = np.stack([kind + rng.normal(0, 0.01, number), rng.normal(size=number)], 1)
    found = ferroelectric.scores(content, angle, points)
    assert found["R"] == pytest.approx(1.0)
    assert found["told apart"] == found["corner"] == 1.0
    blind = ferroelectric.scores(rng.normal(size=(number, 2)), -angle, points)
    assert blind["R"] < 0.3
    assert blind["told apart"] < 0.5
