import numpy as np
import pandas as pd
import pytest

from jaxrvae.sweep.compare import compare_sweeps, comparison_section


def sweep_of(settings, num_seeds=8, gain=None, seeds=None, **constants):
    """R of settings (decoder, beta), with a seed's effect that all sweeps share."""
    gain = gain or {}
    rng = np.random.default_rng(len(constants) + len(gain))
    shared = np.random.default_rng(0).normal(0, 0.2, 99)
    rows = [
        {
            "config.model.decoder": decoder,
            "config.objective.beta": beta,
            "config.model.seed": seed,
            "metric.R": 0.5 + shared[seed] + gain.get(decoder, 0) + 0.01 * noise,
            "metric.angle error": 9 - gain.get(decoder, 0) - 0.01 * noise,
            "seconds": 3.0,
        }
        for decoder, beta in settings
        for seed in (range(num_seeds) if seeds is None else seeds)
        for noise in [rng.normal()]
    ]
    return pd.DataFrame(rows).assign(**constants)


GRID = [(decoder, beta) for decoder in ("spatial", "affine") for beta in (1, 2)]


def test_a_gain_is_found_where_it_is_and_the_seed_cancels():
    found = compare_sweeps(
        sweep_of(GRID), sweep_of(GRID, gain={"affine": 0.05}), ["R", "angle error"]
    )
    assert list(found.columns[:3]) == ["model.decoder", "objective.beta", "metric"]
    assert len(found) == 8
    sure = found["p_t_holm"] < 0.001  # 10 standard errors, or chance once in 1000
    assert (sure == (found["model.decoder"] == "affine")).all()
    assert found["better"][sure].all()
    length = found[sure & (found["metric"] == "R")]
    assert (np.abs(length["difference"] - 0.05) < 5 * 0.01 * (2 / 8) ** 0.5).all()
    assert (length["std"] < 0.1).all()
    np.testing.assert_allclose(
        found["second"] - found["first"], found["difference"], atol=1e-12
    )


def test_what_one_alone_has_is_counted_and_said():
    first = sweep_of(GRID, **{"config.data.size": 32, "config.old": 1})
    second = sweep_of(
        [*GRID[1:], ("steerable", 1)],
        seeds=range(1, 9),
        **{"config.data.size": 48, "config.new": None},
    )
    found = compare_sweeps(first, second)
    assert len(found) == 3 * 2
    assert found.attrs == {
        "only_first": 1,
        "only_second": 1,
        "differs": {"data.size": (32, 48)},
        "ignored": ["old", "new"],
    }
    assert (found["num_seeds"] == 7).all()
    assert (found["unpaired"] == 2).all()
    text = comparison_section(found, "before", "after")
    assert text.startswith("## after against before\n\n3 settings in both; 1 in before")
    assert "`data.size` (32 → 48)" in text
    assert "Ignored, because one alone has it: `old`, `new`." in text
    assert "| decoder | beta | pairs |" in text


def test_numbers_match_whatever_their_type():
    first, second = sweep_of(GRID), sweep_of(GRID)
    second["config.objective.beta"] = second["config.objective.beta"].astype(float)
    assert len(compare_sweeps(first, second, "R")) == 4
    second["config.objective.beta"] = second["config.objective.beta"].astype(object)
    second.loc[0:7, "config.objective.beta"] = None
    found = compare_sweeps(first, second, "R")
    assert found.attrs["only_first"] == 1
    assert found.attrs["only_second"] == 1


def test_a_setting_that_varies_in_one_and_is_constant_in_the_other_matches():
    second = sweep_of([("affine", 2)])
    found = compare_sweeps(sweep_of(GRID), second, "R")
    assert found[["model.decoder", "objective.beta"]].to_numpy().tolist() == [
        ["affine", 2]
    ]
    assert found.attrs["only_first"] == 3


def test_sweeps_of_seeds_alone_are_one_setting():
    one = [("affine", 1)]
    found = compare_sweeps(sweep_of(one), sweep_of(one, gain={"affine": 0.3}), "R")
    assert len(found) == 1
    assert found["p_t"].iloc[0] < 1e-6
    assert "1 setting in both" in comparison_section(found)


def test_few_or_no_pairs_are_said():
    found = compare_sweeps(sweep_of(GRID, 3), sweep_of(GRID, 3), "R")
    assert (found["note"] == "too few seeds").all()
    assert "Too few pairs" in comparison_section(found)
    found = compare_sweeps(sweep_of(GRID), sweep_of(GRID, seeds=range(20, 26)), "R")
    assert (found["note"] == "no pairs").all()
    assert found["first"].isna().all()
    found = compare_sweeps(sweep_of(GRID), sweep_of([("other", 1)]), "R")
    assert len(found) == 0
    assert "Nothing can be compared" in comparison_section(found)


def test_sweeps_that_cannot_be_matched_are_refused():
    known = sweep_of(GRID)
    with pytest.raises(ValueError, match="'model.decoder' varies in the second"):
        compare_sweeps(known.drop(columns="config.model.decoder"), known)
    with pytest.raises(ValueError, match="Did you mean 'R'"):
        compare_sweeps(known, known, "Rr")
    other = known.drop(columns=["metric.R", "metric.angle error"])
    with pytest.raises(ValueError, match="Name the metrics"):
        compare_sweeps(known, other.assign(**{"metric.bound": 1.0}))
