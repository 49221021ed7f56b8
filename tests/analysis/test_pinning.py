import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.pinning import find_pins, find_waits

SITES = [(20, 12), (34, 30)]  # x, y


@pytest.fixture
def held():
    """A wall that moves to the right, and waits around two sites."""
    x = np.arange(60)
    maps, walls = [], []
    for time in range(25):
        front = np.full(45, 8.0 + 2 * time)
        for sx, sy in SITES:
            near = np.abs(np.arange(45) - sy) <= 3
            late = (front > sx) & (front < sx + 20)
            front = np.where(near & late, sx, front)
        off = x - front[:, None]
        maps.append(np.tanh(off / 2)[..., None])
        walls.append(np.abs(off) < 2)
    return np.stack(maps), np.stack(walls)


def test_walls_wait_at_the_sites_alone(held):
    waits = find_waits(*held)
    assert waits[12, 20] >= 8
    assert waits[2].max() == 0
    found = find_pins(waits, 5)
    assert len(found) == len(SITES)
    for x, y in SITES:
        assert (np.hypot(found.x - x, found.y - y) <= 3).any()


def test_without_walls_nothing_waits(held):
    maps, walls = held
    assert find_waits(maps, np.zeros_like(walls)).max() == 0
    assert find_pins(np.zeros((5, 5), int), 1).empty


def test_content_that_changes_under_a_wall_is_no_wait(held):
    maps, walls = held
    rng = np.random.default_rng(0)
    assert find_waits(rng.normal(size=maps.shape), walls).max() < 5


def test_shapes_must_agree(held):
    with pytest.raises(DataError, match="expected walls"):
        find_waits(held[0], held[1][:-1])
