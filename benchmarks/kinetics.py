"""Rates of transitions along tracks: how often their intervals hold the truth.

    python -m benchmarks.kinetics
    python -m benchmarks.kinetics --speed   (a million rows; on an idle machine)

Chains: five states, all 20 rates known, drawn between 0.001 and 0.1 a frame; "sparse"
where half of them are 0, which an interval holds that reaches down to 0. Graphene:
movies of 128 x 128 pixels and 100 frames, about a dozen Si each. A Si is threefold on
either sublattice, or fourfold. Its six rates are known: a hop takes it to the other
sublattice (0.05 a frame), the loss of a neighbor makes it fourfold (0.02), and a caught
atom threefold again, on either sublattice alike (0.03 each). Both first ones are taken
times the share of neighbors that no other Si blocks, as the simulator has it (0.97).

Labels are wrong by a matrix that is given ("known") or not ("learnt"); or they are
those of a linear classifier, trained on another movie, that looks at the noisy images,
so that the images' own confusion counts: its labels or its probabilities, the matrix
learnt, or its probabilities taken at their word ("believed"). "Counted": transitions
over time, with gamma intervals, of the same labels. Inside: share of rates within their
90 % interval, with its binomial error; worst: of four batches of five simulations. Off:
root mean square of ln(rate / truth), of rates with five expected transitions or more.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import RESULTS, facts, table, write

SIMULATIONS, BATCH = 20, 5
ASKED = 0.85
ENOUGH = 5  # transitions expected
WRONG = np.array([[0.95, 0.02, 0.03], [0.03, 0.95, 0.02], [0.02, 0.04, 0.94]])
HOP, TO_FOURFOLD, TO_THREEFOLD = 0.05, 0.02, 0.06
MOVIE: dict[str, Any] = {
    "size": 128, "pixel_size": 0.03125, "angle": 0.0, "dose": 6e3,
    "silicon_fraction": 0.015, "fourfold_fraction": 0.005, "vacancy_fraction": 0.0,
    "strain": 0.005, "hop_rate": HOP, "fourfold_rate": TO_FOURFOLD,
    "threefold_rate": TO_THREEFOLD, "flip_rate": 0.0, "knock_rate": 0.0,
    "edge_rate": 0.0, "adatom_rate": 0.0,
}  # fmt: skip
BOND = 0.142 / MOVIE["pixel_size"]  # pixels
SIDE = 16  # of the classifier's patches, pixels: half a nanometre


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes kinetics.json and kinetics.md."""
    parser = argparse.ArgumentParser(description="Rates along tracks.")
    parser.add_argument("--small", action="store_true", help="A minute, not ten.")
    parser.add_argument("--speed", action="store_true", help="Time and memory alone.")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    name, text = "kinetics", __doc__.split("\n\n", 2)[2]
    if options.speed:
        rows = [speed(10**5 if options.small else 10**6)]
        name, text = "kinetics_speed", "A million rows in 10,000 tracks of five states."
    else:
        number = 2 if options.small else SIMULATIONS
        rows = [*chain_rows(number), *movie_rows(number, 40 if options.small else 100)]
    path = write(options.out, name, rows, facts(), text)
    print(table(rows), f"Written: {path}", sep="\n\n")


def chain_rows(number: int) -> Iterator[dict]:
    """Chains of five states, with many rows and with few."""
    confusion = np.full((5, 5), 0.0125) + 0.9375 * np.eye(5)
    for tracks, frames, kind in ((200, 100, ""), (30, 50, ""), (200, 100, ", sparse")):
        scores: dict[str, list[Any]] = {}
        for seed in range(number):
            rng = np.random.default_rng(seed)
            rates = 10 ** rng.uniform(-3, -1, (5, 5)) * ~np.eye(5, dtype=bool)
            if kind:
                rates.ravel()[rng.permutation(np.flatnonzero(rates))[:10]] = 0
            rates -= np.diag(rates.sum(1))
            states = draw_states(rates, tracks, frames, rng)
            seen = blur(states, confusion, rng)
            seen["labels"][rng.random(states.size) < 0.1] = -1  # frames without a label
            states = states.ravel()
            score(scores, "known", rates, states, seen, seed, confusion=confusion)
            score(scores, "learnt", rates, states, seen, seed)
        yield from summary(f"chain{kind}, {tracks} x {frames} rows", scores)


