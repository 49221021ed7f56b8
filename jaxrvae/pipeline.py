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

from jaxrvae._checks import DataError, RunError, existing_file
from jaxrvae.analysis.clusters import Classes, find_classes, find_groups
from jaxrvae.config import (
    ClassConfig,
    InputConfig,
    PatchConfig,
    RunConfig,
    as_run_config,
    read_yaml,
    run_config,
    run_mapping,
    to_mapping,
)
from jaxrvae.data.containers import Frame, Frames, Latents, Patches
from jaxrvae.data.patches import cut_patches
from jaxrvae.data.read import read
from jaxrvae.estimator import RVAE
from jaxrvae.locate.atoms import find_atoms
from jaxrvae.report.result import Result
from jaxrvae.report.store import versions, write_result
from jaxrvae.simulate import simulate

WINDOW = 1.0  # nm
WINDOW_SPACINGS = 7.0  # the same in distances of neighbours, where nm are not known
MOST_PIXELS = 48
FAINTEST = 0.2  # brightness below which atoms are not told apart
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
    """Images to atoms, patches, a fitted model, latents, classes and a report.

    The directory `config.out` then holds config.yaml, metrics.csv, checkpoints/,
    model.npz, atoms.parquet, latents.parquet, classes.csv, figures/, report.html and
    versions.json. Run again with the same settings, training goes on from the last
    checkpoint and the rest is made afresh.

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
        movie = _movie(config.input)
    _check_support(movie, config.patches)
    say(f"read {len(movie)} frame{'s'[: len(movie) > 1]}; looking for atoms")
    with clock("find atoms"):
        atoms = with_brightness(find_atoms(movie, **dataclasses.asdict(config.locate)))
    with clock("cut patches"):
        patches = cut(movie, atoms, config.patches)
    say(
        f"{len(atoms)} atoms, {len(patches)} patches of {patches.values.shape[1]} px"
        f" ({patches.num_dropped} atoms too near an edge)"
    )
    with clock("train"):
        model = _fit(patches, config, progress)
    result = _finish(movie, atoms, patches, model, config, clock)
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
    progress: bool = True,
) -> Result:
    """A finished run's classes, figures and page made afresh, without training.

    Args:
        out: The run's directory.
        num_classes: So many classes instead of the number that was chosen.
        max_classes: At most so many.

    Raises:
        DataError: There is no finished run in the directory.
    """
    out, clock = Path(out), _Clock()
    config = as_run_config(out / "config.yaml")
    wanted = {"num_classes": num_classes, "max_classes": max_classes}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    config = dataclasses.replace(
        config, out=str(out), classes=dataclasses.replace(config.classes, **wanted)
    )
    model = RVAE.load(out / "model.npz")
    atoms = pd.read_parquet(existing_file(out / "atoms.parquet"))
    if (out / "timings.json").exists():
        clock.seconds |= json.loads((out / "timings.json").read_text())
    with clock("read"):
        movie = _movie(config.input)
    with clock("cut patches"):
        patches = cut(movie, atoms, config.patches)
    _Say(progress)(f"{len(patches)} patches; writing {out}")
    return _finish(movie, atoms, patches, model, config, clock)


def cut(movie: Frames, atoms: pd.DataFrame, config: PatchConfig) -> Patches:
    """Patches around the atoms; windows and sizes that are "auto" are settled here.

    Where a pixel size is not known, the window is that many typical distances of
    neighbouring atoms, so that images of different magnification still mix.
    """
    window, size = config.window, config.size
    if window is None:
        assert not isinstance(size, str), "PatchConfig asks for the size"
        return cut_patches(movie, atoms, size, normalize=config.normalize)
    known = all(frame.pixel_size is not None for frame in movie)
    if window == "auto":
        window = WINDOW if known else WINDOW_SPACINGS
    elif not known:
        where = next(f.name or f"frame {f.number}" for f in movie if not f.pixel_size)
        raise DataError(
            f"{where}: window={window:g} nm needs the pixel size, which is not known."
            " Give it (--pixel-size), or leave the window out."
        )
    assert not isinstance(window, str)
    scaled = movie if known else in_spacings(movie, atoms)
    if size == "auto":
        finest = min(float(frame.pixel_size or 1) for frame in scaled)
        size = int(np.clip(window / finest // 2 * 2, 16, MOST_PIXELS))
    assert not isinstance(size, str)
    patches = cut_patches(scaled, atoms, size, window, normalize=config.normalize)
    unit = {"window_unit": "nm" if known else "spacings of neighbouring atoms"}
    return dataclasses.replace(
        patches,
        pixel_size=patches.pixel_size if known else None,
        metadata={**patches.metadata, **unit},
    )


def with_brightness(atoms: pd.DataFrame) -> pd.DataFrame:
    """The atoms with a column more: intensity relative to their frame's median atom."""
    typical = atoms.groupby("frame")["intensity"].transform("median")
    return atoms.assign(brightness=atoms["intensity"] / typical)


