"""The whole way: files or a simulation to latents, classes, figures and a report."""

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import RunError, existing_file
from jaxrvae.analysis.clusters import Classes, find_classes, find_groups
from jaxrvae.analysis.pathways import find_pathways
from jaxrvae.config import (
    ClassConfig,
    PathwayConfig,
    RunConfig,
    WallConfig,
    as_run_config,
    read_yaml,
    run_config,
    run_mapping,
    to_mapping,
)
from jaxrvae.data.containers import Frames, Latents, Patches
from jaxrvae.data.read import read
from jaxrvae.estimator import RVAE
from jaxrvae.locate.atoms import find_atoms
from jaxrvae.locate.domains import measure_domains
from jaxrvae.locate.drift import find_drift
from jaxrvae.locate.grid import grid_points
from jaxrvae.locate.hops import measure_hops
from jaxrvae.locate.polarity import find_polarity
from jaxrvae.locate.position_drift import drift_of_positions
from jaxrvae.locate.tracking import link
from jaxrvae.locate.walls import find_walls
from jaxrvae.locate.windows import (
    Kind,
    cut_windows,
    kind_of,
    middles,
    typical_spacing,
    with_brightness,
)
from jaxrvae.report.result import NOUNS, Result
from jaxrvae.report.store import versions, write_result
from jaxrvae.simulate import simulate

FAINTEST = 0.2  # brightness below which atoms are not told apart
LAZY_BYTES = 2**30  # of frames, beyond which they stay on disk
DEMO = {
    "num_frames": 10,
    "size": 256,
    "num_grains": 2,
    "silicon_fraction": 0.03,
    "vacancy_fraction": 0.005,
    "hop_rate": 0.1,
}


def run(
    config: RunConfig | Mapping[str, Any] | str | Path, *, progress: bool = True
) -> Result:
    """Images to positions, patches, a fitted model, latents, classes and a report.

    The directory `config.out` then holds config.yaml, metrics.csv, checkpoints/,
    model.npz, positions.parquet, latents.parquet, classes.csv, figures/, report.html
    and versions.json; with `pathways.find`, states.csv, paths.csv and more. Run again
    with the same settings, training goes on from the last checkpoint and the rest is
    made afresh.

    Args:
        config: A RunConfig, nested mappings, or the path of a YAML file of them.
        progress: Whether to say on standard error how it goes.

    Raises:
        DataError: Images that cannot be used; nothing is written.
        RunError: The directory is in use or belongs to other settings; or the loss
            stopped being finite.
        TypeError: An unknown setting, with the nearest that exists.
    """
    config = as_run_config(config)
    out = Path(config.out)
    say, clock = _Say(progress), _Clock()
    _refuse_other_run(out, config)
    with clock("read"):
        movie, config = open_movie(config)
    _check_support(movie, config)
    points = NOUNS[config.kind, config.walls.windows]
    say(f"read {len(movie)} frame{'s'[: len(movie) > 1]}; looking for {points}")
    with clock("find positions"):
        movie, positions = locate(movie, config)
    with clock("cut patches"):
        patches = cut(movie, positions, config)
    say(
        f"{len(positions)} {points}, {len(patches)} patches of"
        f" {patches.values.shape[1]} px ({patches.num_dropped} too near an edge)"
    )
    with clock("train"):
        model = _fit(patches, config, progress)
    result = _finish(movie, positions, patches, model, config, clock)
    say(f"{len(result.classes)} classes; {out / 'report.html'}")
    return result


def demo_config(out: str = "runs/demo", seed: int = 0) -> RunConfig:
    """The demo: two grains of graphene, Si that hops, vacancies, Poisson noise."""
    return run_config(
        {
            "input": {"simulate": "graphene", "options": DEMO, "seed": seed},
            "patches": {"window": 0.6},
            "model": {"seed": seed},
            "out": out,
        }
    )


