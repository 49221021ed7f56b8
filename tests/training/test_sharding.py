"""Several devices give what one gives. Run in processes of their own: JAX counts its
devices once."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from jaxrvae.config import TrainingConfig
from jaxrvae.training.sharding import spread_over

START = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp
import numpy as np
"""
FIT = """
import jaxrvae as jr
images = np.random.default_rng(0).normal(size=(64, 16, 16)).astype(np.float32)
found = []
for options in json.loads(sys.argv[1]):
    model = jr.RVAE(content_dim=2, pose=("rotation",), num_turns=4, hidden_dim=16)
    model.fit(images, epochs=3, batch_size=32, progress=False, **options)
    found.append(model.history["loss"].tolist())
print(json.dumps(found))
"""
TRAIN = """
from jaxrvae.config import TrainingConfig
from jaxrvae.training.loop import train
targets = np.random.default_rng(0).normal(3.0, 1.0, (64, 2)).astype(np.float32)
def loss(params, batch, progress, key):
    value = jnp.square(batch["x"] - params["mean"]).sum(1).mean()
    return value, {"part": 2 * value}
found = []
for options in json.loads(sys.argv[1]):
    config = TrainingConfig(epochs=5, batch_size=16, learning_rate=0.1, **options)
    start = {"mean": jnp.zeros(2)}
    fitted = train(loss, start, {"x": targets}, config, progress=False)
    found.append([*fitted.params["mean"].tolist(), fitted.history[-1]["part"]])
print(json.dumps(found))
"""

RESUME = """
import contextlib, tempfile
from jaxrvae.config import TrainingConfig
from jaxrvae.training import loop
targets = np.random.default_rng(0).normal(3.0, 1.0, (64, 2)).astype(np.float32)
def loss(params, batch, progress, key):
    value = jnp.square(batch["x"] - params["mean"]).sum(1).mean()
    return value, {}
@contextlib.contextmanager
def stopping(epochs, first, show):
    done = []
    def line(text):
        done.append(text)
        if len(done) == 3:
            raise KeyboardInterrupt
    yield line
found, plain = [], loop._progress
for devices in json.loads(sys.argv[1]):
    with tempfile.TemporaryDirectory() as folder:
        for number in devices:
            config = TrainingConfig(
                epochs=6, batch_size=16, learning_rate=0.1, save_seconds=0.0,
                devices=number,
            )
            loop._progress = stopping if number != devices[-1] else plain
            with contextlib.suppress(KeyboardInterrupt):
                fitted = loop.train(
                    loss, {"mean": jnp.zeros(2)}, {"x": targets}, config,
                    run_dir=folder, progress=False,
                )
        assert len(fitted.history) == 6
        found.append(fitted.params["mean"].tolist())
print(json.dumps(found))
"""

PAIR = """
import json, os, sys
import jax
port, index, stop, folder = *(int(word) for word in sys.argv[1:4]), sys.argv[4]
if port:
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, index)
import jax.numpy as jnp
import numpy as np
from jaxrvae.config import TrainingConfig
from jaxrvae.training import loop, stream
targets = np.random.default_rng(0).normal(3.0, 1.0, (64, 2)).astype(np.float32)
stream.PIECE_BYTES = 2 * 16 * 2 * 4  # two steps
read_rows, own = stream.read_rows, {16 // jax.process_count()}
def counted(values, index):
    assert {index.shape[1]} == own or not split
    return read_rows(values, index)
stream.read_rows = counted
def loss(params, batch, progress, key):
    draw = 0.1 * jax.random.normal(key, (2,))
    value = jnp.square(batch["x"] - params["mean"] - draw).sum(1).mean()
    return value, {}
save = loop.RunDirectory.save
def killed(run, step, *rest):
    save(run, step, *rest)
    if step == 4 * stop:
        run._manager.wait_until_finished()
        os._exit(1)
loop.RunDirectory.save = killed
config = TrainingConfig(
    epochs=6, batch_size=16, learning_rate=0.1, save_seconds=0.0, devices=None
)
found, streamed = [], stream.Stream({"x": targets}, lambda rows: rows)
for name, members, features in (
    ("one", None, {"x": targets}), ("all", 2, {"x": targets}),
    ("streamed", None, streamed), ("both", 2, streamed),
):
    split = members is None
    start = {"mean": jnp.zeros((2,) if members is None else (members, 2))}
    fitted = loop.train(
        loss, start, features, config, members=members,
        run_dir=f"{folder}/{name}", progress=False,
    )
    losses = [float(np.mean(row["loss"])) for row in fitted.history]
    found += [*np.ravel(fitted.params["mean"]).tolist(), *losses]
print(json.dumps(found))
"""


def pair(folder, stop=0):
    """What two processes of one device each find; none of a pair that is stopped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PAIR, *map(str, (port, index, stop, folder))],
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in (0, 1)
    ]
    try:
        first = both[0].communicate(timeout=100)[0]
    except subprocess.TimeoutExpired:  # its peer has failed
        for one in both:
            one.kill()
            one.communicate()
        raise
    if stop:
        both[1].kill()  # it waits for its peer
        both[1].communicate()
        return []
    return [
        json.loads(out.splitlines()[-1]) for out in (first, both[1].communicate()[0])
    ]


def found_by(script, *options):
    """What a process with four devices finds, for every mapping of options."""
    command = [sys.executable, "-c", START + script, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return np.array(json.loads(done.stdout.splitlines()[-1]))


def test_a_batch_on_several_devices_gives_what_one_gives():
    alone, *others = found_by(
        TRAIN,
        {},
        {"devices": 4},
        {"devices": None},
        {"devices": 2, "accumulate": 4},
        {"devices": 4, "parallel": "pmap"},
        {"devices": 2, "parallel": "pmap", "accumulate": 2},
    )
    for other in others:  # sums in another order
        np.testing.assert_allclose(other, alone, rtol=1e-5)


def test_a_run_goes_on_with_another_number_of_devices():
    whole, *resumed = found_by(RESUME, [1], [4, 2], [1, 4], [4, 1])
    for other in resumed:
        np.testing.assert_allclose(other, whole, rtol=1e-5)


@pytest.mark.slow
def test_two_processes_learn_the_same_and_go_on_after_a_kill(tmp_path):
    alone = subprocess.run(
        [sys.executable, "-c", PAIR, "0", "0", "0", str(tmp_path / "alone")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    wanted = json.loads(alone.stdout.splitlines()[-1])
    assert pair(tmp_path / "pair", stop=3) == []
    for found in pair(tmp_path / "pair"):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.very_slow
def test_a_model_and_an_ensemble_learn_the_same_on_several_devices():
    one, split, members, spread = found_by(
        FIT, {}, {"devices": 4}, {"seeds": 4}, {"seeds": 4, "devices": 4}
    )
    np.testing.assert_allclose(split, one, rtol=1e-4)
    np.testing.assert_allclose(spread, members, rtol=1e-4)


def config(**options):
    return TrainingConfig(**options)


def test_devices_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"JAX sees 1"):
        spread_over(config(devices=2), 100, None)
    with pytest.raises(ValueError, match=r"batch_size=100.*Take batch_size=99"):
        spread_over(config(accumulate=3), 100, None)
    with pytest.raises(ValueError, match="one of.*pmap"):
        config(parallel="pmapp")
    with pytest.raises(ValueError, match="devices"):
        config(devices=0)
