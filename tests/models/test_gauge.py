"""A decoder that turns and moves its image with the content: the drift is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.geometry.pose import rotate
from jaxrvae.models import gauge as gauge_module
from jaxrvae.models.gauge import Gauge, drift, fix_gauge, no_anchors, unfix_gauge

POINTS = jnp.array([[0.9, 0.1], [-0.2, 0.7], [0.3, -0.8], [-0.6, -0.5]])


def cloud(angle, shift):
    """Four points at a pose, as one vector: an image whose derivatives are exact."""
    return (rotate(POINTS, angle) + shift).ravel()


def generate(vector):
    """Derivatives of the posed cloud by angle and shift, at pose zero."""
    points = vector.reshape(-1, 2)
    turned = jnp.stack([-points[:, 1], points[:, 0]], axis=-1)
    along_x = jnp.broadcast_to(jnp.array([1.0, 0.0]), points.shape)
    return jnp.stack([turned, along_x, along_x[:, ::-1]]).reshape(3, -1)


@pytest.mark.parametrize("content", [(1.0, 0.5), (-0.7, 1.2), (0.0, 0.0)])
def test_drift_is_the_pose_that_the_decoder_puts_in(content):
    def canonical(z):
        return cloud(0.8 * z[0] - 0.3 * z[1], jnp.array([0.2 * z[1], 0.1 * z[0]]))

    z = jnp.array(content)
    angle, shift = drift(canonical, generate, no_anchors(2), z)
    expected = 0.8 * z[0] - 0.3 * z[1], jnp.array([0.2 * z[1], 0.1 * z[0]])
    # The ridge of 0.1 % leaves as much, far from any anchor.
    np.testing.assert_allclose(angle, expected[0], atol=5e-3)
    np.testing.assert_allclose(shift, expected[1], atol=2e-2)


def test_turns_and_moves_add_up_in_their_order(monkeypatch):
    """Without the ridge, three nodes leave what goes with the line's sixth power."""
    monkeypatch.setattr(gauge_module, "RIDGE", 1e-6)

    def pose(z):
        return 0.8 * z[0] + 0.1 * z[0] ** 2, jnp.array([0.4 * z[0] ** 2, 0.3 * z[1]])

    z = jnp.array([0.7, -0.5])
    angle, shift = drift(lambda z: cloud(*pose(z)), generate, no_anchors(2), z)
    np.testing.assert_allclose(angle, pose(z)[0], atol=2e-5)
    # what Magnus' expansion leaves out is a bracket of three
    np.testing.assert_allclose(shift, pose(z)[1], atol=2e-4)


def test_drift_goes_on_from_the_nearest_anchor():
    def canonical(z):
        return cloud(0.8 * z[0], jnp.array([0.2 * z[1], 0.0]))

    near = jnp.array([0.9, 0.4])
    gauge = Gauge(
        jnp.stack([jnp.zeros(2), near]),
        jnp.array([2.0, 0.8 * near[0]]),
        jnp.array([[0.0, 3.0], [0.2 * near[1], 0.0]]),
        jnp.ones(2),
    )
    angle, shift = drift(canonical, generate, gauge, jnp.array([1.0, 0.5]))
    np.testing.assert_allclose(angle, 0.8, atol=1e-3)
    np.testing.assert_allclose(shift, [0.1, 0.0], atol=1e-3)


def test_nearest_anchor_is_of_the_own_class():
    def canonical(z):  # z[1] is 0 or 1: of one class or of the other
        return cloud(0.8 * z[0], jnp.zeros(2))

    gauge = Gauge(
        jnp.array([[0.9, 1.0], [-1.0, 0.0]]),
        jnp.array([0.72 + 2.0, -0.8]),
        jnp.zeros((2, 2)),
        jnp.array([1.0, 1e4]),
    )
    angle, _ = drift(canonical, generate, gauge, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(angle, 0.8, atol=1e-2)


def test_a_change_of_shape_alone_is_no_drift():
    centred = POINTS - POINTS.mean(0)

    def grown(z):
        return (centred * (1 + 0.3 * z[0])).ravel()

    angle, shift = drift(grown, generate, no_anchors(2), jnp.array([1.0, 0.0]))
    assert abs(float(angle)) < 1e-4
    np.testing.assert_allclose(shift, 0.0, atol=1e-4)


def test_unfix_undoes_fix():
    keys = jax.random.split(jax.random.key(0), 4)
    angle = jax.random.uniform(keys[0], (5,), minval=-3, maxval=3)
    shift, hidden_shift = (jax.random.normal(k, (5, 2)) for k in keys[1:3])
    hidden = jax.random.normal(keys[3], (5,)), hidden_shift
    fixed = fix_gauge(angle, shift, hidden)
    own, moved = unfix_gauge(*fixed, jnp.ones(5), hidden)
    np.testing.assert_allclose(np.exp(1j * own), np.exp(1j * angle), atol=1e-5)
    np.testing.assert_allclose(moved, shift, atol=1e-5)
