import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest

from jaxrvae.config import RunConfig, run_config, run_mapping
from jaxrvae.config.dotted import nested_mapping, override
from jaxrvae.config.study import study_config
from jaxrvae.pipeline import run
from jaxrvae.sweep.axes import points_of
from jaxrvae.sweep.measure import measure
from jaxrvae.sweep.schedule import packed

FILES = sorted((Path(__file__).parents[2] / "experiments").glob("[!_]*.py"))

# The whole way, images to report; published models are in test_published.py.
WHOLE = [path for path in FILES if "import RunConfig" in path.read_text()]
STUDIES = [path for path in FILES if "import DataConfig" in path.read_text()]
TOY = {
    "data.num_images": 40,
    "data.num_test": 20,
    "data.size": 12,
    "model.hidden_dim": 8,
    "training.batch_size": 20,
    "training.epochs": 1,  # two steps
}


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
    verbs = f"python -m experiments.{path.stem}", f"jaxrvae sweep {path.stem}"
    assert any(command in text for command in verbs)
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


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_point_of_a_study_can_be_built(path):
    sweep = loaded(path).sweep()
    points = points_of(sweep)
    assert len(points) >= 15
    assert len(packed(points, 1000)) < len(points)
    assert override(sweep.base, TOY).training.epochs == 1
    for point in points:
        assert study_config(nested_mapping(point.config)) == point.config


# Of three toy studies, from change to change; a change that means to move them writes
# new ones, python -m tests.experiments.test_experiments, and says so in the changelog.
GOLDEN = Path(__file__).with_name("golden.json")
THREE = {
    "glyphs": {"model.pose": ["rotation"], "model.num_turns": 4},
    "ablation_factors": {"objective.beta": 2.0, "model.pose": ["rotation"]},
    "ablation_posterior": {
        "model.decoder": "affine",
        "model.posterior": "gaussian",
        "model.pose": ["rotation"],
    },
}


def figures(name):
    path = Path(__file__).parents[2] / "experiments" / f"{name}.py"
    config = override(loaded(path).config(), {**TOY, **THREE[name]})
    (found,) = measure([config])
    assert found.error is None
    bound = found.metrics["bound, nats per image"]
    return {"loss": found.history[-1]["loss"], "bound, nats per image": bound}


@pytest.mark.slow
@pytest.mark.parametrize("name", THREE)
def test_three_toy_studies_give_what_they_gave(name):
    kept = json.loads(GOLDEN.read_text())[name]
    assert figures(name) == pytest.approx(kept, rel=2e-3)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({n: figures(n) for n in THREE}, indent=1) + "\n")
