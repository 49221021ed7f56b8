"""Makes the network that finds atoms, from simulated images alone.

    python -m jaxrvae.locate.atom_training --out atom_net.npz

A quarter of an hour on two cores. Graphene with Si, vacancies, turned bonds and grain
boundaries, some of it at rest around them, and MoS2 with vacancies; doses over three
decades, blur, contamination, matter without order, holes, scale and how the scan
distorts them are drawn anew for every image. The last tenth of the images is not
trained on: it sets what the maps mean as probabilities.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._typing import Array, Bool, Float
from jaxrvae.locate.atom_net import (
    SPACING,
    TWICE,
    WEIGHTS,
    AtomNet,
    evened,
    fresh_net,
    logits,
    scaled,
    seek_by_net,
)
from jaxrvae.simulate import simulate
from jaxrvae.simulate.imaging import carbon_peak

Drawn = tuple[pd.DataFrame, Float[np.ndarray, "height width"]]

SIZE = 96  # pixels of an image, as the network sees it
SPOT = 1.0  # pixels: the width of an atom's mark in the map
BATCH, RATE = 16, 2e-3
COUNTS = (0.15, 100.0)  # of a light atom's peak, in a pixel that the network sees
STEPS = (0.9, 2.5)  # recorded pixels to one that the network sees
BOND, PAIR = 0.142, 0.184  # nm between neighbours: of graphene, of MoS2 from above
SULFUR = 10.6  # times as bright as carbon: two sulfur atoms
RARE = 3.0  # times as much does a heavy atom's place count beside a light one's
FOUND = 0.4  # of SPACING: how near a found atom is a right one


def main(argv: Sequence[str] | None = None) -> None:
    """Simulates, trains, and writes the weights."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--num-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    start = time.perf_counter()

    def say(text: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - start:6.0f} s  {text}\n")

    rng = np.random.default_rng(options.seed)
    drawn = [draw(rng) for _ in range(options.num_images)]
    say(f"{len(drawn)} images")
    number = len(drawn) - max(len(drawn) // 10, 1)
    images = np.stack([image for image, _ in drawn])
    marks = np.stack([marked(atoms) for _, atoms in drawn])
    parts = images[:number], marks[:number]
    graph, params = train(*parts, options.epochs, options.seed, say)
    net = calibrated(AtomNet(graph, params), drawn[number:])
    save(net, options.out)
    say(f"calibration {np.round([net.atom, net.heavy], 2)}; {options.out}")


def draw(
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "height width"], pd.DataFrame]:
    """An image as the network sees it, and its atoms: x, y, heavy.

    Recorded at another scale and scaled as an image whose spacing was measured, with an
    error of a few percent.
    """
    step = float(np.exp(rng.uniform(*np.log(STEPS))))
    told = float(np.exp(np.clip(0.04 * rng.standard_normal(), -0.1, 0.1)))
    size = int(np.ceil((SIZE + 1) * step * 1.11))
    spacing = step * SPACING
    peak = float(np.exp(rng.uniform(*np.log(COUNTS)))) / step**2
    seed = int(rng.integers(2**31))
    share = rng.uniform(0.2, 1.5)
    kind, pair = ((_graphene, BOND), (_relaxed, BOND), (_sulfide, PAIR))[
        rng.choice(3, p=(0.35, 0.35, 0.3))
    ]
    field = {"seed": seed, "size": size, "background": share}
    atoms, counts = kind(rng, field | {"pixel_size": pair / spacing}, peak)
    dirt = _contamination(rng, counts.shape) + _clumps(rng, counts.shape, spacing)
    counts = counts + rng.poisson(peak * dirt)
    atoms, counts = _holed(rng, atoms, counts, peak * share)
    image = scaled(counts, told * spacing)[:SIZE, :SIZE]
    places = atoms[["x", "y"]].to_numpy() / (told * step)
    heavy = atoms["brightness"].to_numpy() > TWICE * atoms["brightness"].median()
    inside = ((places > -1) & (places < SIZE)).all(axis=1)
    columns = {"x": places[inside, 0], "y": places[inside, 1], "heavy": heavy[inside]}
    return image, pd.DataFrame(columns)


def _graphene(rng: np.random.Generator, field: Mapping[str, Any], peak: float) -> Drawn:
    probe = rng.uniform(0.07, 0.13)
    sigma = probe / 2.355 / field["pixel_size"]
    movie: Any = simulate(
        "graphene",
        num_frames=1,
        num_grains=int(rng.integers(1, 3)),
        grain_angle=float(rng.uniform(0.1, 0.5)),
        silicon_fraction=float(rng.uniform(0, 0.05)),
        fourfold_fraction=float(rng.uniform(0, 0.01)),
        vacancy_fraction=float(rng.uniform(0, 0.03)),
        silicon_bond=float(rng.uniform(0.15, 0.185)),
        strain=float(rng.uniform(0, 0.03)),
        probe=probe,
        dose=peak / carbon_peak(1.0, sigma),
        **field,
    )
    return _with_brightness(movie.truth["atoms"]), movie[0].values


