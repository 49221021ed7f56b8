import warnings

import numpy as np
import pytest

import jaxrvae as jr
from jaxrvae.bayes import compare_evidence, to_inference_data
from jaxrvae.bayes.arviz import load_arviz
from jaxrvae.data.known import learn_known
from jaxrvae.models.fitted import fresh_model


def test_the_better_model_comes_first(model, glyphs):
    held = jr.simulate("glyphs", seed=9, num_images=40, size=24, noise=0.3).values
    images = glyphs.values[..., None]
    poor = fresh_model(jr.RVAE(hidden_dim=8).config, learn_known(1, None, 600), images)
    table = compare_evidence({"poor": poor, "good": model}, held, 20)
    assert list(table.index) == ["good", "poor"]
    assert table.loc["good", "behind"] == 0
    assert table.loc["poor", "behind"] > 10 * table.loc["poor", "behind_se"]
    assert table.loc["good", "nats"] == pytest.approx(
        float(model.log_evidence(held, 20).mean()), rel=1e-5
    )
    assert 0 <= table.loc["good", "doubtful"] <= 1


def test_leave_one_out_by_arviz(model, glyphs):
    found = to_inference_data(model, glyphs.values[:40], num_draws=20, num_samples=20)
    assert found.log_likelihood["image"].shape == (1, 20, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few draws: some shapes are too large
        loo = load_arviz().loo(found)
    evidence = found.log_likelihood["image"].values.mean((0, 1)).sum()
    assert loo.elpd_loo < evidence + 1
    assert loo.p_loo > 0


def test_models_and_patches_that_do_not_go_together(model):
    with pytest.raises(ValueError, match="one at least"):
        compare_evidence({}, np.zeros((3, 24, 24)))
    with pytest.raises(jr.DataError, match=r"model 'a' was fitted on \(24, 24, 1\)"):
        compare_evidence({"a": model}, np.ones((3, 20, 20)))
