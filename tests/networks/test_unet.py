import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxrvae.networks.unet import FACTOR, UNet, doubled, halved


@pytest.mark.parametrize("shape", [(16, 16), (8, 24)])
def test_maps_are_as_large_as_the_image(shape):
    net = UNet(1, 2, rngs=nnx.Rngs(0))
    assert all(side % FACTOR == 0 for side in shape)
    assert net(jnp.zeros((3, *shape, 1))).shape == (3, *shape, 2)


def test_maps_follow_the_image_by_whole_cells():
    """Moved by a multiple of the coarsest cell, away from the edges."""
    net = UNet(1, 1, rngs=nnx.Rngs(1))
    image = jnp.zeros((1, 96, 96, 1)).at[0, 44:52, 40:49, 0].set(1.0)
    moved = jnp.roll(image, (FACTOR, -2 * FACTOR), (1, 2))
    expected = jnp.roll(net(image), (FACTOR, -2 * FACTOR), (1, 2))
    inside = slice(36, 60)
    np.testing.assert_allclose(
        net(moved)[:, inside, inside], expected[:, inside, inside], atol=1e-5
    )


def test_halved_and_doubled():
    units = jax.random.normal(jax.random.key(0), (2, 6, 8, 3))
    small = halved(units)
    np.testing.assert_allclose(small[0, 0, 0], units[0, :2, :2].mean((0, 1)), rtol=1e-5)
    ramp = jnp.arange(6.0)[None, :, None, None] * jnp.ones((1, 6, 4, 1))
    inner = doubled(ramp)[0, 1:-1, 0, 0]
    np.testing.assert_allclose(np.diff(inner), 0.5, atol=1e-6)
    np.testing.assert_allclose(halved(doubled(ramp))[0, 1:-1], ramp[0, 1:-1], atol=1e-6)
