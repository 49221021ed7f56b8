import numpy as np
import pytest
from scipy import stats

from jaxrvae import DataError
from jaxrvae.bayes import pool_content
from jaxrvae.bayes.content import Seen, most_likely, seen_alone, shared_means


def posteriors(truth, noise, rng):
    """What a model with a standard normal prior says of noisy measurements."""
    measured = truth + noise * rng.standard_normal(truth.shape)
    variance = 1 / (1 + noise**-2.0)
    mean = measured * variance / noise**2
    return mean, np.broadcast_to(np.sqrt(variance), truth.shape)


def rms(first, second):
    return np.sqrt(np.square(first - second).mean())


def grouped(rng, sizes, level, between, within):
    index = np.repeat(np.arange(len(sizes)), sizes)
    means = level + between * rng.standard_normal((len(sizes), 1))
    return index, means, means[index] + within * rng.standard_normal((len(index), 1))


def test_the_prior_is_divided_out():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((50, 2))
    noise = rng.uniform(0.2, 2.0, truth.shape)
    measured = truth + noise * rng.standard_normal(truth.shape)
    variance = 1 / (1 + noise**-2)
    found = seen_alone((measured * variance / noise**2, np.sqrt(variance)), 1.0)
    np.testing.assert_allclose(found.precision, noise**-2, rtol=1e-6)
    np.testing.assert_allclose(found.weighted / found.precision, measured, rtol=1e-6)
    same = seen_alone((measured, noise), np.inf)
    np.testing.assert_allclose(same.weighted / same.precision, measured)


def test_a_content_that_is_no_surer_than_the_prior_says_nothing():
    found = seen_alone((np.array([[0.3], [0.1]]), np.array([[1.0], [1.2]])), 1.0)
    np.testing.assert_array_equal(found.precision, 0)
    np.testing.assert_array_equal(found.weighted, 0)


def test_groups_and_their_spreads_are_found():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 60, 80)
    index, means, truth = grouped(rng, sizes, 0.4, 0.6, 0.15)
    alone = posteriors(truth, 0.8, rng)
    found = pool_content(alone, index)
    # Five standard errors: of a standard deviation of 80, and of about 2400.
    assert abs(found.between[0] / 0.6 - 1) < 5 * 160**-0.5
    noisier = (0.15**2 + 0.8**2) ** 0.5  # a variance's error over the one in it
    assert abs(found.within[0] ** 2 - 0.15**2) < 5 * noisier**2 * (2 / 2400) ** 0.5
    assert abs(found.level[0] - 0.4) < 5 * 0.6 / 80**0.5
    own, of_mean = 0.15**2 / noisier**2, 1 / (0.6**-2 + sizes / noisier**2)
    exact = own * 0.8**2 + (1 - own) ** 2 * of_mean[index].mean()  # spreads known
    assert rms(found.content, truth) < 1.1 * exact**0.5
    assert rms(found.content, truth) < 0.4 * rms(alone[0], truth)
    off = (found.content - truth) / found.content_std
    assert 0.9 < (abs(off) < 1.96).mean() < 0.99
    off = (found.groups["content_0"] - means[:, 0]) / found.groups["content_std_0"]
    assert 0.85 < (abs(off) < 1.96).mean() <= 1
    assert found.groups["number"].tolist() == sizes.tolist()


def test_pooling_is_the_dense_posterior():
    """Two groups and one of one patch: the joint normal of all, written out."""
    rng = np.random.default_rng(2)
    index, _, truth = grouped(rng, [1, 5, 9], -0.5, 0.7, 0.3)
    noise = rng.uniform(0.3, 0.9, len(index))
    measured = truth[:, 0] + noise * rng.standard_normal(len(index))
    found = pool_content((measured[:, None], noise[:, None]), index, np.inf)
    between, within = found.between[0], found.within[0]
    same = (index[:, None] == index).astype(float)
    prior = 1e4 + between**2 * same + within**2 * np.eye(len(index))
    gain = prior @ np.linalg.inv(prior + np.diag(noise**2))
    np.testing.assert_allclose(found.content[:, 0], gain @ measured, atol=1e-3)
    variance = np.diag(prior - gain @ prior)
    np.testing.assert_allclose(found.content_std[:, 0] ** 2, variance, atol=1e-3)


def test_evidence_is_that_of_the_joint_normal():
    """Differences between spreads, the level's prior being flat in both."""
    rng = np.random.default_rng(3)
    noise, measured = rng.uniform(0.3, 0.9, (2, 6))
    seen = Seen(noise**-2, measured / noise**2)

    def joint(between):
        covariance = 1e6 + np.diag(between**2 + noise**2)
        return stats.multivariate_normal(np.zeros(6), covariance).logpdf(measured)

    nats = [shared_means(seen, b).nats for b in (0.2, 0.9)]
    expected = joint(0.9) - joint(0.2)
    assert nats[1] - nats[0] == pytest.approx(expected, abs=1e-3)


def test_a_small_group_is_drawn_to_the_level():
    rng = np.random.default_rng(4)
    sizes = [40] * 30 + [1]
    index, _, truth = grouped(rng, sizes, 0.0, 0.2, 0.05)
    mean, std = posteriors(truth, 1.0, rng)
    mean[-1] = 1.5  # a measurement of 3
    found = pool_content((mean, std), index)
    assert abs(found.content[-1, 0]) < 0.5
    last = found.groups.iloc[-1]
    assert last["content_std_0"] > 1.5 * found.groups["content_std_0"].iloc[0]


def test_most_likely_finds_the_top():
    target = np.array([0.02, 3.0])
    found = most_likely(
        lambda v: -50 * np.square(np.log(v / target)).sum(),
        [(0.3, 0.3)],
        [(1e-3, 30.0)] * 2,
    )
    np.testing.assert_allclose(found, target, rtol=0.05)


def test_bad_contents_and_groups():
    good = np.zeros((4, 2)), np.full((4, 2), 0.5)
    with pytest.raises(DataError, match="groups must be one for each of the 4"):
        pool_content(good, [0, 1])
    with pytest.raises(DataError, match="each of the 4 has one patch alone"):
        pool_content(good, [0, 1, 2, 3])
    with pytest.raises(DataError, match=r"shapes \(4, 2\) and \(3, 2\)"):
        pool_content((good[0], good[1][:3]), [0, 0, 1, 1])
    bad = good[0].copy()
    bad[2, 1] = np.nan
    with pytest.raises(DataError, match="that of patch 2 is not"):
        pool_content((bad, good[1]), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="prior_std must be > 0"):
        pool_content(good, [0, 0, 1, 1], prior_std=0.0)
