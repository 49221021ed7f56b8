import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import ndimage

from jaxrvae.config import ModelConfig
from jaxrvae.data.known import Known
from jaxrvae.geometry.band import band, place_ticks
from jaxrvae.geometry.polar import fourier_bessel, turn
from jaxrvae.models import apply
from jaxrvae.models.build import build_model, build_networks
from jaxrvae.models.steerable import (
    FINER,
    SteerableModel,
    SteerableNetworks,
)

HEIGHT, WIDTH, FREQUENCY = 22, 24, 0.25
BASIS = fourier_bessel(HEIGHT, WIDTH, FREQUENCY)
render = jax.jit(SteerableModel.render)


def make_model(ticks=(0.0,), channels=1, num_angles=96):
    offset = jnp.linspace(0.5, 2.0, channels)
    scale = jnp.linspace(2.0, 0.25, channels)
    shape = (HEIGHT, WIDTH, channels)
    return SteerableModel(BASIS, offset, scale, shape, FREQUENCY, ticks, num_angles)


def blobs(number=3, channels=1, seed=0):
    """Smooth images away from the edges."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    y, x = rows - (HEIGHT - 1) / 2, columns - (WIDTH - 1) / 2
    places = rng.uniform(-2.5, 2.5, (number, channels, 4, 2, 1, 1))
    square = (x - places[:, :, :, 0]) ** 2 + (y - places[:, :, :, 1]) ** 2
    images = (
        rng.uniform(0.2, 1, (number, channels, 4, 1, 1)) * np.exp(-square / 8)
    ).sum(2)
    return jnp.asarray(np.moveaxis(images, 1, -1), jnp.float32)


def features_of(model, images):
    recorded = images * model.scale + model.offset
    return apply.features(model, apply.project(model), recorded, True)


def rendered(model, canonical, angle=0.0, shift=(0.0, 0.0), scale=1.0):
    """In standard units; the shift in pixels, downwards."""
    unit = jnp.array([shift[0], -shift[1]]) / (WIDTH / 2)
    image = render(model, canonical, jnp.array(angle), unit, jnp.array(scale))
    return np.asarray(image)


@pytest.mark.parametrize("channels", [1, 2])
def test_images_come_back_from_their_coefficients(channels):
    model, images = make_model(channels=channels), blobs(channels=channels)
    found = features_of(model, images)
    assert found["coefs"].shape == (3, 1, 2 * len(model.orders))
    for image, coefs in zip(images, found["coefs"][:, 0], strict=True):
        rest = rendered(model, coefs) - image
        assert np.linalg.norm(rest) < 0.05 * np.linalg.norm(image)


def test_energy_is_that_of_the_spectrum_inside_the_band():
    model, images = make_model(channels=2), blobs(channels=2)
    spectrum = np.abs(np.fft.fft2(images, axes=(1, 2))) ** 2 / (HEIGHT * WIDTH)
    inside = band(model.shape, FREQUENCY)[None, :, :, None]
    expected = (spectrum * inside).sum((1, 2, 3))
    np.testing.assert_allclose(
        features_of(model, images)["energy"], expected, rtol=1e-4
    )
    assert model.num_modes == 2 * inside.sum()


@pytest.mark.parametrize("channels", [1, 2])
def test_rendering_turns_counter_clockwise_then_moves_right_and_down(channels):
    model, images = make_model(channels=channels), blobs(1, channels)
    coefs = features_of(model, images)["coefs"][0, 0]
    angle, shift = 0.8, (1.5, -0.75)
    found = rendered(model, coefs, angle, shift)
    for channel in range(channels):
        image = np.asarray(images[0, ..., channel], float)
        expected = ndimage.rotate(image, np.degrees(angle), reshape=False, order=5)
        expected = ndimage.shift(expected, shift[::-1], order=5)
        rest = found[..., channel] - expected
        assert np.linalg.norm(rest) < 0.05 * np.linalg.norm(expected)


def test_rendering_scales_about_the_centre():
    model, images = make_model(), blobs(1)
    coefs = features_of(model, images)["coefs"][0, 0]
    centre = np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])
    image = np.asarray(images[0, ..., 0], float)
    expected = ndimage.affine_transform(image, [1.25] * 2, -0.25 * centre, order=5)
    rest = rendered(model, coefs, scale=0.8)[..., 0] - expected
    assert np.linalg.norm(rest) < 0.05 * np.linalg.norm(expected)


@pytest.mark.parametrize("channels", [1, 2])
def test_correlation_is_the_inner_product_with_the_rendered_image(channels):
    model = make_model((-2.0, 0.0, 2.0), channels)
    images, own = blobs(3, channels), blobs(3, channels, seed=1)
    found = features_of(model, images)
    canonical = features_of(model, own)["coefs"][:, 4]  # the place in the middle
    correlate = jax.jit(lambda a, c: model.correlations(model.fold(a, c)))
    grid = correlate(found["coefs"], canonical)
    assert grid.shape == (3, 9, 96)
    scale = float(jnp.abs(grid).max())
    for place, angle in [(4, 0), (0, 17), (5, 60), (7, 95)]:
        row, column = divmod(place, 3)
        shift = model.ticks[column], model.ticks[row]
        for i in range(3):
            posed = rendered(model, canonical[i], model.angles()[angle], shift)
            expected = (posed * np.asarray(images[i])).sum()
            np.testing.assert_allclose(
                grid[i, place, angle], expected, atol=0.02 * scale
            )


def test_correlations_against_plain_sums_of_waves():
    model = make_model()
    harmonics = jnp.asarray(
        np.random.default_rng(0).standard_normal((2, 1, 2 * 9)), jnp.float32
    )
    cos, sin = np.split(np.asarray(harmonics, float), 2, axis=-1)
    phase = np.arange(9)[:, None] * model.angles()
    expected = cos @ np.cos(phase) + sin @ np.sin(phase)
    np.testing.assert_allclose(model.correlations(harmonics), expected, atol=1e-4)
    assert (np.diff(model.angles()) > 0).all()
    assert model.angles().min() >= -np.pi
    assert model.angles().max() < np.pi


@pytest.mark.parametrize("num_ticks", [1, 3, 5, 7, 9])
def test_attended_places_hold_the_centre_and_are_symmetric(num_ticks):
    model = make_model(tuple(np.linspace(-2, 2, num_ticks).tolist()))
    row, column = np.divmod(model.attended, num_ticks)
    middle = num_ticks // 2
    assert (middle, middle) in set(zip(row, column, strict=True))
    assert sorted(row) == sorted(num_ticks - 1 - row)
    assert len(row) == len(set(model.attended)) <= model.num_places == num_ticks**2


def test_ticks_reach_the_largest_shift_in_small_enough_steps():
    assert place_ticks(0.0, 0.2) == (0.0,)
    for reach, frequency in [(0.5, 0.3), (3.0, 0.2), (4.8, 0.16)]:
        ticks = np.array(place_ticks(reach, frequency))
        assert ticks[0] == -reach
        assert ticks[-1] == reach
        assert ticks[len(ticks) // 2] == 0
        steps = np.diff(ticks)
        np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
        assert steps[0] * frequency <= 1 / 2.5


def test_content_read_finely_is_the_same_after_a_fine_turn():
    model, images = make_model((-1.0, 0.0, 1.0)), blobs()
    networks = SteerableNetworks(model.orders, 2, 8, 16, rngs=nnx.Rngs(0))
    found = features_of(model, 30 * images)  # far from where the units are linear
    angle = jnp.full(found["coefs"].shape[:2], 2 * np.pi / (8 * FINER))
    turned = found | {"coefs": turn(found["coefs"], jnp.array(model.orders), angle)}
    read = jax.jit(SteerableModel.query, static_argnums=3)
    for fine in (True, False):
        first, second = (read(model, networks, f, fine) for f in (found, turned))
        apart = np.abs(first.content - second.content).max()
        assert apart < 1e-5 if fine else apart > 1e-4, apart


def test_fixed_noise_is_the_same_in_every_channel():
    """In the images' units, however the channels differ in spread."""
    images = np.asarray(blobs(50, channels=2)) * np.array([1.0, 50.0])
    noise = {"name": "gaussian", "noise": 2.0}
    config = ModelConfig(pose=("rotation",), likelihood=noise)
    model = build_model(config, images)
    assert isinstance(model, SteerableModel)
    networks = build_networks(model, config, images, Known(), nnx.Rngs(0))
    np.testing.assert_allclose(model.noise(networks) * model.scale, 2.0, rtol=1e-6)
