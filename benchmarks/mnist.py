"""Turned MNIST digits: the bound, angles, shifts and classes, beside what is asked for.

    python -m benchmarks.mnist DATA --out benchmarks/results

DATA holds the four gzipped idx files. Each row trains on the 60,000 digits of the
training split and scores the test split. Bound: nats, 100 importance samples, of 2000
images, over all pixels; `floor`, the entropy of their grey levels, is the least that
any model could reach. Angle: share within 15 degrees of the turn that was made, after
one constant a digit class; this takes the slant of the handwriting for an error.
Unslanted: the same after what each class's content says of that error, learned from
training digits, is taken off. Turn: share of images whose angle follows a second, known
turn within 15 degrees. GMM and vote: unsupervised classes, fitted to training content.
Rows that are there already, from an earlier run, stay until they are run again. About
two hours on one quiet core.
"""

import argparse
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import entr

from benchmarks._report import facts, table, write

MODEL = {
    "decoder": {"name": "affine", "units": 512, "activation": "gelu"},
    "encoder": {"name": "turned-back", "units": 512},
    "likelihood": "bernoulli",
    "pose": ("rotation", "shift"),
    "max_shift": 0.06,  # digits do not turn about their centers
}
FIT = {"epochs": 8, "learning_rate": 4e-3}
UPRIGHT = {"loc": 0.0, "concentration": 2.2}  # about a normal of 45 degrees
MIXTURE = {"name": "mixture", "components": 50}
ROWS: dict[str, dict[str, Any]] = {
    "turned": {
        "data": {"pad": 2},
        "asked": {"bound": 142.0, "angle": 0.96, "GMM": 0.60},
    },
    "shifted": {
        "data": {"pad": 10, "shift": 0.1},
        "model": {
            "max_shift": 0.22,
            "encoder": {"name": "moved-back", "units": 512},
            "prior": MIXTURE,
        },
        "asked": {"bound": 152.0, "shift_R2": 0.95},
        "fit": {"epochs": 12},
    },
    "clusters": {
        "data": {"pad": 2},
        "model": {"content_dim": 10},
        "asked": {"vote": 0.80},
    },
    "seven digits": {
        "data": {"pad": 2, "digits": (0, 1, 2, 3, 4, 5, 7)},
        "model": {"num_classes": 7},
        "asked": {},
        "fit": {"epochs": 4},
    },
}
for dim, nats, epochs in ((2, 140, 15), (3, 130, 15), (5, 115, 15), (10, 102, 15)):
    ROWS[f"upright, content dim {dim}"] = {
        "data": {"spread": 45.0},
        "model": {"content_dim": dim, "angle_prior": UPRIGHT, "prior": MIXTURE},
        "asked": {"bound": float(nats)},
        "fit": {"epochs": epochs},
    }
NUM_SAMPLES = 100  # of the bound
NUM_BOUND = 2000  # test images, evenly spread, that it is taken of
NUM_KNOWN = 5000  # training digits whose content the classes are fitted to
NUM_FITS, NUM_VOTES = 20, 5
NEAR = np.radians(15)
NUM_NEAREST = 20  # training digits of a class


def main(argv: list[str] | None = None) -> int:
    """Run the rows asked for; write the table where --out says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with the idx files")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--epochs", type=int, help="instead of each row's own")
    parser.add_argument("--images", type=int, help="train on so many, for a look")
    parser.add_argument("--test", type=int, default=10_000, help="images scored")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for the table")
    parser.add_argument("--name", default="mnist", help="of the files written there")
    args = parser.parse_args(argv)
    found = []
    for name in args.rows:
        found.append(one_row(name, args))
        print(table(found[-1:]), flush=True)
        if args.out:  # a row takes minutes: what is there is kept
            rows = merged(args.out / f"{args.name}.json", found)
            write(args.out, args.name, rows, facts(), text=__doc__)
    print(table(found))
    return 0


def merged(path: Path, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows found, and those of the file that are not among them, in order."""
    kept = json.loads(path.read_text())["rows"] if path.is_file() else []
    rows = {row["row"]: row for row in [*kept, *found]}
    return [rows[name] for name in ROWS if name in rows]


def read_idx(path: Path) -> np.ndarray:
    """The array of bytes that a gzipped idx file holds."""
    with gzip.open(path) as file:
        content = file.read()
    dims = content[3]
    shape = np.frombuffer(content, ">i4", dims, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape)


