"""A sweep's directory: what is planned, what runs, what came of it.

sweep/.lock             held by the process that schedules
sweep/plan.json         the experiment's name and the points, in order
sweep/running/ID.json   who trains the point, since when
sweep/points/ID.json    a finished point: settings, metrics, history
sweep/failed/ID.json    a point set aside, with its attempts and its last error
sweep/results.parquet   the finished points, a row each

A point is finished by one rename: killed at any moment, nothing is half there, and a
point that two workers finished is there once.
"""

import contextlib
import datetime
import functools
import json
import math
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from jaxrvae._checks import RunError
from jaxrvae.config.dotted import flat
from jaxrvae.report.store import versions, write_bytes
from jaxrvae.sweep.axes import Point
from jaxrvae.sweep.measure import Outcome
from jaxrvae.training.checkpoint import locked, write_atomically

FOLDERS = ("points", "running", "failed")


class Store:
    """The directory of one sweep.

    Raises:
        RunError: On reading, if it is not one.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @contextlib.contextmanager
    def scheduling(self, name: str, points: Sequence[Point]) -> Iterator[None]:
        """While this process, and no other, hands out the points.

        Raises:
            RunError: Another does, or the directory is another experiment's.
        """
        with locked(self.path):
            for folder in FOLDERS:
                (self.path / folder).mkdir(exist_ok=True)
            self._plan(name, points)
            try:
                yield
            finally:
                self.collect()

    def _plan(self, name: str, points: Sequence[Point]) -> None:
        """Adds points to what is planned: those of earlier starts stay."""
        known: dict[str, Any] = {}
        if (self.path / "plan.json").exists():
            plan = self.plan()
            if plan["name"] != name:
                raise RunError(
                    f"{self.path} is the sweep {plan['name']!r}; got {name!r}. Choose"
                    " another directory."
                )
            known = plan["points"]
        known |= {point.id: point.changes for point in points}
        text = json.dumps({"name": name, "points": known}, default=str)
        write_atomically(self.path / "plan.json", text + "\n")

    def plan(self) -> dict[str, Any]:
        """The sweep's `name`, and `points`: what each has of its own, by its id."""
        file = self.path / "plan.json"
        if not file.is_file():
            raise RunError(f"{self.path}: no sweep there. Give a sweep's directory.")
        return json.loads(file.read_text())

    def ids(self, folder: str) -> set[str]:
        """Of the points that are finished ("points"), "running" or "failed"."""
        return {file.stem for file in (self.path / folder).glob("[!.]*.json")}

    def begin(self, ids: Sequence[str]) -> None:
        """Says that this process trains the points."""
        note = {"host": socket.gethostname(), "pid": os.getpid(), "since": _now()}
        for own in ids:
            write_atomically(self.path / "running" / f"{own}.json", json.dumps(note))

    def record(self, point: Point, outcome: Outcome, attempts: int) -> None:
        """Keeps a finished point, unless it is there."""
        file = self.path / "points" / f"{point.id}.json"
        if not file.exists():
            row = self.record_of(point, outcome, attempts)
            write_atomically(file, json.dumps(row, default=str) + "\n")
        self.stop(point.id)
        self._unlink("failed", point.id)

    @staticmethod
    def record_of(point: Point, outcome: Outcome, attempts: int) -> dict[str, Any]:
        """What is kept of a finished point."""
        return {
            "id": point.id,
            "config": flat(point.config),
            "metric": outcome.metrics,
            "seed": _seed(point.config),
            "seconds": outcome.seconds,
            "compile_seconds": outcome.compile_seconds,
            "memory_gb": outcome.memory_gb,
            **_here(),
            "attempts": attempts,
            "finished": _now(),
            "history": outcome.history,
        }

    def set_aside(self, own: str, attempts: int, error: str) -> None:
        """Keeps why a point failed."""
        note = {"attempts": attempts, "error": error, "when": _now()}
        write_atomically(self.path / "failed" / f"{own}.json", json.dumps(note))
        self.stop(own)

    def stop(self, own: str) -> None:
        """Says that nobody trains the point any more."""
        self._unlink("running", own)

    def left_running(self) -> list[str]:
        """Points that a killed process left behind, forgotten by this."""
        left = sorted(self.ids("running"))
        for own in left:
            self.stop(own)
        return [own for own in left if own not in self.ids("points")]

    def forget_failures(self) -> None:
        """Points set aside are tried again."""
        for own in self.ids("failed"):
            self._unlink("failed", own)

    def failures(self) -> pd.DataFrame:
        """Points set aside: id, attempts, error and what each has of its own."""
        planned = self.plan()["points"]
        rows = []
        for own in sorted(self.ids("failed")):
            note = json.loads((self.path / "failed" / f"{own}.json").read_text())
            rows.append({"id": own, **note, "changes": planned.get(own, {})})
        columns = ["id", "attempts", "error", "when", "changes"]
        return pd.DataFrame(rows, columns=columns)

    def rows(self) -> list[dict[str, Any]]:
        """Of the finished points, in the order planned, with their histories."""
        done = self.ids("points")
        order = [own for own in self.plan()["points"] if own in done]
        return [self.row(own) for own in order]

    def row(self, own: str) -> dict[str, Any]:
        """Of one finished point."""
        return json.loads((self.path / "points" / f"{own}.json").read_text())

    def table(self) -> pd.DataFrame:
        """The finished points, a row each.

        Columns `id`, `config.*` (dotted settings), `metric.*`, `seed`, `seconds`,
        `compile_seconds`, `memory_gb`, `device`, `commit`, `version.*`, `attempts`,
        `finished`.
        """
        return pd.DataFrame([_tidy(row) for row in self.rows()])

    def collect(self) -> Path:
        """Writes the table as results.parquet."""
        file = self.path / "results.parquet"
        write_bytes(file, _of_one_kind(self.table()).to_parquet(None))
        return file

    def _unlink(self, folder: str, own: str) -> None:
        (self.path / folder / f"{own}.json").unlink(missing_ok=True)


def _tidy(row: Mapping[str, Any]) -> dict[str, Any]:
    """A finished point's record as the row of a table."""
    found: dict[str, Any] = {"id": row["id"]}
    for group, short in (("config", "config"), ("metric", "metric")):
        for name, value in row[group].items():
            plain = json.dumps(value) if isinstance(value, list | dict) else value
            found[f"{short}.{name}"] = plain
    for name, value in row.items():
        if name == "version":
            found |= {f"version.{own}": number for own, number in value.items()}
        elif name not in ("id", "config", "metric", "history"):
            found[name] = value
    return found


def _of_one_kind(table: pd.DataFrame) -> pd.DataFrame:
    """The same with columns that mix words and numbers as words, as parquet needs."""
    mixed = [name for name in table.columns if _kinds(table[name]) > 1]
    words = {
        name: table[name].map(lambda v: None if _none(v) else str(v)) for name in mixed
    }
    return table.assign(**words)


def _kinds(column: Any) -> int:
    """How many kinds of value it has: words, truths, numbers."""
    found = [v for v in column if not _none(v)]
    return len({str if isinstance(v, str) else isinstance(v, bool) for v in found})


def _none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _seed(config: Any) -> int | None:
    model = getattr(config, "model", None)
    return getattr(model, "seed", None)


@functools.cache
def _here() -> dict[str, Any]:
    """What the numbers hang on, of this process."""
    import jax

    return {
        "device": jax.devices()[0].device_kind,
        "host": socket.gethostname(),
        "commit": commit(),
        "version": versions(),
    }


def commit() -> str | None:
    """Of the checkout that the package lies in, with a + where it was changed since."""
    asked = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty=+",
    ]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
