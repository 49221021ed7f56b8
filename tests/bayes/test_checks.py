import dataclasses
import types

import jax
import numpy as np
import pytest

import jaxrvae as jr
from jaxrvae.analysis.ensemble import Ensemble
from jaxrvae.bayes import (
    calibrate,
    last_layer,
    member_std,
    predictive,
    prior_predictive,
    surprise,
)


def test_truths_rank_evenly(model):
    found = calibrate(model, num_patches=96, num_draws=60, seed=3)
    table = found.table().set_index("site")
    assert list(table.index) == [
        "angle",
        "shift_x",
        "shift_y",
        "content_0",
        "content_1",
    ]
    assert (table["p of even ranks"] > 0.001).all()
    # 95 % of 96: 3 standard deviations are 7 %.
    assert (table["inside 95 %"] > 0.88).all()
    assert (table["inside 95 %"] <= 1.0).all()


def test_draws_before_any_patch(model, glyphs):
    found = prior_predictive(model, 300, seed=1)
    assert found["images"].shape == (300, 24, 24, 1)
    noise = (found["images"] - found["clean"]).std()
    net = model.fitted
    assert noise == pytest.approx(glyphs.values[:, :3, :3].std(), rel=0.5)
    read = model.encode(found["images"])
    sure = read.angle_modes[:, 0, 1] > 0.95
    off = np.angle(np.exp(1j * (read.angle - found["angle"])))[sure]
    assert np.median(abs(off)) < 0.2
    assert np.corrcoef(read.shift[sure, 0], found["shift"][sure, 0])[0, 1] > 0.5
    assert net.config.content_dim == found["content"].shape[1]


def test_expected_images_look_like_the_patches(model, glyphs):
    made = predictive(model, glyphs.values[:50], num_draws=10)
    assert made.shape == (50, 10, 24, 24, 1)
    expected = made.std(1).mean()
    left = glyphs.values[:50, ..., None] - made.mean(1)
    assert left.std() == pytest.approx(expected, rel=0.35)


def test_what_was_never_seen_surprises(model, glyphs):
    strange = glyphs.values[:100].copy()
    rng = np.random.default_rng(0)
    for image in strange[:50]:
        row, column = rng.integers(4, 20, 2)
        image[row - 1 : row + 2, column - 1 : column + 2] += 1.5
    score = surprise(model, strange, glyphs)
    planted, others = score[:50], score[50:]
    area = (planted[:, None] > others).mean()
    assert area > 0.95
    with pytest.raises(jr.DataError, match="8 patches"):
        surprise(model, strange, strange[:3])


def test_the_last_layer_is_less_known_where_there_are_no_patches(model, glyphs):
    known = last_layer(model, glyphs)
    content = model.encode(glyphs).content
    inside = known.coefs_std(content).mean()
    assert known.coefs_std(np.full((1, 2), 6.0))[0] > 2 * inside
    images = known.image_std(content[:3])
    assert images.shape == (3, 24, 24, 1)
    fewer = last_layer(model, glyphs.values[:60])
    assert fewer.coefs_std(content).mean() > 1.5 * inside


def test_the_last_layer_against_its_draws(model, glyphs):
    """The spread of images decoded with drawn weights."""
    known = last_layer(model, glyphs)
    content = model.encode(glyphs.values[:4]).content
    made = []
    for i in range(200):
        params = known.draw(jax.random.key(i))
        drawn = dataclasses.replace(
            model.fitted, params=params, gauge=model.fitted.gauge
        )
        canonical = drawn.decode(content, 0.0, (0.0, 0.0), 1.0)
        made.append(canonical)
    spread = np.std(made, axis=0)
    # at the decoder's own turn, which moves as little as the image does
    ratio = spread.mean((1, 2, 3)) / known.image_std(content).mean((1, 2, 3))
    assert ((0.6 < ratio) & (ratio < 2.0)).all()


def test_members_of_an_ensemble(model, glyphs):
    """Two of them, the second with another last layer."""
    params = last_layer(model, glyphs).draw(jax.random.key(0))
    members = model.fitted, dataclasses.replace(model.fitted, params=params)
    several = types.SimpleNamespace(ensemble=Ensemble(members, (), 0))
    images = glyphs.values[:5]
    made = []
    for member in members:
        found = member.encode({"images": images[..., None]})
        pose = found["angle"], found["shift"], found["scale"]
        made.append(member.decode(found["content"], *pose))
    expected = abs(made[0] - made[1]) / 2**0.5
    assert expected.max() > 1e-3
    np.testing.assert_allclose(member_std(several, images), expected, atol=1e-5)
    with pytest.raises(ValueError, match="seeds=8"):
        member_std(model, images)