def digits(
    folder: Path, split: str, data: dict, most: int | None = None, turn_seed: int = 0
) -> tuple[np.ndarray, pd.DataFrame]:
    """Images in [0, 1] and what was done to them: shape, angle, shift_x, shift_y.

    Args:
        split: "train" or "t10k".
        data: pad (pixels, 0), spread (degrees, of a normal; uniform without), shift
            (standard deviation as a share of the field, 0), digits (all).
        most: Images at most.
        turn_seed: Of turns and shifts; the images are the same.

    The angle (radians) is counter-clockwise, the shift in pixels, y downwards.
    """
    from scipy import ndimage

    images = read_idx(folder / f"{split}-images-idx3-ubyte.gz") / np.float32(255)
    shape = read_idx(folder / f"{split}-labels-idx1-ubyte.gz").astype(int)
    kept = np.isin(shape, data.get("digits", np.arange(10)))
    images, shape = images[kept][:most], shape[kept][:most]
    images = np.pad(images, ((0, 0), *2 * [2 * [data.get("pad", 0)]]))
    rng = np.random.default_rng([turn_seed, split != "train"])
    number, field = len(images), images.shape[1]
    if "spread" in data:
        angle = rng.normal(0.0, data["spread"], number)
    else:
        angle = rng.uniform(-180.0, 180.0, number)
    shift = rng.normal(0.0, field, (number, 2)) * data.get("shift", 0.0)
    for i in range(number):
        turned = ndimage.rotate(images[i], angle[i], order=1, reshape=False)
        if "shift" in data:
            turned = ndimage.shift(turned, shift[i, ::-1], order=1)
        images[i] = turned.clip(0.0, 1.0)
    truth = {"shape": shape, "angle": np.radians(angle)}
    return images, pd.DataFrame(
        truth | {"shift_x": shift[:, 0], "shift_y": shift[:, 1]}
    )


def pose_shares(latents: Any, truth: pd.DataFrame) -> dict[str, float]:
    """Angles near the turn that was made, and the shift's R2, over all classes."""
    from jaxrvae.analysis.scores import pose_scores

    error = latents.angle - truth["angle"].to_numpy()
    shape = truth["shape"].to_numpy()
    near = [near_share(error[shape == name]) for name in np.unique(shape)]
    counts = np.unique(shape, return_counts=True)[1]
    found = {"angle": float(np.average(near, weights=counts))}
    if np.ptp(truth["shift_x"]) > 0:
        scores = pose_scores(latents, truth)
        found["shift_R2"] = float(scores["shift_R2"].mean())
    return found


def near_share(error: np.ndarray) -> float:
    """Share of the errors (radians) within 15 degrees of the constant that suits best.

    >>> near_share(np.radians([170.0, 180.0, -175.0, 0.0]))
    0.75
    """
    constant = np.radians(np.arange(360))
    apart = np.angle(np.exp(1j * (error[:, None] - constant)))
    return float((np.abs(apart) < NEAR).mean(axis=0).max())


def unslanted(
    known: Any, known_truth: pd.DataFrame, latents: Any, truth: pd.DataFrame
) -> float:
    """Share near the turn made, after what content says of the error is taken off.

    A slant is a strain and a turn; how much of it is called a turn is a convention that
    goes with the content: the mean error of the nearest training digits of the class.
    """
    from sklearn.neighbors import KNeighborsRegressor

    near, number = 0.0, len(truth)
    for name in np.unique(truth["shape"]):
        here = (truth["shape"] == name).to_numpy()
        there = (known_truth["shape"] == name).to_numpy()
        learned = known.angle[there] - known_truth["angle"].to_numpy()[there]
        both = np.stack([np.cos(learned), np.sin(learned)], axis=1)
        regressor = KNeighborsRegressor(NUM_NEAREST).fit(known.content[there], both)
        cos, sin = regressor.predict(latents.content[here]).T
        error = latents.angle[here] - truth["angle"].to_numpy()[here]
        near += here.sum() / number * near_share(error - np.arctan2(sin, cos))
    return float(near)


def grey_entropy(images: np.ndarray) -> float:
    """Nats per image of grey levels in [0, 1] taken as probabilities.

    >>> round(grey_entropy(np.full((5, 1, 2), 0.5)), 4)  # two coins
    1.3863
    """
    grey = images.astype(np.float64)
    return float((entr(grey) + entr(1 - grey)).sum((1, 2)).mean())


def followed(found: np.ndarray, made: np.ndarray) -> float:
    """Share of the angles that a second turn changed by as much, within 15 degrees."""
    return float((np.abs(np.angle(np.exp(1j * (found - made)))) < NEAR).mean())


def verdict(found: dict[str, Any], asked: dict[str, float]) -> str:
    """What is asked for, and whether it holds.

    >>> verdict({"GMM": 0.71}, {"GMM": 0.6})
    'GMM >= 0.6: yes'
    """
    words = []
    for key, value in asked.items():
        low = key == "bound"
        good = found[key] <= value if low else found[key] >= value
        sign = "<=" if low else ">="
        words.append(f"{key} {sign} {value:g}: {'yes' if good else 'NO'}")
    return "; ".join(words)


