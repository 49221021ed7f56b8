import dataclasses
import json

import jaxtyping
import numpy as np
import pytest
import yaml

from jaxrvae.config import (
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
    TrainingConfig,
    from_mapping,
    run_config,
    run_mapping,
    to_mapping,
)


@pytest.fixture
def no_type_checks():
    """As a user runs it: what is said about a wrong type is our own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("options", "family"),
    [
        ({}, "steerable"),
        ({"max_shift": 0.2}, "steerable"),
        ({"max_shift": 0.25}, "affine"),
        ({"max_shift": 0.25, "pose": ("rotation",)}, "steerable"),
        ({"likelihood": "bernoulli"}, "affine"),
        ({"likelihood": "gaussian"}, "steerable"),
        ({"likelihood": "poisson"}, "affine"),
        ({"pose": ("shift",)}, "affine"),
        ({"likelihood": "poisson", "decoder": "steerable"}, "steerable"),
        ({"decoder": "affine-cubic"}, "affine-cubic"),
    ],
)
def test_decoder_that_auto_means(options, family):
    assert ModelConfig(**options).decoder_family == family


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"content_dim": 0}, "content_dim must be >= 1; got 0"),
        ({"content_dim": 2.5}, "content_dim must be a whole number; got 2.5"),
        ({"num_turns": 1}, "num_turns must be >= 2"),
        ({"hidden_dim": 0}, "hidden_dim must be >= 1"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"num_classes": 0}, "num_classes must be >= 1"),
        ({"prior": {"name": "mixture", "components": 0}}, "components must be >= 1"),
        ({"pose": ("shift",), "decoder": "steerable"}, "add 'rotation'"),
        (
            {"pose": (), "angle_prior": {"loc": 0.0, "concentration": 1.0}},
            "Leave angle_prior out",
        ),
        ({"pose": ("rotation", "shifts")}, "Did you mean 'shift'"),
        ({"max_shift": 0.6}, r"max_shift must lie in \[0.0, 0.5\]"),
        ({"max_shift": 0.0}, 'leave "shift" out of pose'),
        ({"max_shift": float("nan")}, "max_shift must be a finite number"),
        ({"max_shift": "a"}, "max_shift must be a finite number"),
        ({"pose": "rotation"}, r"Take \('rotation',\)"),
        ({"pose": None}, "pose must be a tuple of names"),
        ({"pose": ("shift", "shift")}, "each part once"),
        ({"angle_prior": "uniform"}, "angle_prior must be settings such as"),
        ({"shift_prior": 0.1}, "shift_prior must be settings such as"),
        ({"pose": ("rotation",), "shift_prior": {"std": 0.1}}, "or add 'shift'"),
        ({"likelihood": {"name": "gaussian", "noise": True}}, "finite number"),
        ({"decoder": {"name": "coordinate", "skip": 1}}, "must be one of"),
        ({"decoder": {"name": "convolutional", "width": 1}}, "width must be >= 2"),
        ({"posterior": {"name": "auto", "temperature": 0.5}}, "classes='gumbel'"),
        (
            {"posterior": {"name": "enumerated", "classes": "gumbel"}},
            "Raise num_classes, or leave classes out",
        ),
        (
            {"posterior": "von_mises", "pose": ("shift",)},
            "Take posterior='gaussian', or add 'rotation'",
        ),
        (
            {"encoder": "group-convolution", "posterior": "gaussian"},
            "or posterior='enumerated'",
        ),
        ({"encoder": "moved-back", "prior": "vamp"}, "encoder='turned-back'"),
        (
            {"decoder": "steerable", "pose": ("rotation", "scale")},
            "'scale' in pose. Take decoder='affine', or leave 'scale' out",
        ),
        ({"decoder": "steerable", "encoder": "dense"}, "encoder='turned-copy'"),
        (
            {
                "decoder": "steerable",
                "likelihood": {"name": "gaussian", "noise": "per-pixel"},
            },
            "noise='learned'",
        ),
        (
            {"decoder": "steerable", "shift_prior": {"std": [0.0, 0.1]}},
            "or a small std",
        ),
        (
            {"posterior": "marginal", "pose": ("rotation", "scale")},
            "does not go with 'scale' in pose",
        ),
        ({"posterior": "marginal", "encoder": "dense"}, "encoder='dense'"),
        ({"decoder": "afine"}, "Did you mean 'affine'"),
        ({"likelihood": "normal"}, "likelihood must be one of"),
        ({"prior": "vampp"}, "Did you mean 'vamp'"),
        ({"prior": "flow", "content_dim": 1}, "Take content_dim=2 or prior='mixture'"),
        (
            {"decoder": "steerable", "likelihood": "poisson-gaussian"},
            "Take decoder='affine'",
        ),
        (
            {"decoder": "steerable", "max_shift": 0.3},
            "max_shift=0.3, it takes up to 0.2",
        ),
        (
            {"posterior": "enumerated", "decoder": "steerable"},
            "Take decoder='affine', or posterior='marginal'",
        ),
        ({"posterior": "marginal", "decoder": "affine"}, "posterior='enumerated'"),
        ({"angle_prior": {"loc": 0.0}}, "needs either concentration"),
        (
            {"angle_prior": {"loc": 0.0, "concentration": -1.0}},
            "concentration must be >= 0",
        ),
    ],
)
def test_model_settings_out_of_range(options, message, no_type_checks):
    with pytest.raises(ValueError, match=message) as caught:
        ModelConfig(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be >= 1"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"batch_size": 0}, "batch_size must be >= 1"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and > 0"),
        ({"learning_rate": float("inf")}, "learning_rate must be finite"),
    ],
)
def test_training_settings_out_of_range(options, message, no_type_checks):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, "beta must be finite and > 0"),
        ({"free_bits": -1.0}, "free_bits must be >= 0"),
        ({"capacity": -1.0}, "capacity must be >= 0"),
        ({"ramp": 1.5}, r"ramp must lie in \[0.0, 1.0\]"),
        ({"num_samples": 0}, "num_samples must be >= 1"),
        ({"num_samples": 5, "beta": 2.0}, "goes with no beta"),
        ({"capacity": 5.0, "beta": 2.0}, "capacity takes the place of beta"),
    ],
)
def test_objective_settings_out_of_range(options, message, no_type_checks):
    with pytest.raises(ValueError, match=message):
        ObjectiveConfig(**options)


def test_auto_gives_way_to_what_steerable_cannot():
    assert ModelConfig(shift_prior={"std": [0.0, 0.1]}).decoder_family == "affine"
    assert ModelConfig(pose=("rotation", "scale")).decoder_family == "affine"


def test_unknown_keys_name_the_nearest():
    with pytest.raises(TypeError, match="Did you mean 'batch_size'"):
        from_mapping(TrainingConfig, {"batchsize": 3})
    with pytest.raises(TypeError, match="It takes: none"):
        ModelConfig(likelihood={"name": "bernoulli", "noise": 1.0})
    with pytest.raises(TypeError, match="angle_prior does not take 'mean'"):
        ModelConfig(angle_prior={"mean": 0.0, "concentration": 1.0})


def test_settings_go_through_json_and_yaml(no_type_checks):
    config = ModelConfig(
        pose=["rotation"],
        num_turns=np.int64(6),
        angle_prior={"loc": 0.5, "concentration": 2.0},
    )
    assert config.pose == ("rotation",)
    for dump, load in ((json.dumps, json.loads), (yaml.safe_dump, yaml.safe_load)):
        assert from_mapping(ModelConfig, load(dump(to_mapping(config)))) == config


def test_a_run_goes_through_yaml():
    given = {
        "input": {"files": ["a.tif", "b.tif"], "pixel_size": 0.02},
        "model": {"content_dim": 3},
        "training": {"epochs": 7},
        "patches": {"size": 32, "window": None},
        "out": "runs/mine",
    }
    config = run_config(given)
    assert isinstance(config, RunConfig)
    assert config.model.pose == ("rotation",)  # patches are centred on atoms
    assert config.input.files == ("a.tif", "b.tif")
    assert run_config(yaml.safe_load(yaml.safe_dump(run_mapping(config)))) == config


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({}, ValueError, "run needs input"),
        ({"input": "a.tif"}, ValueError, "input must hold files or simulate"),
        ({"input": {"files": ()}}, ValueError, "got neither"),
        (
            {"input": {"files": "a", "simulate": "graphene"}},
            ValueError,
            "got both",
        ),
        ({"input": {"file": "a"}}, TypeError, "Did you mean 'files'"),
        ({"input": {"files": "a"}, "modle": {}}, TypeError, "Did you mean 'model'"),
        ({"input": {"files": "a"}, "model": 3}, ValueError, "model must hold settings"),
        (
            {"input": {"files": "a"}, "patches": {"window": None}},
            ValueError,
            "window=None needs the size",
        ),
    ],
)
def test_run_settings_that_do_not_hold(given, kind, message):
    with pytest.raises(kind, match=message) as caught:
        run_config(given)
    assert "\n" not in str(caught.value)


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig().seed = 1


def test_lazy_is_yes_no_or_neither(no_type_checks):
    given = {"files": "a.npy"}
    assert run_config({"input": given}).input.lazy is None
    with pytest.raises(ValueError, match="lazy must be one of"):
        run_config({"input": given | {"lazy": "yes"}})
