import numpy as np
import pytest

from jaxrvae.simulate.imaging import CARBON_CROSS_SECTION
from jaxrvae.simulate.microscope import Microscope, blur, expected_counts, record

PLACE = np.array([[30.3, 27.6]])


def draw(microscope, places=PLACE, brightness=1.0):
    weights = np.full(len(places), brightness)
    mean = expected_counts(places, weights, microscope, blur(microscope))
    m = microscope.margin
    return mean, mean[m : m + microscope.size, m : m + microscope.size]


def test_an_atom_scatters_its_cross_section_of_the_dose():
    mean, _ = draw(Microscope(size=64, dose=2e5), brightness=3.0)
    assert mean.sum() == pytest.approx(3 * 2e5 * CARBON_CROSS_SECTION, rel=1e-3)


def test_gaussians_drawn_leave_no_trace():
    """A shift of the atom shifts the band-limited image, to rounding."""
    microscope = Microscope(size=64)
    _, here = draw(microscope)
    _, there = draw(microscope, PLACE + 0.37)
    rows, columns = np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None]
    phase = np.exp(-2j * np.pi * 0.37 * (rows + columns))
    moved = np.fft.ifft2(np.fft.fft2(here) * phase).real
    inner = slice(10, -10)
    np.testing.assert_allclose(
        there[inner, inner], moved[inner, inner], atol=2e-3 * here.max()
    )


def test_peak_is_where_the_atom_is():
    _, image = draw(Microscope(size=64, source=0.1))
    y, x = np.mgrid[:64, :64]
    near = np.where(np.hypot(x - 30, y - 28) < 5, image, 0) ** 4
    found = [(near * axis).sum() / near.sum() for axis in (x, y)]
    np.testing.assert_allclose(found, PLACE[0], atol=0.05)


def test_jitter_moves_lines_by_what_is_told():
    microscope = Microscope(size=64, jitter=1.0, dose=1e9, source=0.1)
    mean, still = draw(microscope)
    counts, off = record(mean, 0.0, microscope, np.random.default_rng(0))
    x = np.arange(64)
    weights = np.where(np.abs(x - 30) < 8, 1.0, 0.0)
    for row in range(26, 30):  # a line read too far right shows the atom to the left
        line = counts[row] * weights
        assert (line @ x) / line.sum() == pytest.approx(30.3 - off[row, 0], abs=0.35)
    assert abs(off.std() - 1) < 5 / np.sqrt(2 * off.size)
    assert not np.allclose(counts, still, rtol=0.05)


def test_counts_are_poisson():
    microscope = Microscope(size=128)
    mean, image = draw(microscope)
    counts, off = record(mean, 20.0, microscope, np.random.default_rng(1))
    assert not off.any()
    residual = (counts - image - 20.0) / np.sqrt(image + 20.0)
    assert abs(residual.mean()) < 5 / 128
    assert abs(residual.var() - 1) < 5 * np.sqrt(2.05 / 128**2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dose": 0.0}, "dose must be finite and > 0"),
        ({"jitter": -1.0}, "jitter must be >= 0"),
        ({"size": 4}, "size must be >= 16"),
        ({"drift": (1.0, 2.0, 3.0)}, "drift must be one number or 2"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Microscope(**options)
