import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.config import ModelConfig
from jaxrvae.models import apply
from jaxrvae.models.affine import AffineModel
from jaxrvae.models.build import build_model
from jaxrvae.models.steerable import SteerableModel


def images(number=30, channels=2):
    rng = np.random.default_rng(0)
    values = rng.normal(5.0, 0.1, (number, 12, 14, channels))
    values[:, 4:8, 5:9] += 3.0
    return values.astype(np.float32)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, SteerableModel),
        ({"decoder": "affine"}, AffineModel),
        ({"likelihood": "bernoulli"}, AffineModel),
        ({"max_shift": 0.3}, AffineModel),
        ({"max_shift": 0.3, "pose": ("rotation",)}, SteerableModel),
    ],
)
def test_decoder_follows_the_settings(options, kind):
    model = build_model(ModelConfig(**options), images())
    assert isinstance(model, kind)
    assert model.shape == (12, 14, 2)


@pytest.mark.parametrize("decoder", ["steerable", "affine"])
def test_edge_is_the_offset_and_no_scale_is_zero(decoder):
    values = images(channels=2)
    values[..., 1] = 4.0
    model = build_model(ModelConfig(decoder=decoder), values)
    np.testing.assert_allclose(model.offset, [5.0, 4.0], atol=0.02)
    assert (np.asarray(model.scale) > 0).all()


def test_a_mode_of_the_band_has_unit_power():
    values = images(channels=1)
    model = build_model(ModelConfig(pose=("rotation",)), values)
    found = apply.features(model, apply.project(model), jnp.asarray(values), True)
    np.testing.assert_allclose(found["energy"].mean() / model.num_modes, 1, rtol=0.2)


def test_units_of_the_images_do_not_matter():
    """A change of brightness and contrast leaves the features alone."""
    values = images(channels=1)
    found = []
    for recorded in (values, 100 * values - 40):
        model = build_model(ModelConfig(), recorded)
        projection = apply.project(model)
        found.append(apply.features(model, projection, jnp.asarray(recorded), True))
    for name in found[0]:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=2e-3, atol=2e-3)
