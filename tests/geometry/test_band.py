"""Band limits against the discrete Fourier transform."""

import numpy as np
import pytest

from jaxrvae.geometry.band import band, band_modes, informative_frequency


@pytest.mark.parametrize("shape", [(16, 16), (15, 15), (12, 18), (9, 16)])
def test_modes_are_orthonormal_and_as_many_as_frequencies(shape):
    modes = band_modes(shape, 0.2)
    assert modes.shape == (shape[0] * shape[1], band(shape, 0.2).sum())
    np.testing.assert_allclose(modes.T @ modes, np.eye(modes.shape[1]), atol=1e-5)


def test_projection_is_the_low_pass_filter():
    image = np.random.default_rng(0).normal(size=(16, 16))
    modes = band_modes((16, 16), 0.23)
    kept = (modes @ (modes.T @ image.ravel())).reshape(16, 16)
    filtered = np.fft.ifft2(np.fft.fft2(image) * band((16, 16), 0.23)).real
    np.testing.assert_allclose(kept, filtered, atol=1e-5)


def test_the_whole_band_keeps_every_image():
    modes = band_modes((8, 8), 1.0)
    np.testing.assert_allclose(modes @ modes.T, np.eye(64), atol=1e-5)


def ringing(shape: tuple[int, int], limit: float, noise: float, number: int = 200):
    """Images of waves of one power inside the band, and white noise."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.fft2(rng.normal(size=(number, *shape))) * band(shape, limit)
    images = np.fft.ifft2(spectrum).real + noise * rng.normal(size=(number, *shape))
    return images[..., None]


@pytest.mark.parametrize("shape", [(32, 32), (24, 40)])
@pytest.mark.parametrize("limit", [0.15, 0.3])
def test_what_tells_ends_with_the_band(shape, limit):
    # Of f^2 per wave, 95 % lies below 0.95 ** (1 / 4) of the limit; rings are 1 / 24.
    found = informative_frequency(ringing(shape, limit, noise=1.0))
    assert found == pytest.approx(0.95**0.25 * limit, abs=1 / 24)


def test_noise_drowns_the_finer_waves():
    rng = np.random.default_rng(0)
    fall = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32))) + 0.03
    spectrum = np.fft.fft2(rng.normal(size=(200, 32, 32))) * fall**-2 / 100
    images = np.fft.ifft2(spectrum).real
    noise = rng.normal(size=images.shape)
    found = [informative_frequency((images + s * noise)[..., None]) for s in (0, 1, 3)]
    assert found[0] > found[1] > found[2]


def test_a_channel_without_signal_changes_nothing():
    images = ringing((32, 32), 0.2, noise=0.5)
    noise = np.random.default_rng(1).normal(size=images.shape)
    both = np.concatenate([images, 7 * noise], axis=-1)
    alone = informative_frequency(images)
    assert informative_frequency(both) == pytest.approx(alone, abs=0.01)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_noise_alone_sets_no_limit(scale):
    images = scale * np.random.default_rng(2).normal(size=(300, 24, 24, 1))
    assert informative_frequency(images) == 0.5