def in_spacings(movie: Frames, atoms: pd.DataFrame) -> Frames:
    """The movie with each frame's pixel size in distances of neighbouring atoms."""
    from scipy.spatial import KDTree

    def scaled(frame: Frame) -> Frame:
        places = atoms.loc[atoms["frame"] == frame.number, ["x", "y"]].to_numpy()
        if len(places) < 2:
            raise DataError(
                f"{frame.name}: expected at least 2 atoms to take the scale from; got"
                f" {len(places)}. Give the pixel size (--pixel-size)."
            )
        distances = KDTree(places).query(places, k=2)[0][:, 1]
        return dataclasses.replace(frame, pixel_size=1 / float(np.median(distances)))

    return dataclasses.replace(movie, frames=tuple(scaled(frame) for frame in movie))


def _movie(config: InputConfig) -> Frames:
    if config.simulate is None:
        return read(
            list(config.files), channel=config.channel, pixel_size=config.pixel_size
        )
    movie = simulate(config.simulate, config.seed, **config.options)
    assert isinstance(movie, Frames)
    return movie


def _check_support(movie: Frames, config: PatchConfig) -> None:
    """Before any work: has a patch room in an image, and is its window a length?"""
    if config.window == "auto" and any(frame.pixel_size is None for frame in movie):
        return  # it hangs on the atoms
    kinds = {(frame.shape, frame.pixel_size): frame for frame in movie}
    frames = dataclasses.replace(movie, frames=tuple(kinds.values()))
    centres = [
        (frame.number, (frame.shape[1] - 1) / 2, (frame.shape[0] - 1) / 2)
        for frame in frames
    ]
    cut(frames, pd.DataFrame(centres, columns=["frame", "x", "y"]), config)


def _fit(patches: Patches, config: RunConfig, progress: bool) -> RVAE:
    model = RVAE(**to_mapping(config.model))
    model.metadata["patches"] = dict(patches.metadata)
    return model.fit(
        patches,
        epochs=config.training.epochs,
        batch_size=config.training.batch_size,
        learning_rate=config.training.learning_rate,
        run_dir=config.out,
        save_seconds=config.training.save_seconds,
        progress=progress,
    )


def _finish(
    movie: Frames,
    atoms: pd.DataFrame,
    patches: Patches,
    model: RVAE,
    config: RunConfig,
    clock: "_Clock",
) -> Result:
    """Latents, classes, and all of it written."""
    with clock("encode"):
        latents = model.encode(patches)
        if model.config.num_classes > 1:
            own = latents.class_probabilities.argmax(axis=1)
            table = latents.table.assign(model_class=own)
            latents = dataclasses.replace(latents, table=table)
    with clock("classes"):
        classes = sort_patches(latents, config.classes)
    result = Result(
        frames=movie,
        atoms=atoms,
        patches=patches,
        latents=classes.latents,
        classes=classes,
        model=model,
        settings=run_mapping(config),
        versions=versions(),
        timings=clock.seconds,
        out=Path(config.out),
    )
    write_result(result)
    return result


def sort_patches(latents: Latents, config: ClassConfig) -> Classes:
    """Classes of latents whose table has a column brightness.

    Those of the model, where it has such, are not merged.
    """
    options = dataclasses.asdict(config)
    by_brightness, groups = options.pop("brightness"), None
    if config.num_classes == "auto":
        groups = np.zeros(len(latents), int)
        if by_brightness:
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
    for group in ("input", "locate", "patches", "model", "training"):
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
