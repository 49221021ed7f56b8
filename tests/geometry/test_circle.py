import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.geometry.circle import (
    angle_difference,
    mean_angle,
    resultant_length,
    wrap,
)

pytestmark = pytest.mark.usefixtures("strict_numerics")


def some_angles(number=200, reach=20.0):
    draws = np.random.default_rng(0).uniform(-reach, reach, number)
    return jnp.asarray(draws, jnp.float32)


@pytest.mark.parametrize("symmetry", [1, 2, 3, 6])
def test_wrap_changes_an_angle_by_whole_turns_into_its_range(symmetry):
    angle = some_angles()
    period = 2 * np.pi / symmetry
    wrapped = np.asarray(wrap(angle, symmetry))
    assert (wrapped >= np.float32(-period / 2)).all()
    assert (wrapped < np.float32(period / 2)).all()
    turns = (np.asarray(angle) - wrapped) / period
    np.testing.assert_allclose(turns, np.round(turns), atol=1e-5)
    np.testing.assert_allclose(wrap(jnp.asarray(wrapped), symmetry), wrapped, atol=1e-6)


@pytest.mark.parametrize("symmetry", [1, 3])
def test_wrap_keeps_the_half_open_edge(symmetry):
    half = np.float32(np.pi / symmetry)
    edges = jnp.array([-half, half, 3 * half, np.nextafter(half, np.float32(0))])
    wrapped = np.asarray(wrap(edges, symmetry))
    assert (wrapped < half).all()
    np.testing.assert_allclose(np.abs(wrapped), half, atol=2e-6)


def test_wrap_takes_a_symmetry_for_each_angle():
    angle = jnp.array([1.0, 1.0, 1.0])
    expected = [1.0, 1.0, 1.0 - 2 * np.pi / 6]
    np.testing.assert_allclose(
        wrap(angle, jnp.array([1.0, 2.0, 6.0])), expected, atol=1e-6
    )


def test_wrap_has_slope_one():
    slope = jax.vmap(jax.grad(wrap))(some_angles(20))
    np.testing.assert_allclose(slope, 1.0)


def test_difference_takes_the_short_way():
    found = angle_difference(jnp.array([3.0, -3.0]), jnp.array([-3.0, 3.0]))
    np.testing.assert_allclose(found, [6 - 2 * np.pi, 2 * np.pi - 6], atol=1e-6)


@pytest.mark.parametrize("symmetry", [1, 3])
def test_mean_and_length_against_complex_numbers(symmetry):
    angles = some_angles(50, reach=1.0)
    mean = np.exp(1j * symmetry * np.asarray(angles, np.float64)).mean()
    found = mean_angle(angles, symmetry)
    np.testing.assert_allclose(found, np.angle(mean) / symmetry, atol=1e-5)
    np.testing.assert_allclose(resultant_length(angles, symmetry), abs(mean), atol=1e-6)


def test_mean_goes_round_the_edge_and_ignores_symmetric_turns():
    angles = jnp.array([3.1, -3.1])
    assert abs(abs(float(mean_angle(angles))) - np.pi) < 1e-5
    threefold = 0.2 + 2 * jnp.pi / 3 * jnp.arange(6.0)
    np.testing.assert_allclose(mean_angle(threefold, 3), 0.2, atol=1e-5)
    np.testing.assert_allclose(resultant_length(threefold, 3), 1.0, atol=1e-6)
    np.testing.assert_allclose(resultant_length(threefold, 1), 0.0, atol=1e-6)
