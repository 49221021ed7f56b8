"""A run's directory: what is in it beside the checkpoints."""

import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxrvae._version import __version__
from jaxrvae.report.page import write_page
from jaxrvae.report.result import Result
from jaxrvae.training.checkpoint import write_atomically

PACKAGES = ("jax", "flax", "optax", "numpy", "scipy", "scikit-learn", "pandas")


def write_result(result: Result) -> None:
    """Everything of a result into its directory; each file is whole or not there."""
    out = result.out
    assert out is not None, "a result without a directory"
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "config.yaml", to_yaml(result.settings))
    write_atomically(out / "versions.json", _json(result.versions))
    write_atomically(out / "timings.json", _json(result.timings))
    write_atomically(out / "metrics.csv", result.model.history.to_csv(index=False))
    write_atomically(out / "classes.csv", result.class_table().to_csv(index=False))
    write_bytes(out / "positions.parquet", result.positions.to_parquet(None))
    if result.domains is not None:
        write_atomically(out / "domains.csv", result.domains.to_csv(index=False))
    if result.hops is not None:
        write_atomically(out / "hops.csv", result.hops.to_csv(index=False))
    if result.pathways is not None:
        for name, table in result.pathways.tables().items():
            write_atomically(out / f"{name}.csv", table.to_csv(index=False))
    write_bytes(out / "latents.parquet", result.latents.to_dataframe().to_parquet(None))
    result.model.save(out / "model.npz")
    write_page(result, out / "report.html", out / "figures")


def write_bytes(file: str | Path, content: bytes) -> None:
    """Write the bytes aside and move them into place."""
    file = Path(file)
    aside = file.with_name(f".{file.name}.{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(file)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Nested plain values as YAML, in their order."""
    import yaml

    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)


def versions() -> dict[str, str]:
    """Of the program, of Python, and of what the numbers hang on."""
    from importlib.metadata import version

    found = {"jaxrvae": __version__, "python": platform.python_version()}
    return found | {name: version(name) for name in PACKAGES}


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), indent=1) + "\n"
