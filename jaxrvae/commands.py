"""What the command line offers beside a whole run: simulate, fit, encode, pathways."""

import dataclasses
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, existing_file
from jaxrvae.analysis.pathways import Pathways, find_pathways
from jaxrvae.config import PathwayConfig, TrainingConfig, run_config
from jaxrvae.data.containers import Frames
from jaxrvae.data.read import read
from jaxrvae.estimator import RVAE
from jaxrvae.pipeline import cut, locate, open_movie
from jaxrvae.report.store import write_bytes
from jaxrvae.simulate import simulate
from jaxrvae.training.checkpoint import write_atomically


def write_simulation(
    kind: str, seed: int, options: Mapping[str, Any], path: str | Path
) -> None:
    """A simulation's images as npz, and its truth beside them as NAME_truth.csv."""
    path = Path(path)
    if path.suffix != ".npz":
        raise DataError(f"{path}: expected a name that ends in .npz. Change --out.")
    made = simulate(kind, seed, **options)
    truth = made.truth
    if isinstance(made, Frames):
        truth = made.truth["atoms" if "atoms" in made.truth else "walls"]
    assert isinstance(truth, pd.DataFrame)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=made.values)
    write_bytes(path, buffer.getvalue())
    write_atomically(
        path.with_name(f"{path.stem}_truth.csv"), truth.to_csv(index=False)
    )


def fit_patches(
    file: str | Path,
    out: str | Path,
    model: Mapping[str, Any],
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
    progress: bool = True,
) -> RVAE:
    """A model of patches that are already cut; model.npz, metrics and latents."""
    movie, out = read(file), Path(out)
    patches = movie.values
    fitted = RVAE(**model).fit(
        patches,
        epochs=epochs,
        learning_rate=learning_rate or TrainingConfig().learning_rate,
        run_dir=out,
        progress=progress,
    )
    fitted.save(out / "model.npz")
    latents = fitted.encode(patches).to_dataframe()
    write_bytes(out / "latents.parquet", latents.to_parquet(None))
    write_atomically(out / "metrics.csv", fitted.history.to_csv(index=False))
    return fitted


def encode_files(
    model: str | Path,
    files: Sequence[str],
    out: str | Path,
    *,
    channel: int | str | None = None,
    pixel_size: float | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Latents of other images, cut as the model's own patches were, as a table."""
    fitted, out = RVAE.load(model), Path(out)
    if out.suffix not in (".parquet", ".csv"):
        raise DataError(f"{out}: expected a name in .parquet or .csv. Change --out.")
    source = {"files": list(files), "channel": channel, "pixel_size": pixel_size}
    settings = fitted.metadata.get("run")
    if settings is None:
        images = read(list(files), channel=channel, pixel_size=pixel_size)
        latents = fitted.encode(images.values).to_dataframe()
    else:
        movie, config = open_movie(run_config({"input": source, **settings}))
        if progress:
            sys.stderr.write(f"read {len(movie)} frames\n")
        latents = fitted.encode(cut(*locate(movie, config), config)).to_dataframe()
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".csv":
        write_atomically(out, latents.to_csv(index=False))
    else:
        write_bytes(out, latents.to_parquet(None))
    return latents


def write_pathways(source: str | Path, out: str | Path, how: PathwayConfig) -> Pathways:
    """Pathways of a table of latents, of any program's: tables and figures."""
    from jaxrvae.viz.pathways import pathway_figures

    source, out = existing_file(source), Path(out)
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet}
    if source.suffix not in readers:
        raise DataError(f"{source}: expected a run's directory, a .csv or a .parquet.")
    options = dataclasses.asdict(how)
    options.pop("find")
    found = find_pathways(readers[source.suffix](source), **options)
    out.mkdir(parents=True, exist_ok=True)
    for name, table in {**found.tables(), "patches": found.table}.items():
        write_atomically(out / f"{name}.csv", table.to_csv(index=False))
    for name, figure in pathway_figures(found):
        figure.savefig(out / f"{name}.png")
    for note in found.notes.values():
        sys.stderr.write(f"{note}\n")
    return found
