import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.locate.canvas import make_canvas
from jaxrvae.locate.gaussians import (
    fit,
    gather_in,
    residual,
    slopes_of,
    spread_out,
    windows,
)

SHAPE, SPACING = (60, 64), 7.0


def draw(atoms, shape=SHAPE, aspect=0.0):
    """The image of atoms (x, y, height, sigma), pixel by pixel."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape)
    for x, y, height, sigma in atoms:
        u = (columns - x) / (sigma * np.exp(aspect))
        v = (rows - y) / (sigma * np.exp(-aspect))
        image += height * np.exp(-(u**2 + v**2) / 2)
    return image


def grid(jitter=0.6, seed=0):
    """Atoms about 7 pixels apart, of sigma 2.2."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(5.0, 62, 7), np.arange(5.0, 58, 7))
    n = x.size
    xy = np.stack([x.ravel(), y.ravel()], axis=1) + rng.normal(0, jitter, (n, 2))
    return np.column_stack([xy, rng.uniform(1, 3, n), np.full(n, 2.2)])


def start(atoms, off=0.0, seed=1):
    """Fit parameters near those atoms."""
    rng = np.random.default_rng(seed)
    params = atoms.copy()
    params[:, :2] += rng.normal(0, off, (len(atoms), 2))
    params[:, 3] = np.log(SPACING * 0.32)
    return params.astype(np.float32)


def test_products_with_images_are_each_others_transpose():
    rng = np.random.default_rng(0)
    params = jnp.asarray(start(grid()))
    at = windows(params, jnp.asarray(0.1), SHAPE, 15)
    slopes = slopes_of(params, jnp.asarray(0.1))
    step = jnp.asarray(rng.normal(size=slopes.shape), jnp.float32)
    image = jnp.asarray(rng.normal(size=SHAPE), jnp.float32)
    left = jnp.vdot(spread_out(at, slopes, step, SHAPE), image)
    right = jnp.vdot(step, gather_in(at, slopes, image))
    np.testing.assert_allclose(left, right, rtol=1e-4)


@pytest.mark.parametrize("column", range(5))
def test_derivatives_against_finite_differences(column):
    x, y, height, sigma, small = 30.3, 28.6, 2.0, 2.2, 1e-3
    params = jnp.array([[x, y, height, np.log(sigma)]])
    at = windows(params, jnp.asarray(0.0), SHAPE, 31)
    step = jnp.zeros((1, 5)).at[0, column].set(1.0)
    found = spread_out(at, slopes_of(params, jnp.asarray(0.0)), step, SHAPE)
    images = []
    for sign in (1, -1):
        atom = np.array([x, y, height, sigma, sigma])
        atom[column] += sign * small if column < 3 else 0
        if column >= 3:
            atom[column] *= np.exp(sign * small)
        rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
        u, v = (columns - atom[0]) / atom[3], (rows - atom[1]) / atom[4]
        images.append(atom[2] * np.exp(-(u**2 + v**2) / 2))
    expected = (images[0] - images[1]) / (2 * small)
    np.testing.assert_allclose(found, expected, atol=2e-4)


@pytest.mark.parametrize("aspect", [0.0, 0.08])
def test_atoms_come_back_from_a_clean_image(aspect):
    atoms = grid()
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    slope = 4.0 + 0.02 * columns - 0.01 * rows
    on = make_canvas(draw(atoms, aspect=aspect) + slope, 0.01, SPACING)
    fitted = on.fit(on.flat(4.0), start(atoms, off=0.4), num_steps=40)
    np.testing.assert_allclose(fitted.params[:, :2], atoms[:, :2], atol=0.02)
    np.testing.assert_allclose(fitted.params[:, 2], atoms[:, 2], rtol=0.03)
    np.testing.assert_allclose(np.exp(fitted.params[:, 3]), 2.2, rtol=0.02)
    assert float(fitted.model.aspect) == pytest.approx(aspect, abs=0.01)
    assert np.abs(fitted.residual).max() < 0.05


def test_a_close_pair_is_told_apart():
    atoms = np.array([[30.0, 30.0, 5.0, 2.2], [34.4, 31.0, 1.0, 2.2]])  # 2 sigma
    on = make_canvas(draw(atoms) + 1.0, 0.01, SPACING)
    begin = start(atoms)
    begin[:, 2] = 2.0
    begin[1, :2] += 0.7
    fitted = on.fit(on.flat(1.0), begin, num_steps=40)
    np.testing.assert_allclose(fitted.params[:, :2], atoms[:, :2], atol=0.03)
    np.testing.assert_allclose(fitted.params[:, 2], atoms[:, 2], rtol=0.05)


def test_more_steps_never_fit_worse():
    image = draw(grid()) + np.random.default_rng(0).normal(0, 0.5, SHAPE)
    on = make_canvas(image, 0.5, SPACING)
    squares = [
        (on.fit(on.flat(0.0), start(grid(), off=0.8), num_steps=n).residual ** 2).sum()
        for n in (0, 1, 2, 4, 8)
    ]
    assert all(np.diff(squares) <= 1e-3 * squares[-1])
    assert squares[-1] < 0.5**2 * image.size


def test_positions_reach_the_cramer_rao_bound():
    """200 noisy images of one atom on a known kind of background."""
    sigma, height, noise, num = 2.2, 3.0, 0.3, 200
    rng = np.random.default_rng(0)
    atom = np.array([[31.3, 29.8, height, sigma]])
    errors = []
    for _ in range(num):
        on = make_canvas(draw(atom) + rng.normal(0, noise, SHAPE), noise, SPACING)
        errors.append(on.fit(on.flat(0.0), start(atom)).params[0, :2] - atom[0, :2])
    bound = noise / height * np.sqrt(2 / np.pi)  # isolated Gaussian, white noise
    rms = np.sqrt(np.mean(np.square(errors)))
    assert abs(rms / bound - 1) < 5 / np.sqrt(2 * 2 * num)


def test_padding_changes_nothing():
    atoms = grid()
    on = make_canvas(draw(atoms) + 1.0, 0.05, SPACING)
    first = on.fit(on.flat(1.0), start(atoms))
    absent = on.flat(1.0)._replace(
        atoms=jax.tree.map(jnp.asarray, first.model.atoms),
        width=first.model.width,
        aspect=first.model.aspect,
        knots=first.model.knots,
    )
    params = absent.atoms.params.at[-1].set(jnp.array([30.0, 30.0, 9.0, 0.5]))
    absent = absent._replace(atoms=absent.atoms._replace(params=params))
    at = windows(params, absent.aspect, on.scene.image.shape, on.size)
    rest = residual(on.scene, absent, at)[: SHAPE[0], : SHAPE[1]]
    np.testing.assert_allclose(rest, first.residual, atol=1e-4)


@pytest.mark.slow
def test_fit_compiles_once_for_a_movie():
    fit.clear_cache()
    rng = np.random.default_rng(0)
    for seed in range(3):
        atoms = grid(seed=seed)[: 60 - seed]
        on = make_canvas(draw(atoms) + rng.normal(0, 0.1, SHAPE), 0.1, SPACING)
        on.fit(on.flat(0.0), start(atoms), num_steps=3 + seed)
    assert fit._cache_size() == 1
