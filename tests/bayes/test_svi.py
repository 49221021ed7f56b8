import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import Trace_ELBO, TraceMeanField_ELBO

import jaxrvae as jr
from jaxrvae.bayes import fit_svi, numpyro_program
from jaxrvae.config import ObjectiveConfig
from jaxrvae.objectives.build import make_loss


def test_the_program_has_the_bound_of_the_model(model, glyphs):
    """NumPyro's own sum over the program's sites, against the loss that `fit` takes."""
    program, guide = numpyro_program(model, glyphs)
    fitted = model.fitted
    images = glyphs.values[..., None]
    batch = {n: jnp.asarray(v) for n, v in fitted.features(images).items()}
    loss = make_loss(fitted, True, ObjectiveConfig())
    keys = jax.random.split(jax.random.key(0), 8)
    native = [loss(fitted.params, batch, jnp.ones(()), key)[0] for key in keys]
    elbo = TraceMeanField_ELBO()
    found = [elbo.loss(key, {}, program, guide, batch) for key in keys]
    spread = np.std(native, ddof=1) + np.std(found, ddof=1)
    assert np.mean(found) == pytest.approx(np.mean(native), abs=4 * spread + 1e-3)


def test_part_of_the_patches_stands_for_all(model, glyphs):
    program, guide = numpyro_program(model, glyphs)
    images = glyphs.values[..., None]
    batch = {n: jnp.asarray(v) for n, v in model.fitted.features(images).items()}
    half = {n: v[::2] for n, v in batch.items()}
    other = {n: v[1::2] for n, v in batch.items()}
    elbo, key = Trace_ELBO(4), jax.random.key(1)
    whole = elbo.loss(key, {}, program, guide, batch)
    parts = [elbo.loss(key, {}, program, guide, part) for part in (half, other)]
    assert np.mean(parts) == pytest.approx(float(whole), abs=1.0)


def test_svi_trains(glyphs):
    own = jr.RVAE(hidden_dim=32).fit(glyphs, epochs=30, progress=False)
    other = fit_svi(jr.RVAE(hidden_dim=32), glyphs, epochs=30)
    evidence = [m.log_evidence(glyphs, 30).mean() for m in (own, other)]
    assert evidence[1] == pytest.approx(evidence[0], rel=0.02)
    assert list(other.history["epoch"]) == list(range(30))
    assert other.encode(glyphs).angle.shape == (600,)


def test_shared_sites_are_for_fit():
    def shared():
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        numpyro.sample("content", dist.Normal(jnp.zeros(2), scale).to_event(1))

    images = jr.simulate("glyphs", seed=0, num_images=60, size=16)
    with pytest.raises(ValueError, match="share site 'scale'; take RVAE.fit"):
        fit_svi(jr.RVAE(hidden_dim=8, prior=shared), images, epochs=1)
