import json

import pandas as pd
import pytest

from jaxrvae.cli import main
from jaxrvae.cli_sweep import is_override
from jaxrvae.sweep.experiments import load_config, load_sweep
from jaxrvae.sweep.store import Store

EXPERIMENT = '''
"""Sums, quick to make."""
import dataclasses
from jaxrvae.config import ModelConfig
from jaxrvae.sweep import Sweep, grid

@dataclasses.dataclass(frozen=True)
class Sum:
    a: int = 1
    b: float = 2.0
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)

    def measure(self, progress):
        if self.a == 13:
            raise ValueError("unlucky")
        return {"accuracy": self.a + self.b + 0.1 * self.model.seed}

def config():
    return Sum()

def sweep():
    return Sweep(base=config(), axes=[grid({"a": [1, 2, 3]})], seeds=5)
'''
YAML = """
base:
  data: {kind: glyphs, num_images: 60, num_test: 30, size: 12}
  model: {pose: [rotation], hidden_dim: 8, num_turns: 4}
  training: {epochs: 2, batch_size: 30}
grid: {model.content_dim: [1, 2]}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "tiny_sums.py").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def status(*words):
    try:
        return main([str(word) for word in words])
    except SystemExit as end:
        return end.code


@pytest.mark.parametrize("verb", ["sweep", "sweep status", "sweep report", "rerun"])
def test_help_shows_an_example(verb, capsys):
    assert status(*verb.split(), "--help") == 0
    assert f"example:\n  jaxrvae {verb}" in capsys.readouterr().out


def test_an_experiment_runs_with_settings(here, capsys):
    assert status("run", "tiny_sums", "a=5", "--out", here / "one", "--quiet") == 0
    assert "accuracy: 7" in capsys.readouterr().out
    kept = json.loads((here / "one" / "result.json").read_text())
    assert kept["metric"] == {"accuracy": 7.0}
    assert kept["config"]["a"] == 5


def test_a_sweep_runs_is_asked_after_and_reported(here, capsys):
    words = ("sweep", "tiny_sums", "b=3.0", "--out", here / "sums")
    assert status(*words, "--plan") == 0
    assert "15 points, trained by 15 programs" in capsys.readouterr().out
    assert status(*words, "--quiet") == 0
    assert "15 points finished, 0 failed" in capsys.readouterr().out
    table = pd.read_parquet(here / "sums" / "results.parquet")
    assert table.groupby("config.a")["metric.accuracy"].min().to_dict() == {
        1: 4.0, 2: 5.0, 3: 6.0,
    }  # fmt: skip
    assert status("sweep", "status", here / "sums") == 0
    assert "15" in capsys.readouterr().out
    assert status("sweep", "report", here / "sums") == 0
    assert (here / "sums" / "report" / "report.md").is_file()
    assert status("sweep", "tiny_sums", "--out", here / "other", "--quiet") == 0
    capsys.readouterr()
    options = ("--against", here / "other")
    assert status("sweep", "report", here / "sums", *options) == 0
    assert "+1" in (here / "sums" / "against_other.md").read_text()


def test_failures_are_told_and_end_with_status_1(here, capsys):
    assert status("sweep", "tiny_sums", "model.seed=0", "--out", here / "s") == 0
    (here / "experiments" / "tiny_sums.py").write_text(
        EXPERIMENT.replace("[1, 2, 3]", "[13]")
    )
    import sys

    del sys.modules["experiments.tiny_sums"]
    capsys.readouterr()
    assert status("sweep", "tiny_sums", "--out", here / "t", "--quiet") == 1
    said = capsys.readouterr()
    assert "0 points finished, 5 failed" in said.out
    assert "unlucky" in said.err
    assert len(Store(here / "t").failures()) == 5
    assert status("sweep", "status", here / "t") == 0
    assert "unlucky" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "tiny_sum"), "Did you mean 'tiny_sums'"),
        (("run", "tiny_sums", "c=1"), "there is no setting 'c'"),
        (("run", "tiny_sums", "a=x"), "a must be int; got 'x'"),
        (("sweep", "nothing"), "no such experiment"),
        (("sweep", "status", "nowhere"), "no sweep there"),
        (("rerun", "nowhere"), "expected a file, found none"),
        (("sweep", "tiny_sums", "--trials", "3"), "needs search"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(here, capsys, words, says):
    assert status(*words) == 1
    assert says in capsys.readouterr().err.strip().splitlines()[-1]


def test_options_of_files_do_not_go_with_experiments(here, capsys):
    assert status("run", "tiny_sums", "--kind", "pfm") == 2
    assert "--kind is of FILES" in capsys.readouterr().err


def test_settings_are_told_from_files(here):
    assert is_override("training.epochs=3")
    assert not is_override("scans/*.dm4")
    assert not is_override("a b=c")
    (here / "x=1").touch()
    assert not is_override("x=1")


@pytest.mark.slow
def test_a_yaml_file_is_an_experiment_and_runs_again_the_same(here, capsys):
    (here / "study.yaml").write_text(YAML)
    assert len(load_sweep("study.yaml").points()) == 2
    out = here / "one"
    assert status("run", "study.yaml", "--out", out, "--quiet", "--seed", 4) == 0
    assert load_config(str(out / "config.yaml")).model.seed == 4
    assert len(pd.read_csv(out / "metrics.csv")) == 2
    capsys.readouterr()
    assert status("rerun", out, "--quiet") == 0
    assert "the same numbers" in capsys.readouterr().err
    result = json.loads((out / "result.json").read_text())
    result["metric"]["k-NN accuracy"] += 0.5
    result["version"]["jax"] = "0.0"
    (out / "result.json").write_text(json.dumps(result))
    assert status("rerun", out, "--quiet") == 1
    said = capsys.readouterr().err
    assert "jax: 0.0 then" in said
    assert "not the same" in said