def refresh(
    out: str | Path,
    *,
    num_classes: int | None = None,
    max_classes: int | None = None,
    pathways: PathwayConfig | None = None,
    progress: bool = True,
) -> Result:
    """A finished run's classes, figures and page made afresh, without training.

    Args:
        out: The run's directory.
        num_classes: So many classes instead of the number that was chosen.
        max_classes: At most so many.
        pathways: Instead of what the run's settings say of them.

    Raises:
        DataError: There is no finished run in the directory.
    """
    out, clock = Path(out), _Clock()
    config = as_run_config(out / "config.yaml")
    wanted = {"num_classes": num_classes, "max_classes": max_classes}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    config = dataclasses.replace(
        config,
        out=str(out),
        classes=dataclasses.replace(config.classes, **wanted),
        pathways=pathways or config.pathways,
    )
    model = RVAE.load(out / "model.npz")
    positions = pd.read_parquet(existing_file(out / "positions.parquet"))
    if (out / "timings.json").exists():
        clock.seconds |= json.loads((out / "timings.json").read_text())
    with clock("read"):
        movie, config = open_movie(config)
        if config.kind == "pfm":
            movie = _polarity(movie, config.walls)
    with clock("cut patches"):
        patches = cut(movie, positions, config)
    _Say(progress)(f"{len(patches)} patches; writing {out}")
    return _finish(movie, positions, patches, model, config, clock)


def locate(movie: Frames, config: RunConfig) -> tuple[Frames, pd.DataFrame]:
    """Frames as patches are cut from them, and where: atoms, or windows of PFM.

    Args:
        config: Of a kind that is known.
    """
    if config.kind == "stem":
        how = config.locate
        atoms = find_atoms(
            movie,
            method=how.method,
            spacing=how.spacing,
            false_share=how.false_share,
        )
        atoms, how = with_brightness(atoms), config.track
        if how.max_step is not None:
            drift = drift_of_positions(atoms)
            atoms = link(
                atoms, how.max_step, how.gap, drift=drift, features=how.features
            )
        return movie, atoms
    walls = config.walls
    polar = _polarity(movie, walls)
    if walls.windows == "grid":
        return polar, grid_points(polar, walls.step)
    return polar, find_walls(polar, spacing=walls.spacing, min_size=walls.min_size)


def _polarity(movie: Frames, walls: WallConfig) -> Frames:
    names = {"amplitude": walls.amplitude, "phase": walls.phase}
    return find_polarity(movie, **names, offset=walls.offset)


def cut(movie: Frames, positions: pd.DataFrame, config: RunConfig) -> Patches:
    """Patches around the positions."""
    how, kind = config.patches, _settled(config)
    sizes = {"size": how.size, "window": how.window}
    return cut_windows(movie, positions, kind, **sizes, normalize=how.normalize)


def _settled(config: RunConfig) -> Kind:
    assert config.kind != "auto", "of a movie that has been read"
    return config.kind


def open_movie(config: RunConfig) -> tuple[Frames, RunConfig]:
    """The movie, and the settings with its kind settled."""
    given = config.input
    if given.simulate is None:
        how = {"channel": given.channel, "pixel_size": given.pixel_size}
        movie = read(list(given.files), lazy=True, **how)
        lazy = given.lazy
        if lazy is None:
            lazy = len(movie) * movie[0].values.nbytes > LAZY_BYTES
        if not lazy:
            movie = read(list(given.files), **how)
    else:
        movie = simulate(given.simulate, given.seed, **given.options)
        assert isinstance(movie, Frames)
    kind = kind_of(movie) if config.kind == "auto" else config.kind
    return movie, dataclasses.replace(config, kind=kind)


def _check_support(movie: Frames, config: RunConfig) -> None:
    """Before any work: has a patch room in an image, and is its window a length?"""
    unknown = any(frame.pixel_size is None for frame in movie)
    if config.kind == "stem" and config.patches.window == "auto" and unknown:
        return  # it hangs on the atoms
    cut(*middles(movie), config)


def _fit(patches: Patches, config: RunConfig, progress: bool) -> RVAE:
    model = RVAE(**to_mapping(config.model))
    settled = {name: patches.metadata[name] for name in ("size", "window", "normalize")}
    whole = run_mapping(config) | {"patches": settled}
    kept = {name: whole[name] for name in ("kind", "locate", "walls", "patches")}
    model.metadata["run"] = kept  # other images are then cut alike
    training = to_mapping(config.training)
    del training["seed"]  # the model's own
    return model.fit(
        patches,
        run_dir=config.out,
        progress=progress,
        **training,
    )


