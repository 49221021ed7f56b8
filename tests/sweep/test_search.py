import dataclasses
import sys
import types

import pytest

from jaxrvae._checks import RunError
from jaxrvae.config import ModelConfig
from jaxrvae.sweep.hooks import to_mlflow, to_tensorboard
from jaxrvae.sweep.schedule import run_sweep
from jaxrvae.sweep.search import Search, run_search


@dataclasses.dataclass(frozen=True)
class Hill:
    """A figure that is highest where x is 2 and the kind is round."""

    x: float = 0.0
    kind: str = "round"
    steps: int = 1
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)

    def measure(self, progress):
        height = -((self.x - 2) ** 2) - (self.kind != "round") - 0.1 * self.model.seed
        return {"height": height} if self.steps < 5 else {}


def search(**options):
    space = {"x": (-4.0, 4.0), "kind": ["round", "flat"], "steps": (1, 3)}
    return Search(**{"base": Hill(), "space": space, "metric": "height", **options})


@pytest.mark.slow
def test_a_search_finds_the_top_and_goes_on_from_its_folder(tmp_path):
    first = run_search(search(), tmp_path, 12, progress=False)
    assert len(first) == 12
    both = run_search(search(), tmp_path, 40, progress=False)
    assert 36 <= len(both) <= 40  # a setting asked for twice is one point
    assert set(first["id"]) < set(both["id"])
    best = both.loc[both["metric.height"].idxmax()]
    assert abs(best["config.x"] - 2) < 0.7
    assert best["config.kind"] == "round"
    assert both["config.steps"].between(1, 3).all()


def test_the_worst_seed_counts_and_a_missing_figure_is_a_failure(tmp_path):
    found = run_search(search(seeds=2), tmp_path / "a", 3, progress=False)
    assert sorted(set(found["seed"])) == [0, 1]
    table = run_search(
        search(space={"steps": (5, 6)}), tmp_path / "b", 2, progress=False
    )
    assert "metric.height" not in table
    with pytest.raises(ValueError, match="direction must be one of"):
        search(direction="up")


def test_what_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RunError, match=r"pip install 'jaxrvae\[search\]'"):
        run_search(search(), tmp_path, 1)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(RunError, match=r"pip install 'jaxrvae\[tensorboard\]'"):
        to_tensorboard(tmp_path)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(RunError, match="pip install mlflow"):
        to_mlflow("study")


def test_tensorboard_and_mlflow_hear_of_every_point(tmp_path):
    said = []

    class Run:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

    client = types.SimpleNamespace(
        set_experiment=lambda name: said.append(("experiment", name)),
        start_run=lambda run_name: said.append(("run", run_name)) or Run(),
        log_params=lambda values: said.append(("params", values)),
        log_metrics=lambda values, step=None: said.append(("metrics", values)),
    )
    hooks = [to_tensorboard(tmp_path / "board"), to_mlflow("study", client)]
    configs = [Hill(x=1.0), Hill(x=2.0)]
    table = run_sweep(configs, tmp_path / "sweep", hooks=hooks, progress=False)
    assert len(list((tmp_path / "board").glob("*/events*"))) == 2
    assert said[0] == ("experiment", "study")
    assert [own for kind, own in said if kind == "run"] == list(table["id"])
    assert ("metrics", {"height": -1.0}) in said
