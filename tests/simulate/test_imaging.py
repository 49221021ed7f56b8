import numpy as np
import pytest
from scipy.optimize import minimize

from jaxrvae.simulate import imaging
from jaxrvae.simulate.imaging import (
    CARBON_CROSS_SECTION,
    carbon_peak,
    cramer_rao,
    render_atoms,
)


def draw(x, y, peak, sigma, shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


def test_render_against_a_loop(monkeypatch):
    rng = np.random.default_rng(0)
    shape, sigma = (30, 41), 1.7
    positions = rng.uniform(-12, 53, (200, 2))
    peaks = rng.uniform(1, 3, 200)
    expected = sum(
        draw(x, y, peak, sigma, shape)
        for (x, y), peak in zip(positions, peaks, strict=True)
    )
    image = render_atoms(positions, peaks, sigma, shape)
    np.testing.assert_allclose(image, expected, atol=3e-4)  # tails beyond 5 sigma
    monkeypatch.setattr(imaging, "CHUNK", 7)
    np.testing.assert_allclose(render_atoms(positions, peaks, sigma, shape), image)


def test_render_without_atoms_is_empty():
    assert not render_atoms(np.zeros((0, 2)), np.zeros(0), 2.0, (8, 9)).any()


def test_an_atom_scatters_its_cross_section_of_the_dose():
    peak = np.array([carbon_peak(2e5, 2.2)])
    image = render_atoms(np.array([[30.3, 29.6]]), peak, 2.2, (60, 60))
    assert image.sum() == pytest.approx(2e5 * CARBON_CROSS_SECTION, rel=1e-4)


def test_bound_without_background_is_sigma_over_root_counts():
    sigma, peak = 3.0, 50.0
    counts = 2 * np.pi * sigma**2 * peak
    bound = cramer_rao(sigma, peak, 1e-9, fit_sigma=True)
    assert bound["x"] == pytest.approx(sigma / counts**0.5, rel=1e-3)
    assert bound["y"] == pytest.approx(bound["x"])


def test_bound_on_a_high_background_is_that_of_white_noise():
    # Fisher information of x: peak^2 / background * integral (x/sigma^2)^2 exp(-r2/s2)
    peak, background = 1.0, 400.0
    bound = cramer_rao(2.5, peak, background)
    assert bound["x"] == pytest.approx((2 * background / np.pi) ** 0.5, rel=5e-3)


def test_bound_grows_when_sigma_is_not_known():
    known, unknown = (cramer_rao(2.0, 20.0, 10.0, fit_sigma=f) for f in (False, True))
    assert unknown["peak"] > 1.05 * known["peak"]
    assert unknown["x"] == pytest.approx(known["x"])
    assert set(unknown) - set(known) == {"sigma"}


def test_maximum_likelihood_reaches_the_bound():
    sigma, truth, shape = 2.0, np.array([10.0, 10.0, 80.0, 20.0]), (21, 21)
    bound = cramer_rao(sigma, truth[2], truth[3])
    mean = draw(*truth[:3], sigma, shape) + truth[3]
    rng = np.random.default_rng(0)

    def negative_log_likelihood(parameters, counts):
        x, y, peak, background = parameters
        model = draw(x, y, peak, sigma, shape) + background
        return (model - counts * np.log(np.maximum(model, 1e-9))).sum()

    found = np.array(
        [
            minimize(negative_log_likelihood, truth, args=rng.poisson(mean)).x
            for _ in range(150)
        ]
    )
    errors = found - truth
    for i, name in enumerate(["x", "y", "peak", "background"]):
        ratio = np.sqrt((errors[:, i] ** 2).mean()) / bound[name]
        assert abs(ratio - 1) < 5 / np.sqrt(2 * len(found))


@pytest.mark.parametrize("arguments", [(0.0, 1.0, 1.0), (2.0, -1.0, 1.0)])
def test_bound_refuses(arguments):
    with pytest.raises(ValueError, match="must be finite and > 0"):
        cramer_rao(*arguments)
