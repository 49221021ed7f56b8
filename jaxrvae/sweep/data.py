"""The images of a study: patches to train on, others to score, and their truth."""

import dataclasses
import functools
import gzip
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, existing_file
from jaxrvae._typing import Float, ndarray
from jaxrvae.config.study import DataConfig, study_config
from jaxrvae.data.containers import Frames, Patches
from jaxrvae.data.read import read
from jaxrvae.locate.atoms import find_atoms
from jaxrvae.locate.windows import cut_windows
from jaxrvae.simulate import simulate

Pair = tuple[Patches, Patches]

HELD_OUT = 5  # every fifth frame is scored, not trained on
OTHER = 10_000  # between the seeds of glyphs that are trained on and scored
MOVIES = {
    "graphene": {"num_frames": 6, "size": 256, "num_grains": 2},
    "lattice": {"num_frames": 5, "size": 256},
    "ferroelectric": {"num_frames": 10, "size": 256},
}


def images_of(config: DataConfig) -> Pair:
    """Patches to train on, and others.

    Their truth has `shape`, `angle` (radians) and `symmetry`, the angle's order or 0
    where there is none, as far as they are known.

    Raises:
        DataError: Files that are not there, or hold too little.
    """
    return _kept(json.dumps(dataclasses.asdict(config), sort_keys=True))


@functools.lru_cache(maxsize=2)  # points of a sweep come in the order of their data
def _kept(text: str) -> Pair:
    config = study_config({"data": json.loads(text)}).data
    if config.kind == "glyphs":
        return _glyphs(config)
    if config.kind == "digits":
        return _digits(config)
    return _around_positions(config)


def _glyphs(config: DataConfig) -> Pair:
    from jaxrvae.simulate.glyphs import simulate_glyphs

    def made(seed: int, number: int) -> Patches:
        options: dict[str, Any] = {"size": config.size, **config.options}
        patches = simulate_glyphs(seed, num_images=number, **options)
        assert patches.truth is not None
        return dataclasses.replace(patches, truth=patches.truth.assign(symmetry=1))

    return made(config.seed, config.num_images), made(
        config.seed + OTHER, config.num_test
    )


def _around_positions(config: DataConfig) -> Pair:
    """Patches of a movie: around true positions where it is simulated."""
    if config.kind == "files":
        movie = read(list(config.files))
        patches = _cut(movie, find_atoms(movie), config)
    else:
        options = MOVIES[config.kind] | dict(config.options)
        movie = simulate(config.kind, config.seed, **options)
        assert isinstance(movie, Frames)
        part = "walls" if config.kind == "ferroelectric" else "atoms"
        positions = movie.truth[part]
        assert isinstance(positions, pd.DataFrame)
        patches = _cut(movie, positions, config)
        patches = dataclasses.replace(patches, truth=_truth(config.kind, patches.table))
    return by_frame(patches, config.num_images, config.num_test)


def _cut(movie: Frames, positions: pd.DataFrame, config: DataConfig) -> Patches:
    kind = "pfm" if config.kind == "ferroelectric" else "stem"
    sizes: dict[str, Any] = {"size": config.size, "window": config.window}
    return cut_windows(movie, positions, kind, **sizes, normalize="frame")


def _truth(kind: str, table: pd.DataFrame) -> pd.DataFrame:
    """What a simulation's table says of every patch."""
    if kind == "ferroelectric":
        angle = table["direction"].to_numpy()
        return pd.DataFrame({"shape": 0, "angle": angle, "symmetry": 1})
    name = "site" if kind == "graphene" else "element"
    codes, names = pd.factorize(table[name], sort=True)
    order = table["symmetry"].to_numpy() if kind == "graphene" else 0
    truth = {"shape": codes, "angle": table["angle"].to_numpy(), "symmetry": order}
    return pd.DataFrame(truth).assign(name=np.asarray(names)[codes])


def _digits(config: DataConfig) -> Pair:
    """Digits, turned and shifted; of the training and of the test split."""
    (folder,) = config.files
    return (
        _split(Path(folder), "train", config, config.num_images),
        _split(Path(folder), "t10k", config, config.num_test),
    )


def _split(folder: Path, split: str, config: DataConfig, most: int) -> Patches:
    values = read_idx(folder / f"{split}-images-idx3-ubyte.gz")[:most]
    shape = read_idx(folder / f"{split}-labels-idx1-ubyte.gz")[:most].astype(int)
    margin = config.size - values.shape[1]
    if margin < 0:
        raise DataError(
            f"digits have {values.shape[1]} pixels; got size={config.size}."
        )
    before = margin // 2
    pad = before, margin - before
    images = np.pad(values, ((0, 0), pad, pad)) / np.float32(255)
    rng = np.random.default_rng([config.seed, split != "train"])
    images, truth = turned(images, rng, **config.options)
    centre = (config.size - 1) / 2
    table = pd.DataFrame({"frame": np.arange(len(images)), "x": centre, "y": centre})
    truth = truth.assign(shape=shape, symmetry=1)
    return Patches(values=images, table=table, truth=truth)


def turned(
    images: Float[ndarray, "n height width"],
    rng: np.random.Generator,
    spread: float | None = None,
    shift: float = 0.0,
) -> tuple[Float[ndarray, "n height width"], pd.DataFrame]:
    """Images in [0, 1] turned and shifted at random, and by how much.

    Args:
        spread: Degrees, of a normal about 0; None: uniform angles.
        shift: Standard deviation, a share of the field.

    Returns:
        Images; `angle` (radians, counter-clockwise), `shift_x` and `shift_y` (pixels).
    """
    from scipy import ndimage

    number = len(images)
    angle = rng.uniform(-180.0, 180.0, number)
    if spread is not None:
        angle = rng.normal(0.0, spread, number)
    moved = rng.normal(0.0, images.shape[1], (number, 2)) * shift
    found = np.empty(images.shape, np.float32)
    for i in range(number):
        one = ndimage.rotate(images[i], angle[i], order=1, reshape=False)
        if shift:
            one = ndimage.shift(one, moved[i, ::-1], order=1)
        found[i] = one.clip(0.0, 1.0)
    truth = {"angle": np.radians(angle), "shift_x": moved[:, 0], "shift_y": moved[:, 1]}
    return found, pd.DataFrame(truth)


def read_idx(path: Path) -> ndarray:
    """The array of bytes that a gzipped idx file holds."""
    with gzip.open(existing_file(path)) as file:
        content = file.read()
    dims = content[3]
    shape = np.frombuffer(content, ">i4", dims, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape)


def by_frame(patches: Patches, most: int, most_held: int | None = None) -> Pair:
    """At most so many patches of most frames, and of every fifth frame.

    With fewer frames the last is held out; of a single one every fifth patch.
    """
    order = patches.table["frame"].rank(method="dense").to_numpy(np.int64)
    every = min(HELD_OUT, int(order.max()))
    held = order % every == 0
    if held.all():
        held = np.arange(len(patches), 0, -1) % HELD_OUT == 1
    few = math.ceil(most / 4) if most_held is None else most_held
    return thinned(patches[~held], most), thinned(patches[held], few)


def thinned(patches: Patches, most: int) -> Patches:
    """At most so many patches, evenly over all."""
    if len(patches) <= most:
        return patches
    return patches[np.linspace(0, len(patches) - 1, most).astype(int)]
