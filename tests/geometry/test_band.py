"""Band limits against the discrete Fourier transform."""

import numpy as np
import pytest

from jaxrvae.geometry.band import band, band_modes


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
