import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage
from scipy.interpolate import BSpline

from jaxrvae.geometry import resample
from jaxrvae.geometry.grid import pixel_grid, pixel_to_unit

bilinear, cubic = jax.jit(resample.bilinear), jax.jit(resample.cubic)
spline_coefs = jax.jit(resample.spline_coefs)
SHAPES = [(16, 16), (13, 20)]


def noise_image(shape, channels=2, seed=0):
    draws = np.random.default_rng(seed).standard_normal((*shape, channels))
    return jnp.asarray(draws, jnp.float32)


def framed_image(shape, channels=2):
    """Noise inside, zeros along the border."""
    image = np.array(noise_image(shape, channels))
    inside = np.zeros(shape, bool)
    inside[4:-4, 4:-4] = True
    return jnp.asarray(image * inside[..., None])


def scattered(shape, reach=1.2, number=400, seed=2):
    """Places in pixels and in units, some of them outside the image."""
    rng = np.random.default_rng(seed)
    height, width = shape
    x = rng.uniform(-0.5 - reach * width, width - 0.5 + reach * width, number)
    y = rng.uniform(-0.5 - reach * height, height - 0.5 + reach * height, number)
    places = np.stack([x, y], -1).astype(np.float32)
    return places, pixel_to_unit(jnp.asarray(places), shape)


def slow_spline(coefs, places):
    """sum_ij c_ij B(x - j) B(y - i), term by term in float64."""
    cubic_b = BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
    height, width, _ = coefs.shape
    across = np.nan_to_num(cubic_b(places[:, :1] - np.arange(width)))
    down = np.nan_to_num(cubic_b(places[:, 1:] - np.arange(height)))
    return np.einsum("ni,nj,ijc->nc", down, across, np.asarray(coefs, np.float64))


@pytest.mark.parametrize("shape", SHAPES)
def test_lookup_on_the_pixels_gives_the_image(shape):
    image = noise_image(shape)
    np.testing.assert_allclose(bilinear(image, pixel_grid(*shape)), image, atol=1e-5)
    found = cubic(spline_coefs(image), pixel_grid(*shape))
    np.testing.assert_allclose(found, image, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_bilinear_against_scipy_inside_and_outside(shape):
    image = noise_image(shape)
    places, points = scattered(shape, reach=0.3)
    found = bilinear(image, points)
    for channel in range(image.shape[-1]):
        expected = ndimage.map_coordinates(
            np.asarray(image[..., channel]),
            places.T[::-1],
            order=1,
            mode="grid-constant",
        )
        np.testing.assert_allclose(found[:, channel], expected, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_cubic_against_the_sum_of_b_splines_inside_and_outside(shape):
    coefs = noise_image(shape)
    places, points = scattered(shape, reach=0.3)
    np.testing.assert_allclose(
        cubic(coefs, points), slow_spline(coefs, places), atol=2e-5
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_cubic_through_the_pixels_against_scipy(shape):
    image = framed_image(shape)
    places, points = scattered(shape, reach=0.0)
    found = cubic(spline_coefs(image), points)
    padded = np.pad(np.asarray(image, np.float64), ((20, 20), (20, 20), (0, 0)))
    for channel in range(image.shape[-1]):
        expected = ndimage.map_coordinates(
            padded[..., channel], places.T[::-1] + 20.0, order=3, mode="constant"
        )
        # what is left of a pixel 4 from the border: 0.27^4 of it
        np.testing.assert_allclose(found[:, channel], expected, atol=6e-3)


@pytest.mark.parametrize("lookup", [bilinear, cubic], ids=["bilinear", "cubic"])
def test_far_outside_is_zero(lookup):
    image = jnp.ones((8, 10, 1))
    far = jnp.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 3.0], [0.0, -3.0], [50.0, -50.0]])
    np.testing.assert_array_equal(lookup(image, far), 0.0)


@pytest.mark.parametrize("lookup", [bilinear, cubic], ids=["bilinear", "cubic"])
def test_slopes_against_finite_differences(lookup):
    image, toward = noise_image((12, 15), 1), noise_image((12, 15), 1, seed=9)
    rng = np.random.default_rng(5)
    places = rng.integers(1, 10, (30, 2)) + rng.uniform(0.2, 0.8, (30, 2))
    points = pixel_to_unit(jnp.asarray(places, jnp.float32), (12, 15))

    @jax.jit
    def curved(points, image):
        return jnp.sin(lookup(image, points))[:, 0]

    slope = jax.jit(jax.grad(lambda p: curved(p, image).sum()))(points)
    step = 0.1 / 7.5  # a tenth of a pixel: within the cell, where both are smooth
    for axis in range(2):
        move = step * jnp.eye(2)[axis]
        finite = (curved(points + move, image) - curved(points - move, image)) / step
        # the error of central differences: step^2 / 6 of the third derivative
        np.testing.assert_allclose(slope[:, axis], finite / 2, rtol=0.02, atol=0.15)
    _, change = jax.jvp(lambda i: curved(points, i), (image,), (toward,))
    ahead, behind = (curved(points, image + s * 0.01 * toward) for s in (1, -1))
    np.testing.assert_allclose(change, (ahead - behind) / 0.02, atol=2e-3)


def test_splines_reproduce_a_cubic_polynomial_inside():
    rows, columns = np.mgrid[:24, :24] / 12 - 1
    image = jnp.asarray((columns**3 - rows**2 * columns + 0.5)[..., None], jnp.float32)
    rng = np.random.default_rng(0)
    places = rng.uniform(9, 14, (100, 2)).astype(np.float32)  # edges: 0.27^9 away
    x, y = places.T / 12 - 1
    found = cubic(spline_coefs(image), pixel_to_unit(jnp.asarray(places), (24, 24)))
    np.testing.assert_allclose(found[:, 0], x**3 - y**2 * x + 0.5, atol=1e-4)
