"""What a reader of a sweep's numbers must know: failures, gaps, mixed versions."""

from typing import Any

import numpy as np
import pandas as pd

from jaxrvae.sweep.factors import COSTS, Parts, metric_label, show
from jaxrvae.sweep.summary import FEWEST
from jaxrvae.sweep.texts import counted, few
from jaxrvae.sweep.wide import setting_words

NAMED = 5  # settings, errors or versions that are told by name
ORIGINS = ("device", "commit")  # and every version.*


def find_problems(
    table: pd.DataFrame,
    parts: Parts,
    summary: pd.DataFrame,
    failures: pd.DataFrame | None = None,
) -> list[str]:
    """Sentences, the gravest first; none if there is nothing to say.

    Args:
        summary: What `summarize` gives of the metrics that are reported.
        failures: Points set aside: columns `id` and `error`.
    """
    return [
        *_failed(parts, failures),
        *_gaps(parts, summary),
        *_mixed(table),
        *_repeated(table, parts),
        *_few_seeds(summary),
    ]


def _failed(parts: Parts, failures: pd.DataFrame | None) -> list[str]:
    found = []
    if failures is not None and len(failures):
        errors = failures["error"].astype(str).value_counts()
        told = [f"{error!r} ({number})" for error, number in errors.items()]
        found.append(
            f"{counted(len(failures), 'point')} failed and are in none of the numbers:"
            f" {few(told, NAMED)}."
        )
    metrics = [name for name in parts.values if name not in COSTS]
    absent = int((~np.isfinite(parts.values[metrics].to_numpy())).all(1).sum())
    if absent:
        found.append(f"{counted(absent, 'point')} in the table without any metric.")
    return found


def _gaps(parts: Parts, summary: pd.DataFrame) -> list[str]:
    """Settings whose seeds are not those of the others, one sentence a metric."""
    found, settings = [], parts.settings
    told: dict[tuple, list[str]] = {}
    for metric in summary["metric"].drop_duplicates():
        own: Any = summary[summary["metric"] == metric]
        missing = own["missing_seeds"].to_numpy()
        rows = np.flatnonzero(missing != "")
        if not len(rows):
            continue
        words = [
            f"{setting_words(settings, row) or 'all of it'} (seed {which})"
            for row in rows[:NAMED].tolist()
            for which in [few(missing[row].split(", "), NAMED)]
        ]
        words += [""] * (len(rows) - len(words))
        told.setdefault((len(rows), tuple(words)), []).append(metric_label(metric))
    for (number, words), metrics in told.items():
        lack = "lacks" if number == 1 else "lack"
        found.append(
            f"{counted(number, 'setting')} of {len(settings):,} {lack} seeds of"
            f" {few(metrics, NAMED, '; ')}: {few(words, NAMED, '; ')}."
        )
    return found


def _mixed(table: pd.DataFrame) -> list[str]:
    found = []
    names = [*ORIGINS, *(own for own in map(str, table) if own.startswith("version."))]
    for name in names:
        if name not in table:
            continue
        counts = table[name].map(show).value_counts()
        if len(counts) > 1:
            told = [f"{own} ({number:,})" for own, number in counts.items()]
            text = f"Mixed {name.removeprefix('version.')}: {few(told, NAMED)}."
            if name == "device":
                text += " Times and memory are not comparable between them."
            found.append(text)
        if name == "commit" and any(
            own.endswith("+") for own in map(str, counts.index)
        ):
            found.append("Some commits had changes that are not recorded (marked +).")
    return found


def _repeated(table: pd.DataFrame, parts: Parts) -> list[str]:
    found = []
    pairs = pd.DataFrame({"setting": parts.setting, "seed": parts.seed})
    repeats = int(pairs.duplicated().sum())
    if repeats:
        found.append(
            f"{counted(repeats, 'point')} repeat a setting and a seed: these are"
            " averaged."
        )
    if "attempts" in table:
        attempts: Any = pd.to_numeric(table["attempts"], errors="coerce")
        again = int((attempts > 1).sum())
        if again:
            found.append(f"{counted(again, 'point')} took more than one attempt.")
    return found


def _few_seeds(summary: pd.DataFrame) -> list[str]:
    most = int(summary["num_seeds"].to_numpy().max())
    if most >= FEWEST:
        return []
    text = f"No setting has more than {counted(most, 'seed')}: "
    text += "no interval can be given, and " if most == 1 else ""
    return [f"{text}differences are not tested ({FEWEST} are needed)."]
