import dataclasses
import importlib.util
from pathlib import Path

import pytest

from jaxrvae.config import RunConfig, run_config, run_mapping
from jaxrvae.pipeline import run

FILES = sorted((Path(__file__).parents[2] / "experiments").glob("[!_]*.py"))

# The whole way, images to report; the others are models alone: test_published.py.
WHOLE = [path for path in FILES if "_published" not in path.read_text()]


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_experiments():
    assert "graphene_demo" in [path.stem for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_docstring_has_command_time_and_number(path):
    text = loaded(path).__doc__
    assert f"python -m experiments.{path.stem}" in text
    assert "minute" in text
    assert any(letter.isdigit() for letter in text)


@pytest.mark.very_slow
@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_experiment_runs_at_toy_size(path, tmp_path):
    module = loaded(path)
    config = module.config(out=str(tmp_path / "out"))
    assert isinstance(config, RunConfig)
    assert run_config(run_mapping(config)) == config
    toy = {"num_frames": 1, "size": 128, "silicon_fraction": 0.06}
    result = run(
        dataclasses.replace(
            config,
            input=dataclasses.replace(config.input, options=config.input.options | toy),
            patches=dataclasses.replace(config.patches, size=16),
            model=dataclasses.replace(config.model, hidden_dim=16),
            training=dataclasses.replace(config.training, epochs=2),
        ),
        progress=False,
    )
    assert (tmp_path / "out" / "report.html").exists()
    found = module.score(result)
    assert all(0 <= value <= 1 for value in found.values())
    assert (module.sites(result) == "Si").sum() >= 1
