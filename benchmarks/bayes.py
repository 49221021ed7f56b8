"""What the Bayesian side reaches: bounds, shared priors, calibration, NUTS, surprise.

    python -m benchmarks.bayes --parts svi nuts calibration     # ten minutes
    python -m benchmarks.bayes --parts grains tracks surprise --name bayes_quality
    python -m benchmarks.bayes --parts modes --name bayes_modes

Parts not yet measured are `neighbours`, `factors` and `classes`.

Every row is what a part measures beside what is asked; parts that draw at random take
five seeds, and the worst one counts. `svi`: NumPyro's SVI of the standard model beside
`fit`: the bound after as many steps, and the seconds of an epoch. `grains`: two grains
of graphene at low dose, angles modulo 60 degrees. `tracks`: an F that turns a little
from frame to frame. `neighbours`: domains of two shapes in noise. `calibration`: 512
images made by a model from its prior. `nuts`: 256 patches, 4 chains of 500 draws.
`modes`: the weights of a threefold structure's three modes. `surprise`: graphene with
an atom on top that no training patch has. `factors`: columns whose 1, 2 or 3 heights
vary, six content numbers given. `classes`: 3, 4 or 6 structures, 12 components given.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._report import RESULTS, facts, table, write

SEEDS = range(5)
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints and writes bayes.json and bayes.md after every part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    add("--out", type=Path, default=RESULTS)
    add("--name", default="bayes", help="of the files, bayes")
    options = parser.parse_args(argv)
    rows: list[Row] = []
    text = (__doc__ or "").partition("\n")[2].strip()
    for part in options.parts:
        start = time.perf_counter()
        found = PARTS[part]()
        seconds = time.perf_counter() - start
        rows += [{"part": part, **row, "seconds": seconds} for row in found]
        print(table(rows[-len(found) :]), flush=True)
        path = write(options.out, options.name, rows, facts(), text)
        print(f"Written: {path}", flush=True)


def row(what: str, reached: float, asked: str, kept: bool) -> Row:
    """A line of the table."""
    return {"what": what, "reached": float(reached), "asked": asked, "kept": kept}


def wrapped_rms(first: Any, second: Any, symmetry: int) -> float:
    """Root mean square of angles' errors, but for a turn common to all."""
    off = np.exp(1j * symmetry * (np.asarray(first) - np.asarray(second)))
    off = np.angle(off * np.conj(off.mean())) / symmetry
    return float(np.sqrt(np.square(off).mean()))


def svi() -> list[Row]:
    """The same model, images and steps, by NumPyro and by `fit`."""
    import jaxrvae as jr
    from jaxrvae.bayes import fit_svi

    gaps, ratios = [], []
    for seed in SEEDS:
        images = jr.simulate("glyphs", seed=seed, num_images=2000, size=48)
        own = jr.RVAE(seed=seed).fit(images, epochs=12, progress=False)
        other = fit_svi(jr.RVAE(seed=seed), images, epochs=12)
        bounds = [m.log_evidence(images.values[:500], 30).mean() for m in (own, other)]
        gaps.append(abs(bounds[1] - bounds[0]) / abs(bounds[0]))
        times = [m.history["seconds"].iloc[1:].median() for m in (own, other)]
        ratios.append(times[1] / times[0])
    return [
        row(
            "difference of the bounds, share", max(gaps), "<= .005", max(gaps) <= 0.005
        ),
        row(
            "SVI's seconds an epoch over fit's",
            max(ratios),
            "<= 1.5",
            max(ratios) <= 1.5,
        ),
    ]


