import numpy as np
import pandas as pd

from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.distance import wall_distance
from jaxrvae.locate.walls import find_walls


def disc(radius, number=0):
    y, x = np.mgrid[:64, :64] - 31.5
    inside = np.tanh(radius - np.hypot(x, y))
    return Frame(np.stack([inside, np.abs(inside)], -1), number=number)


def test_distance_from_a_round_wall():
    movie = Frames((disc(16), disc(12, 1)), channels=("polarity", "amplitude"))
    walls = find_walls(movie, spacing=0.5)
    x, y = np.arange(4.0, 60, 7), np.arange(3.0, 60, 9)
    found = wall_distance(movie, walls, x, y)
    away = np.hypot(*np.meshgrid(x - 31.5, y - 31.5))
    assert found.shape == (2, len(y), len(x))
    np.testing.assert_allclose(found[0], 16 - away, atol=0.3)
    np.testing.assert_allclose(found[1], 12 - away, atol=0.3)


def test_frames_without_walls_keep_their_sign():
    up = Frame(np.ones((32, 32, 2)))
    movie = Frames((up,), channels=("polarity", "amplitude"))
    none = pd.DataFrame({"frame": [7], "x": [1.0], "y": [1.0]})
    found = wall_distance(movie, none, np.arange(4.0), np.arange(3.0))
    assert np.isposinf(found).all()
