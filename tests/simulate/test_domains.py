import numpy as np
import pytest

from jaxrvae.simulate.domains import (
    draw_pins,
    draw_start,
    in_plane_stripes,
    wall_points,
)

WIDTH = 3.0


def disc(radius=20.0, centre=(31.3, 29.8), size=64):
    y, x = np.mgrid[:size, :size]
    return np.tanh((radius - np.hypot(x - centre[0], y - centre[1])) / WIDTH)


def test_walls_of_a_circle():
    # up outside: the normal, from - to +, points outward
    wall = wall_points(-disc(), WIDTH)
    dx, dy = wall["x"] - 31.3, wall["y"] - 29.8
    np.testing.assert_allclose(np.hypot(dx, dy), 20.0, atol=0.02)
    outward = np.arctan2(-dy, dx)
    np.testing.assert_allclose(
        np.exp(1j * wall["direction"]), np.exp(1j * outward), atol=0.02
    )
    assert not wall.duplicated(["x", "y"]).any()
    inward = wall_points(disc(), WIDTH)
    outward = np.arctan2(29.8 - inward["y"], inward["x"] - 31.3)
    np.testing.assert_allclose(
        np.exp(1j * (inward["direction"] - outward)), -1, atol=0.02
    )


def test_no_walls_in_one_domain_or_where_polarization_fades():
    assert not len(wall_points(np.ones((20, 20)), WIDTH))
    weak = 0.02 * np.random.default_rng(0).standard_normal((64, 64))
    assert not len(wall_points(weak, WIDTH))


def test_pins_are_where_the_maps_say():
    rng = np.random.default_rng(1)
    pins, field, softening = draw_pins(200, 5, 4.0, field=0.5, softening=0.7, rng=rng)
    rows, columns = (pins[name].round().astype(int) % 200 for name in "yx")
    np.testing.assert_allclose(softening[rows, columns], 0.7, atol=0.02)
    np.testing.assert_allclose(field[rows, columns], pins["field"], atol=0.02)
    assert softening.max() <= 1
    np.testing.assert_allclose(softening.sum(), 5 * 0.7 * 2 * np.pi * 16, rtol=1e-3)


def test_no_pins():
    rng = np.random.default_rng(0)
    pins, field, softening = draw_pins(20, 0, 4.0, field=1.0, softening=1.0, rng=rng)
    assert not len(pins)
    assert not field.any()
    assert not softening.any()


@pytest.mark.parametrize("kind", ["domains", "stripes", "random"])
def test_starts_repeat_at_the_borders(kind):
    rng = np.random.default_rng(2)
    start = draw_start(kind, 96, num_domains=3, radius=12.0, wall_width=3.0, rng=rng)
    assert np.abs(start).max() <= 1
    if kind != "random":
        jump = np.abs(start - np.roll(start, 1, 1)).max(0)
        assert jump[0] <= jump.max()
        assert jump.max() < 0.5
    if kind == "stripes":
        assert abs(start.mean()) < 0.05


def test_stripes_take_the_share_asked_and_lie_along_their_normal():
    rng = np.random.default_rng(3)
    stiffness, planar = in_plane_stripes(512, 0.2, 2.0, rng)
    strength = np.abs(planar).sum(0)
    assert 0.08 < (strength > 0.5).mean() < 0.25
    inside = strength > 0.9
    assert (stiffness[0][inside] < 0.5).all()
    assert (stiffness[1:].max(0)[inside] > 1).mean() > 0.97  # less where two cross
