import json
import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae._checks import RunError
from jaxrvae.training.checkpoint import (
    RunDirectory,
    data_fingerprint,
    write_atomically,
)

FINGERPRINT = {"config": {"seed": 0, "model": {"content_dim": 2}}, "data": "ab12"}

# Saves as fast as it can, so that a kill falls into a save. Odd steps hold NaN too.
WRITER = """
import sys
import jax, jax.numpy as jnp
from jaxrvae.training.checkpoint import RunDirectory

def state_at(step):
    key = jax.random.fold_in(jax.random.key(7), step)
    return {"weights": jax.random.normal(key, (300, 200)), "key": key}

def metrics_at(step):
    return [{"epoch": i, "loss": 1 / (i + 3)} for i in range(step)]

if __name__ == "__main__":
    with RunDirectory(sys.argv[1], {"config": {"seed": 0}}) as run:
        found = run.restore(jax.eval_shape(state_at, 0))
        step = found[0] if found else 0
        while True:
            step += 1
            run.save(step, state_at(step), metrics_at(step))
"""
HOLDER = """
import sys
from jaxrvae.training.checkpoint import RunDirectory
with RunDirectory(sys.argv[1], {"config": {"seed": 0}}):
    print("held", flush=True)
    sys.stdin.read()
"""


def bits(tree):
    """Every leaf's dtype, shape and bytes."""
    plain = jax.tree.map(
        lambda leaf: (
            jax.random.key_data(leaf)
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else leaf
        ),
        tree,
    )
    return [
        (str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes())
        for leaf in jax.tree.leaves(plain)
    ]


def awkward_state():
    weights = jax.random.normal(jax.random.key(0), (5, 3))
    return {
        "params": {"w": weights.at[0, 0].set(jnp.nan).at[1, 1].set(-0.0)},
        "moments": (weights.astype(jnp.bfloat16), [jnp.int32(3), jnp.array([True])]),
        "key": jax.random.key(3),
        "members": jax.random.split(jax.random.key(4, impl="rbg"), 2),
    }


def small_state(step=0):
    return {"weights": jnp.arange(1000.0) + step}


def save_steps(path, *steps):
    with RunDirectory(path, FINGERPRINT) as run:
        for step in steps:
            run.save(step, small_state(step), [{"epoch": step}])


def newest_step(path):
    names = [folder.name for folder in (path / "checkpoints").glob("*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def damage(folder):
    """Cut every file of the state's arrays to half."""
    files = [file for file in (folder / "state").rglob("*") if file.is_file()]
    assert files
    for file in files:
        os.truncate(file, file.stat().st_size // 2)


@pytest.mark.parametrize("abstract", [True, False])
def test_state_and_metrics_come_back_bit_for_bit(tmp_path, abstract):
    state = awkward_state()
    metrics = [
        {"epoch": 0, "loss": 0.1 + 0.2, "kl": np.float32(0.1), "note": "first"},
        {"epoch": 1, "loss": float("inf"), "kl": jnp.float32(1e-45), "note": "ü"},
    ]
    with RunDirectory(tmp_path / "run", FINGERPRINT) as run:
        assert run.restore(state) is None
        run.save(7, state, metrics)
        target = jax.eval_shape(lambda: state) if abstract else state
        step, restored, rows = run.restore(target)
    assert step == 7
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert bits(restored) == bits(state)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(restored), strict=True):
        assert new.dtype == old.dtype  # of keys: the generator
    assert rows == [
        {**row, "kl": float(row["kl"])} for row in metrics
    ]  # floats in full


def test_state_may_be_donated_once_saved(tmp_path):
    step = jax.jit(lambda state: {"weights": state["weights"] * 0}, donate_argnums=0)
    state = small_state(2)
    expected = np.array(state["weights"])
    with RunDirectory(tmp_path, FINGERPRINT) as run:
        run.save(1, state)
        step(state)
        np.testing.assert_array_equal(
            run.restore(small_state())[1]["weights"], expected
        )


def test_last_two_are_kept_and_the_newest_comes_back(tmp_path):
    save_steps(tmp_path, 1, 2, 3)
    folders = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert folders == {"2", "3"}
    with RunDirectory(tmp_path, FINGERPRINT) as run:
        step, state, metrics = run.restore(small_state())
    assert (step, metrics) == (3, [{"epoch": 3}])
    np.testing.assert_array_equal(state["weights"], small_state(3)["weights"])


def test_saving_an_earlier_step_leaves_that_line_of_training(tmp_path):
    save_steps(tmp_path, 4, 8, 5)
    with RunDirectory(tmp_path, FINGERPRINT) as run:
        assert run.restore(small_state())[0] == 5


def test_broken_newest_falls_back_and_can_be_saved_again(tmp_path):
    save_steps(tmp_path, 1, 2)
    damage(tmp_path / "checkpoints/2")
    with RunDirectory(tmp_path, FINGERPRINT) as run:
        step, state, _ = run.restore(small_state())
        assert step == 1
        np.testing.assert_array_equal(state["weights"], small_state(1)["weights"])
        run.save(2, small_state(2))
        assert run.restore(small_state())[0] == 2


def test_a_changed_byte_is_noticed(tmp_path):
    save_steps(tmp_path, 1, 2)
    notes = tmp_path / "checkpoints/2/notes/metadata"
    stored = json.loads(notes.read_text())
    stored["sha256"] = "0" * 64
    notes.write_text(json.dumps(stored))
    with RunDirectory(tmp_path, FINGERPRINT) as run:
        assert run.restore(small_state())[0] == 1


def test_all_broken_is_one_clear_line(tmp_path):
    save_steps(tmp_path, 1, 2)
    for step in "12":
        damage(tmp_path / "checkpoints" / step)
    with RunDirectory(tmp_path, FINGERPRINT) as run:
        with pytest.raises(RunError, match="none of 2 checkpoints") as caught:
            run.restore(small_state())
    assert "\n" not in str(caught.value)
    assert (tmp_path / "checkpoints/2").is_dir()  # nothing is thrown away


def test_state_of_another_shape_is_refused(tmp_path):
    save_steps(tmp_path, 1)
    with RunDirectory(tmp_path, FINGERPRINT) as run:
        with pytest.raises(RunError, match="none of 1 checkpoints"):
            run.restore({"weights": jnp.zeros(999)})


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (
            {"config": {"seed": 1, "model": {"content_dim": 2}}},
            "config.seed: 0 there, 1",
        ),
        (
            {"config": {"seed": 0, "model": {"content_dim": 3}}},
            "config.model.content_dim: 2 there, 3 now",
        ),
        ({"config": {"seed": 0}}, "config.model: {.*} there, null now"),
        ({"data": "cd34"}, 'data: "ab12" there, "cd34" now'),
        ({"more": [1]}, r"more: null there, \[1\] now"),
    ],
)
def test_another_run_is_refused(tmp_path, changed, named):
    save_steps(tmp_path, 1)
    before = (tmp_path / "fingerprint.json").read_text()
    with pytest.raises(RunError, match=named):
        RunDirectory(tmp_path, FINGERPRINT | changed).__enter__()
    assert (tmp_path / "fingerprint.json").read_text() == before
    save_steps(tmp_path, 2)  # the lock was released


