"""Experiments by name: files of the folder experiments, or YAML."""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxrvae._checks import DataError, known_keys, nearest
from jaxrvae.config import RunConfig, read_yaml, run_config
from jaxrvae.config.dotted import nested_mapping, override, parse
from jaxrvae.config.study import StudyConfig, study_config
from jaxrvae.sweep.axes import Axis, Sweep, chosen, grid, random, zipped

FOLDER = "experiments"
SWEEP_KEYS = ("base", "grid", "zipped", "chosen", "random", "num_points", "seeds")


def experiment_names(folder: str | Path = FOLDER) -> list[str]:
    """Of the files there."""
    return sorted(file.stem for file in Path(folder).glob("[!_]*.py"))


def is_experiment(name: str, folder: str | Path = FOLDER) -> bool:
    """Whether a file of the folder, or a YAML file of a study, has this name."""
    if Path(name).suffix in (".yaml", ".yml"):
        return Path(name).is_file()
    return (Path(folder) / f"{name}.py").is_file()


def load_config(name: str, words: Sequence[str] = ()) -> Any:
    """An experiment's config, with NAME=VALUE words on top.

    Args:
        name: In the folder, or the path of a YAML file.

    Raises:
        DataError: There is no such experiment.
        TypeError, ValueError: The words do not fit it.
    """
    if Path(name).suffix in (".yaml", ".yml"):
        config = config_of(read_yaml(name))
    else:
        config = load_experiment(name).config()
    return override(config, parse(words))


def load_sweep(name: str, words: Sequence[str] = ()) -> Any:
    """An experiment's sweep, or its list of configs, with the words on top of each.

    A YAML file has `base` (a study) and any of `grid`, `zipped`, `random` (names to
    values; with `num_points`), `chosen` (a list of changes) and `seeds`.
    """
    changes = parse(words)
    if Path(name).suffix in (".yaml", ".yml"):
        return _with_base(_sweep_of(read_yaml(name)), changes)
    module = load_experiment(name)
    if not hasattr(module, "sweep"):
        raise DataError(
            f"{name}: expected sweep() beside config(). Add it to the file."
        )
    found = module.sweep()
    if isinstance(found, Sweep):
        return _with_base(found, changes)
    return [override(config, changes) for config in found]


def load_experiment(name: str, folder: str | Path = FOLDER) -> ModuleType:
    """The module of that name in the folder.

    Raises:
        DataError: There is none, with the nearest name.
    """
    file = Path(folder) / f"{name}.py"
    if not file.is_file():
        names = experiment_names(folder)
        advice = f"There are: {', '.join(names)}."
        if not names:
            advice = "Run from a checkout, or make the folder experiments."
        raise DataError(f"{file}: no such experiment.{nearest(name, names)} {advice}")
    root = str(file.parent.absolute().parent)
    if root not in sys.path:
        sys.path.insert(0, root)  # experiments import each other
    return importlib.import_module(f"{file.parent.name}.{name}")


def config_of(values: Mapping[str, Any]) -> Any:
    """A study's config, or a whole run's; of a sweep's mapping, its base."""
    if isinstance(values.get("base"), Mapping):
        return config_of(values["base"])
    if "data" in values:
        return study_config(values)
    return run_config(values)


def mapping_of(config: Any) -> dict[str, Any]:
    """The config as YAML holds it; `config_of` takes a study's and a run's back."""
    return nested_mapping(config)


def is_plain(config: Any) -> bool:
    """Whether YAML holds all of the config."""
    return isinstance(config, StudyConfig | RunConfig)


def _sweep_of(values: Mapping[str, Any]) -> Sweep:
    known_keys("a sweep", values, SWEEP_KEYS)
    if not isinstance(values.get("base"), Mapping):
        raise ValueError("a sweep needs base: {data: {kind: ...}}, and axes.")
    axes: list[Axis] = []
    for name, make in (("grid", grid), ("zipped", zipped), ("chosen", chosen)):
        if name in values:
            axes.append(make(values[name]))
    if "random" in values:
        axes.append(random(values["random"], int(values.get("num_points", 10))))
    base = config_of(values["base"])
    return Sweep(base=base, axes=axes, seeds=int(values.get("seeds", 1)))


def _with_base(sweep: Sweep, changes: Mapping[str, Any]) -> Sweep:
    base = override(sweep.base, changes)
    return Sweep(base=base, axes=sweep.axes, seeds=sweep.seeds)


def load_search(name: str, words: Sequence[str] = ()) -> Any:
    """An experiment's `search()`, with the words on top of its base."""
    import dataclasses

    module = load_experiment(name)
    if not hasattr(module, "search"):
        raise DataError(f"{name}: --trials needs search() in the file. Add it.")
    found = module.search()
    return dataclasses.replace(found, base=override(found.base, parse(words)))
