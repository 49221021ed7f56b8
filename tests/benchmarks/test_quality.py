import dataclasses
import types

import numpy as np
import pandas as pd
import pytest

from benchmarks import quality
from benchmarks.quality_fits import Row, counted, measured, simulate, turned
from benchmarks.quality_graphene import (
    KINDS,
    SILICON_BOND,
    SYMMETRY,
    simulate_patches,
    structure,
)
from benchmarks.quality_rows import DOSES, ROWS
from benchmarks.quality_scores import (
    class_accuracy,
    coverage,
    pose_measures,
    turn_measures,
    without_gauge,
)
from jaxrvae.simulate.graphene import BOND


def blobs(number, seed):
    """Two classes, well apart, with shear along the second content number."""
    rng = np.random.default_rng(seed)
    truth = pd.DataFrame(
        {
            "shape": np.arange(number) % 2,
            "angle": rng.uniform(-np.pi, np.pi, number),
            "shear": rng.uniform(-0.3, 0.3, number),
        }
    )
    content = truth[["shape", "shear"]].to_numpy() * [5.0, 1.0]
    return {"content": content, "angle": truth["angle"] + 0.5, "truth": truth}


def test_a_perfect_program_has_perfect_measures():
    found = pose_measures(blobs(400, 0), blobs(200, 1), "shear")
    assert found["R"] == pytest.approx(1)
    assert found["median deg"] == pytest.approx(0, abs=1e-6)
    assert found["GMM"] == 1
    assert found["factor R2"] > 0.99


def test_the_gauge_takes_off_what_follows_the_shear_and_nothing_else():
    rng = np.random.default_rng(0)
    shear, noise = rng.uniform(-0.3, 0.3, 500), rng.normal(0, 0.05, 500)
    drift = 0.6 * shear - 0.5 * shear**2 + 0.1
    left = without_gauge(drift + noise, shear)
    assert np.std(left) == pytest.approx(0.05, rel=0.1)
    lost = rng.uniform(-np.pi, np.pi, 500)  # chance stays chance
    assert abs(np.exp(1j * without_gauge(lost, shear)).mean()) < 0.15


def test_chance_is_no_better_with_symmetry():
    known, found = blobs(400, 0), blobs(200, 1)
    angle = found["angle"] + np.random.default_rng(2).integers(0, 3, 200) * 2.0944
    symmetric = found["truth"].assign(symmetry=3)
    whole = pose_measures(known, {**found, "angle": angle}, None)
    modulo = {**found, "angle": angle, "truth": symmetric}
    assert whole["R"] < 0.3
    assert pose_measures(known, modulo, None)["R"] > 0.999


def test_intervals_of_the_right_width_cover_as_they_say():
    rng = np.random.default_rng(0)
    truth = pd.DataFrame({"shape": np.repeat([0, 1], 4000), "angle": 0.0})
    error, std = rng.normal(0, 0.02, 8000), np.full(8000, 0.02)
    assert coverage(error, std, truth)["off by"] < 4  # five standard errors of 50 %
    assert coverage(error, std / 2, truth)["off by"] > 20


def test_a_known_turn_leaves_no_drift():
    rng = np.random.default_rng(0)
    content, angle = rng.normal(size=(100, 2)), rng.uniform(-np.pi, np.pi, 100)
    turn = rng.uniform(-np.pi, np.pi, 100)
    after = {"content": content + 0.01, "angle": angle + turn}
    found = turn_measures({"content": content, "angle": angle}, after, turn)
    assert found["content drift %"] == pytest.approx(1, rel=0.2)
    assert found["angle drift deg"] == pytest.approx(0, abs=1e-9)


class Compass:
    """Reads the angle of an image off its brightest direction; content is its mass."""

    def encode(self, images):
        half = (images.shape[1] - 1) / 2
        y, x = np.mgrid[-half : half + 1, -half : half + 1]
        moment = (images * (x - 1j * y) ** 2).sum((1, 2))  # of an elongated shape
        content = images.sum((1, 2))[:, None]
        return types.SimpleNamespace(content=content, angle=np.angle(moment) / 2)


def test_inputs_are_turned_counter_clockwise():
    row = Row(name="toy", size=24, num_test=40, data={"num_shapes": 1, "shift": 0.0})
    found = turned(row, Compass(), 0)
    for suffix in ("", ", image"):  # an axis has no ends: some are off by 180 degrees
        assert found[f"angle drift deg median{suffix}"] < 2


def test_classes_without_names_are_matched():
    probabilities = np.eye(3)[[1, 1, 2, 0]]
    truth = np.array([0, 0, 1, 2])
    assert class_accuracy(probabilities, truth, named=False) == 1
    assert class_accuracy(probabilities, truth, named=True) == 0


