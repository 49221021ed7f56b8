"""Batches are taken in as few parts as fit in the memory that there is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.config import TrainingConfig
from jaxrvae.training import epoch, loop, memory

IMAGES = np.random.default_rng(0).normal(3.0, 1.0, (48, 500)).astype(np.float32)
BATCH = 24


def loss(params, batch, progress, key):
    """Holds a matrix of 500 x 500 for every image until the way back."""
    moved = batch["x"] - params["mean"]
    square = jnp.sin(moved[:, :, None] * moved[:, None, :])
    return jnp.square(square @ moved[:, :, None]).mean(), {}


def trained(monkeypatch, accumulate, free=None):
    """Losses and bytes of the programs compiled."""
    bytes_of = []
    plain = memory.taken

    def taken(program):
        bytes_of.append(plain(program))
        return bytes_of[-1]

    monkeypatch.setattr(memory, "taken", taken)
    if free is not None:
        monkeypatch.setattr(epoch, "room", lambda device: free)
    config = TrainingConfig(epochs=3, batch_size=BATCH, accumulate=accumulate)
    start = {"mean": jnp.zeros(500)}
    fitted = loop.train(loss, start, {"x": IMAGES}, config, progress=False)
    return [row["loss"] for row in fitted.history], bytes_of


def test_a_batch_that_fits_is_taken_whole(monkeypatch):
    losses, bytes_of = trained(monkeypatch, None)
    assert len(bytes_of) == 1
    assert bytes_of[0] > BATCH * 500 * 500 * 4
    assert losses == trained(monkeypatch, 1)[0]


@pytest.mark.parametrize("share", [0.7, 0.3])
def test_one_that_does_not_is_taken_in_parts(monkeypatch, share):
    whole, (needed,) = trained(monkeypatch, None)
    parts, bytes_of = trained(monkeypatch, None, share * needed)
    assert bytes_of[0] == needed
    assert bytes_of[-1] <= share * needed
    assert all(found > share * needed for found in bytes_of[:-1])
    np.testing.assert_allclose(parts, whole, rtol=1e-4)


def test_where_nothing_fits_the_device_is_left_to_say_so(monkeypatch):
    whole, _ = trained(monkeypatch, None)
    losses, _ = trained(monkeypatch, None, 1.0)
    np.testing.assert_allclose(losses, whole, rtol=1e-4)


def test_a_device_has_room():
    assert memory.room(jax.devices()[0]) > 2**28
