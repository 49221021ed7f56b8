"""Settings by dotted names, as in `training.epochs=20` and in columns of a table.

They reach through configs in configs, and into a config's mappings
(`data.options.noise`, `model.decoder.layers`).
"""

import collections.abc
import dataclasses
import functools
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from jaxrvae._checks import nearest
from jaxrvae.config.choices import described, is_program


def parse(words: Iterable[str]) -> dict[str, Any]:
    """Words NAME=VALUE as names to values, which are read as YAML.

    >>> parse(["training.epochs=20", "training.learning_rate=1e-3"])
    {'training.epochs': 20, 'training.learning_rate': 0.001}
    """
    import yaml

    found = {}
    for word in words:
        name, mark, value = word.partition("=")
        if not mark or not name:
            raise ValueError(f"expected NAME=VALUE; got {word!r}.")
        found[name] = _number(yaml.safe_load(value))
    return found


def override(config: Any, changes: Mapping[str, Any]) -> Any:
    """The config with these settings, by dotted names; all others as they are.

    Raises:
        TypeError: There is no such setting (the nearest is named), or its value is of
            another kind.
        ValueError: The value is out of range.
    """
    nested: dict[str, Any] = {}
    for name, value in changes.items():
        branch, *parts = nested, *name.split(".")
        for part in parts[:-1]:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                raise TypeError(f"{name} and a part of it are both given.")
        branch[parts[-1]] = _Leaf(value)
    return _changed(config, nested, "", config)


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Every setting as a plain value by its dotted name; mappings are gone into.

    >>> from jaxrvae.config import TrainingConfig
    >>> flat(TrainingConfig(epochs=3))["epochs"]
    3
    """
    found: dict[str, Any] = {}
    for name, value in _items(config):
        full = f"{prefix}{name}"
        if _is_config(value) or (isinstance(value, Mapping) and value):
            found |= flat(value, f"{full}.")
        else:
            found[full] = _plain(value)
    return found


def nested_mapping(config: Any) -> dict[str, Any]:
    """The config as nested plain mappings, for YAML and JSON."""
    return {
        name: nested_mapping(value)
        if _is_config(value) or isinstance(value, Mapping)
        else _plain(value)
        for name, value in _items(config)
    }


@functools.cache
def _kinds(config: type) -> dict[str, Any]:
    return typing.get_type_hints(config)


@dataclasses.dataclass(frozen=True)
class _Leaf:
    """A value, told apart from the names that lead on."""

    value: Any


def _items(config: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(config, Mapping):
        return config.items()
    own = [(f.name, getattr(config, f.name)) for f in dataclasses.fields(config)]
    kind = type(config)
    plain = kind.__module__.startswith("jaxrvae.config")
    return own if plain else [("kind", f"{kind.__name__}"), *own]


def _is_config(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if value is not None and not isinstance(value, str) and is_program(value):
        return described(value)["of"]
    return value


def _changed(config: Any, changes: Mapping[str, Any], prefix: str, root: Any) -> Any:
    """The config (or mapping) with nested changes."""
    kinds = {} if isinstance(config, Mapping) else _kinds(type(config))
    names = list(dict(_items(config))) if not kinds else list(kinds)
    new = {}
    for name, change in changes.items():
        full = f"{prefix}{name}"
        if kinds and name not in names:
            known = [*flat(root), *(f"{prefix}{one}" for one in names)]
            raise TypeError(f"there is no setting {full!r}.{_near(full, known)}")
        old = config.get(name) if not kinds else getattr(config, name)
        if isinstance(change, _Leaf):
            new[name] = _of_kind(full, change.value, kinds.get(name, Any))
        elif _is_config(old):
            new[name] = _changed(old, change, f"{full}.", root)
        else:
            new[name] = _entered(full, old, change, root)
    if isinstance(config, Mapping):
        return {**config, **new}
    return dataclasses.replace(config, **new)


def _entered(full: str, old: Any, change: Mapping[str, Any], root: Any) -> Any:
    """What a mapping, or a choice that may become one, is with these changes."""
    if isinstance(old, str) or old is None:
        old = {} if old is None else {"name": old}
    if not isinstance(old, Mapping):
        inner = next(iter(change))
        raise TypeError(f"{full} is {old!r} and has no {inner!r}.")
    return _changed(old, change, f"{full}.", root)


def _near(full: str, known: list[str]) -> str:
    """The nearest name: one that ends alike, or is spelled alike."""
    last = full.rpartition(".")[2]
    alike = [name for name in known if name.rpartition(".")[2] == last]
    return f" Did you mean {alike[0]!r}?" if alike else nearest(full, known)


def _number(value: Any) -> Any:
    """YAML takes 1e-3 for a word."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _of_kind(name: str, value: Any, kind: Any) -> Any:
    if not _fits(value, kind):
        raise TypeError(f"{name} must be {_words(kind)}; got {value!r}.")
    return value


def _fits(value: Any, kind: Any) -> bool:
    """Whether a plain value is of the kind that a config's field is annotated with."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is typing.Literal:
        return value in parts
    if kind is None or kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (str, bool):
        return isinstance(value, kind)
    main = origin or kind
    if isinstance(main, type) and issubclass(main, Mapping):
        return isinstance(value, Mapping)
    if isinstance(main, type) and issubclass(main, collections.abc.Sequence):
        return isinstance(value, list | tuple)
    return not isinstance(main, type) or isinstance(value, main)


def _words(kind: Any) -> str:
    """'int or None', as the annotation has it."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(part) for part in parts)
    if origin is typing.Literal:
        return " or ".join(repr(part) for part in parts)
    if kind is type(None):
        return "None"
    return getattr(origin or kind, "__name__", str(kind))
