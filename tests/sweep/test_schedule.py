"""Points that sleep, fail and are killed: what is finished stays, once."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from jaxrvae._checks import RunError
from jaxrvae.sweep.schedule import run_sweep
from jaxrvae.sweep.store import Store

POINTS = """
import dataclasses, os, time
from pathlib import Path

@dataclasses.dataclass(frozen=True)
class Trial:
    value: int
    folder: str
    how: str = "well"
    seconds: float = 0.0

    def measure(self, progress):
        log = Path(self.folder) / "log"
        with log.open("a") as file:
            file.write(f"{self.value}\\n")
        marker = Path(self.folder) / f"tried-{self.value}"
        tried = marker.exists()
        marker.touch()
        time.sleep(self.seconds)
        if self.how == "never":
            raise ValueError("this one cannot be")
        if self.how == "once" and not tried:
            raise ValueError("not yet")
        if self.how == "killed" and not tried:
            os._exit(9)
        return {"square": self.value**2}
"""


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """The class of such points, in a module that other processes find as well."""
    (tmp_path / "trial_points.py").write_text(textwrap.dedent(POINTS))
    monkeypatch.syspath_prepend(str(tmp_path))
    root = os.path.abspath(os.curdir)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{root}")
    sys.modules.pop("trial_points", None)
    import trial_points

    def make(value, **options):
        return trial_points.Trial(value=value, folder=str(tmp_path), **options)

    yield make
    sys.modules.pop("trial_points", None)


def trained(tmp_path):
    file = tmp_path / "log"
    return sorted(map(int, file.read_text().split())) if file.exists() else []


def swept(configs, tmp_path, **options):
    return run_sweep(configs, tmp_path / "sweep", progress=False, **options)


def test_finished_points_are_not_trained_again(trial, tmp_path):
    first = swept([trial(1), trial(2)], tmp_path)
    assert first["metric.square"].tolist() == [1, 4]
    both = swept([trial(i) for i in (1, 2, 3)], tmp_path)
    assert both["metric.square"].tolist() == [1, 4, 9]
    assert trained(tmp_path) == [1, 2, 3]
    columns = {
        "config.value",
        "seconds",
        "memory_gb",
        "device",
        "version.jax",
        "commit",
    }
    assert columns <= set(both.columns)


def test_a_failed_point_is_tried_again_then_set_aside(trial, tmp_path):
    points = [trial(1, how="once"), trial(2, how="never"), trial(3)]
    found = swept(points, tmp_path, retries=2)
    assert sorted(found["metric.square"]) == [1, 9]
    assert dict(zip(found["config.value"], found["attempts"], strict=True)) == {
        1: 2, 3: 1,
    }  # fmt: skip
    (failed,) = Store(tmp_path / "sweep").failures().to_dict("records")
    assert failed["attempts"] == 3
    assert "ValueError: this one cannot be" in failed["error"]
    swept(points, tmp_path)  # stays aside
    assert trained(tmp_path).count(2) == 3
    Store(tmp_path / "sweep").forget_failures()
    swept(points, tmp_path, retries=0)
    assert trained(tmp_path).count(2) == 4


@pytest.mark.slow
def test_a_killed_worker_costs_its_own_point_an_attempt(trial, tmp_path):
    points = [trial(i) for i in range(4)] + [trial(9, how="killed")]
    found = swept(points, tmp_path, where="processes", workers=2)
    assert sorted(found["metric.square"]) == [0, 1, 4, 9, 81]
    attempts = dict(zip(found["config.value"], found["attempts"], strict=True))
    assert attempts[9] == 2
    assert not len(Store(tmp_path / "sweep").failures())


@pytest.mark.slow
def test_dask_goes_on_where_a_worker_or_the_scheduler_was_killed(trial, tmp_path):
    points = [trial(i, seconds=0.2) for i in range(8)] + [trial(9, how="killed")]
    script = tmp_path / "go.py"
    script.write_text(
        "import sys; from trial_points import Trial\n"
        "from jaxrvae.sweep.schedule import run_sweep\n"
        "if __name__ == '__main__':\n"
        f"    points = [Trial(i, {str(tmp_path)!r}, seconds=0.2) for i in range(8)]\n"
        f"    points.append(Trial(9, {str(tmp_path)!r}, how='killed'))\n"
        f"    run_sweep(points, {str(tmp_path / 'sweep')!r}, where='dask', workers=2)\n"
    )
    begun = subprocess.Popen([sys.executable, str(script)], start_new_session=True)
    deadline = time.monotonic() + 60
    while len(trained(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(begun.pid, signal.SIGKILL)  # scheduler and workers, in mid-run
    begun.wait()
    found = swept(points, tmp_path, where="dask", workers=2)
    assert sorted(found["metric.square"]) == sorted([i**2 for i in range(8)] + [81])
    assert found["id"].is_unique
    assert not Store(tmp_path / "sweep").ids("running")


@pytest.mark.slow
def test_slurm_jobs_by_submitits_local_mode(trial, tmp_path):
    points = [trial(1), trial(2, how="never")]
    found = swept(
        points, tmp_path, where="slurm", slurm={"cluster": "local"}, retries=0
    )
    assert found["metric.square"].tolist() == [1]
    (failed,) = Store(tmp_path / "sweep").failures().to_dict("records")
    assert "this one cannot be" in failed["error"]


def test_an_interrupt_leaves_a_sweep_that_goes_on(trial, tmp_path):
    script = tmp_path / "go.py"
    script.write_text(
        "from trial_points import Trial\n"
        "from jaxrvae.sweep.schedule import run_sweep\n"
        f"points = [Trial(i, {str(tmp_path)!r}, seconds=i / 5) for i in (1, 2, 300)]\n"
        f"run_sweep(points, {str(tmp_path / 'sweep')!r}, progress=False)\n"
    )
    begun = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(trained(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    begun.send_signal(signal.SIGINT)
    begun.communicate(timeout=20)
    store = Store(tmp_path / "sweep")
    assert len(store.ids("points")) == 2
    assert not store.ids("running")
    assert (store.path / "results.parquet").exists()


def test_a_point_left_by_a_killed_process_counts_as_tried(trial, tmp_path):
    swept([trial(1)], tmp_path)
    store = Store(tmp_path / "sweep")
    other = trial(2, how="never")
    from jaxrvae.sweep.axes import as_point

    store.begin([as_point(other).id])
    swept([trial(1), other], tmp_path, retries=1)
    assert store.failures()["attempts"].tolist() == [2]
    assert trained(tmp_path).count(2) == 1


def test_a_folder_is_of_one_sweep_and_one_process(trial, tmp_path):
    swept([trial(1)], tmp_path, name="one")
    with pytest.raises(RunError, match="is the sweep 'one'; got 'other'"):
        swept([trial(1)], tmp_path, name="other")
    store = Store(tmp_path / "sweep")
    with store.scheduling("one", []), pytest.raises(RunError, match="in use"):
        swept([trial(1)], tmp_path, name="one")
    with pytest.raises(RunError, match="no sweep there"):
        Store(tmp_path / "nothing").plan()


def test_engines_that_there_are_not_are_named(trial, tmp_path):
    with pytest.raises(ValueError, match="engine must be one of"):
        swept([trial(1)], tmp_path, where="cloud")
    with pytest.raises(ValueError, match="retries"):
        swept([trial(1)], tmp_path, retries=-1)


def test_hooks_see_every_finished_point(trial, tmp_path):
    seen = []
    swept([trial(2), trial(3)], tmp_path, hooks=[seen.append])
    assert sorted(row["metric"]["square"] for row in seen) == [4, 9]
    assert json.dumps(seen)


def test_several_devices_work_side_by_side():
    code = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import threading
from jaxrvae.sweep.engines import engine
from pathlib import Path
both = threading.Barrier(2, timeout=20)
def used():
    both.wait()
    return jax.numpy.zeros(1).devices()
with engine("here", Path(".")) as made:
    futures = [made.submit(used) for _ in range(2)]
    print(len(set.union(*(future.result() for future in futures))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "2"
