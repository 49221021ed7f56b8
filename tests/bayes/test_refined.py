import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxrvae as jr
from jaxrvae.bayes.refined import _climbed, _even_normals, refine


def test_steps_reach_a_normal_posterior():
    """Of a log density with known curvature, from afar; mean and std are exact."""
    rng = np.random.default_rng(0)
    target = jnp.asarray(rng.standard_normal((20, 3)), jnp.float32)
    std = jnp.asarray(rng.uniform(0.1, 1.0, (20, 3)), jnp.float32)

    def bound(posterior):
        mean, log_std = posterior
        square = jnp.square(mean - target) + jnp.exp(2 * log_std)
        return (log_std - 0.5 * square / std**2).sum(-1)

    begin = jnp.stack([target + 2 * std, jnp.log(2 * std)])
    found = _climbed(bound, begin, 12)
    off = abs(found[0] - target) / std
    assert float(off.max()) < 0.02
    np.testing.assert_allclose(jnp.exp(found[1]), std, rtol=0.02)
    assert (bound(found) >= bound(begin)).all()


def test_even_normals_have_one_in_every_range():
    found = np.asarray(_even_normals(jax.random.key(0), 64, jnp.zeros((50, 2))))
    ranges = np.sort(np.floor(stats.norm.cdf(found) * 64), axis=0)
    np.testing.assert_array_equal(ranges[:, 0, 0], np.arange(64))
    variance = found.var(0)
    assert abs(variance.mean() - 1) < 5 * variance.std() / 100**0.5
    assert abs(np.mean(found[:, :, 0] * found[:, :, 1])) < 5 / (64 * 50) ** 0.5


@pytest.mark.slow
def test_bounds_of_new_patches_rise(model):
    """Of 50 patches: one chunk and a part of another."""
    images = jr.simulate("glyphs", seed=7, num_images=50, size=24, noise=0.3).values
    found = refine(model, images)
    alone = model.encode(images)
    assert found.content.shape == found.content_std.shape == alone.content.shape
    assert (found.content_std > 0).all()
    gained = found.gained
    assert gained.shape == (50,)
    assert gained.mean() > 3 * gained.std() / 50**0.5
    assert -gained[gained < 0].sum() < 0.05 * gained.sum()  # by other draws than these


def test_bad_settings(model, glyphs):
    with pytest.raises(ValueError, match="num_samples must be >= 2"):
        refine(model, glyphs.values[:4], num_samples=1)
    with pytest.raises(ValueError, match="num_steps must be >= 1"):
        refine(model, glyphs.values[:4], num_steps=0)