def _finish(
    movie: Frames,
    positions: pd.DataFrame,
    patches: Patches,
    model: RVAE,
    config: RunConfig,
    clock: "_Clock",
) -> Result:
    """Latents, classes, and all of it written."""
    domains = None
    if config.kind == "pfm":
        with clock("measure domains"):
            drift, most = None, config.walls.max_drift
            if most is not None:
                drift = find_drift(movie, channel="amplitude", max_step=most)
            domains = measure_domains(
                movie, drift=drift, min_size=config.walls.min_size
            )
    hops = None
    if "track" in positions and len(positions):
        bond = typical_spacing(positions)
        hops = measure_hops(positions, bond=bond, drift=drift_of_positions(positions))
    with clock("encode"):
        latents = model.encode(patches)
        if model.config.num_classes > 1:
            own = latents.class_probabilities.argmax(axis=1)
            table = latents.table.assign(model_class=own)
            latents = dataclasses.replace(latents, table=table)
    with clock("classes"):
        classes = sort_patches(latents, config.classes)
    pathways, how = None, dataclasses.asdict(config.pathways)
    if how.pop("find"):
        with clock("pathways"):
            pathways = find_pathways(latents, patches, model, **how)
    result = Result(
        frames=movie,
        positions=positions,
        patches=patches,
        latents=classes.latents,
        classes=classes,
        model=model,
        settings=run_mapping(config),
        versions=versions(),
        timings=clock.seconds,
        domains=domains,
        hops=hops,
        pathways=pathways,
        out=Path(config.out),
    )
    write_result(result)
    return result


def sort_patches(latents: Latents, config: ClassConfig) -> Classes:
    """Classes of latents, by brightness first where their table has it.

    Those of the model, where it has such, are not merged.
    """
    options = dataclasses.asdict(config)
    by_brightness, groups = options.pop("brightness"), None
    if config.num_classes == "auto":
        groups = np.zeros(len(latents), int)
        if by_brightness and "brightness" in latents.table:
            brightness = latents.table["brightness"].to_numpy(np.float64)
            logarithm = np.log(np.maximum(brightness, FAINTEST))
            groups = find_groups(logarithm, seed=config.seed)
        if "model_class" in latents.table:
            own = latents.table["model_class"].to_numpy()
            groups = groups * (own.max() + 1) + own
    return find_classes(latents, groups=groups, **options)


def _refuse_other_run(out: Path, config: RunConfig) -> None:
    """Before any work: is the directory free, and was its run one like this?"""
    if out.exists() and not out.is_dir():
        raise RunError(
            f"{out}: expected a directory; got a file. Choose another --out."
        )
    _refuse_if_in_use(out)
    if not (out / "config.yaml").exists():
        return
    there, here = read_yaml(out / "config.yaml"), run_mapping(config)
    groups = ["input", "locate", "track", "walls", "patches", "model", "training"]
    for group in groups:
        for name in {**there.get(group, {}), **here[group]}:
            old, new = there.get(group, {}).get(name), here[group].get(name)
            if old != new:
                raise RunError(
                    f"{out}: holds a run with {group}.{name}: {_short(old)}; now"
                    f" {_short(new)} is asked for. Choose another directory, or go back"
                    " to its settings."
                )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:50]} ... ({len(text)} letters)"


def _refuse_if_in_use(out: Path) -> None:
    import fcntl

    lock = out / ".lock"
    if not lock.exists():
        return
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{out}: in use by another process (pid {file.read().strip()})."
                " Wait for it to end, stop it, or choose another directory."
            ) from None


class _Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[step] = round(time.perf_counter() - start, 2)


class _Say:
    """Lines on standard error, where they are wanted."""

    def __init__(self, aloud: bool):
        self.aloud = aloud

    def __call__(self, text: str) -> None:
        if self.aloud:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
