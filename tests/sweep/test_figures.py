import itertools

import numpy as np
import pandas as pd
import pytest

from jaxrvae.sweep.figures import (
    draw_effects,
    draw_grid,
    draw_parallel,
    draw_pareto,
    pareto_front,
)
from jaxrvae.sweep.summary import effects, summarize
from jaxrvae.viz import style

METRICS = ["R, worst", "median angle error, worst, degrees"]


def sweep_of(axes, num_seeds=6, seed=0):
    """A full grid of these factors; R falls along the first one."""
    rng = np.random.default_rng(seed)
    rows = []
    for values in itertools.product(*axes.values()):
        place = list(axes.values())[0].index(values[0])
        for own in range(num_seeds):
            length = 0.9 - 0.1 * place + 0.01 * rng.normal()
            rows.append(
                {f"config.{k}": v for k, v in zip(axes, values, strict=True)}
                | {
                    "config.model.seed": own,
                    "metric.R, worst": length,
                    "metric.median angle error, worst, degrees": 20 * (1 - length),
                    "seconds": 60 * (3 - place) * rng.uniform(0.9, 1.1),
                }
            )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def grid():
    return sweep_of(
        {
            "model.decoder": ["spatial", "affine", "steerable"],
            "objective.beta": [0.5, 1.0, 2.0],
        }
    )


def drawn(figure):
    """Draws it, as a file would, and hands it back."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    return figure


def apart(texts):
    """Whether none of the words that are seen covers another's."""
    boxes = [t.get_window_extent() for t in texts if t.get_text() and t.get_visible()]
    return not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_effects_are_dots_with_intervals_one_panel_a_metric(grid):
    found = effects(grid, METRICS)
    figure = drawn(draw_effects(found))
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert len(panels) == 2
    own = found[found["metric"] == METRICS[0]]
    lines = panels[0].lines[1:]  # the first is the baseline's
    np.testing.assert_allclose(
        [line.get_xdata() for line in lines[::2]], own[["low", "high"]]
    )
    np.testing.assert_allclose(
        [float(line.get_xdata()[0]) for line in lines[1::2]], own["difference"]
    )
    words = [tick.get_text() for tick in panels[0].get_yticklabels()]
    assert words[:2] == ["decoder = affine", "decoder = steerable"]
    assert "better →" in panels[0].get_xlabel()
    assert "← better" in panels[1].get_xlabel()
    for axis in panels:
        assert apart(axis.get_xticklabels())
        assert apart(axis.get_yticklabels())
    assert "decoder = spatial" in figure.get_suptitle()


def test_of_many_effects_the_surest_are_drawn():
    table = sweep_of({"a.value": list(np.linspace(0, 1, 60).round(3))}, 5)
    figure = drawn(draw_effects(effects(table, "R, worst")))
    labels = figure.axes[0].get_yticklabels()
    assert len(labels) == 24
    assert apart(labels)
    assert "24 of 59" in figure.get_suptitle()


def test_effects_without_tests_are_open(grid):
    few = grid[grid["config.model.seed"] < 3]
    axis = drawn(draw_effects(effects(few, METRICS[0]))).axes[0]
    marks = [line for line in axis.lines if line.get_marker() == "s"]
    assert len(marks) == 4
    assert {line.get_markerfacecolor() for line in marks} == {"white"}
    with pytest.raises(ValueError, match="no comparison"):
        draw_effects(effects(few, METRICS[0]).iloc[:0])


def test_grid_shows_means_and_worst(grid):
    summary = summarize(grid, METRICS)
    figure = drawn(draw_grid(summary, METRICS[1]))
    axis = figure.axes[0]
    own = summary[summary["metric"] == METRICS[1]]
    image = axis.get_images()[0].get_array()
    np.testing.assert_allclose(image, own["mean"].to_numpy().reshape(3, 3))
    words = [text.get_text() for text in axis.texts]
    assert words[0] == f"{own['mean'].iloc[0]:.2f}"
    assert words[1] == f"[{own['worst'].iloc[0]:.2f}]"
    assert apart(axis.texts)
    gap = summarize(grid[6:], METRICS)
    assert "–" in [
        text.get_text() for text in drawn(draw_grid(gap, METRICS[0])).axes[0].texts
    ]
    with pytest.raises(ValueError, match="two factors that vary; got 1"):
        draw_grid(summarize(grid[:18]), METRICS[0])


