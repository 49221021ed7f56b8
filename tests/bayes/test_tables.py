import jax.numpy as jnp
import numpy as np
import pytest

import jaxrvae as jr
from jaxrvae.bayes import angle_table
from jaxrvae.data.known import learn_known
from jaxrvae.geometry.circle import wrap
from jaxrvae.models.fitted import fresh_model


def test_a_row_agrees_with_the_modes_that_encode_reports(model, glyphs):
    latents = model.encode(glyphs)
    table = angle_table(model, glyphs, num_angles=360)
    np.testing.assert_allclose(table.prob.sum(1), 1, rtol=1e-4)
    alone = latents.angle_modes[:, 0, 1] > 0.99
    assert alone.mean() > 0.3
    off = np.asarray(wrap(jnp.asarray(table.angle - latents.angle)))[alone]
    assert np.median(abs(off)) < 0.03
    shares = np.median(table.angle_std[alone] / latents.angle_std[alone])
    assert 0.8 < shares < 1.6  # content's and shift's share of the error too


def test_symmetric_tables_are_folded(model, glyphs):
    whole = angle_table(model, glyphs.values[:20], 360)
    folded = angle_table(model, glyphs.values[:20], 360, symmetry=3)
    assert folded.symmetry == 3
    np.testing.assert_allclose(
        folded.prob, whole.prob.reshape(20, 3, 120).sum(1), atol=1e-5
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"decoder": "affine"}, "needs decoder='steerable'"),
        ({"num_classes": 2}, "without classes"),
    ],
)
def test_models_of_another_kind(glyphs, settings, words):
    images = glyphs.values[:50, ..., None]
    config = jr.RVAE(hidden_dim=8, **settings).config
    known = learn_known(config.num_classes, None, 50)
    other = fresh_model(config, known, images)
    with pytest.raises(ValueError, match=words):
        angle_table(other, glyphs)


def test_patches_of_another_shape(model):
    with pytest.raises(jr.DataError, match="Cut them alike"):
        angle_table(model, np.zeros((3, 20, 20)))
    with pytest.raises(ValueError, match="multiple of 4"):
        angle_table(model, np.zeros((3, 24, 24)), num_angles=30)
