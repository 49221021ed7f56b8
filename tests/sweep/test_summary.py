import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jaxrvae.sweep.summary import (
    effects,
    holm,
    intervals,
    paired_tests,
    signed_rank_p,
    summarize,
)

DECODERS = {"spatial": 0.0, "affine": -0.05, "steerable": 0.0}
NOISES = {0.1: 0.0, 0.2: 0.0, 0.4: 0.03}


def ablation(num_seeds=8, shared=0.1, noise=0.005, rng=None):
    """One change at a time from (spatial, 0.1); a seed has its effect on all."""
    rng = rng or np.random.default_rng(0)
    seeds = shared * rng.normal(size=num_seeds)
    settings = [("spatial", 0.1), ("affine", 0.1), ("steerable", 0.1)]
    settings += [("spatial", 0.2), ("spatial", 0.4)]
    rows = [
        {
            "config.model.decoder": decoder,
            "config.data.options.noise": level,
            "config.model.seed": seed,
            "metric.R, worst": 0.8 + own + seeds[seed] + noise * rng.normal(),
            "metric.angle error, degrees": 5 - 20 * own - 20 * seeds[seed],
            "seconds": 10.0,
        }
        for decoder, level in settings
        for own in [DECODERS[decoder] + NOISES[level]]
        for seed in range(num_seeds)
    ]
    return pd.DataFrame(rows)


def test_summary_is_that_of_scipy_and_knows_the_worst():
    table = ablation()
    found = summarize(table, ["R, worst", "angle error, degrees"])
    assert len(found) == 10
    assert list(found.columns[:2]) == ["model.decoder", "data.options.noise"]
    for (decoder, level), own in table.groupby(
        ["config.model.decoder", "config.data.options.noise"]
    ):
        here = (found["model.decoder"] == decoder) & (
            found["data.options.noise"] == level
        )
        length, error = found[here].to_dict("records")
        value = own["metric.R, worst"].to_numpy()
        low, high = stats.ttest_1samp(value, 0).confidence_interval(0.95)
        np.testing.assert_allclose(
            [length[k] for k in ("mean", "worst", "std", "low", "high")],
            [value.mean(), value.min(), value.std(ddof=1), low, high],
        )
        assert length["num_seeds"] == 8
        assert error["worst"] == own["metric.angle error, degrees"].max()


def test_missing_seeds_and_failed_points_are_stated():
    table = ablation().drop([3])
    table.loc[12, "metric.R, worst"] = np.nan  # seed 4 of the second setting
    found = summarize(table).set_index(["metric", "model.decoder"])
    length = found.loc["R, worst"]
    assert length.loc["spatial", "missing_seeds"].tolist() == ["3", "", ""]
    assert length.loc["affine", "missing_seeds"] == "4"
    assert length.loc["affine", "num_seeds"] == 7
    assert found.loc["seconds"].loc["affine", "missing_seeds"] == ""


def test_one_seed_has_no_interval_and_repeats_are_averaged():
    table = ablation(num_seeds=1)
    found = summarize(table, "R, worst")
    assert found[["std", "low", "high"]].isna().all(axis=None)
    twice = pd.concat([table, table], ignore_index=True)
    again = summarize(twice, "R, worst")
    pd.testing.assert_frame_equal(found, again)


def test_random_points_with_seeds_of_their_own_are_summarized():
    num = 10_000
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "config.objective.beta": rng.uniform(size=num),
            "config.model.seed": np.arange(num),
            "metric.R": rng.uniform(size=num),
        }
    )
    found = summarize(table)
    assert len(found) == num
    assert (found["missing_seeds"] == "").all()
    assert (effects(table, "R")["note"] == "no pairs").all()
    table["config.model.content_dim"] = rng.integers(1, 9999, num)
    assert effects(table, "R").attrs["left_out"] > 9000


def test_intervals_hold_the_mean_as_often_as_they_say():
    num, seeds = 4000, 4
    rng = np.random.default_rng(2)
    table = pd.DataFrame(
        {
            "config.a": np.repeat(np.arange(num), seeds),
            "config.model.seed": np.tile(np.arange(seeds), num),
            "metric.R": rng.normal(0.7, 0.2, num * seeds),
        }
    )
    found = summarize(table, "R")
    held = ((found["low"] < 0.7) & (found["high"] > 0.7)).mean()
    assert abs(held - 0.95) < 5 * (0.95 * 0.05 / num) ** 0.5