def _relaxed(rng: np.random.Generator, field: Mapping[str, Any], peak: float) -> Drawn:
    """Graphene at rest around its Si, vacancies and turned bonds."""
    turned = float(rng.choice([0, rng.uniform(0, 0.02)]))
    movie: Any = simulate(
        "beam",
        num_frames=2,
        drift=0,
        silicon_fraction=float(rng.uniform(0, 0.02)),
        fourfold_fraction=float(rng.choice([0, rng.uniform(0, 0.008)])),
        vacancy_fraction=float(rng.choice([0, rng.uniform(0, 0.015)])),
        flip_rate=turned,
        strain=float(rng.uniform(0, 0.02)),
        dose=peak / carbon_peak(1.0, 0.045 / field["pixel_size"]),
        **_optics(rng, 0.11),
        **field,
    )
    atoms = movie.truth["atoms"]
    atoms = atoms[(atoms["frame"] == 1) & (atoms["site"] != "adatom")]
    return _with_brightness(atoms), movie[1].values


def _sulfide(rng: np.random.Generator, field: Mapping[str, Any], peak: float) -> Drawn:
    movie: Any = simulate(
        "lattice",
        structure="mos2",
        num_frames=1,
        vacancy_fraction=float(rng.uniform(0, 0.1)),
        double_vacancy_fraction=float(rng.uniform(0, 0.03)),
        strain=float(rng.uniform(0, 0.02)),
        dose=peak / carbon_peak(SULFUR, 0.045 / field["pixel_size"]),
        **_optics(rng, 0.1),
        **field,
    )
    atoms = movie.truth["atoms"]
    return atoms[atoms["brightness"] > 0], movie[0].values


def _optics(rng: np.random.Generator, widest: float) -> dict[str, float]:
    """Of the microscope; the source's image in nm."""
    return {
        "defocus": float(rng.uniform(-4, 4)),
        "astigmatism": float(rng.uniform(0, 2)),
        "astigmatism_angle": float(rng.uniform(0, np.pi)),
        "source": float(rng.uniform(0.05, widest)),
        "jitter": float(rng.uniform(0, 0.4)),
    }


def _with_brightness(atoms: pd.DataFrame) -> pd.DataFrame:
    """Of graphene; a carbon atom has one."""
    return atoms.assign(brightness=np.where(atoms["element"] == "Si", 4.2, 1.0))


def _contamination(
    rng: np.random.Generator, shape: tuple[int, ...]
) -> Float[np.ndarray, "height width"]:
    """Smooth patches, in peaks of a light atom; none in half of the images."""
    from scipy.ndimage import gaussian_filter

    if rng.random() < 0.5:
        return np.zeros(shape)
    field = gaussian_filter(rng.standard_normal(shape), shape[0] / rng.uniform(4, 12))
    return rng.uniform(0.2, 4) * np.clip(field / field.std(), 0, 3)


def _clumps(
    rng: np.random.Generator, shape: tuple[int, ...], spacing: float
) -> Float[np.ndarray, "height width"]:
    """Matter without order on a part of the image, in peaks; in a third of them.

    Its atoms are not of the crystal, and not marked.
    """
    from scipy.ndimage import gaussian_filter

    if rng.random() < 0.67:
        return np.zeros(shape)
    field = gaussian_filter(rng.standard_normal(shape), shape[0] / rng.uniform(4, 10))
    on = field > np.quantile(field, rng.uniform(0.5, 0.97))
    number = rng.poisson(rng.uniform(0.5, 2) * on.size / spacing**2)
    rows, columns = rng.integers(0, [shape], (number, 2)).T
    spots = np.zeros(shape)
    np.add.at(spots, (rows, columns), rng.uniform(0.5, 4) * rng.gamma(2, 0.5, number))
    width = rng.uniform(0.2, 0.45) * spacing
    thick = gaussian_filter(spots * on, width) * 2 * np.pi * width**2
    return thick + rng.uniform(0, 3) * gaussian_filter(on.astype(float), width)


def _holed(
    rng: np.random.Generator,
    atoms: pd.DataFrame,
    counts: Float[np.ndarray, "height width"],
    level: float,
) -> tuple[pd.DataFrame, Float[np.ndarray, "height width"]]:
    """With a hole, in which only some of the background is left; in a third of them."""
    from scipy.ndimage import gaussian_filter

    if rng.random() < 0.67:
        return atoms, counts
    field = gaussian_filter(
        rng.standard_normal(counts.shape), counts.shape[0] / rng.uniform(4, 8)
    )
    hole = field > np.quantile(field, rng.uniform(0.4, 0.95))
    empty = rng.poisson(level * rng.uniform(0, 1), counts.shape)
    columns, rows = np.rint(atoms[["x", "y"]].to_numpy()).astype(int).T
    inside = np.zeros(len(atoms), bool)
    seen = (rows >= 0) & (columns >= 0)
    seen &= (rows < len(hole)) & (columns < hole.shape[1])
    inside[seen] = hole[rows[seen], columns[seen]]
    return pd.DataFrame(atoms[~inside]), np.where(hole, empty, counts)


