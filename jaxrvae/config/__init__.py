"""Frozen settings of the model, its training and a run; plain values, as YAML holds."""

from jaxrvae.config.mapping import from_mapping, read_yaml, to_mapping
from jaxrvae.config.model import ModelConfig
from jaxrvae.config.run import (
    CENTRED,
    ClassConfig,
    InputConfig,
    LocateConfig,
    PatchConfig,
    PathwayConfig,
    RunConfig,
    TrackConfig,
    WallConfig,
    as_run_config,
    run_config,
    run_mapping,
)
from jaxrvae.config.training import ObjectiveConfig, TrainingConfig

__all__ = [
    "CENTRED",
    "ClassConfig",
    "InputConfig",
    "LocateConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "PatchConfig",
    "PathwayConfig",
    "RunConfig",
    "TrackConfig",
    "TrainingConfig",
    "WallConfig",
    "as_run_config",
    "from_mapping",
    "read_yaml",
    "run_config",
    "run_mapping",
    "to_mapping",
]
