"""Models whose priors are NumPyro's, from fit to load."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from flax import nnx

import jaxrvae as jr
from jaxrvae.config import ObjectiveConfig
from jaxrvae.data.known import learn_known
from jaxrvae.distributions import VonMises
from jaxrvae.models.fitted import fresh_model
from jaxrvae.objectives.build import make_loss


def normal():
    numpyro.sample("content", dist.Normal(jnp.zeros(2), 1.0).to_event(1))


def classes():
    share = numpyro.param("share", jnp.ones(2) / 2, constraint=dist.constraints.simplex)
    which = numpyro.sample("class", dist.Categorical(share))
    content = numpyro.sample("content", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    near = numpyro.sample("near", dist.HalfNormal(2.0))
    direction = jnp.array([0.0, 1.0])[which] + 0 * content[0]
    numpyro.sample("angle", VonMises(direction, 5 * near))
    numpyro.sample("shift", dist.Normal(jnp.zeros(2), 1.0).to_event(1))


def turned():
    normal()
    numpyro.sample("angle", VonMises(0.4, 2.0))


@pytest.fixture(scope="module")
def glyphs():
    return jr.simulate("glyphs", seed=0, num_images=200, size=16).values


@pytest.fixture(scope="module")
def model(glyphs):
    """With all sites that there are."""
    model = jr.RVAE(hidden_dim=16, prior=classes, num_classes=2)
    return model.fit(glyphs, epochs=2, progress=False)


def losses(images, keys, **settings):
    """Of fresh weights, the same for all priors without weights of their own."""
    config = jr.RVAE(hidden_dim=16, **settings).config
    images = images[..., None]
    fresh = fresh_model(config, learn_known(1, None, len(images)), images)
    found = {n: jnp.asarray(v) for n, v in fresh.features(images).items()}
    loss = jax.jit(make_loss(fresh, True, ObjectiveConfig()))
    return np.array([loss(fresh.params, found, jnp.ones(()), key)[0] for key in keys])


@pytest.mark.parametrize("decoder", ["steerable", "affine"])
def test_the_standard_prior_written_in_numpyro_is_the_standard_prior(glyphs, decoder):
    """The divergence is estimated, no longer in closed form: so the losses' spread."""
    keys = jax.random.split(jax.random.key(0), 12)
    own = losses(glyphs, keys, decoder=decoder)
    other = losses(glyphs, keys, decoder=decoder, prior=normal)
    difference = other - own
    assert difference.mean() == pytest.approx(
        0, abs=float(4 * difference.std() / len(keys) ** 0.5 + 1e-3)
    )


@pytest.mark.parametrize("decoder", ["steerable", "affine"])
def test_a_prior_of_the_angle_is_that_of_the_options(glyphs, decoder):
    """The same density, once as an option and once as a site."""
    keys = [jax.random.key(3)]
    settings = {"loc": 0.4, "concentration": 2.0}
    option = losses(glyphs, keys, decoder=decoder, prior=normal, angle_prior=settings)
    site = losses(glyphs, keys, decoder=decoder, prior=turned)
    np.testing.assert_allclose(site, option, rtol=1e-4)


def test_classes_angle_and_shift_of_a_function(model, glyphs, tmp_path):
    latents = model.encode(glyphs)
    np.testing.assert_allclose(latents.class_probabilities.sum(1), 1, atol=1e-5)
    assert np.isfinite(model.log_evidence(glyphs[:16], 5)).all()
    assert model.manifold((2, 2), label=1).shape == (2, 2, 16, 16)
    model.save(tmp_path / "model.npz")
    again = jr.RVAE.load(tmp_path / "model.npz", prior=classes)
    np.testing.assert_allclose(again.encode(glyphs).angle, latents.angle, atol=1e-3)
    with pytest.raises(ValueError, match="Hand it in"):
        jr.RVAE.load(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"classes:\w+; got .*normal"):
        jr.RVAE.load(tmp_path / "model.npz", prior=normal)


def test_a_run_belongs_to_its_prior(glyphs, tmp_path):
    first = jr.RVAE(hidden_dim=8, prior=normal)
    first.fit(glyphs, epochs=1, run_dir=tmp_path, progress=False)
    other = jr.RVAE(hidden_dim=8, prior=dist.Normal(jnp.zeros(2), 2.0))
    with pytest.raises(jr.RunError):
        other.fit(glyphs, epochs=1, run_dir=tmp_path, progress=False)


def test_a_bad_prior_is_told_before_anything_is_fitted():
    with pytest.raises(ValueError, match="no sample site 'content'"):
        jr.RVAE(prior=lambda: numpyro.sample("z", dist.Normal()))
    with pytest.raises(ValueError, match="content_dim numbers"):
        jr.RVAE(content_dim=3, prior=normal)


def test_draws_of_the_shared_sites_are_those_of_the_key(model):
    prior = nnx.merge(model.fitted.graph, model.fitted.params).prior
    values = [prior.drawn(jax.random.key(i))[0].values["near"] for i in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("prior", ["horseshoe", "stick-breaking"])
def test_priors_by_name(glyphs, prior):
    keys = jax.random.split(jax.random.key(0), 2)
    assert np.isfinite(losses(glyphs, keys, prior=prior)).all()
