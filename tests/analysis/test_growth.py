import numpy as np
import pandas as pd
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.growth import content_motion, wall_velocity


def test_a_growing_disc_has_its_radius_velocity():
    radius = np.array([10.0, 12.0, 15.0])
    grown = np.append(np.nan, np.pi * np.diff(radius**2))
    domains = pd.DataFrame({"frame": [4, 5, 6], "length": 2 * np.pi * radius})
    found = wall_velocity(domains.assign(grown=grown), np.array([0.0, 1, 2]), 0.5)
    # area over the mean length is exactly the step of the radius
    np.testing.assert_allclose(found["velocity"], np.diff(radius) / 0.5)
    assert found["frame"].tolist() == [5, 6]
    assert found["bias"].tolist() == [1, 2]


def test_no_walls_have_no_velocity():
    domains = pd.DataFrame({"frame": [0, 1], "length": [0.0, 0.0], "grown": [0.0, 0.0]})
    assert wall_velocity(domains, np.zeros(2))["velocity"].isna().all()


def test_content_moves_where_a_wall_passes():
    x = np.arange(40)
    places = [10, 14, 18, 18, 18]
    maps = np.stack([np.tanh((x - p) / 2) for p in places])[:, None, :, None]
    moved = content_motion(maps)
    assert moved.shape == (4, 1, 40)
    assert moved[0, 0].argmax() == 12
    assert moved[2:].max() == 0
    again = content_motion(7 * maps)
    np.testing.assert_allclose(again, moved, atol=1e-14)  # rounding of O(1) values


def test_bad_tables_are_refused():
    with pytest.raises(DataError, match="2 frames"):
        wall_velocity(pd.DataFrame({"frame": [0]}), np.zeros(1))
    with pytest.raises(DataError, match="2 frames"):
        content_motion(np.zeros((1, 3, 3, 2)))
