import numpy as np
import pytest

from jaxrvae.locate.canvas import bucket, make_canvas, maxima, splines, value_at


def bump(shape, x, y, sigma):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


@pytest.mark.slow
@pytest.mark.parametrize("spacing", [5.0, 30.0])
def test_binning_moves_no_atom(spacing):
    sigma = 0.32 * spacing
    x, y = 71.4, 60.2
    on = make_canvas(bump((123, 131), x, y, sigma), 0.01, spacing)
    assert on.bin == max(1, int(sigma / 2))
    params = np.array([[*on.from_image(np.array([x, y]) + 0.4), 0.5, np.log(on.sigma)]])
    fitted = on.fit(on.flat(0.0), params.astype(np.float32))
    np.testing.assert_allclose(on.to_image(fitted.params[0, :2]), (x, y), atol=0.02)


def test_positions_go_there_and_back():
    on = make_canvas(np.random.default_rng(0).normal(size=(90, 90)), 1.0, 20.0)
    xy = np.array([[3.0, 4.5], [80.2, 17.0]])
    np.testing.assert_allclose(on.to_image(on.from_image(xy)), xy)
    assert on.bin == 3
    np.testing.assert_allclose(on.from_image(np.array([1.0, 4.0])), [0.0, 1.0])


def test_padding_has_no_weight():
    on = make_canvas(np.random.default_rng(0).normal(size=(70, 50)), 2.0, 7.0)
    weight = np.asarray(on.scene.weight)
    assert weight.shape == (96, 64)
    assert (weight[:70, :50] == 0.25).all()
    assert weight.sum() == pytest.approx(70 * 50 / 4)


def test_splines_add_up_to_one_over_the_image():
    basis, inverse = splines(96, 70, apart=20.0)
    np.testing.assert_allclose(basis[:70].sum(axis=1), 1.0, atol=1e-6)
    assert (basis[70:] == 0).all()
    assert inverse.shape == (basis.shape[1],) * 2


@pytest.mark.parametrize(
    ("size", "expected"), [(3, 4), (4, 4), (5, 8), (9, 16), (25, 32)]
)
def test_bucket(size, expected):
    assert bucket(size, (4, 8)) == expected


def test_maxima_are_found_between_pixels():
    rows, columns = np.mgrid[:20, :20]
    image = -((columns - 7.3) ** 2) - 0.5 * (rows - 11.6) ** 2
    np.testing.assert_allclose(maxima(image), [[7.3, 11.6]], atol=1e-9)


def test_value_at_rounds_and_stays_inside():
    image = np.arange(12.0).reshape(3, 4)
    xy = np.array([[1.4, 0.6], [-5.0, 9.0]])
    np.testing.assert_array_equal(value_at(image, xy), [image[1, 1], image[2, 0]])
