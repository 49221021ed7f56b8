import numpy as np
import pytest

from jaxrvae.locate.spectrum import denoise, noise_level


def lattice(shape=(128, 160), period=11.0):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    waves = [
        np.cos(2 * np.pi * (columns * np.cos(a) + rows * np.sin(a)) / period)
        for a in (0.3, 0.3 + np.pi / 3, 0.3 + 2 * np.pi / 3)
    ]
    return 5.0 + sum(waves)


@pytest.mark.parametrize("sd", [0.1, 3.0])
def test_noise_level_of_white_noise_beside_a_lattice(sd):
    noise = np.random.default_rng(0).normal(0, sd, (128, 160))
    num = 128 * 160 * (1 - np.pi * 0.35**2) / 2 / 2.25  # independent, beyond the band
    error = sd / 2 * 1.44 / num**0.5  # of the root of a median of exponentials
    assert abs(noise_level(lattice() + noise) - sd) < 5 * error


def test_denoising_keeps_the_lattice_and_says_what_noise_remains():
    clean = lattice()
    noise = np.random.default_rng(0).normal(0, 1.0, clean.shape)
    found = denoise(clean + noise)
    middle = np.s_[16:-16, 16:-16]
    error = (found.values - clean)[middle]
    assert error.std() < 0.35 * noise[middle].std()
    assert found.remaining < 0.35
    assert 1 / 11 < found.cutoff < 0.2
    shifted = denoise(clean + noise + 100.0)
    np.testing.assert_allclose(shifted.values - 100.0, found.values, atol=1e-8)


def test_denoising_is_linear_in_the_unit():
    image = lattice() + np.random.default_rng(0).normal(0, 1.0, (128, 160))
    one, thousand = denoise(image), denoise(1000 * image)
    np.testing.assert_allclose(thousand.values, 1000 * one.values, rtol=1e-9)
    assert thousand.noise == pytest.approx(1000 * one.noise)
    assert thousand.cutoff == one.cutoff
