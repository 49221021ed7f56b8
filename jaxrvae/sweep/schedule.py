"""A sweep from its first point to its last: what is finished stays done."""

import concurrent.futures
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from jaxrvae._checks import whole
from jaxrvae.sweep.axes import Point, Sweep, points_of
from jaxrvae.sweep.engines import engine
from jaxrvae.sweep.measure import measure, program_key
from jaxrvae.sweep.store import Store

MEMBERS = 64  # of one program, at most: what a kill loses
LOSSES = 5  # times that a point may get lost before it has begun
Hook = Callable[[dict[str, Any]], None]


def run_sweep(
    sweep: Sweep | Iterable[Any],
    folder: str | Path,
    *,
    name: str = "sweep",
    where: str = "here",
    workers: int | None = None,
    retries: int = 1,
    members: int = MEMBERS,
    hooks: Sequence[Hook] = (),
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Trains and scores all points that are not finished; the table of those that are.

    Args:
        sweep: Or a list of configs.
        folder: Of this sweep; started again, it goes on from there.
        name: Of the experiment; a folder holds one.
        where: The engine: "here", "processes", "dask" or "slurm"; `options` are its.
        workers: Processes, or jobs at a time.
        retries: Times that a failed or killed point is tried again before it is set
            aside; the others go on.
        members: Points that one program trains, at most.
        hooks: Called with every finished point's record, history included.

    Raises:
        RunError: The folder is in use, or another sweep's.
    """
    whole("retries", retries, 0)
    whole("members", members, 1)
    points = points_of(sweep)
    store = Store(folder)
    with (
        store.scheduling(name, points),
        engine(where, store.path, workers, **options) as executor,
    ):
        _Run(store, points, executor, retries, members, hooks, progress).to_end()
    return store.table()


class _Run:
    """One start of a sweep."""

    def __init__(
        self,
        store: Store,
        points: list[Point],
        executor: Any,
        retries: int,
        members: int,
        hooks: Sequence[Hook],
        progress: bool,
    ):
        self.store, self.executor, self.retries = store, executor, retries
        self.members, self.hooks, self.progress = members, hooks, progress
        self.points = {point.id: point for point in points}
        self.attempts: dict[str, int] = {}
        self.losses: dict[str, int] = {}
        self.begun = time.perf_counter()
        for own in store.left_running():  # a process that was killed tried these
            self.attempts[own] = 1
        self.started_with = len(store.ids("points") & set(self.points))

    def to_end(self) -> None:
        """Hands out programs until no point is left to try."""
        store = self.store
        over = store.ids("points") | store.ids("failed")
        waiting = [point for point in self.points.values() if point.id not in over]
        alone = [point for point in waiting if self.attempts.get(point.id)]
        fresh = [point for point in waiting if not self.attempts.get(point.id)]
        groups = [*packed(fresh, self.members), *([point] for point in alone)]
        try:
            self._hand_out(groups[::-1])
        except KeyboardInterrupt:
            for own in self.points:  # stopped, not failed
                store.stop(own)
            raise

    def _hand_out(self, groups: list[list[Point]]) -> None:
        jobs: dict[Any, list[Point]] = {}
        most = getattr(self.executor, "in_flight", len(self.points))
        self._say()
        while groups or jobs:
            while groups and len(jobs) < most:
                group = groups.pop()
                jobs[self._submit(group)] = group
            done, _ = concurrent.futures.wait(
                jobs, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                again = self._over(future, jobs.pop(future))
                groups = [[point] for point in again] + groups
            self._say()

    def _submit(self, group: list[Point]) -> Any:
        attempts = [self.attempts.get(point.id, 0) + 1 for point in group]
        return self.executor.submit(run_program, str(self.store.path), group, attempts)

    def _over(self, future: Any, group: list[Point]) -> list[Point]:
        """Notes what came of a program; the points to try again."""
        try:
            errors = future.result()
            lost = ""
        except Exception as error:  # of the engine: which point was it?
            errors, lost = {}, _line(error)
        finished, running = self.store.ids("points"), self.store.ids("running")
        again = []
        for point in group:
            if point.id in finished:
                self._tell(point)
                continue
            self.store.stop(point.id)
            begun = point.id in running or point.id in errors
            tried = self.attempts.get(point.id, 0) + begun
            self.attempts[point.id] = tried
            self.losses[point.id] = self.losses.get(point.id, 0) + (not begun)
            error = errors.get(point.id, f"its process was killed: {lost}")
            if tried <= self.retries and self.losses[point.id] <= LOSSES:
                again.append(point)
            else:
                self.store.set_aside(point.id, tried, error)
        return again

    def _tell(self, point: Point) -> None:
        for hook in self.hooks:
            hook(self.store.row(point.id))

    def _say(self) -> None:
        if not self.progress:
            return
        finished = len(self.store.ids("points") & set(self.points))
        failed = len(self.store.ids("failed") & set(self.points))
        new = finished - self.started_with
        left = len(self.points) - finished - failed
        spent = time.perf_counter() - self.begun
        text = f"{finished} of {len(self.points)} points"
        text += f", {failed} failed" if failed else ""
        if new and left:
            text += f", about {spent / new * left / 60:.0f} min left"
        sys.stderr.write(text + "\n")


def packed(points: Sequence[Point], most: int) -> list[list[Point]]:
    """Points that one program trains, together; at most so many, evenly."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(program_key(point.config), []).append(point)
    found = []
    for group in groups.values():
        number = -(-len(group) // most)
        found += [group[start::number] for start in range(number)]
    return found


def run_program(
    folder: str, points: list[Point], attempts: list[int]
) -> dict[str, str]:
    """Trains and scores points by one program, and keeps them; errors by id.

    It runs wherever the engine takes it, and needs the sweep's folder there.
    """
    store = Store(folder)
    finished = store.ids("points")
    kept = [
        (point, tried)
        for point, tried in zip(points, attempts, strict=True)
        if point.id not in finished
    ]
    if not kept:
        return {}
    store.begin([point.id for point, _ in kept])
    try:
        outcomes = measure([point.config for point, _ in kept])
    except Exception as error:
        return {point.id: _line(error) for point, _ in kept}
    errors = {}
    for (point, tried), outcome in zip(kept, outcomes, strict=True):
        if outcome.error is None:
            store.record(point, outcome, tried)
        else:
            errors[point.id] = outcome.error
    return errors


def _line(error: BaseException) -> str:
    """The error in a line, with the place where it is not one of ours."""
    text = " ".join(str(error).split()) or type(error).__name__
    place = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(place[-1].filename).name}:{place[-1].lineno})" if place else ""
    return f"{type(error).__name__}: {text[:500]}{where}"
