import dataclasses

import pytest

from jaxrvae.config import TrainingConfig, run_config
from jaxrvae.config.dotted import flat, nested_mapping, override, parse
from jaxrvae.config.study import DataConfig, StudyConfig, study_config

STUDY = StudyConfig(data=DataConfig(kind="glyphs", options={"noise": 0.1}))


def test_words_are_read_as_yaml():
    words = ["a.b=3", "c=1e-3", "d=[1, 2]", "e=null", "f=true", "g=a=b"]
    found = {"a.b": 3, "c": 1e-3, "d": [1, 2], "e": None, "f": True, "g": "a=b"}
    assert parse(words) == found
    with pytest.raises(ValueError, match="expected NAME=VALUE; got 'epochs'"):
        parse(["epochs"])


def test_what_is_overridden_changes_and_nothing_else():
    new = override(STUDY, {"training.epochs": 3, "model.seed": 5})
    assert (new.training.epochs, new.model.seed) == (3, 5)
    assert dataclasses.replace(new, training=TrainingConfig(), model=STUDY.model) == (
        STUDY
    )


def test_mappings_are_gone_into():
    new = override(STUDY, {"data.options.noise": 0.5, "data.options.shift": 0.1})
    assert new.data.options == {"noise": 0.5, "shift": 0.1}
    new = override(STUDY, {"model.decoder.name": "coordinate"})
    assert new.model.decoder == "coordinate"
    new = override(new, {"model.decoder.layers": 3})
    assert new.model.decoder == {"name": "coordinate", "layers": 3}
    new = override(STUDY, {"model.angle_prior.std": 0.5})
    assert new.model.angle_prior["std"] == 0.5


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epochs": 3}, "no setting 'epochs'. Did you mean 'training.epochs'"),
        ({"trainin.epochs": 3}, "no setting 'trainin'. Did you mean 'training'"),
        ({"training.epoch": 3}, "'training.epoch'. Did you mean 'training.epochs'"),
        ({"training.epochs": "x"}, "training.epochs must be int or None; got 'x'"),
        ({"model.seed": 1.5}, "model.seed must be int; got 1.5"),
        ({"model.seed": True}, "model.seed must be int; got True"),
        ({"data.kind": "glyph"}, "data.kind must be 'glyphs' or .*; got 'glyph'"),
        ({"model.pose": "rotation"}, "model.pose must be Sequence"),
        ({"model.seed.x": 1}, "model.seed is 0 and has no 'x'"),
        ({"model": 1, "model.seed": 2}, "model.seed and a part of it|model must be"),
    ],
)
def test_what_does_not_fit_is_said(changes, says):
    with pytest.raises(TypeError, match=says):
        override(STUDY, changes)


def test_values_out_of_range_are_the_configs_own_errors():
    with pytest.raises(ValueError, match="learning_rate must be finite and > 0"):
        override(STUDY, {"training.learning_rate": -1.0})


def test_a_study_and_a_run_come_back_from_their_mappings():
    new = override(STUDY, {"model.pose": ["rotation"], "data.num_images": 50})
    assert study_config(nested_mapping(new)) == new
    run = run_config({"input": {"files": ["a.tif"]}, "training": {"epochs": 3}})
    assert run_config(nested_mapping(run)) == run
    assert flat(run)["training.epochs"] == 3
    assert flat(new)["data.options.noise"] == 0.1


def test_a_study_refuses_what_it_does_not_know():
    with pytest.raises(TypeError, match="Did you mean 'model'"):
        study_config({"data": {"kind": "glyphs"}, "modle": {}})
    with pytest.raises(ValueError, match="needs data"):
        study_config({"model": {}})
    with pytest.raises(ValueError, match="'digits' needs files"):
        DataConfig(kind="digits")
    with pytest.raises(ValueError, match="'glyphs' takes no files"):
        DataConfig(kind="glyphs", files="a")