def test_parallel_lines_go_through_values_and_metrics(grid):
    figure = drawn(draw_parallel(summarize(grid, METRICS)))
    axis = figure.axes[0]
    lines = np.stack(axis.collections[0].get_segments())
    assert lines.shape == (9, 4, 2)
    best = lines[-1, :, 1]  # drawn last, on top
    np.testing.assert_allclose(best[2:], 1)  # up is better on both
    words = {text.get_text() for text in axis.texts}
    assert {"spatial", "affine", "0.5", "2", "decoder"} <= words
    page = figure.bbox
    for text in axis.texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
    assert apart(axis.texts)


def test_of_many_lines_some_are_drawn_and_gaps_left_out():
    values = list(np.geomspace(0.01, 100, 600))
    table = sweep_of({"b": values}, 1).assign(**{"metric.R, worst": np.arange(600.0)})
    table.loc[:99, "metric.R, worst"] = np.nan
    axis = drawn(draw_parallel(summarize(table, METRICS))).axes[0]
    assert len(axis.collections[0].get_segments()) == 400
    assert axis.get_xlabel() == "400 of 500 settings"
    with pytest.raises(ValueError, match="no line"):
        draw_parallel(summarize(table[:100].assign(**{"metric.R": 1.0, "config.b": 0})))


def test_front_is_that_of_a_slow_loop():
    rng = np.random.default_rng(1)
    cost, quality = rng.integers(0, 9, (2, 60)).astype(float)
    cost[3], quality[5] = np.nan, np.nan
    for lower in (False, True):
        gain = -quality if lower else quality
        slow = [
            np.isfinite(c + g)
            and not np.any((cost <= c) & (gain >= g) & ((cost < c) | (gain > g)))
            for c, g in zip(cost, gain, strict=True)
        ]
        front = pareto_front(cost, quality, lower)
        # of twins, one is enough
        pairs = set(zip(cost[slow], quality[slow], strict=True))
        assert front.sum() == len(pairs)
        assert set(zip(cost[front], quality[front], strict=True)) == pairs


def test_pareto_marks_and_names_the_front(grid):
    summary = summarize(grid, [*METRICS, "seconds"])
    figure = drawn(draw_pareto(summary, METRICS[1]))
    axis = figure.axes[0]
    own = {
        m: summary[summary["metric"] == m]["mean"].to_numpy() for m in summary["metric"]
    }
    front = pareto_front(own["seconds"], own[METRICS[1]], True)
    assert len(axis.lines[-1].get_xdata()) == front.sum()
    assert "lower is better" in axis.get_ylabel().replace("\n", " ")
    assert apart(axis.texts)
    legend = axis.get_legend()
    words = [text.get_text() for text in legend.get_texts()]
    assert any(word.startswith("1: decoder = ") for word in words)
    assert figure.bbox.x1 >= legend.get_window_extent().x1
    with pytest.raises(ValueError, match="Did you mean 'seconds'"):
        draw_pareto(summary, METRICS[0], "second")


def test_draws_into_axes_that_are_given(grid):
    summary = summarize(grid)
    for draw in (
        lambda axis: draw_effects(effects(grid, METRICS[0]), axis),
        lambda axis: draw_grid(summary, METRICS[0], axis),
        lambda axis: draw_parallel(summary, METRICS, axis),
        lambda axis: draw_pareto(summary, METRICS[0], ax=axis),
    ):
        figure, axes = style.new_figure(6, 4)
        assert drawn(draw(axes[0, 0])) is figure