def movie_rows(number: int, num_frames: int) -> Iterator[dict]:
    """Si atoms of simulated movies."""
    train = si_atoms(1000, 2 * num_frames)
    classify = train_classifier(train)
    scores: dict[str, list[Any]] = {}
    for seed in range(number):
        rng = np.random.default_rng(seed)
        atoms = si_atoms(seed, num_frames)
        states, rates = atoms["states"], atoms["rates"]
        own = {name: atoms[name] for name in ("tracks", "frames")}
        known = states >= 0
        labels = blur(np.maximum(states, 0), WRONG, rng)["labels"]
        seen = {"labels": np.where(known, labels, -1), **own}
        score(scores, "known", rates, states, seen, seed, confusion=WRONG)
        score(scores, "learnt", rates, states, seen, seed)
        soft = classify(atoms["images"])
        seen = {"labels": soft.argmax(1), **own}
        score(scores, "images, labels", rates, states, seen, seed)
        seen = {"labels": soft, **own}
        score(scores, "images, probabilities", rates, states, seen, seed)
        believed = {"confusion": np.eye(3)}
        score(scores, "images, believed", rates, states, seen, seed, **believed)
    yield from summary("graphene", scores)


def score(
    scores: dict[str, list[Any]],
    name: str,
    truth: np.ndarray,
    states: np.ndarray,
    seen: dict[str, np.ndarray],
    seed: int,
    **options: Any,
) -> None:
    """Of one simulation, the hidden model's rates and those counted."""
    from jaxrvae.analysis.transitions import find_transitions

    k = len(truth)
    found = find_transitions(**seen, num_states=k, seed=seed, **options)
    off = ~np.eye(k, dtype=bool)
    dwell = np.bincount(states[states >= 0], minlength=k)
    enough = (truth * dwell[:, None] >= ENOUGH)[off]
    labels = seen["labels"] if seen["labels"].ndim == 1 else seen["labels"].argmax(1)
    kept = (labels >= 0) & (states >= 0)
    ways = (
        (found.rates, found.rates_interval, found.smoothed),
        (found.naive_rates, found.naive_interval, labels),
    )
    for way, (rates, interval, own) in zip(("", ", counted"), ways, strict=True):
        inside = (interval[0] <= truth) & (truth <= interval[1])
        ratio = np.log(np.maximum(rates, 1e-9) / np.where(truth > 0, truth, 1.0))[off]
        right = (own == states)[kept].mean()
        scores.setdefault(name + way, []).append(
            (inside[off], ratio[enough], right, found.effective)
        )


