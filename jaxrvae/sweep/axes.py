"""What a sweep goes through: axes of settings, and the points they make."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxrvae.config.dotted import nested_mapping, override

Changes = dict[str, Any]
Draw = Callable[[np.random.Generator], Any]


@dataclasses.dataclass(frozen=True)
class Axis:
    """Changes of settings, one of which every point takes.

    Attributes:
        changes: Dotted names to values, for every place along the axis.
        when: (the point's changes so far) to whether the axis applies to it; where it
            does not, the point is taken once, without it.
    """

    changes: tuple[Changes, ...]
    when: Callable[[Changes], bool] | None = None


def grid(values: Mapping[str, Sequence[Any]]) -> Axis:
    """All combinations of these settings' values.

    >>> len(grid({"model.seed": range(3), "objective.beta": [1.0, 2.0]}).changes)
    6
    """
    _need_values("grid", values)
    every = itertools.product(*(list(own) for own in values.values()))
    return Axis(tuple(dict(zip(values, one, strict=True)) for one in every))


def zipped(values: Mapping[str, Sequence[Any]]) -> Axis:
    """These settings' values side by side: the first of all, the second of all ..."""
    _need_values("zipped", values)
    lengths = {name: len(own) for name, own in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"zipped needs as many values of each; got {lengths}.")
    rows = zip(*values.values(), strict=True)
    return Axis(tuple(dict(zip(values, row, strict=True)) for row in rows))


def chosen(options: Sequence[Changes]) -> Axis:
    """One of these sets of changes each."""
    _need_values("chosen", {"options": options})
    return Axis(tuple(dict(one) for one in options))


def random(values: Mapping[str, Any], num_points: int, seed: int = 0) -> Axis:
    """So many random draws of all these settings together.

    Args:
        values: Names to a sequence, of which one is drawn; or to `uniform`,
            `log_uniform` or another function of a NumPy generator.
    """
    _need_values("random", {"num_points": range(num_points)})
    rng = np.random.default_rng(seed)
    return Axis(
        tuple(
            {name: _drawn(own, rng) for name, own in values.items()}
            for _ in range(num_points)
        )
    )


def conditional(axis: Axis, when: Callable[[Changes], bool]) -> Axis:
    """The axis, for points alone whose changes so far say so.

    >>> only = conditional(
    ...     grid({"model.num_turns": [4, 8]}),
    ...     lambda point: point.get("model.decoder") == "affine",
    ... )
    """
    return dataclasses.replace(axis, when=when)


def uniform(low: float, high: float) -> Draw:
    """Numbers between the two, for `random`."""
    return lambda rng: float(rng.uniform(low, high))


def log_uniform(low: float, high: float) -> Draw:
    """Numbers between the two, as many a decade, for `random`."""
    return lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclasses.dataclass(frozen=True)
class Point:
    """One configuration of a sweep.

    Attributes:
        id: Of the config's content: the same settings have the same id everywhere.
        changes: What it has of its own beside the sweep's base.
    """

    id: str
    config: Any
    changes: Changes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """A base config and the axes along which its settings change.

    Attributes:
        seeds: Every point is taken with so many seeds, from the base's own on.
    """

    base: Any
    axes: Sequence[Axis] = ()
    seeds: int = 1

    def points(self) -> list[Point]:
        """Every point once, in the order of the axes, seeds last.

        Raises:
            TypeError, ValueError: A setting that there is not, or a combination that
                does not go together, with the point's changes.
        """
        rows: list[Changes] = [{}]
        axes = list(self.axes)
        if self.seeds > 1:
            first = self.base.model.seed
            axes.append(grid({"model.seed": range(first, first + self.seeds)}))
        for axis in axes:
            rows = [
                row | own
                for row in rows
                for own in (axis.changes if _applies(axis, row) else ({},))
            ]
        found: dict[str, Point] = {}
        for row in rows:
            point = as_point(_made(self.base, row), row)
            found.setdefault(point.id, point)
        return list(found.values())


def points_of(sweep: "Sweep | Iterable[Any]") -> list[Point]:
    """The points of a sweep, or of a list of configs, each once."""
    if isinstance(sweep, Sweep):
        return sweep.points()
    points = [as_point(config) for config in sweep]
    return list({point.id: point for point in points}.values())


def as_point(config: Any, changes: Changes | None = None) -> Point:
    """A config as a point."""
    own = hashlib.sha256(canonical(config).encode()).hexdigest()[:12]
    return Point(own, config, dict(changes or {}))


def canonical(config: Any) -> str:
    """The config's content as text: the same for the same settings."""
    return json.dumps(nested_mapping(config), sort_keys=True, default=str)


def _made(base: Any, row: Changes) -> Any:
    """The config; where it cannot be, the error names the point."""
    try:
        return override(base, row)
    except (TypeError, ValueError) as error:
        own = ", ".join(f"{name}={value!r}" for name, value in row.items())
        raise type(error)(f"point {own}: {error}") from error


def _applies(axis: Axis, row: Changes) -> bool:
    return axis.when is None or axis.when(row)


def _drawn(own: Any, rng: np.random.Generator) -> Any:
    if callable(own):
        return own(rng)
    value = own[int(rng.integers(len(own)))]
    return value.item() if isinstance(value, np.generic) else value


def _need_values(name: str, values: Mapping[str, Any]) -> None:
    if not values or not all(len(own) for own in values.values()):
        raise ValueError(f"{name} needs values; got {dict(values)!r}.")
