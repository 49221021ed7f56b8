"""Training killed at any moment ends, taken up again, where it would have ended."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

TRAIN = """
import sys
import numpy as np
from jaxrvae.estimator import RVAE

rng = np.random.default_rng(0)
images = rng.normal(size=(200, 16, 16)).astype(np.float32)
images[:, 4:12, 6:9] += rng.normal(3, 1, (200, 1, 1))

def fitted(**options):
    model = RVAE(pose=("rotation",), hidden_dim=16, num_turns=4)
    return model.fit(images, epochs=60, batch_size=20, **options)

fitted(run_dir=sys.argv[1], save_seconds=0.0).save(sys.argv[2] + "/resumed.npz")
fitted().save(sys.argv[2] + "/whole.npz")
"""


def start(run_dir, folder):
    """The training as a process of its own; what it compiles is kept for the next."""
    script = folder / "train.py"
    script.write_text(TRAIN)
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    with (folder / "said.txt").open("w") as said:
        return subprocess.Popen(
            [sys.executable, script, run_dir, folder],
            env=os.environ | settings,
            stderr=said,
        )


def num_checkpoints(run_dir):
    names = [path.name for path in (run_dir / "checkpoints").glob("*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def parameters(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files if name != "notes"}


@pytest.mark.slow
def test_killed_three_times_it_ends_bit_for_bit_the_same(tmp_path):
    run_dir = tmp_path / "run"
    draw = random.Random(0)
    steps = []
    for _ in range(3):
        process = start(run_dir, tmp_path)
        before = num_checkpoints(run_dir)
        while num_checkpoints(run_dir) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        steps.append(num_checkpoints(run_dir))
    assert 0 < steps[0] < steps[1] < steps[2] < 600
    assert not (tmp_path / "resumed.npz").exists()

    last = start(run_dir, tmp_path)
    assert last.wait(120) == 0, (tmp_path / "said.txt").read_text()
    found, expected = (
        parameters(tmp_path / f"{name}.npz") for name in ("resumed", "whole")
    )
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name].tobytes() == expected[name].tobytes(), name