def test_fingerprint_may_change_before_the_first_checkpoint(tmp_path):
    with RunDirectory(tmp_path, {"config": {"seed": 1}}):
        pass
    save_steps(tmp_path, 1)
    known = json.loads((tmp_path / "fingerprint.json").read_text())
    assert known["config"] == FINGERPRINT["config"]
    assert known["code"]["jaxrvae"]


def test_tuples_and_lists_are_the_same_setting(tmp_path):
    with RunDirectory(tmp_path, {"pose": ("rotation", "shift")}) as run:
        run.save(1, small_state())
    with RunDirectory(tmp_path, {"pose": ["rotation", "shift"]}) as run:
        assert run.restore(small_state()) is not None


@pytest.mark.parametrize("content", [None, '{"config":'])
def test_checkpoints_without_their_fingerprint_are_refused(tmp_path, content):
    save_steps(tmp_path, 1)
    file = tmp_path / "fingerprint.json"
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(RunError, match=r"fingerprint\.json: expected"):
        RunDirectory(tmp_path, FINGERPRINT).__enter__()


def test_directory_in_use_is_refused_in_the_same_process(tmp_path):
    with RunDirectory(tmp_path, FINGERPRINT):
        with pytest.raises(RunError, match=f"in use.*pid {os.getpid()}"):
            RunDirectory(tmp_path, FINGERPRINT).__enter__()
    save_steps(tmp_path, 1)


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="expected a directory"):
        RunDirectory(tmp_path / "run", FINGERPRINT).__enter__()


@pytest.mark.slow
def test_directory_in_use_by_another_process_is_refused(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"in use by another.*pid {holder.pid}"):
            RunDirectory(tmp_path, {"config": {"seed": 0}}).__enter__()
        os.kill(holder.pid, signal.SIGKILL)
    with RunDirectory(tmp_path, {"config": {"seed": 0}}):
        pass  # a killed holder holds nothing


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    script = tmp_path / "writer.py"
    script.write_text(WRITER)
    monkeypatch.syspath_prepend(tmp_path)
    import writer

    path = tmp_path / "run"
    moments = np.random.default_rng(0).uniform(0.1, 0.9, size=2)
    last = 0
    for moment in moments:
        with subprocess.Popen([sys.executable, script, path]) as process:
            deadline = time.monotonic() + 60
            while newest_step(path) <= last:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(moment)
            os.kill(process.pid, signal.SIGKILL)
        with RunDirectory(path, {"config": {"seed": 0}}) as run:
            step, state, metrics = run.restore(jax.eval_shape(writer.state_at, 0))
        assert step > last
        assert bits(state) == bits(writer.state_at(step))
        assert metrics == writer.metrics_at(step)
        names = [folder.name for folder in (path / "checkpoints").iterdir()]
        assert all(name.isdigit() for name in names)  # no half-written save
        last = step


def test_data_fingerprint_tells_type_shape_order_and_values(monkeypatch):
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    variants = [
        (array,),
        (array.reshape(6, 4),),
        (array.astype(np.float64),),
        (array.view(np.int32),),
        (array[::-1],),
        (array[:2], array[2:]),
        (array, array),
        (),
    ]
    assert len({data_fingerprint(*arrays) for arrays in variants}) == len(variants)
    whole = data_fingerprint(array)
    assert data_fingerprint(np.asfortranarray(array)) == whole
    assert data_fingerprint(jnp.asarray(array)) == whole
    monkeypatch.setattr("jaxrvae.training.checkpoint._BLOCK", 30)  # in blocks of a row
    assert data_fingerprint(array) == whole


def test_data_fingerprint_refuses_objects():
    with pytest.raises(ValueError, match="array of numbers"):
        data_fingerprint(np.array([{}, None]))


def test_write_atomically_replaces_and_leaves_nothing_beside(tmp_path):
    file = tmp_path / "config.yaml"
    for text in ("a: 1\n", "b: 2\n"):
        write_atomically(file, text)
        assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]