def test_planted_effects_are_found_and_others_are_not():
    found = effects(ablation(), "R, worst").set_index(["factor", "value"])
    sure = found["p_t_holm"] < 0.001  # 20 standard errors, or chance once in 1000
    assert set(found.index[sure]) == {
        ("model.decoder", "affine"),
        ("data.options.noise", "0.4"),
    }
    assert found["better"].loc[[("data.options.noise", "0.4")]].all()
    assert not found["better"].loc[[("model.decoder", "affine")]].any()
    assert found.attrs["baseline"] == {
        "model.decoder": "spatial",
        "data.options.noise": 0.1,
    }
    off = found.loc[("data.options.noise", "0.4"), "difference"] - 0.03
    assert abs(off) < 5 * 0.005 * (2 / 8) ** 0.5
    errors = effects(ablation(), "angle error, degrees").set_index(["factor", "value"])
    assert errors.loc[("data.options.noise", "0.4"), "difference"] < 0
    assert errors.loc[("data.options.noise", "0.4"), "better"]


def test_tests_are_those_of_scipy():
    table = ablation(num_seeds=11, noise=0.05)
    found = effects(table, "R, worst")
    value = table["metric.R, worst"].to_numpy().reshape(5, 11)
    for row, own in zip(found.itertuples(), value[1:], strict=True):
        paired = stats.ttest_rel(own, value[0])
        np.testing.assert_allclose(row.p_t, paired.pvalue)
        low, high = paired.confidence_interval(0.95)
        np.testing.assert_allclose([row.low, row.high], [low, high])
        rank = stats.wilcoxon(own, value[0], method="exact")
        np.testing.assert_allclose(row.p_wilcoxon, rank.pvalue)


def test_pairing_removes_what_the_seed_does_to_all_settings():
    found = effects(ablation(shared=1.0), "R, worst")
    alone = summarize(ablation(shared=1.0), "R, worst")
    assert (alone["high"] - alone["low"]).min() > 0.5
    # 95 % of t(7) with standard deviation 0.005 sqrt(2); 3 is far in chi's tail
    most = 3 * 2 * stats.t.ppf(0.975, 7) * 0.005 * (2 / 8) ** 0.5
    assert (found["high"] - found["low"]).max() < most


def test_unpaired_seeds_are_dropped_and_counted():
    table = ablation().drop([0, 9, 10])  # seed 0 of the baseline, 1 and 2 of affine
    found = effects(table, "R, worst").set_index("value")
    assert found.loc["affine", ["num_seeds", "unpaired"]].tolist() == [5, 3]
    assert found.loc["steerable", ["num_seeds", "unpaired"]].tolist() == [7, 1]


def test_few_seeds_are_not_tested():
    found = effects(ablation(num_seeds=4), "R, worst")
    assert (found["note"] == "too few seeds").all()
    assert found[["p_t", "p_wilcoxon", "p_t_holm"]].isna().all(axis=None)
    assert np.isfinite(found[["low", "high"]].to_numpy()).all()
    table = ablation(num_seeds=4)
    table["config.model.seed"] = np.arange(len(table))  # no seed twice
    assert (effects(table, "R, worst")["note"] == "no pairs").all()


def test_factors_that_move_together_are_one_comparison():
    table = ablation()
    level = table["config.data.options.noise"]
    together = table.assign(**{"config.data.size": 32 + (10 * level).astype(int)})
    found = effects(together, "R, worst")
    assert found["factor"].iloc[-1] == "data.options.noise + data.size"
    assert found["value"].iloc[-1] == "0.4 + 36"
    assert len(found) == 4
    turns = table["config.model.decoder"].map({"affine": 8.0})  # known there alone
    found = effects(table.assign(**{"config.model.num_turns": turns}), "R, worst")
    assert found["factor"].iloc[0] == "model.decoder + model.num_turns"
    assert found["value"].iloc[0] == "affine + 8"
    assert found["baseline"].iloc[0] == "spatial + none"
    assert found["factor"].iloc[1] == "model.decoder"
    assert found.attrs["left_out"] == 0


