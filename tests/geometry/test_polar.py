import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.geometry.polar import fourier_bessel, turn

SIZE = 24


def blobs(height=SIZE, width=SIZE, number=6, seed=0):
    """A smooth image well inside the disc: blobs of 2 pixels' width."""
    rng = np.random.default_rng(seed)
    reach = min(height, width) / 2 - 8
    rows, columns = np.mgrid[:height, :width]
    image = np.zeros((height, width))
    for _ in range(number):
        x, y = rng.uniform(-reach, reach, 2) + [(width - 1) / 2, (height - 1) / 2]
        square = (columns - x) ** 2 + (rows - y) ** 2
        image += rng.uniform(0.5, 1.5) * np.exp(-square / (2 * 2.0**2))
    return image


def functions(basis, height=SIZE, width=SIZE):
    """(pixel, reals) the basis on the pixels."""
    values = jax.jit(basis.evaluate)(pixel_grid(height, width))
    return np.asarray(values, np.float64).reshape(height * width, -1)


@pytest.fixture(scope="module")
def basis():
    return fourier_bessel(SIZE, SIZE, 0.25)


@pytest.fixture(scope="module")
def project(basis):
    values = functions(basis)
    return lambda image: jnp.asarray(image.ravel() @ values, jnp.float32)


def turned(coefs, basis, angle):
    orders = jnp.array(basis.orders)
    return np.asarray(turn(jnp.asarray(coefs), orders, jnp.float32(angle)))


def test_functions_of_one_order_are_orthonormal_on_the_pixels(basis):
    cos, sin = np.split(functions(basis), 2, axis=1)
    orders = np.array(basis.orders)
    for order in np.unique(orders):
        a, b = cos[:, orders == order], sin[:, orders == order]
        gram = a.T @ a if order == 0 else (a.T @ a + b.T @ b) / 2
        np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-4)
    assert np.abs(sin[:, orders == 0]).max() == 0


def test_all_functions_are_nearly_orthonormal_and_more_so_on_finer_pixels():
    errors = []
    for size in (16, 32, 64):
        basis = fourier_bessel(size, size, 4 / size)  # the same functions
        values = functions(basis, size, size)
        values = values[:, np.abs(values).max(0) > 0]
        assert values.shape[1] == basis.num_reals
        errors.append(np.linalg.norm(values.T @ values - np.eye(basis.num_reals), 2))
    # the disc's jagged edge mixes orders that differ by 4, 8, ...
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


def test_number_of_coefficients_is_about_the_area_of_disc_times_band():
    for frequency in (0.15, 0.25, 0.4):
        basis = fourier_bessel(40, 40, frequency)
        expected = (np.pi * frequency * 20) ** 2
        assert abs(basis.num_reals - expected) < 4 * np.sqrt(expected)
        assert basis.orders.count(0) > basis.orders.count(max(basis.orders)) > 0
        assert basis.table.shape[1] == basis.num_coefs


@pytest.mark.parametrize(("height", "width"), [(24, 24), (24, 32), (29, 24)])
def test_smooth_images_come_back_from_their_coefficients(height, width):
    basis = fourier_bessel(height, width, 0.25)
    values, image = functions(basis, height, width), blobs(height, width)
    again = (image.ravel() @ values) @ values.T
    error = np.linalg.norm(again - image.ravel()) / np.linalg.norm(image)
    assert error < 0.02


def test_functions_vanish_outside_the_disc():
    basis = fourier_bessel(16, 32, 0.2)
    assert basis.radius == 0.5
    grid = np.asarray(pixel_grid(16, 32))
    outside = np.hypot(grid[..., 0], grid[..., 1]).ravel() > 0.5
    values = functions(basis, 16, 32)
    assert np.abs(values[outside]).max() == 0
    assert np.abs(values[~outside]).sum(1).min() > 0


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact(basis, project, quarters):
    image = np.random.default_rng(0).standard_normal((SIZE, SIZE))
    expected = project(np.rot90(image, quarters))
    found = turned(project(image), basis, quarters * np.pi / 2)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("angle", [0.3, 1.2, -2.5])
def test_turned_coefficients_are_those_of_the_image_turned_counter_clockwise(
    basis, project, angle
):
    image = blobs()
    rotated = ndimage.rotate(image, np.degrees(angle), reshape=False, order=5)
    coefs = project(image)
    difference = turned(coefs, basis, angle) - project(rotated)
    assert np.linalg.norm(difference) < 0.01 * np.linalg.norm(coefs)
    assert np.linalg.norm(coefs - project(rotated)) > 0.2 * np.linalg.norm(coefs)


def test_oracle_turns_counter_clockwise_as_displayed():
    image = blobs()
    rotated = ndimage.rotate(image, 90, reshape=False, order=1)
    np.testing.assert_allclose(rotated, np.rot90(image), atol=1e-9)


def test_turns_add_keep_lengths_and_go_row_by_row(basis):
    rng = np.random.default_rng(1)
    orders = jnp.array(basis.orders)
    coefs = jnp.asarray(rng.standard_normal((5, 2 * basis.num_coefs)), jnp.float32)
    first, second = jnp.linspace(-3, 3, 5), jnp.full(5, 0.8)
    twice = turn(turn(coefs, orders, first), orders, second)
    np.testing.assert_allclose(twice, turn(coefs, orders, first + 0.8), atol=2e-4)
    np.testing.assert_allclose(
        jnp.square(twice).sum(1), jnp.square(coefs).sum(1), rtol=1e-5
    )
    np.testing.assert_allclose(
        turn(coefs[2], orders, first[2]), turn(coefs, orders, first)[2], atol=1e-5
    )


def test_evaluation_turned_is_coefficients_turned(basis):
    """f(R(-angle) r) with coefficients a is f(r) with coefficients turned by angle."""
    rng = np.random.default_rng(3)
    points = rng.uniform(-0.6, 0.6, (50, 2))
    angle = 0.7
    cos, sin = np.cos(angle), np.sin(angle)
    back = points @ np.array([[cos, -sin], [sin, cos]])
    coefs = rng.standard_normal(2 * basis.num_coefs).astype(np.float32)
    evaluate = jax.jit(basis.evaluate)
    seen = np.asarray(evaluate(jnp.asarray(back, jnp.float32))) @ coefs
    moved = np.asarray(evaluate(jnp.asarray(points, jnp.float32)))
    np.testing.assert_allclose(seen, moved @ turned(coefs, basis, angle), atol=1e-4)
