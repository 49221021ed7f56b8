import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.bayes import angle_table, sample_posterior
from jaxrvae.geometry.circle import wrap

PATCHES = 8


@pytest.fixture(scope="module")
def chains(model, glyphs):
    return sample_posterior(model, glyphs.values[:PATCHES], num_draws=200)


def test_shapes_and_convergence(chains):
    assert chains.content.shape == (PATCHES, 4, 200, 2)
    assert chains.shift.shape == (PATCHES, 4, 200, 2)
    table = chains.summary()
    assert set(table["site"]) == {
        "angle",
        "shift_x",
        "shift_y",
        "content_0",
        "content_1",
    }
    assert table["r_hat"].median() < 1.01
    assert (table["r_hat"] < 1.1).all()
    assert table["effective"].median() > 200
    assert 0.6 < chains.accepted.mean() < 1.0
    assert chains.divergent.sum() < 0.01 * chains.angle.size


def test_angles_are_those_of_the_exact_grid(model, glyphs, chains):
    """The same posterior, once by sums over the grid, once by its draws."""
    table = angle_table(model, glyphs.values[:PATCHES], 360, num_samples=200)
    draws = chains.angle.reshape(PATCHES, -1)
    moment = np.exp(1j * draws).mean(1)
    # 100 effective draws at least
    assert abs(moment - table.moment).max() < 4 * np.sqrt(
        (1 - abs(table.moment) ** 2).max() / 100
    )
    narrow = table.angle_std < 0.3
    spread = np.asarray(wrap(jnp.asarray(draws - np.angle(moment)[:, None]))).std(1)
    np.testing.assert_allclose(spread[narrow], table.angle_std[narrow], rtol=0.15)


def test_content_is_where_the_encoder_says(model, glyphs, chains):
    latents = model.encode(glyphs.values[:PATCHES])
    mean, std = chains.content.mean((1, 2)), chains.content.std((1, 2))
    assert np.median(abs(mean - latents.content) / std) < 1.5
    assert 0.3 < np.median(std / latents.content_std) < 2


def test_weights_of_the_modes(chains):
    np.testing.assert_allclose(chains.weights.sum(1), 1)
    sure = chains.grid_weights[:, 0] > 0.999
    assert (chains.weights[sure, 0] > 0.95).all()


def test_what_has_not_converged_is_said(chains):
    apart = chains.content.copy()
    apart[3, 0] += 5.0
    bad = dataclasses.replace(chains, content=apart)
    lines = bad.problems(1.1)
    assert any("'content_0', 4 chains x 200 draws: R-hat above 1.1" in x for x in lines)
    assert any("at patch 3" in line for line in lines)
    assert not [line for line in chains.problems(1.2) if "R-hat" in line]


def test_one_draw_is_refused(model, glyphs):
    with pytest.raises(ValueError, match="num_chains"):
        sample_posterior(model, glyphs.values[:2], num_chains=0)


def test_draws_go_to_arviz(chains):
    found = chains.to_inference_data(2)
    assert found.posterior["content"].shape == (4, 200, 2)
    np.testing.assert_allclose(found.posterior["angle"], chains.angle[2])