@pytest.mark.parametrize(("kind", "order"), [*zip(KINDS, SYMMETRY, strict=True)])
def test_structures_are_centred_and_have_their_symmetry(kind, order):
    positions, brightness = structure(kind)
    near = np.linalg.norm(positions, axis=1) < 3 * BOND
    inner, weight = positions[near], brightness[near]
    assert np.abs(inner).sum(1).min() == 0
    cos, sin = np.cos(2 * np.pi / 3), np.sin(2 * np.pi / 3)
    turned = inner @ np.array([[cos, sin], [-sin, cos]])
    gap = np.abs(turned[:, None] - inner[None]).sum(-1)
    same = gap.min(1).max() < 1e-6 and (weight[gap.argmin(1)] == weight).all()
    assert same == (order == 3)


def test_silicon_is_bright_and_stands_off():
    positions, brightness = structure("next to Si")
    silicon = positions[brightness.argmax()]
    assert silicon == pytest.approx([SILICON_BOND, 0.0])
    assert (brightness > 1).sum() == 1


def test_patches_show_the_strain_along_their_angle():
    patches = simulate_patches(0, 40, size=16)
    assert patches.values.shape == (40, 16, 16)
    assert patches.truth["strain"].abs().max() <= 0.08
    silicon = (patches.truth["shape"] == KINDS.index("Si")).to_numpy()
    middle = patches.values[:, 7:9, 7:9].mean((1, 2))
    assert middle[silicon].min() > middle[~silicon].max()


def test_counts_have_the_mean_that_is_asked():
    image = np.ones((1, 200, 200), np.float32)
    assert counted(image, 4.0, 0).mean() == pytest.approx(4, abs=0.05)
    assert counted(0 * image, 4.0, 0).mean() == pytest.approx(0.4, abs=0.02)


def test_rows_have_names_of_their_own_and_limits_that_can_be_read():
    names = [(row.name, row.size) for row in [*ROWS, *DOSES]]
    assert len(set(names)) == len(names)
    for row in ROWS:
        assert row.asked
        for limit in row.asked.values():
            sign, number = limit.split()
            assert sign in (">=", "<=")
            float(number)


def test_ours_and_a_peer_are_compared_at_their_worst_and_best():
    row = Row(name="toy", asked={"R": ">= 0.9", "median deg": "<= 2"})
    mine = [{"R": 0.95, "median deg": 1.0}, {"R": 0.92, "median deg": 3.0}]
    theirs = {"pyroved": [{"R": 0.3, "median deg": 40.0}, {"R": 0.5, "median deg": 2}]}
    first, second = quality.compare(row, mine, theirs)
    assert (first["ours"], first["holds"], first["ahead"]) == (0.92, True, True)
    assert first["pyroVED"] == "0.3 to 0.5 (2)"
    assert (second["ours"], second["holds"], second["ahead"]) == (3.0, False, False)


def test_what_was_not_run_is_said():
    row = Row(name="toy", peers={"pyroved": {}, "atomai": {}})
    said = quality.not_run([row], [[{"R": 1.0}]], [{"pyroved": [], "atomai": [{}]}])
    assert said == "Not run: toy, 24 x 24 (pyroVED)."
    assert quality.not_run([row], [[{"R": 1.0}]], [{}]) == ""


@pytest.mark.very_slow
def test_a_fit_is_kept_and_read_again(tmp_path, compile_once):
    toy = Row(
        name="toy",
        measures=("pose", "calibration"),
        size=12,
        num_train=100,
        num_test=60,
        epochs=1,
        model={"hidden_dim": 8},
        asked={"R": ">= 0"},
    )
    assert measured(toy, "ours", 0, tmp_path, kept_only=True) is None
    first = measured(toy, "ours", 0, tmp_path)
    assert {"R", "GMM", "off by"} <= set(first)
    assert measured(toy, "ours", 0, tmp_path) == first
    renamed = dataclasses.replace(toy, name="again", asked={})
    assert measured(renamed, "ours", 0, tmp_path) == first
    assert len(list(tmp_path.iterdir())) == 1
    images, truth = simulate(toy, 0, 10)
    assert (len(images), len(truth)) == (10, 10)


def test_curves_are_drawn(tmp_path):
    runs = [
        [dict.fromkeys(quality.DOSE_MEASURES, 0.5 + seed) for seed in range(2)]
        for _ in DOSES
    ]
    quality.draw(DOSES, runs, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    lines = quality.dose_lines(DOSES, runs)
    assert [line["R"] for line in lines] == [1.0] * len(DOSES)
