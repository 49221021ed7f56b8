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


@pytest.fixture(scope="module")
def traced(model, glyphs):
    """Program and guide, all features, and the bound of all by a key."""
    program, guide = numpyro_program(model, glyphs)
    images = glyphs.values[..., None]
    batch = {n: jnp.asarray(v) for n, v in model.fitted.features(images).items()}
    elbo = jax.jit(lambda k: TraceMeanField_ELBO().loss(k, {}, program, guide, batch))
    return program, guide, batch, elbo


def test_the_program_has_the_bound_of_the_model(model, traced):
    """NumPyro's own sum over the program's sites, against the loss that `fit` takes."""
    _, _, batch, elbo = traced
    fitted = model.fitted
    loss = jax.jit(make_loss(fitted, True, ObjectiveConfig()))
    keys = jax.random.split(jax.random.key(0), 8)
    native = [float(loss(fitted.params, batch, jnp.ones(()), key)[0]) for key in keys]
    found = [float(elbo(key)) for key in keys]
    spread = np.std(native, ddof=1) + np.std(found, ddof=1)
    assert np.mean(found) == pytest.approx(np.mean(native), abs=2 * spread + 1e-3)


def test_part_of_the_patches_stands_for_all(traced):
    """By another of NumPyro's estimates, which does not know the divergence."""
    program, guide, batch, whole = traced
    half = {n: v[::2] for n, v in batch.items()}
    other = {n: v[1::2] for n, v in batch.items()}
    elbo = jax.jit(lambda b: Trace_ELBO(2).loss(key, {}, program, guide, b))
    key = jax.random.key(1)
    parts = [float(elbo(part)) for part in (half, other)]
    assert np.mean(parts) == pytest.approx(float(whole(key)), abs=1.0)


def test_svi_trains(glyphs):
    """To the loss that `fit` reaches in as many steps."""
    images = glyphs.values[:, 4:-4, 4:-4]
    settings = {"hidden_dim": 16, "pose": ("rotation",)}
    one = jr.RVAE(**settings).fit(images, epochs=40, batch_size=60, progress=False)
    other = fit_svi(jr.RVAE(**settings), images, epochs=40, batch_size=60)
    ends = [m.history["loss"].iloc[-10:].mean() for m in (one, other)]
    assert ends[1] == pytest.approx(ends[0], rel=0.02)
    assert ends[1] < other.history["loss"].iloc[0] - 1
    assert list(other.history["epoch"]) == list(range(40))
    assert other.encode(images).angle.shape == (600,)


def test_shared_sites_are_for_fit():
    def shared():
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        numpyro.sample("content", dist.Normal(jnp.zeros(2), scale).to_event(1))

    images = jr.simulate("glyphs", seed=0, num_images=60, size=16)
    with pytest.raises(ValueError, match="share site 'scale'; take RVAE.fit"):
        fit_svi(jr.RVAE(hidden_dim=8, prior=shared), images, epochs=1)
