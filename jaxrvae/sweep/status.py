"""Where a sweep stands, from its directory alone."""

import sys
import time
from pathlib import Path

import pandas as pd

from jaxrvae.sweep.store import Store


def status(folder: str | Path) -> pd.DataFrame:
    """A row: points planned, finished, failed, running and waiting; seconds a point."""
    store = Store(folder)
    planned = set(store.plan()["points"])
    counts = {name: len(store.ids(name) & planned) for name in ("points", "failed")}
    running = store.ids("running") & planned - store.ids("points")
    left = len(planned) - counts["points"] - counts["failed"] - len(running)
    rows = store.rows()
    seconds = sum(row["seconds"] for row in rows) / len(rows) if rows else float("nan")
    return pd.DataFrame(
        {
            "planned": [len(planned)],
            "finished": [counts["points"]],
            "failed": [counts["failed"]],
            "running": [len(running)],
            "waiting": [left],
            "seconds a point": [seconds],
        }
    )


def say_status(folder: str | Path, watch: bool = False, every: float = 2.0) -> None:
    """Writes it, and the errors of points set aside; over and over, if watched."""
    while True:
        table = status(folder)
        text = table.to_string(index=False, float_format="%.1f")
        failures = Store(folder).failures()
        errors = zip(failures["id"], failures["error"], strict=True)
        lines = [text, *(f"{own}: {error}" for own, error in errors)]
        block = "\n".join(lines) + "\n"
        sys.stdout.write(block)
        sys.stdout.flush()
        row = table.iloc[0]
        if not watch or row["finished"] + row["failed"] == row["planned"]:
            return
        time.sleep(every)
        if sys.stdout.isatty():  # over what stands there
            sys.stdout.write(f"\x1b[{block.count(chr(10))}A\x1b[J")
