import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.geometry.grid import (
    pixel_grid,
    pixel_to_unit,
    shift_to_pixel,
    shift_to_unit,
    unit_length,
    unit_to_pixel,
)

SHAPES = [(16, 16), (17, 24), (24, 9), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_and_units_go_both_ways(shape):
    positions = jnp.asarray(
        np.random.default_rng(0).uniform(-40, 40, (3, 5, 2)), jnp.float32
    )
    units = pixel_to_unit(positions, shape)
    np.testing.assert_allclose(unit_to_pixel(units, shape), positions, atol=2e-5)
    shift = shift_to_unit(positions, shape)
    np.testing.assert_allclose(shift_to_pixel(shift, shape), positions, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_is_the_difference_of_two_places(shape):
    start, shift = jnp.array([3.0, 2.0]), jnp.array([-1.5, 4.0])
    moved = pixel_to_unit(start + shift, shape) - pixel_to_unit(start, shape)
    np.testing.assert_allclose(shift_to_unit(shift, shape), moved, atol=1e-6)


def test_x_points_right_and_y_up_from_the_centre():
    grid = pixel_grid(5, 5)
    np.testing.assert_allclose(grid[2, 2], [0, 0], atol=1e-7)
    np.testing.assert_allclose(grid[0, 0], [-0.8, 0.8], rtol=1e-6)  # top left
    np.testing.assert_allclose(grid[0, 4], [0.8, 0.8], rtol=1e-6)  # top right
    np.testing.assert_allclose(grid[4, 0], [-0.8, -0.8], rtol=1e-6)  # bottom left


@pytest.mark.parametrize(("shape", "edge"), [((6, 6), (1, 1)), ((4, 8), (1, 0.5))])
def test_pixel_edges_of_the_longer_side_lie_at_one(shape, edge):
    height, width = shape
    corners = jnp.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    units = pixel_to_unit(corners, shape)
    np.testing.assert_allclose(units, [[-edge[0], edge[1]], [edge[0], -edge[1]]])


@pytest.mark.parametrize("shape", SHAPES)
def test_grid_has_equal_steps_along_both_axes(shape):
    grid = np.asarray(pixel_grid(*shape))
    assert grid.shape == (*shape, 2)
    assert grid.dtype == np.float32
    step = 1 / unit_length(shape)
    np.testing.assert_allclose(np.diff(grid[..., 0], axis=1), step, atol=1e-6)
    np.testing.assert_allclose(np.diff(grid[..., 1], axis=0), -step, atol=1e-6)
    np.testing.assert_allclose(grid.mean((0, 1)), 0, atol=1e-6)


def test_channels_do_not_change_the_frame():
    position = jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(
        pixel_to_unit(position, (6, 8, 3)), pixel_to_unit(position, (6, 8))
    )
