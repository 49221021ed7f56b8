"""Settings as plain values, and back."""

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from jaxrvae._checks import DataError, existing_file, known_keys
from jaxrvae.config.choices import described, is_program

Config = TypeVar("Config")


def from_mapping(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """The config with these values; unknown keys raise and suggest the nearest."""
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{kind.__name__} must be a mapping of settings such as {names[0]};"
            f" got {values!r}."
        )
    known_keys(kind.__name__, values, names)
    return kind(**values)


def to_mapping(config: Any) -> dict[str, Any]:
    """The config as plain values, for YAML and JSON."""
    found = {}
    for field in dataclasses.fields(config):
        name, value = field.name, getattr(config, field.name)
        plain = described(value) if is_program(value) else value
        plain = list(plain) if isinstance(plain, tuple) else plain
        found[name] = copy.deepcopy(plain) if isinstance(plain, Mapping) else plain
    return found


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        DataError: There is no such file, or it is not YAML with a mapping.
    """
    import yaml

    path = existing_file(path)
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected YAML; got {' '.join(str(error).split())[:160]}."
            " Mend the file, or start from a run's config.yaml."
        ) from error
    if not isinstance(values, dict):
        raise DataError(
            f"{path}: expected groups such as input: and model:; got"
            f" {type(values).__name__}. Start from a run's config.yaml."
        )
    return values