def grains() -> list[Row]:
    """Angles of two grains, alone and given their grain."""
    import jaxrvae as jr
    from jaxrvae.bayes import angle_table, pool_angles

    ratios, alone = [], []
    for seed in SEEDS:
        movie = jr.simulate(
            "graphene", seed=seed, num_frames=4, num_grains=2, dose=1e4,
            silicon_fraction=0.0, vacancy_fraction=0.0,
        )  # fmt: skip
        atoms = movie.truth["atoms"]
        patches = jr.cut_patches(movie, atoms, size=32, normalize="frame")
        model = jr.RVAE(seed=seed).fit(patches, epochs=20, progress=False)
        seen = angle_table(model, patches, symmetry=6)
        kept = patches.table
        pooled, _ = pool_angles(seen, kept["grain"].to_numpy())
        truth = kept["angle"].to_numpy()
        errors = [wrapped_rms(t.angle, truth, 6) for t in (seen, pooled)]
        alone.append(errors[0])
        ratios.append(errors[1] / errors[0])
    worst = max(ratios)
    return [
        row("angle's RMS alone, degrees", np.degrees(max(alone)), "-", True),
        row("RMS given the grain over alone", worst, "<= .6", worst <= 0.6),
    ]


def tracks() -> list[Row]:
    """Angles of an F along tracks."""
    import jaxrvae as jr
    from jaxrvae.bayes import angle_table, follow_angles
    from jaxrvae.simulate.glyphs import render_glyphs

    ratios, alone = [], []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        walks = np.cumsum(0.06 * rng.standard_normal((60, 40)), axis=1)
        walks += rng.uniform(-np.pi, np.pi, (60, 1))
        track, frame = (a.ravel() for a in np.indices(walks.shape))
        truth = pd.DataFrame({"shape": 0, "angle": walks.ravel()})
        truth["shift_x"], truth["shift_y"] = rng.uniform(-2, 2, (2, walks.size))
        truth["shear"] = rng.uniform(-0.2, 0.2, walks.size)
        images = render_glyphs(truth, 32)
        images += 1.0 * rng.standard_normal(images.shape, np.float32)
        model = jr.RVAE(seed=seed).fit(images, epochs=30, progress=False)
        seen = angle_table(model, images)
        smooth, _ = follow_angles(seen, track, frame)
        errors = [wrapped_rms(t.angle, truth["angle"], 1) for t in (seen, smooth)]
        alone.append(errors[0])
        ratios.append(errors[1] / errors[0])
    worst = max(ratios)
    return [
        row("angle's RMS alone, degrees", np.degrees(max(alone)), "-", True),
        row("RMS given the track over alone", worst, "<= .6", worst <= 0.6),
    ]


def neighbours() -> list[Row]:
    """Classes of domains on a lattice, each patch alone and with its neighbours."""
    import jaxrvae as jr
    from jaxrvae.bayes import pool_classes
    from jaxrvae.simulate.glyphs import render_glyphs

    left, alone = [], []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        rows, columns = np.indices((50, 50))
        places = np.stack([columns.ravel(), rows.ravel()], 1) * 10.0
        seeds = rng.uniform(0, 500, (14, 2))
        domain = np.linalg.norm(places[:, None] - seeds, axis=2).argmin(1) % 2
        poses = pd.DataFrame({"shape": domain})
        poses["angle"] = rng.uniform(-np.pi, np.pi, len(domain))
        poses["shift_x"], poses["shift_y"] = rng.uniform(-2, 2, (2, len(domain)))
        poses["shear"] = 0.0
        images = render_glyphs(poses, 32)
        images += 1.4 * rng.standard_normal(images.shape, np.float32)
        model = jr.RVAE(seed=seed, num_classes=2, content_dim=1)
        model.fit(images, epochs=40, progress=False)
        prob = model.encode(images).class_probabilities
        pooled = pool_classes(prob, places, num_neighbours=4).prob
        errors = []
        for found in (prob, pooled):
            wrong = (found.argmax(1) != domain).mean()
            errors.append(min(wrong, 1 - wrong))  # the classes' numbers are free
        alone.append(errors[0])
        left.append(errors[1] / errors[0])
    worst = max(left)
    return [
        row("share of wrong classes, alone", max(alone), "-", True),
        row("errors left with neighbours", worst, "<= .667", worst <= 2 / 3),
    ]


