"""Adaptive search by Optuna: the next points hang on what the last ones gave."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from jaxrvae._checks import RunError, one_of, whole
from jaxrvae.config.dotted import override
from jaxrvae.sweep.schedule import run_sweep
from jaxrvae.sweep.store import Store

Suggest = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """Settings between bounds, and the figure that is sought.

    Attributes:
        base: The config that the settings change.
        space: Dotted names to (low, high), (low, high, "log") or a list of values;
            whole bounds give whole numbers.
        metric: Such as "R, worst".
        direction: "maximize" or "minimize".
        seeds: Of every trial; the worst counts.
    """

    base: Any
    space: Mapping[str, Sequence[Any]]
    metric: str
    direction: str = "maximize"
    seeds: int = 1

    def __post_init__(self) -> None:
        one_of("direction", self.direction, ("maximize", "minimize"))
        whole("seeds", self.seeds, 1)


def run_search(
    search: Search,
    folder: str | Path,
    num_trials: int,
    *,
    name: str = "search",
    batch: int = 4,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Trials by Optuna's TPE sampler, so many at a time; the table of all points.

    The study lies in the folder (`optuna.db`) and goes on from there.

    Args:
        batch: Trials asked for together: those of one shape share a program.
        options: Of `run_sweep`.

    Raises:
        RunError: Optuna is not installed, or no trial has the metric.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise RunError("a search needs: pip install 'jaxrvae[search]'.") from error
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(
            storage=f"sqlite:///{folder / 'optuna.db'}",
            study_name=name,
            load_if_exists=True,
            direction=cast(Any, search.direction),
            sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True),
        )
    table = pd.DataFrame()
    done = sum(trial.state.is_finished() for trial in study.trials)
    for trial in study.trials:
        if not trial.state.is_finished():  # of a process that was killed
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    while done < num_trials:
        trials = [study.ask() for _ in range(min(batch, num_trials - done))]
        chosen = [_suggested(trial, search.space) for trial in trials]
        table = _run(search, folder, chosen, name, progress, options)
        for trial, changes in zip(trials, chosen, strict=True):
            value = worst(table, search, changes)
            fail = optuna.trial.TrialState.FAIL if value is None else None
            study.tell(trial, value, state=fail)
        done += len(trials)
    return table if len(table) else Store(folder).table()


def worst(table: pd.DataFrame, search: Search, changes: dict[str, Any]) -> float | None:
    """The worst seed's figure of a trial; None where a seed has none."""
    column = f"metric.{search.metric}"
    if column not in table:
        return None
    here = np.ones(len(table), bool)
    for setting, value in changes.items():
        here &= (table[f"config.{setting}"] == value).to_numpy()
    found = table[column].to_numpy(float)[here]
    if len(found) < search.seeds or not np.isfinite(found).all():
        return None
    return float(found.min() if search.direction == "maximize" else found.max())


def _run(
    search: Search,
    folder: Path,
    chosen: list[dict[str, Any]],
    name: str,
    progress: bool,
    options: dict[str, Any],
) -> pd.DataFrame:
    """The points of these trials, and all before them."""
    first = search.base.model.seed
    configs = [
        override(search.base, changes | {"model.seed": first + i})
        for changes in chosen
        for i in range(search.seeds)
    ]
    return run_sweep(configs, folder, name=name, progress=progress, **options)


def _suggested(trial: Any, space: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """A trial's settings."""
    found = {}
    for name, own in space.items():
        if isinstance(own, list):
            found[name] = trial.suggest_categorical(name, own)
            continue
        low, high, log = own[0], own[1], "log" in own
        kind = isinstance(low, int) and isinstance(high, int)
        suggest = trial.suggest_int if kind else trial.suggest_float
        found[name] = suggest(name, low, high, log=log)
    return found
