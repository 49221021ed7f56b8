import numpy as np
import pytest
from scipy.special import j1

from jaxrvae.simulate.probe import aberration, probe_transfer, wavelength

SIDE, PIXEL = 256, 0.0125


def intensity(**options):
    transfer = probe_transfer((SIDE, SIDE), PIXEL, **options)
    return np.fft.fftshift(np.fft.irfft2(transfer, s=(SIDE, SIDE)))


def spread(probe, axis=None):
    """Root of the second moment within 0.5 nm of the centre, nm."""
    y, x = PIXEL * (np.mgrid[:SIDE, :SIDE] - SIDE // 2)
    near = np.where(np.hypot(x, y) < 0.5, probe, 0)
    far = {None: np.hypot(x, y), "x": x, "y": y, "diagonal": (x - y) / 2**0.5}[axis]
    return np.sqrt((near * far**2).sum() / near.sum())


@pytest.mark.parametrize(("voltage", "picometres"), [(60, 4.866), (200, 2.508)])
def test_wavelength(voltage, picometres):
    assert 1e3 * wavelength(voltage) == pytest.approx(picometres, abs=1e-3)


@pytest.mark.parametrize(
    "options", [{}, {"defocus": 8.0}, {"astigmatism": 5.0, "source": 0.08}]
)
def test_probe_is_normalised_and_not_negative(options):
    probe = intensity(**options)
    assert probe.sum() == pytest.approx(1)
    assert probe.min() > -1e-9


def test_probe_without_aberrations_is_the_airy_pattern():
    probe = intensity(voltage=60, convergence=30)
    r = PIXEL * np.arange(1, 12)
    v = 2 * np.pi * 0.030 / wavelength(60) * r
    line = probe[SIDE // 2, SIDE // 2 + 1 : SIDE // 2 + 12]
    airy = (2 * j1(v) / v) ** 2
    np.testing.assert_allclose(line / probe.max(), airy, atol=0.02)


def test_blur_grows_with_defocus_and_with_the_source():
    by_defocus = [spread(intensity(defocus=c)) for c in (0, 4, 8, 12)]
    assert (np.diff(by_defocus) > 0).all()
    peak = [intensity(source=s).max() for s in (0.0, 0.05, 0.1)]
    assert (np.diff(peak) < 0).all()


def test_source_adds_its_variance():
    plain, blurred = intensity(defocus=5.0), intensity(defocus=5.0, source=0.1)
    x = PIXEL * (np.arange(SIDE) - SIDE // 2)
    window = np.exp(-(x**2) / (2 * 0.05**2))  # a test function: tails fall slowly
    wider = np.exp(-(x**2) / (2 * (0.05**2 + (0.1 / 2.3548) ** 2)))
    wider *= 0.05 / np.sqrt(0.05**2 + (0.1 / 2.3548) ** 2)
    assert blurred.sum(0) @ window == pytest.approx(plain.sum(0) @ wider, rel=1e-4)


def test_astigmatism_lengthens_along_the_direction_of_more_defocus():
    options = {"defocus": 8.0, "astigmatism": 5.0}
    along_x = intensity(**options)
    assert spread(along_x, "x") > 1.3 * spread(along_x, "y")
    up_right = intensity(astigmatism_angle=np.pi / 4, **options)  # rows go down
    assert spread(up_right, "diagonal") > 1.3 * spread(up_right[:, ::-1], "diagonal")


def test_spherical_aberration_is_balanced_by_defocus():
    # Scherzer's condition: C1 = -sqrt(1.5 C3 wavelength), as good as it gets
    c3, electron = 100.0, wavelength(60)
    best = -np.sqrt(1.5 * 1e3 * c3 * electron)
    options = {"convergence": 22.0, "spherical": c3}
    assert intensity(defocus=best, **options).max() > intensity(**options).max()
    assert intensity(defocus=-best, **options).max() < intensity(**options).max()


def test_aberration_function_of_defocus_alone():
    k = np.array([0.0, 3.0])
    chi = aberration(k, np.zeros(2), 0.005, defocus=2.0)
    np.testing.assert_allclose(chi, [0, np.pi * 0.005 * 2 * 9])


def test_pixels_too_large_for_the_aperture_are_refused():
    with pytest.raises(ValueError, match=r"pixel_size must be at most 0\.0"):
        probe_transfer((64, 64), 0.1)