def calibration() -> list[Row]:
    """Truths among draws: evenness of ranks, and coverage."""
    from jaxrvae.bayes import calibrate

    model, _ = _noisy_model()
    found = calibrate(model, num_patches=512, num_draws=200)
    rows = []
    for line in found.table().to_dict("records"):
        p, inside = line["p of even ranks"], line["inside 95 %"]
        rows.append(row(f"p of even ranks, {line['site']}", p, "> .01", p > 0.01))
        kept = 0.93 <= inside <= 0.97
        rows.append(row(f"inside 95 %, {line['site']}", inside, ".93 to .97", kept))
    return rows


def nuts() -> list[Row]:
    """Time, convergence within modes, weights of the modes."""
    from jaxrvae.bayes import sample_posterior

    model, images = _noisy_model()
    start = time.perf_counter()
    chains = sample_posterior(model, images[:256], num_draws=500)
    seconds = time.perf_counter() - start
    table = chains.summary()
    good = float((table["r_hat"] <= 1.01).mean())
    apart = float(abs(chains.weights - chains.grid_weights).max(1).mean())
    rate = float(chains.divergent.sum() / chains.angle.size)
    return [
        row("seconds, 256 x 4 x 500", seconds, "<= 180", seconds <= 180),
        row("share of R-hats <= 1.01", good, "1", good == 1),
        row("largest R-hat", table["r_hat"].max(), "<= 1.01", good == 1),
        row("median effective draws", table["effective"].median(), "-", True),
        row("modes' weights, off the grid's (content fixed)", apart, "-", True),
        row("divergent share", rate, "-", True),
    ]


def modes() -> list[Row]:
    """A triangle of equal columns: three modes, each with a third."""
    import jaxrvae as jr
    from jaxrvae.bayes import angle_table

    worst = 0.0
    for seed in SEEDS:
        images, _, truth = _columns(seed, 2000, np.ones((1, 3)), noise=0.3)
        model = jr.RVAE(seed=seed).fit(images, epochs=30, progress=False)
        seen = angle_table(model, images[:500])
        whole = np.asarray(truth[:500])[:, None] - seen.angles
        third = np.floor((whole + np.pi / 3) / (2 * np.pi / 3)).astype(int) % 3
        weights = np.stack([(seen.prob * (third == k)).sum(1) for k in range(3)], 1)
        worst = max(worst, float(abs(3 * weights.mean(0) - 1).max()))
    return [
        row("modes' mean weights, off a third of all", worst, "<= .1", worst <= 0.1)
    ]


def surprise() -> list[Row]:
    """Patches with an atom that should not be there, among those without."""
    import jaxrvae as jr
    from jaxrvae.bayes import surprise as score_of

    areas = []
    for seed in SEEDS:
        movie = jr.simulate("graphene", seed=seed, num_frames=6, silicon_fraction=0.0)
        patches = jr.cut_patches(
            movie, movie.truth["atoms"], size=32, normalize="frame"
        )
        images = patches.values.copy()
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(images))
        trained, held = images[order[:-400]], images[order[-400:]]
        model = jr.RVAE(seed=seed).fit(trained, epochs=20, progress=False)
        rows, columns = np.indices((32, 32))
        height = np.quantile(images, 0.99)
        for image in held[:100]:
            radius, turn = rng.uniform(0, 9), rng.uniform(0, 2 * np.pi)
            x, y = 15.5 + radius * np.cos(turn), 15.5 + radius * np.sin(turn)
            image += height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8.0)
        score = score_of(model, held, trained)
        areas.append(float((score[:100, None] > score[100:]).mean()))
    worst = min(areas)
    return [row("AUC of planted atoms", worst, ">= .95", worst >= 0.95)]


def factors() -> list[Row]:
    """How many content numbers a horseshoe, and the evidence, keep."""
    import jaxrvae as jr

    rows = []
    for number in (1, 2, 3):
        found, chosen = [], []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            heights = np.ones((3000, 3))
            heights[:, :number] = rng.uniform(0.3, 1.7, (3000, number))
            images, _, _ = _columns(seed, 3000, heights, noise=0.1, random=False)
            model = jr.RVAE(seed=seed, content_dim=6, prior="horseshoe")
            model.fit(images, epochs=60, progress=False)
            found.append(int(used(model, images).sum()))
            evidence = []
            for content_dim in (1, 2, 3, 4):
                one = jr.RVAE(seed=seed, content_dim=content_dim)
                one.fit(images[:2500], epochs=60, progress=False)
                evidence.append(one.log_evidence(images[2500:], 100).mean())
            gains = np.array(evidence)
            chosen.append(int(np.argmax(gains > gains.max() - 1.0)) + 1)
        kept = all(value == number for value in found)
        rows.append(row(f"{number} factors, horseshoe", max(found), str(number), kept))
        kept = all(value == number for value in chosen)
        rows.append(row(f"{number} factors, evidence", max(chosen), str(number), kept))
    return rows


