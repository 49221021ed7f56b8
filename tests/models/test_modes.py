import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.geometry.circle import angle_grid
from jaxrvae.models.modes import INDISTINGUISHABLE, angle_modes, symmetry_order

ANGLES = jnp.asarray(angle_grid(96), jnp.float32)
modes_of = jax.jit(angle_modes)


def peaks(*parts):
    """Weights of bumps (angle, share, width), added up to 1."""
    total = np.zeros(96)
    for angle, share, width in parts:
        distance = np.angle(np.exp(1j * (np.asarray(ANGLES, float) - angle)))
        bump = np.exp(-0.5 * (distance / width) ** 2)
        total += share * bump / bump.sum()
    return jnp.asarray(total, jnp.float32)


def test_modes_come_best_first_with_their_shares():
    weights = peaks((2.0, 0.25, 0.1), (-1.0, 0.6, 0.1), (0.5, 0.15, 0.1))
    modes, shares, places = modes_of(weights, ANGLES)
    np.testing.assert_allclose(modes[:3], [-1.0, 2.0, 0.5], atol=np.pi / 96)
    np.testing.assert_allclose(shares[:3], [0.6, 0.25, 0.15], atol=0.01)
    assert np.isnan(modes[3:]).all()
    assert not np.any(shares[3:])
    np.testing.assert_array_equal(ANGLES[places[:3]], modes[:3])


def test_a_mode_across_the_edge_is_one():
    modes, shares, _ = modes_of(peaks((np.pi, 1.0, 0.3)), ANGLES)
    assert abs(abs(float(modes[0])) - np.pi) < 0.05
    np.testing.assert_allclose(shares[0], 1, atol=1e-4)


def test_a_flat_posterior_is_one_mode():
    modes, shares, _ = modes_of(jnp.full(96, 1 / 96), ANGLES)
    assert np.isfinite(modes[0])
    np.testing.assert_allclose(shares[0], 1, atol=1e-4)


def test_more_modes_than_kept_lose_no_probability():
    weights = peaks(*[(0.1 + 2 * np.pi * i / 8, 0.125, 0.1) for i in range(8)])
    modes, shares, _ = modes_of(weights, ANGLES)
    assert np.isfinite(modes).all()
    np.testing.assert_allclose(shares.sum(), 1, atol=1e-4)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_symmetry_is_the_common_divisor_of_the_orders_that_stand_out(order):
    orders = np.arange(13)
    strong = (orders % order == 0) & (orders > 0)
    power = np.where(strong, 100.0, 1e-4)
    coefs = jnp.asarray(np.concatenate([np.sqrt(power), np.zeros(13)]), jnp.float32)
    assert int(symmetry_order(coefs[None], orders, jnp.float32(1.0))[0]) == order


def test_symmetry_is_what_the_noise_cannot_tell():
    """Order 3 alone, but for a part of order 1 of growing power."""
    orders = np.array([0, 1, 3])
    for nats, expected in [(0.5, 3), (2.0, 1)]:
        power = nats * INDISTINGUISHABLE / (1 - np.cos(2 * np.pi / 3))
        coefs = jnp.array([[5.0, power**0.5, 50.0, 0.0, 0.0, 0.0]])
        found = symmetry_order(coefs, orders, jnp.float32(1.0))
        assert int(found[0]) == expected


def test_symmetry_of_an_image_does_not_depend_on_the_others():
    """Each has its own noise, where noises are given one an image."""
    orders = np.array([0, 1, 3])
    coefs = jnp.tile(jnp.array([[5.0, 2.0, 50.0, 0.0, 0.0, 0.0]]), (2, 1))
    found = symmetry_order(coefs, orders, jnp.array([1.0, 10.0]))
    assert found.tolist() == [1, 3]
    assert symmetry_order(coefs[:1], orders, jnp.array([10.0])).tolist() == [3]
