"""What every benchmark writes: facts about the machine, and its rows as a table."""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("jaxrvae", "jax", "jaxlib", "flax", "optax", "numpy")


def facts(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Date, commit, processor, memory, accelerator and versions of this process.

    The accelerator is named only where JAX is imported already: this starts no device.
    """
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "load": round(os.getloadavg()[0], 2),  # over the last minute, processes
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: v for name in packages if (v := _version(name))},
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a markdown table; columns in the order they first appear.

    Floats keep three figures, None and missing values become a dash.

    >>> print(table([{"model": "affine", "R": 0.98765, "seed": 3}]))
    | model | R | seed |
    |---|---:|---:|
    | affine | 0.988 | 3 |
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    numeric = [
        all(isinstance(row.get(key), int | float | None) for row in rows)
        for key in columns
    ]
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join("---:" if number else "---" for number in numeric) + "|",
    ]
    for row in rows:
        lines.append("| " + " | ".join(_cell(row.get(key)) for key in columns) + " |")
    return "\n".join(lines)


def write(
    out_dir: str | Path,
    name: str,
    rows: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    text: str = "",
) -> Path:
    """Writes `name`.json and `name`.md (text, table, facts); gives the latter's path.

    Args:
        out_dir: Made where it is not there.
        name: Of the two files, and the title.
        rows: One dict a row; values that JSON knows, or NumPy scalars.
        facts: Of `facts()`, with whatever else the reader needs to repeat the run.
        text: Markdown between the title and the table: what was run, with what command.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    content = {"facts": dict(facts), "rows": [dict(row) for row in rows]}
    (out_dir / f"{name}.json").write_text(
        json.dumps(content, indent=1, default=_plain) + "\n"
    )
    parts = [f"# {name.capitalize()}", text.strip(), table(rows), _lines(facts)]
    path = out_dir / f"{name}.md"
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
    return path


def _lines(facts: Mapping[str, Any]) -> str:
    lines = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {item}" for name, item in value.items())
        lines.append(f"- {key.replace('_', ' ')}: {_cell(value)}")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    value = value.tolist() if hasattr(value, "tolist") else value
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _plain(value: Any) -> Any:
    """NumPy scalars and arrays, paths and the like, as JSON knows them."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str:
    """Short hash of the checkout, with '+' where tracked files were changed."""
    try:
        git = ["git", "-C", str(ROOT)]
        commit = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"])
        dirty = subprocess.check_output([*git, "status", "--porcelain", "-uno"])
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.decode().strip() + ("+" if dirty.strip() else "")


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