def used(model: Any, images: Any) -> np.ndarray:
    """Which content numbers say something: means that spread, errors that do not."""
    latents = model.encode(images)
    spread, error = latents.content.std(0), latents.content_std.mean(0)
    return spread > error


def classes() -> list[Row]:
    """How many classes a mixture by breaking sticks uses."""
    import jaxrvae as jr

    patterns = np.array(
        [
            [1, 0, 0, 0],
            [1, 1, 0, 0],
            [1, 0, 1, 0],
            [1, 1, 1, 0],
            [1, 1, 1, 1],
            [2, 0, 0, 0],
        ]
    )
    rows = []
    for number in (3, 4, 6):
        found = []
        for seed in range(3):
            rng = np.random.default_rng(seed)
            chosen = rng.integers(number, size=4000)
            images, _, _ = _columns(seed, 4000, patterns[chosen], 0.15, random=False)
            model = jr.RVAE(seed=seed, prior="stick-breaking")
            model.fit(images, epochs=60, progress=False)
            found.append(occupied(model, images))
        kept = all(value == number for value in found)
        rows.append(row(f"{number} classes", max(found), str(number), kept))
    return rows


def occupied(model: Any, images: Any) -> int:
    """Components that hold a hundredth of the patches at least."""
    from flax import nnx

    fitted = model.fitted
    program = nnx.merge(fitted.graph, fitted.params).prior.at_medians()
    share = np.asarray(program.log_share(model.encode(images).content))
    counts = np.bincount(share.argmax(1), minlength=share.shape[1])
    return int((counts > 0.01 * len(share)).sum())


def _noisy_model() -> tuple[Any, np.ndarray]:
    """Glyphs in noise, so that angles are not all sure."""
    import jaxrvae as jr

    images = jr.simulate("glyphs", seed=0, num_images=3000, size=32, noise=0.6)
    return jr.RVAE().fit(images, epochs=40, progress=False), images.values


def _columns(
    seed: int, number: int, heights: np.ndarray, noise: float, random: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns round a point, turned and shifted at random; heights, angles."""
    rng = np.random.default_rng(seed + 100)
    heights = heights[rng.integers(len(heights), size=number)] if random else heights
    count = heights.shape[1]
    angle = rng.uniform(-np.pi, np.pi, number)
    shift = rng.uniform(-1.5, 1.5, (number, 2, 1))
    turn = angle[:, None] + 2 * np.pi * np.arange(count) / count
    radius = np.full(count, 7.0) if random else np.linspace(6, 8.5, count)
    x, y = radius * np.cos(turn), -radius * np.sin(turn)
    rows, columns = np.indices((32, 32))
    images = np.zeros((number, 32, 32), np.float32)
    for k in range(count):
        off_x = columns - 15.5 - (x[:, k, None] + shift[:, 0])[..., None]
        off_y = rows - 15.5 - (y[:, k, None] + shift[:, 1])[..., None]
        spot = np.exp(-(off_x**2 + off_y**2) / 8.0)
        images += heights[:, k, None, None] * spot
    images += noise * rng.standard_normal(images.shape)
    return images.astype(np.float32), heights, angle


PARTS: dict[str, Callable[[], list[Row]]] = {
    "svi": svi,
    "grains": grains,
    "tracks": tracks,
    "neighbours": neighbours,
    "calibration": calibration,
    "nuts": nuts,
    "modes": modes,
    "surprise": surprise,
    "factors": factors,
    "classes": classes,
}


if __name__ == "__main__":
    main()
