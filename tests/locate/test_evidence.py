import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.locate.evidence import height_errors, overlap, products

FIRST = jnp.array([20.3, 21.0, 3.0, 0.9])
SECOND = jnp.array([23.1, 19.2, 0.7, 0.6])


def spot(atom, shape=(48, 48)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    x, y, height, log_sigma = np.asarray(atom, float)
    square = (columns - x) ** 2 + (rows - y) ** 2
    return height * np.exp(-square / (2 * np.exp(2 * log_sigma)))


def test_overlap_is_the_sum_over_pixels():
    expected = (spot(FIRST) * spot(SECOND)).sum()
    assert float(overlap(FIRST, SECOND)) == pytest.approx(expected, rel=1e-4)


def test_products_are_the_overlaps_second_derivatives():
    expected = jax.jacfwd(jax.grad(overlap), argnums=1)(FIRST, SECOND)[:3, :3]
    np.testing.assert_allclose(products(FIRST, SECOND), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gap", [1.5, 2.5, 4.0, 20.0])
def test_height_errors_are_those_of_a_joint_fit(gap):
    """Against the inverse of the normal matrix of all pixels' derivatives."""
    sigma, small = 2.0, 1e-4
    atoms = np.array([[18.0, 24.0, 3.0], [18.0 + gap * sigma, 24.3, 2.0]])
    columns = []
    for i in range(2):
        for j in range(3):
            high, low = atoms[i].copy(), atoms[i].copy()
            high[j] += small
            low[j] -= small
            change = spot([*high, np.log(sigma)], (48, 80))
            change = change - spot([*low, np.log(sigma)], (48, 80))
            columns.append(change.ravel() / (2 * small))
    jacobian = np.stack([*columns, np.ones(48 * 80)], axis=1)
    errors = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian)))[[2, 5]]
    params = np.column_stack([atoms, np.full(2, np.log(sigma))]).astype(np.float32)
    pairs = jnp.asarray(params)[jnp.array([[0, 1], [1, 0]])]
    found = height_errors(pairs, jnp.ones((2, 2)))
    np.testing.assert_allclose(
        found, errors, rtol=0.1
    )  # the background's reach differs


def test_absent_neighbours_do_not_count():
    params = jnp.array([[10.0, 10.0, 2.0, 0.7], [11.0, 10.0, 2.0, 0.7]])
    pairs = params[jnp.array([[0, 1], [1, 0]])]
    alone = height_errors(pairs, jnp.array([[1.0, 0.0]] * 2))
    beside = height_errors(pairs, jnp.ones((2, 2)))
    np.testing.assert_allclose(alone[0], alone[1], rtol=1e-5)
    assert (np.asarray(beside) > 1.5 * np.asarray(alone)).all()