def summary(name: str, scores: dict[str, list[Any]]) -> Iterator[dict]:
    """A row for each way to the rates."""
    for way, found in scores.items():
        inside = np.stack([inside for inside, *_ in found])
        share = float(inside.mean())
        batches = [float(part.mean()) for part in np.array_split(
            inside, max(len(inside) // BATCH, 1))]  # fmt: skip
        ratio = np.concatenate([ratio for _, ratio, *_ in found])
        asked = not way.endswith("counted")
        yield {
            "simulations": f"{name}: {way}",
            "rates": inside.size,
            "inside": share,
            "+-": float(np.sqrt(share * (1 - share) / inside.size)),
            "worst": min(batches),
            "asked": f">= {ASKED}" if asked else "-",
            "kept": share >= ASKED if asked else "-",
            "off": float(np.sqrt(np.square(ratio).mean())),
            "labels right": float(np.mean([right for _, _, right, _ in found])),
            "least effective draws": min(e for *_, e in found) if asked else None,
        }


def draw_states(
    rates: np.ndarray, tracks: int, frames: int, rng: np.random.Generator
) -> np.ndarray:
    """(track, frame) states of chains that start in any state alike."""
    from jaxrvae.analysis.jumps import propagate

    step = propagate(rates).cumsum(1)
    states = rng.integers(0, len(rates), (tracks, frames))
    for t in range(1, frames):
        chance = rng.random(tracks)[:, None]
        states[:, t] = (chance > step[states[:, t - 1]]).sum(1)
    return states


def blur(
    states: np.ndarray, confusion: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Labels that are wrong now and then, a row a state; tracks and frames."""
    sums = np.minimum(confusion.cumsum(1), 1.0)
    chance = rng.random(states.shape)[..., None]
    labels = (chance > sums[states]).sum(-1)
    rows = np.arange(states.size)
    frames = states.shape[-1]
    return {
        "labels": labels.ravel(), "tracks": rows // frames, "frames": rows % frames
    }  # fmt: skip


def si_atoms(seed: int, num_frames: int) -> dict[str, np.ndarray]:
    """Si of a movie: state (-1 at the border), images, tracks, frames, true rates."""
    import pandas as pd

    import jaxrvae as jr

    movie = jr.simulate("beam", seed=seed, num_frames=num_frames, **MOVIE)
    atoms = movie.truth["atoms"]
    parts = [_of_frame(own) for _, own in atoms.groupby("frame", sort=True)]
    found = pd.concat(parts, ignore_index=True)
    rates = np.zeros((3, 3))
    for state in (0, 1):
        free = found.loc[found["state"] == state, "free"].mean()
        rates[state, [1 - state, 2]] = HOP * free, TO_FOURFOLD * free
    rates[2, :2] = TO_THREEFOLD / 2
    patches = jr.cut_patches(movie, found, size=SIDE)
    found = patches.table  # without those too near to the border
    return {
        "states": found["state"].to_numpy(), "images": patches.values,
        "tracks": found["atom"].to_numpy(np.int64),
        "frames": found["frame"].to_numpy(np.int64),
        "rates": rates - np.diag(rates.sum(1)),
    }  # fmt: skip


def _of_frame(atoms: Any) -> Any:
    """Its Si: state 0 and 1 by the way that the three bonds point, 2 if fourfold."""
    from scipy.spatial import KDTree

    places = atoms[["x", "y"]].to_numpy()
    tree, silicon = KDTree(places), (atoms["element"] == "Si").to_numpy()
    own = atoms.loc[silicon, ["frame", "x", "y", "atom", "site"]].copy()
    distance, near = tree.query(places[silicon], k=4)
    bonds = places[near[:, 1:]] - places[silicon][:, None]
    wave = np.exp(3j * np.arctan2(-bonds[..., 1], bonds[..., 0])).mean(1)
    whole = (distance[:, 3] < 1.4 * BOND) & (np.abs(wave) > 0.6)
    state = np.where(whole, (wave.real < 0).astype(int), -1)
    own["state"] = np.where(own["site"] == "Si4", 2, state)
    around = KDTree(places[silicon]).query_ball_point(
        places[near[:, 1:]], 1.4 * BOND, return_length=True
    )
    own["free"] = (around == 1).mean(1)
    return own


def train_classifier(train: dict[str, np.ndarray]) -> Any:
    """Probabilities of the states from images, by a linear discriminant."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    known = train["states"] >= 0
    flat = train["images"].reshape(len(known), -1)
    linear = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    linear.fit(flat[known], train["states"][known])
    return lambda images: linear.predict_proba(images.reshape(len(images), -1))


def speed(number: int) -> dict:
    """Time of many rows, compiling too, and the most memory the process has held."""
    from benchmarks.paths import memory
    from jaxrvae.analysis.transitions import find_transitions

    rng = np.random.default_rng(0)
    rates = 10 ** rng.uniform(-3, -1, (5, 5)) * ~np.eye(5, dtype=bool)
    rates -= np.diag(rates.sum(1))
    states = draw_states(rates, number // 100, 100, rng)
    seen = blur(states, np.full((5, 5), 0.0125) + 0.9375 * np.eye(5), rng)
    start = time.perf_counter()
    find_transitions(**seen)
    seconds = time.perf_counter() - start
    held = memory()
    return {
        "rows": number, "seconds": seconds, "asked": "< 60", "GB": held,
        "asked, GB": "< 2", "kept": seconds < 60 and held < 2,
    }  # fmt: skip


if __name__ == "__main__":
    main()