def one_row(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """One fit, what it reaches on the test split, and whether that is as asked."""
    from jaxrvae.analysis.scores import cluster_accuracy
    from jaxrvae.estimator import RVAE

    row, asked = ROWS[name], ROWS[name]["asked"]
    images, made = digits(args.data, "train", row["data"], args.images)
    test, truth = digits(args.data, "t10k", row["data"])
    step = max(len(test) // args.test, 1)  # the split's two halves differ
    test, truth = test[::step], truth[::step]
    fit = FIT | row.get("fit", {})
    fit["epochs"] = args.epochs or fit["epochs"]
    start = time.perf_counter()
    model = RVAE(seed=args.seed, **MODEL | row.get("model", {}))
    model.fit(images, progress=False, **fit)
    commit = facts()["commit"]
    found = {"row": name, "commit": commit, "images": len(images)}
    found["epochs"] = fit["epochs"]
    found["fit, s"] = round(time.perf_counter() - start)
    print(f"{name}: fitted in {found['fit, s']} s", file=sys.stderr, flush=True)
    for_bound = test[:: max(len(test) // NUM_BOUND, 1)]
    nats = -model.log_evidence(for_bound, num_samples=NUM_SAMPLES)
    found |= {"bound": float(nats.mean()), "+-": float(nats.std() / len(nats) ** 0.5)}
    found["floor"] = grey_entropy(for_bound)
    if set(asked) != {"bound"}:
        latents = model.encode(test)
        found |= pose_shares(latents, truth)
        again, other = digits(args.data, "t10k", row["data"], turn_seed=2)
        twice = slice(None, None, max(len(test) // NUM_BOUND, 1))
        once_more = model.encode(again[::step][twice])
        turned = other["angle"].to_numpy()[::step] - truth["angle"].to_numpy()
        change = once_more.angle - latents.angle[twice]
        found["turn"] = followed(change, turned[twice])
        known = model.encode(images[:NUM_KNOWN])
        found["unslanted"] = unslanted(known, made[:NUM_KNOWN], latents, truth)
        shape = truth["shape"].to_numpy()
        found |= sorted_into_classes(known.content, latents.content, shape)
        if model.config.num_classes > 1:
            own = latents.class_probabilities.argmax(axis=1)
            found["joint classes"] = cluster_accuracy(own, shape)
    found["asked"] = verdict(found, asked)
    return found


def sorted_into_classes(
    known: np.ndarray, content: np.ndarray, shape: np.ndarray
) -> dict[str, float]:
    """Accuracy on test content of two unsupervised sortings.

    GMM: a mixture fitted to known content. Vote: of the likeliest few of many such
    mixtures, their names matched; "6 as 9": share of images that it costs, both ways.
    """
    from threadpoolctl import threadpool_limits

    from jaxrvae.analysis.scores import cluster_accuracy, mixture_accuracy

    with threadpool_limits(1):  # the matrices are small
        found = vote(known, content, len(np.unique(shape)))
        gaussian = mixture_accuracy(known, content, shape)
    named = match(found, shape)
    swapped = ((named == 6) & (shape == 9)) | ((named == 9) & (shape == 6))
    return {
        "GMM": gaussian,
        "vote": cluster_accuracy(found, np.unique(shape, return_inverse=True)[1]),
        "6 as 9": float(swapped.mean()),
    }


def vote(known: np.ndarray, content: np.ndarray, number: int) -> np.ndarray:
    """The class of every content by the mean of the likeliest mixtures' words."""
    from scipy.optimize import linear_sum_assignment
    from sklearn.mixture import GaussianMixture

    def fit(seed: int) -> GaussianMixture:
        mixture = GaussianMixture(
            number, reg_covar=1e-3, max_iter=200, random_state=seed
        )
        return mixture.fit(known)

    fits = sorted(map(fit, range(NUM_FITS)), key=lambda one: -one.lower_bound_)
    words = [one.predict_proba(content) for one in fits[:NUM_VOTES]]
    names = [linear_sum_assignment(-(words[0].T @ word))[1] for word in words]
    total = sum(word[:, name] for word, name in zip(words, names, strict=True))
    return np.asarray(total).argmax(axis=1)


def match(found: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """The digit that each image's class is matched to."""
    from scipy.optimize import linear_sum_assignment

    digit, index = np.unique(shape, return_inverse=True)
    counts = np.zeros((len(digit), len(digit)))
    np.add.at(counts, (found, index), 1)
    return digit[linear_sum_assignment(-counts)[1]][found]


if __name__ == "__main__":
    sys.exit(main())
