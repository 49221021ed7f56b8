"""Images that are read from disk while training goes on."""

import numpy as np
import pytest

import jaxrvae as jr
from jaxrvae.config import TrainingConfig
from jaxrvae.training import loop, stream
from jaxrvae.training.fit import streams
from jaxrvae.training.stream import Stream

TARGETS = np.random.default_rng(0).normal(3.0, 1.0, (64, 2)).astype(np.float32)
CONFIG = TrainingConfig(epochs=5, batch_size=8, learning_rate=0.1, save_seconds=0.0)


def loss(params, batch, progress, key):
    import jax
    import jax.numpy as jnp

    draw = 0.1 * jax.random.normal(key, (2,))
    value = jnp.square(batch["x"] - params["mean"] - draw).sum(1).mean()
    return value, {"part": 2 * value, "progress": progress}


def start(members=None):
    return {"mean": np.zeros((2,) if members is None else (members, 2), np.float32)}


def streamed(values=TARGETS):
    return Stream({"x": values}, lambda batch: batch)


def trained(features, members=None, **options):
    options = {"members": members, "progress": False} | options
    return loop.train(loss, start(members), features, CONFIG, **options)


@pytest.fixture
def pieces(monkeypatch):
    """Two steps of eight rows of two numbers at a time: four pieces an epoch."""
    monkeypatch.setattr(stream, "PIECE_BYTES", 2 * 8 * 2 * 4)


@pytest.fixture
def on_disk(tmp_path):
    np.save(tmp_path / "x.npy", TARGETS)
    return np.load(tmp_path / "x.npy", mmap_mode="r")


def assert_same(first, second):
    np.testing.assert_array_equal(first.params["mean"], second.params["mean"])
    assert len(first.history) == len(second.history)
    for one, other in zip(first.history, second.history, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"seconds"}:
            assert one[name] == pytest.approx(other[name], rel=1e-6)


def test_a_stream_learns_what_images_on_the_device_teach(pieces, on_disk):
    assert_same(trained({"x": TARGETS}), trained(streamed(on_disk)))


def test_members_share_what_is_read(pieces):
    both = trained(streamed(), members=2).params["mean"]
    assert not np.array_equal(both[0], both[1])
    one = np.asarray(trained(streamed()).params["mean"])
    np.testing.assert_array_equal(both[0], one)
    np.testing.assert_allclose(both[1], one, atol=0.1)  # other draws, of 0.1


@pytest.mark.parametrize("stop", [1, 4, 6, 19])
def test_stopped_between_pieces_it_goes_on_at_the_very_batch(
    pieces, tmp_path, monkeypatch, stop
):
    wanted = trained(streamed())
    save, count = loop.RunDirectory.save, []

    def stopping(run, *parts):
        save(run, *parts)
        count.append(parts[0])
        if len(count) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.RunDirectory, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        trained(streamed(), run_dir=tmp_path)
    assert count[-1] == 2 * stop  # steps
    assert_same(wanted, trained(streamed(), run_dir=tmp_path))
    assert count[stop:] == list(range(2 * stop + 2, 41, 2))


def test_pieces_are_read_ahead_and_no_further(monkeypatch):
    read, plain = [], Stream._read

    def noted(self, index):
        read.append(int(index.max()))
        return plain(self, index)

    monkeypatch.setattr(Stream, "_read", noted)
    order = np.arange(64).reshape(8, 8)
    coming = streamed().pieces(order, 2, first=1)
    np.testing.assert_array_equal(next(coming)["x"], TARGETS[order[2:4]])
    coming.close()  # waits for the reader
    assert read == [31, 47]


def test_large_images_on_disk_are_streamed(on_disk, monkeypatch):
    assert not streams(TrainingConfig(), on_disk)
    monkeypatch.setattr("jaxrvae.training.fit.STREAM_BYTES", 100)
    assert streams(TrainingConfig(), on_disk)
    assert streams(TrainingConfig(), on_disk.view(np.ndarray))
    assert not streams(TrainingConfig(), TARGETS)
    assert streams(TrainingConfig(stream=True), TARGETS)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["steerable", "affine"])
def test_a_model_is_fitted_to_patches_on_disk(tmp_path, decoder):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(60, 16, 16)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    there = np.load(tmp_path / "images.npy", mmap_mode="r")
    labels = rng.integers(2, size=60)

    def losses(values, **options):
        model = jr.RVAE(
            decoder=decoder, pose=("rotation",), num_turns=4, hidden_dim=8,
            num_classes=2,
        )  # fmt: skip
        given = {"labels": labels, "epochs": 3, "batch_size": 20, "progress": False}
        return model.fit(values, **given, **options).history["loss"].to_numpy()

    np.testing.assert_allclose(losses(there, stream=True), losses(images), rtol=1e-4)
