import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.sites import find_marks, find_sites, longest_stay, usual_stay

SITES = np.array([[14, 12], [36, 30], [36, 36], [50, 10]])  # x, y; two overlap
REACH = 4.0


@pytest.fixture
def film():
    """A wall that moves to the right and waits at two of the sites; noisy contents."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.arange(60.0), np.arange(45.0))
    away = np.hypot(x - SITES[:, 0, None, None], y - SITES[:, 1, None, None])
    weak = np.exp(-0.5 * (away / 2.5) ** 2).sum(0)
    maps, distance = [], []
    for time in range(24):
        front = np.full(x.shape, 2.0 + 2.5 * time)
        for sx, sy in SITES[:2]:
            late = (front > sx) & (front < sx + 25) & (np.abs(y - sy) <= 3)
            front = np.where(late, sx, front)
        off = front - x  # positive behind the front
        polar = np.tanh(off / 2) * (1 - 0.4 * weak)
        maps.append(np.stack([polar, polar**2], -1) + rng.normal(0, 0.1, (*x.shape, 2)))
        distance.append(off)
    return np.stack(maps), np.stack(distance)


def test_marks_are_highest_at_the_sites(film):
    marks = find_marks(*film, REACH)
    for col, row in SITES:
        assert marks[row, col] > 4
    assert abs(np.median(marks)) < 1e-9


def test_marks_do_not_change_with_units_of_content(film):
    maps, distance = film
    np.testing.assert_allclose(
        find_marks(maps * [2.0, -5.0] + 7, distance, REACH),
        find_marks(maps, distance, REACH),
        atol=1e-4,  # the ridge that keeps the scatter's inverse finite
    )


def test_overlapping_sites_are_told_apart_and_holding_ones_known(film):
    found = find_sites(*film, REACH)
    assert len(found) == len(SITES)
    for col, row in SITES:
        assert (np.hypot(found.x - col, found.y - row) <= 1.5).any()
    longest = found.head(2)[["x", "y"]].to_numpy()
    for place in SITES[:1]:
        assert (np.hypot(*(longest - place).T) <= 2).any()
    last = found[np.hypot(found.x - 50, found.y - 10) < 2]
    assert not last["held"].any()


def test_without_sites_nothing_is_held(film):
    _, distance = film
    rng = np.random.default_rng(1)
    maps = np.sign(distance)[..., None] + rng.normal(0, 0.1, (*distance.shape, 1))
    assert len(find_sites(maps, distance, REACH, least=6.0)) == 0


def test_stays():
    distance = np.array([np.inf, 1.0, -1.0, 9.0, 2.0])[:, None, None]
    assert longest_stay(distance, 2.0).tolist() == [[2]]
    assert usual_stay(np.zeros((2, 2), int), np.ones((2, 2), bool)) == 0.0


def test_shapes_and_places_must_do(film):
    maps, distance = film
    with pytest.raises(DataError, match="expected distances"):
        find_marks(maps, distance[1:], REACH)
    with pytest.raises(DataError, match="off walls"):
        find_marks(maps, np.zeros_like(distance), REACH)
