"""Models whose priors are NumPyro's, from fit to load."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from flax import nnx

import jaxrvae as jr
from jaxrvae.distributions import VonMises

EPOCHS = 6


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


@pytest.fixture(scope="module")
def glyphs():
    return jr.simulate("glyphs", seed=0, num_images=400, size=24)


def fitted(images, **settings):
    model = jr.RVAE(hidden_dim=32, **settings)
    return model.fit(images, epochs=EPOCHS, progress=False)


@pytest.mark.parametrize("decoder", ["steerable", "affine"])
def test_the_standard_prior_written_in_numpyro_is_the_standard_prior(glyphs, decoder):
    """All else being equal; the divergence is estimated, no longer in closed form."""
    own = fitted(glyphs, decoder=decoder)
    other = fitted(glyphs, decoder=decoder, prior=normal)
    evidence = [model.log_evidence(glyphs, 30) for model in (own, other)]
    difference = evidence[1] - evidence[0]
    assert abs(difference.mean()) < 0.02 * abs(evidence[0].mean())
    net = nnx.merge(own.fitted.graph, own.fitted.params)
    assert net.prior is None
    found = other.encode(glyphs)
    assert found.content.shape == (400, 2)


def test_classes_angle_and_shift_of_a_function(glyphs, tmp_path):
    model = fitted(glyphs, prior=classes, num_classes=2)
    latents = model.encode(glyphs)
    np.testing.assert_allclose(latents.class_probabilities.sum(1), 1, atol=1e-5)
    assert np.isfinite(model.log_evidence(glyphs[:50], 5)).all()
    assert model.manifold((2, 2), label=1).shape == (2, 2, 24, 24)
    model.save(tmp_path / "model.npz")
    again = jr.RVAE.load(tmp_path / "model.npz", prior=classes)
    np.testing.assert_allclose(again.encode(glyphs).angle, latents.angle, atol=1e-3)
    with pytest.raises(ValueError, match="Hand it in"):
        jr.RVAE.load(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"classes:\w+; got .*normal"):
        jr.RVAE.load(tmp_path / "model.npz", prior=normal)


def test_a_prior_of_the_angle_is_that_of_the_options(glyphs):
    """The same density, once as an option and once as a site."""

    def turned():
        normal()
        numpyro.sample("angle", VonMises(0.4, 2.0))

    option = fitted(glyphs, angle_prior={"loc": 0.4, "concentration": 2.0})
    site = fitted(glyphs, prior=turned)
    evidence = [model.log_evidence(glyphs, 30).mean() for model in (option, site)]
    assert evidence[1] == pytest.approx(evidence[0], rel=0.02)


def test_members_and_a_stopped_run(glyphs, tmp_path):
    model = jr.RVAE(hidden_dim=16, prior=normal)
    model.fit(glyphs, epochs=2, seeds=2, run_dir=tmp_path, progress=False)
    again = jr.RVAE(hidden_dim=16, prior=normal)
    again.fit(glyphs, epochs=2, seeds=2, run_dir=tmp_path, progress=False)
    first, second = (m.encode(glyphs[:20]).content for m in (model, again))
    np.testing.assert_allclose(first, second, atol=1e-5)
    other = jr.RVAE(hidden_dim=16, prior=dist.Normal(jnp.zeros(2), 2.0))
    with pytest.raises(jr.RunError):
        other.fit(glyphs, epochs=2, seeds=2, run_dir=tmp_path, progress=False)


def test_a_bad_prior_is_told_before_anything_is_fitted():
    with pytest.raises(ValueError, match="no sample site 'content'"):
        jr.RVAE(prior=lambda: numpyro.sample("z", dist.Normal()))
    with pytest.raises(ValueError, match="content_dim numbers"):
        jr.RVAE(content_dim=3, prior=normal)


def test_draws_of_the_shared_sites_are_those_of_the_key(glyphs):
    model = fitted(glyphs, prior=classes, num_classes=2)
    prior = nnx.merge(model.fitted.graph, model.fitted.params).prior
    values = [prior.drawn(jax.random.key(i))[0].values["near"] for i in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
