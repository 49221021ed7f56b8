"""One experiment, run, kept and run again."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, existing_file
from jaxrvae.config import RunConfig, read_yaml
from jaxrvae.report.store import to_yaml, versions
from jaxrvae.sweep.axes import as_point
from jaxrvae.sweep.experiments import config_of, is_plain, mapping_of
from jaxrvae.sweep.measure import measure
from jaxrvae.sweep.store import Store
from jaxrvae.training.checkpoint import write_atomically

SAME, NEAR = 1e-6, 1e-2  # relative: the same numbers, and as near as other machines are


def run_experiment(
    config: Any, out: str | Path, name: str = "run", progress: bool = True
) -> dict[str, float]:
    """Trains and scores one config; its figures, which `out` keeps as well.

    `config.yaml`, `result.json` (figures, seconds, device, versions) and `metrics.csv`
    (a row an epoch).
    """
    out = Path(out)
    outcome = measure([config], progress)[0]
    out.mkdir(parents=True, exist_ok=True)
    point = as_point(config)
    store = Store(out)
    row = store.record_of(point, outcome, 1)
    history = pd.DataFrame(row.pop("history"))
    if is_plain(config):
        write_atomically(out / "config.yaml", to_yaml(mapping_of(config)))
    write_atomically(out / "result.json", json.dumps({"name": name, **row}) + "\n")
    if len(history):
        write_atomically(out / "metrics.csv", history.to_csv(index=False))
    return outcome.metrics


def rerun(run_dir: str | Path, progress: bool = True) -> pd.DataFrame:
    """What a run gives when it is run again, beside what it gave.

    Returns:
        A row a figure: `then`, `now`, `relative` difference and whether it is the
        `same`; `attrs` say what else differs (`versions`, `device`).

    Raises:
        DataError: The directory does not hold an experiment's run.
    """
    folder = Path(run_dir)
    config = config_of(read_yaml(folder / "config.yaml"))
    if isinstance(config, RunConfig):
        then, now = _whole_run(folder, config, progress)
        noted = {"version": json.loads((folder / "versions.json").read_text())}
    else:
        file = existing_file(folder / "result.json")
        noted = json.loads(file.read_text())
        then, now = noted["metric"], measure([config], progress)[0].metrics
    table = pd.DataFrame({"then": pd.Series(then), "now": pd.Series(now)})
    apart = (table["now"] - table["then"]).abs()
    size = table.abs().max(axis=1).replace(0.0, 1.0)
    table["relative"] = apart / size
    table["same"] = table["relative"] <= SAME
    table.attrs = {"changed": _changed(noted)}
    return table


def _whole_run(
    folder: Path, config: RunConfig, progress: bool
) -> tuple[dict[str, float], dict[str, float]]:
    """Losses of the first ten epochs and the last, then and now."""
    import dataclasses
    import tempfile

    from jaxrvae.pipeline import run

    before = pd.read_csv(existing_file(folder / "metrics.csv"))
    with tempfile.TemporaryDirectory() as other:
        result = run(dataclasses.replace(config, out=other), progress=progress)
        after = result.model.history
    if len(before) != len(after):
        raise DataError(f"{folder}: it has {len(before)} epochs, now {len(after)}.")
    return _losses(before), _losses(after)


def _losses(history: pd.DataFrame) -> dict[str, float]:
    loss = history["loss"].to_numpy()
    chosen = sorted({*range(min(10, len(loss))), len(loss) - 1})
    return {f"loss of epoch {i + 1}": float(loss[i]) for i in chosen}


def _changed(noted: dict[str, Any]) -> list[str]:
    """What is not as it was: versions, and the device."""
    import jax

    now: dict[str, Any] = dict(versions())
    then: dict[str, Any] = dict(noted.get("version", {}))
    if "device" in noted:
        then["device"], now["device"] = noted["device"], jax.devices()[0].device_kind
    return [
        f"{name}: {then[name]} then, {now.get(name)} now"
        for name in then
        if then[name] != now.get(name)
    ]


def say_rerun(table: pd.DataFrame) -> int:
    """Writes how far a run is from what it was; 0, or 1 where it is not near."""
    for line in table.attrs["changed"]:
        sys.stderr.write(f"{line}\n")
    far = float(np.nan_to_num(table["relative"], nan=np.inf).max())
    if bool(np.all(table["same"])):
        sys.stderr.write(f"the same numbers, within {SAME:g}\n")
    else:
        name = table["relative"].idxmax()
        sys.stderr.write(f"not the same: at most {far:.2g} apart, {name}\n")
    return int(far > NEAR)