def test_settings_that_differ_in_several_factors_are_left_out():
    table = ablation()
    both = table.iloc[-8:].assign(**{"config.model.decoder": "affine"})
    found = effects(pd.concat([table, both], ignore_index=True), "R, worst")
    assert len(found) == 4
    assert found.attrs["left_out"] == 1


def test_a_baseline_can_be_given_and_several_metrics_are_one_family():
    found = effects(ablation(), "R, worst", {"model.decoder": "affine"})
    assert found["value"].tolist() == ["spatial", "steerable"]
    assert found["difference"].iloc[0] > 0.03
    one, both = (
        effects(ablation(), names) for names in ("R, worst", ["R, worst", "seconds"])
    )
    assert len(both) == 2 * len(one)
    assert (both["p_t_holm"].iloc[:4] >= one["p_t_holm"]).all()


def test_nothing_varies():
    found = effects(ablation().iloc[:8], "R, worst")
    assert len(found) == 0
    assert found.attrs == {"baseline": {}, "left_out": 0}
    assert len(summarize(ablation().iloc[:8])) == 3


def test_families_without_any_effect_are_seldom_taken_for_one():
    families, tests, seeds = 1500, 6, 10
    rng = np.random.default_rng(3)
    base = rng.normal(size=(families, 1, seeds))  # shared: the tests are dependent
    difference = (rng.normal(size=(families, tests, seeds)) - base).ravel()
    group = np.repeat(np.arange(families * tests), seeds)
    found = paired_tests(difference, group, families * tests)
    most = 0.05 + 5 * (0.05 * 0.95 / families) ** 0.5
    for name in ("p_t", "p_wilcoxon"):
        p = found[name].to_numpy().reshape(families, tests)
        assert (p < 0.05).any(1).mean() > most  # uncorrected
        assert np.mean([(holm(own) < 0.05).any() for own in p]) < most
        # one test by itself: at most its level
        assert (p[:, 0] < 0.05).mean() < most


def test_holm_is_that_of_a_slow_loop():
    rng = np.random.default_rng(4)
    p = rng.uniform(size=9) ** 3
    order, slow, so_far = np.argsort(p), np.zeros(9), 0.0
    for place, own in enumerate(order):
        so_far = max(so_far, min(1.0, (9 - place) * p[own]))
        slow[own] = so_far
    np.testing.assert_allclose(holm(p), slow)
    with_gaps = holm(np.insert(p, 4, np.nan))
    np.testing.assert_allclose(np.delete(with_gaps, 4), slow)
    assert np.isnan(with_gaps[4])
    assert len(holm(np.zeros(0))) == 0


@pytest.mark.parametrize(
    "difference",
    [[1, 1, -2, 3, 3, 3, -4], [2, 2, 2, -2, 2, 2], [0, 0, 1, -2, 3, 4, 5, 6]],
)
def test_signed_ranks_with_ties_are_counted_out(difference):
    d = np.array([float(own) for own in difference if own])
    rank = stats.rankdata(np.abs(d))
    sums = [
        rank[np.array(signs)].sum()
        for signs in itertools.product([True, False], repeat=len(d))
    ]
    away = np.abs(np.array(sums) - rank.sum() / 2)
    exact = (away >= abs(rank[d > 0].sum() - rank.sum() / 2) - 1e-9).mean()
    np.testing.assert_allclose(signed_rank_p(np.array(difference, float)), exact)


def test_signed_ranks_of_many_pairs_are_taken_as_normal():
    d = np.random.default_rng(5).normal(0.2, 1, 90)
    expected = stats.wilcoxon(d, method="asymptotic", correction=True).pvalue
    np.testing.assert_allclose(signed_rank_p(d), expected)
    assert signed_rank_p(np.zeros(7)) == 1.0


def test_differences_that_are_all_the_same():
    found = paired_tests(np.repeat([0.0, 2.0], 6), np.repeat([0, 1], 6), 2)
    assert found["p_t"].tolist() == [1.0, 0.0]
    low, high = intervals(np.zeros(1), np.zeros(1), np.array([1]))
    assert np.isnan(low[0])
    assert np.isnan(high[0])
