"""Uniform argument errors: what was expected, what came, and the next move."""

import difflib
import math
import numbers
from collections.abc import Iterable
from pathlib import Path

from jaxrvae._typing import Number


class DataError(ValueError):
    """A file, image or table that cannot be used: one line, with the next step."""


class RunError(RuntimeError):
    """A run that had to stop: one line, with where to find what was kept."""


def number(name: str, value: object, hint: str = "") -> float:
    """The value as a float, if it is a finite number."""
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        found = float(value)
        if math.isfinite(found):
            return found
    raise ValueError(f"{name} must be a finite number; got {value!r}. {hint}".strip())


def positive(name: str, value: Number, hint: str = "") -> None:
    """Refuse values that are not finite and > 0."""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"{name} must be finite and > 0; got {value!r}. {hint}".strip()
        )


def at_least(name: str, value: Number, least: Number, hint: str = "") -> None:
    """Refuse values below the least one."""
    if not value >= least:
        raise ValueError(f"{name} must be >= {least}; got {value!r}. {hint}".strip())


def whole(name: str, value: object, least: int, hint: str = "") -> None:
    """Refuse what is not a whole number, or is below the least one."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise ValueError(
            f"{name} must be a whole number; got {value!r}. {hint}".strip()
        )
    at_least(name, int(value), least, hint)


def between(
    name: str, value: Number, low: Number, high: Number, hint: str = ""
) -> None:
    """Refuse values outside [low, high]."""
    if not low <= value <= high:
        raise ValueError(
            f"{name} must lie in [{low}, {high}]; got {value!r}. {hint}".strip()
        )


def one_of(name: str, value: object, options: Iterable[object], hint: str = "") -> None:
    """Refuse what is not among the options, suggesting the nearest."""
    options = list(options)
    if value not in options:
        near = nearest(str(value), [str(option) for option in options])
        raise ValueError(
            f"{name} must be one of {options}; got {value!r}.{near} {hint}".strip()
        )


def known_keys(owner: str, keys: Iterable[str], allowed: Iterable[str]) -> None:
    """Refuse keys that are not allowed, suggesting the nearest of those that are."""
    allowed = list(allowed)
    for key in keys:
        if key not in allowed:
            raise TypeError(
                f"{owner} does not take {key!r}.{nearest(key, allowed)}"
                f" It takes: {', '.join(allowed) or 'none'}."
            )


def nearest(word: str, words: list[str]) -> str:
    """' Did you mean ...?' or nothing."""
    close = difflib.get_close_matches(word, words, n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def existing_file(path: str | Path) -> Path:
    """The path, if it is a file that is there and not empty."""
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: expected a file, found none. Check the name and the folder."
        )
    if path.stat().st_size == 0:
        raise DataError(
            f"{path}: the file is empty (0 bytes). Copy it again from its source."
        )
    return path
