import subprocess
import sys

import numpy as np
import pytest

from jaxrvae.config.study import DataConfig, StudyConfig
from jaxrvae.sweep import (
    Sweep,
    chosen,
    conditional,
    grid,
    log_uniform,
    random,
    uniform,
    zipped,
)
from jaxrvae.sweep.axes import points_of
from jaxrvae.sweep.schedule import packed

BASE = StudyConfig(data=DataConfig(kind="glyphs"))


def changes(*axes, seeds=1):
    return [p.changes for p in Sweep(base=BASE, axes=axes, seeds=seeds).points()]


def test_a_grid_is_all_combinations_and_zipped_side_by_side():
    axis = grid({"model.content_dim": [1, 2], "objective.beta": [1.0, 2.0]})
    assert len(changes(axis)) == 4
    axis = zipped({"model.content_dim": [1, 2], "objective.beta": [1.0, 2.0]})
    assert changes(axis) == [
        {"model.content_dim": 1, "objective.beta": 1.0},
        {"model.content_dim": 2, "objective.beta": 2.0},
    ]
    with pytest.raises(ValueError, match="as many values"):
        zipped({"a": [1], "b": [1, 2]})
    with pytest.raises(ValueError, match="needs values"):
        grid({"a": []})


def test_conditional_axes_are_for_some_points_alone():
    family = grid({"model.decoder": ["steerable", "affine"]})
    turns = conditional(
        grid({"model.num_turns": [4, 16]}), lambda p: p["model.decoder"] == "affine"
    )
    found = changes(family, turns)
    assert len(found) == 3
    assert {"model.decoder": "steerable"} in found


def test_random_axes_are_the_same_for_a_seed_and_within_bounds():
    values = {
        "training.learning_rate": log_uniform(1e-4, 1e-2),
        "objective.beta": uniform(1.0, 2.0),
        "model.content_dim": [1, 2, 3],
    }
    one, other = (random(values, 400, seed=3) for _ in range(2))
    assert one == other
    rates = np.log([row["training.learning_rate"] for row in one.changes])
    assert np.log(1e-4) <= rates.min()
    assert rates.max() <= np.log(1e-2)
    spread = np.log(100) / 12**0.5
    assert abs(rates.mean() - np.log(1e-3)) < 5 * spread / 400**0.5
    assert {row["model.content_dim"] for row in one.changes} == {1, 2, 3}


def test_points_are_the_same_however_they_are_reached():
    by_grid = Sweep(base=BASE, axes=[grid({"model.seed": [0, 1]})]).points()
    by_seeds = Sweep(base=BASE, seeds=2).points()
    twice = Sweep(base=BASE, axes=[chosen([{}, {"model.seed": 0}])]).points()
    assert [p.id for p in by_grid] == [p.id for p in by_seeds]
    assert [p.id for p in twice] == [by_grid[0].id]
    assert [p.id for p in points_of([p.config for p in by_grid])] == [
        p.id for p in by_grid
    ]


def test_an_id_is_of_the_content_alone():
    code = (
        "from jaxrvae.config.study import *; from jaxrvae.sweep import Sweep;"
        "print(Sweep(base=StudyConfig(data=DataConfig(kind='glyphs'))).points()[0].id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == Sweep(base=BASE).points()[0].id


def test_ten_thousand_points_are_planned_into_few_programs():
    axes = [
        grid({"objective.beta": [1 + 0.01 * i for i in range(100)]}),
        grid({"model.hidden_dim": range(16, 26)}),
    ]
    points = Sweep(base=BASE, axes=axes, seeds=10).points()
    assert len({point.id for point in points}) == 10_000
    groups = packed(points, 10_000)
    assert len(groups) == 10
    assert all(len(group) == 1000 for group in groups)
    assert sum(len(g) for g in packed(points, 64)) == 10_000
    assert max(len(g) for g in packed(points, 64)) <= 64


def test_a_point_that_cannot_be_is_named():
    with pytest.raises(ValueError, match="point model.content_dim=0: content_dim must"):
        changes(grid({"model.content_dim": [1, 0]}))
    with pytest.raises(TypeError, match="Did you mean 'model.content_dim'"):
        changes(grid({"model.content_dims": [1]}))