def marked(atoms: pd.DataFrame) -> Float[np.ndarray, "height width 2"]:
    """The maps that the network should make: marks of all atoms and of the heavy."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    maps = np.zeros((SIZE, SIZE, 2), np.float32)
    for x, y, heavy in atoms[["x", "y", "heavy"]].itertuples(index=False):
        top, left = max(int(y) - 4, 0), max(int(x) - 4, 0)
        part = slice(top, int(y) + 6), slice(left, int(x) + 6)
        square = (columns[part] - x) ** 2 + (rows[part] - y) ** 2
        spot = np.exp(-square / (2 * SPOT**2))
        maps[(*part, 0)] = np.maximum(maps[(*part, 0)], spot)
        maps[(*part, 1)] = np.maximum(maps[(*part, 1)], heavy * spot)
    return maps


def train(
    images: Float[np.ndarray, "n height width"],
    marks: Float[np.ndarray, "n height width 2"],
    epochs: int,
    seed: int,
    say: Callable[[str], None],
) -> tuple[Any, Any]:
    """Graph and weights; every image is turned and mirrored anew each epoch."""
    import optax

    graph, params = fresh_net(seed)
    steps = len(images) // BATCH
    rate = optax.cosine_decay_schedule(RATE, steps * epochs)
    optimizer = optax.adam(rate)
    state = optimizer.init(params)

    def loss(params: Any, images: Array, marks: Array) -> Array:
        found = logits(graph, params, evened(images))
        cost = optax.sigmoid_binary_cross_entropy(found, marks)
        # few atoms are heavy; what is heavy is asked where an atom is
        places = cost[..., 0] * (1 + (RARE - 1) * marks[..., 1])
        return places.mean() + (cost[..., 1] * (marks[..., 0] > 0.3)).mean()

    @jax.jit  # a step: within a loop, XLA's convolutions are slow on a CPU
    def step(params: Any, state: Any, images: Array, marks: Array) -> Any:
        value, slope = jax.value_and_grad(loss)(params, images, marks)
        change, state = optimizer.update(slope, state, params)
        return optax.apply_updates(params, change), state, value

    rng = np.random.default_rng(seed)
    for number in range(epochs):
        order = rng.permutation(len(images))[: steps * BATCH]
        turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
        parts = [
            np.rot90(part[order][:, ::-1] if mirror else part[order], turns, (1, 2))
            for part in (images, marks)
        ]
        values = []
        for start in range(0, len(order), BATCH):
            batch = [jnp.asarray(part[start : start + BATCH]) for part in parts]
            params, state, value = step(params, state, *batch)
            values.append(value)
        say(f"epoch {number + 1}/{epochs}: loss {float(np.mean(values)):.4f}")
    return graph, params


def calibrated(net: AtomNet, drawn: Sequence[tuple[Any, pd.DataFrame]]) -> AtomNet:
    """The network with what its maps mean as probabilities, from unseen images."""
    import dataclasses

    from scipy.spatial import KDTree

    parts = []
    for image, atoms in drawn:
        found = seek_by_net(image, SPACING, net, standardized=True)
        if found.empty or atoms.empty:
            continue
        reach, nearest = KDTree(atoms[["x", "y"]]).query(found[["x", "y"]])
        found["right"] = reach < FOUND * SPACING
        found["is heavy"] = atoms["heavy"].to_numpy()[nearest]
        inside = (found[["x", "y"]] > 2) & (found[["x", "y"]] < SIZE - 3)
        parts.append(found[inside.all(axis=1)])
    seen = pd.concat(parts)
    right = seen["right"].to_numpy()
    return dataclasses.replace(
        net,
        atom=_line(seen["confidence"].to_numpy(), right),
        heavy=_line(
            seen["heavy"].to_numpy()[right], seen["is heavy"].to_numpy()[right]
        ),
    )


def _line(
    said: Float[np.ndarray, " n"], true: Bool[np.ndarray, " n"]
) -> tuple[float, float]:
    """(offset, slope) of the log odds of being true, by those that were said."""
    from sklearn.linear_model import LogisticRegression

    if true.all() or not true.any():
        return 0.0, 1.0
    odds = np.log(said / (1 - said))
    line = LogisticRegression(C=1e3).fit(odds[:, None], true)
    return float(line.intercept_[0]), float(line.coef_[0, 0])


def save(net: AtomNet, path: Path) -> None:
    """Weights in half precision, which is more than they hold."""
    leaves = jax.tree.leaves(net.params)
    arrays = {f"w{i}": np.asarray(leaf, np.float16) for i, leaf in enumerate(leaves)}
    numbers = np.array([net.atom, net.heavy], np.float32)
    np.savez_compressed(path, calibration=numbers, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
