import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxrvae as jr
from jaxrvae.bayes.refined import (
    NUM_JUDGES,
    _better,
    _climbed,
    _even_normals,
    refine,
)


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


PATCHES, SIZES = 2000, (8, 8)


@pytest.fixture(scope="module")
def linear():
    """Of images that are linear in content: log densities, best posterior, bounds.

    The exact posterior is a normal with correlations, of precision `1 + W'W / noise^2`;
    the best without has its mean and the precision's diagonal.
    """
    rng = np.random.default_rng(1)
    number, pixels, noise = 3, 12, 0.7
    weights = rng.standard_normal((pixels, number)) / pixels**0.5
    images = rng.standard_normal((PATCHES, number)) @ weights.T
    images += noise * rng.standard_normal(images.shape)
    precision = np.eye(number) + weights.T @ weights / noise**2
    mean = images @ weights / noise**2 @ np.linalg.inv(precision)
    std = np.broadcast_to(np.diag(precision) ** -0.5, mean.shape)
    covariance = weights @ weights.T + noise**2 * np.eye(pixels)
    evidence = stats.multivariate_normal(np.zeros(pixels), covariance).logpdf(images)

    def explained(content):
        square = jnp.square(images - content @ weights.T).sum(-1) / noise**2
        return -0.5 * (square + jnp.square(content).sum(-1))

    def bound(mean_of, std_of):
        """Evidence less the divergence from the exact posterior."""
        off = np.asarray(mean_of) - mean
        spread = np.asarray(std_of, np.float64)
        apart = np.square(spread) @ np.diag(precision) - number
        apart += np.einsum("ni,ij,nj->n", off, precision, off)
        logs = np.linalg.slogdet(precision)[1] + 2 * np.log(spread).sum(1)
        return evidence - 0.5 * (apart - logs)

    better = jax.jit(lambda begin, key: _better(explained, begin, key, SIZES))
    return better, (mean, std), bound, evidence


def test_gains_end_below_the_evidence(linear):
    """From wrong means and widths; and what is said to be gained is."""
    better, (mean, std), bound, evidence = linear
    rng = np.random.default_rng(2)
    begin = mean + std * rng.standard_normal(mean.shape), 1.5 * std
    start = bound(*begin)
    found = better(jnp.stack([begin[0], jnp.log(begin[1])]), jax.random.key(0))
    gained = np.asarray(found["gained"])
    exact = bound(found["content"], found["content_std"]) - start
    off, room = gained - exact, evidence - start
    error = off.std(ddof=1) / PATCHES**0.5
    assert abs(off.mean()) < 5 * error
    assert gained.mean() < room.mean() + 5 * error
    assert (exact <= room + 1e-4).all()
    assert exact.mean() > 0.98 * (bound(mean, std) - start).mean()


def test_what_is_best_already_mostly_stays(linear):
    """No step gains; those that draws' errors accept say that they lose."""
    better, (mean, std), bound, _ = linear
    begin = jnp.asarray(np.stack([mean, np.log(std)]), jnp.float32)
    found = better(begin, jax.random.key(1))
    lost = bound(mean, std) - bound(found["content"], found["content_std"])
    gained = np.asarray(found["gained"])
    stayed = np.isclose(found["content_std"], std, rtol=1e-5).all(1)
    chance = stats.t(NUM_JUDGES - 1).sf(1)  # to seem better by one error
    assert stayed.mean() > 1 - chance - 5 * (chance / PATCHES) ** 0.5
    assert (gained[stayed] == 0).all()
    off = (gained + lost)[~stayed]
    assert abs(off.mean()) < 5 * off.std(ddof=1) / len(off) ** 0.5


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
