import numpy as np
import pandas as pd
import pytest

from jaxrvae.sweep.factors import (
    baseline_setting,
    headline_metrics,
    lower_is_better,
    metric_label,
    moving_together,
    ordered,
    short_names,
    take_apart,
)


def table_of(**columns):
    """A table of settings (dots as __) whose metric counts the points."""
    named = {f"config.{k.replace('__', '.')}": v for k, v in columns.items()}
    num = len(next(iter(named.values())))
    return pd.DataFrame(named | {"metric.R": np.arange(num, dtype=float)})


def test_what_varies_is_a_factor_and_the_seed_is_not():
    table = table_of(
        model__seed=[0, 1, 0, 1],
        training__seed=[7, 8, 7, 8],
        data__seed=[0, 0, 1, 1],
        model__decoder=["spatial"] * 4,
        data__kind=["glyphs", "glyphs", "digits", "digits"],
    )
    parts = take_apart(table)
    assert parts.factors == ["data.seed", "data.kind"]
    assert parts.seed_columns == ("model.seed", "training.seed")
    assert parts.seed.tolist() == [0, 1, 0, 1]
    assert parts.setting.tolist() == [0, 0, 1, 1]
    assert parts.fixed == {"model.decoder": "spatial"}
    assert moving_together(parts.settings) == [("data.seed", "data.kind")]


def test_seeds_of_data_that_move_with_the_model_are_averaged_over():
    parts = take_apart(table_of(model__seed=[0, 1, 2, 3], data__seed=[0, 0, 1, 1]))
    assert parts.factors == []
    assert parts.seed_columns == ("model.seed", "data.seed")


def test_a_seed_that_is_the_same_everywhere_is_still_the_seed():
    assert take_apart(table_of(model__seed=[4, 4], a=[1, 2])).seed.tolist() == [4, 4]
    table = table_of(a=[1, 2]).assign(seed=[3, 5])
    assert take_apart(table).seed.tolist() == [3, 5]
    assert take_apart(table_of(a=[1, 2])).seed.tolist() == [0, 0]


def test_values_of_all_kinds_are_told_apart():
    parts = take_apart(
        table_of(
            a=[[1, 2], [1, 2], [1, 3], None],
            b=[True, 1, True, 1],
            c=[0.5, np.nan, 0.5, np.nan],
        )
    )
    assert len(parts.settings) == 4
    assert parts.settings["a"].tolist() == ["[1, 2]", "[1, 2]", "[1, 3]", None]
    assert ordered(parts.settings["c"]) == [0.5, None]
    assert ordered(pd.Series([3, 1, 2])) == [1, 2, 3]
    assert ordered(pd.Series(["b", "a"])) == ["b", "a"]


def test_names_are_as_short_as_they_can_be():
    short = short_names(["model.seed", "data.seed", "a.b.seed", "model.decoder"])
    assert list(short.values()) == ["model.seed", "data.seed", "b.seed", "decoder"]


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("R, worst", False),
        ("median angle error, L, degrees", True),
        ("GMM accuracy", False),
        ("bound, nats per image", False),
        ("seconds", True),
        ("compile_seconds", True),
        ("memory_gb", True),
        ("test loss", True),
        ("accuracy of its classes", False),
    ],
)
def test_direction_goes_by_the_words_of_the_name(name, lower):
    assert lower_is_better(name) is lower


def test_units_stand_in_brackets():
    assert metric_label("bound, nats per image") == "bound (nats per image)"
    assert metric_label("R, worst") == "R, worst"
    assert metric_label("seconds") == "time (s)"


def test_headlines_are_the_known_metrics_else_the_first():
    table = table_of(a=[1, 2]).assign(**{"metric.k-NN accuracy": 0.5, "seconds": 2.0})
    assert headline_metrics(take_apart(table)) == ["k-NN accuracy"]
    table = table_of(a=[1, 2]).assign(**{"metric.none": np.nan})
    assert headline_metrics(take_apart(table)) == ["R"]


def test_baseline_is_the_most_common_setting_that_was_run():
    # ablation: one change at a time from (a=1, b="x")
    parts = take_apart(table_of(a=[2, 3, 1, 1, 1], b=["x", "x", "x", "y", "z"]))
    assert parts.settings.loc[baseline_setting(parts)].tolist() == [1, "x"]
    assert baseline_setting(parts, {"b": "y"}) == 3
    assert baseline_setting(parts, {"config.a": 3}) == 1
    # nobody has the most common values together
    parts = take_apart(table_of(a=[1, 1, 2, 3], b=["x", "y", "z", "z"]))
    assert baseline_setting(parts) == 0
    absent = take_apart(table_of(a=[1.0, np.nan, np.nan], b=[1, 2, 3]))
    assert baseline_setting(absent, {"a": None, "b": 2}) == 1


def test_baselines_that_were_not_run_are_refused():
    parts = take_apart(table_of(a__kind=[1, 1, 2], b=["one", "two", "one"]))
    with pytest.raises(ValueError, match="Did you mean 'a.kind'"):
        baseline_setting(parts, {"a.knd": 1})
    with pytest.raises(ValueError, match="baseline's b must be one of"):
        baseline_setting(parts, {"b": "three"})
    with pytest.raises(ValueError, match="no point has"):
        baseline_setting(parts, {"a.kind": 2, "b": "two"})


def test_tables_without_numbers_are_refused_with_the_next_step():
    with pytest.raises(ValueError, match="no rows: .* Run the sweep"):
        take_apart(pd.DataFrame())
    with pytest.raises(ValueError, match=r"no 'metric\.\*' column.*results.parquet"):
        take_apart(pd.DataFrame({"config.a": [1]}))
    with pytest.raises(ValueError, match="none of the 2 points has a metric"):
        take_apart(table_of(a=[1, 2]).assign(**{"metric.R": np.nan, "seconds": 1.0}))
    with pytest.raises(ValueError, match="Did you mean 'R'"):
        take_apart(table_of(a=[1, 2])).metrics("Rr")
