import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.geometry.pose import apply_pose, remove_pose, rotate

POSES = [(0.0, (0.0, 0.0), 1.0), (0.7, (0.2, -0.1), 1.3), (-2.9, (-0.5, 0.4), 0.6)]


def some_points():
    draws = np.random.default_rng(1).uniform(-1, 1, (4, 3, 2))
    return jnp.asarray(draws, jnp.float32)


@pytest.mark.parametrize(("angle", "shift", "scale"), POSES)
def test_pose_applied_and_removed_is_nothing(angle, shift, scale):
    pose = jnp.array(angle), jnp.array(shift), jnp.array(scale)
    points = some_points()
    seen = apply_pose(points, *pose)
    np.testing.assert_allclose(remove_pose(seen, *pose), points, atol=1e-6)
    np.testing.assert_allclose(
        apply_pose(remove_pose(points, *pose), *pose), points, atol=1e-6
    )


@pytest.mark.parametrize(("angle", "shift", "scale"), POSES)
def test_pose_turns_then_scales_then_shifts(angle, shift, scale):
    points = np.asarray(some_points(), np.float64)
    turned = (points[..., 0] + 1j * points[..., 1]) * np.exp(1j * angle) * scale
    expected = np.stack([turned.real, turned.imag], -1) + shift
    found = apply_pose(
        some_points(), jnp.array(angle), jnp.array(shift), jnp.array(scale)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_turns_add_and_keep_lengths():
    points = some_points()
    twice = rotate(rotate(points, jnp.array(0.4)), jnp.array(1.1))
    np.testing.assert_allclose(twice, rotate(points, jnp.array(1.5)), atol=1e-6)
    length = jnp.linalg.norm(points, axis=-1)
    np.testing.assert_allclose(jnp.linalg.norm(twice, axis=-1), length, atol=1e-6)


def test_slope_in_the_angle_is_the_point_turned_by_a_right_angle(strict_numerics):
    point = jnp.array([0.3, -0.8])
    slope = jax.jacfwd(lambda angle: rotate(point, angle))(jnp.array(0.5))
    expected = rotate(point, jnp.array(0.5 + np.pi / 2))
    np.testing.assert_allclose(slope, expected, atol=1e-6)
