import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrvae import DataError
from jaxrvae.bayes import AngleTable, follow_angles, pool_angles, structured
from jaxrvae.distributions import wrapped_normal
from jaxrvae.geometry.circle import angle_grid, wrap

ANGLES = angle_grid(180)


def seen(angles, noise, rng, grid=ANGLES, symmetry=1):
    """Tables of measurements with normal errors, and the measurements."""
    measured = angles + noise * rng.standard_normal(len(angles))
    off = wrap(jnp.asarray(grid - measured[:, None]), symmetry)
    log_prob = -0.5 * np.square(np.asarray(off) / noise)
    log_prob -= np.logaddexp.reduce(log_prob, axis=1, keepdims=True)
    return AngleTable(grid, log_prob, symmetry), measured


def rms(first, second, symmetry=1):
    off = np.asarray(wrap(jnp.asarray(first - second), symmetry))
    return np.sqrt(np.square(off).mean())


def test_moments_of_a_table():
    rng = np.random.default_rng(0)
    table, measured = seen(rng.uniform(-3, 3, 50), 0.3, rng)
    assert rms(table.angle, measured) < 1e-3
    np.testing.assert_allclose(table.angle_std, 0.3, rtol=1e-3)


def test_folded_adds_up_what_is_a_symmetry_apart():
    rng = np.random.default_rng(1)
    angles = rng.uniform(-3, 3, 20)
    table, measured = seen(angles, 0.1, rng)
    folded = table.folded(3)
    assert folded.log_prob.shape == (20, 60)
    np.testing.assert_allclose(folded.prob.sum(1), 1, rtol=1e-4)
    assert rms(folded.angle, measured, 3) < 1e-3
    with pytest.raises(ValueError, match="symmetry=7 does not divide the 180"):
        table.folded(7)


@pytest.mark.parametrize("symmetry", [1, 3])
def test_grains_are_found_and_their_patches_drawn_to_them(symmetry):
    rng = np.random.default_rng(2)
    groups = np.repeat(["left", "right", "far"], 80)
    means = np.repeat([0.2, -0.9, 0.8], 80)
    truth = means + 0.05 * rng.standard_normal(240)
    grid = ANGLES[: 180 // symmetry]
    table, _ = seen(truth, 0.35, rng, grid, symmetry)
    pooled, grains = pool_angles(table, groups)
    alone, together = (
        rms(table.angle, truth, symmetry),
        rms(pooled.angle, truth, symmetry),
    )
    assert together < 0.3 * alone
    order = [0.8, 0.2, -0.9]  # far, left, right
    assert rms(grains.angle, np.array(order), symmetry) < 3 * 0.35 / 80**0.5
    inside = abs(np.asarray(wrap(jnp.asarray(pooled.angle - truth), symmetry)))
    assert 0.9 < (inside < 1.96 * pooled.angle_std).mean() <= 1.0


def test_pooling_is_the_sum_over_mean_and_concentration(monkeypatch):
    """Brute force over every mean and concentration, for three patches."""
    monkeypatch.setattr(structured, "CONCENTRATIONS", np.array([0.5, 5.0, 50.0]))
    rng = np.random.default_rng(3)
    grid = angle_grid(24)
    table, _ = seen(np.array([0.0, 0.4, 2.0]), 0.5, rng, grid)
    pooled, grains = pool_angles(table, [0, 0, 0])
    expected, mean = np.zeros((3, 24)), np.zeros(24)
    for k, place in itertools.product((0.5, 5.0, 50.0), range(24)):
        prior = stats.vonmises(k).pdf(grid - grid[place])
        prior /= prior.sum()
        joint = table.prob * prior
        each = joint.sum(1)
        mean[place] += each.prod()
        expected += joint / each[:, None] * each.prod()
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(pooled.prob, expected, atol=2e-5)
    np.testing.assert_allclose(grains.prob[0], mean / mean.sum(), atol=2e-5)


def test_tracks_are_smoothed():
    rng = np.random.default_rng(4)
    walks = np.cumsum(0.05 * rng.standard_normal((20, 40)), axis=1) + rng.uniform(
        -3, 3, (20, 1)
    )
    track, frame = (a.ravel() for a in np.indices(walks.shape))
    kept = rng.permutation(np.flatnonzero(rng.random(walks.size) < 0.8))
    truth = walks.ravel()[kept]
    table, _ = seen(truth, 0.4, rng)
    smooth, step = follow_angles(table, track[kept], frame[kept])
    assert rms(smooth.angle, truth) < 0.6 * rms(table.angle, truth)
    assert step == pytest.approx(0.05, rel=0.35)
    inside = abs(np.asarray(wrap(jnp.asarray(smooth.angle - truth))))
    assert 0.9 < (inside < 1.96 * smooth.angle_std).mean() < 0.99


def test_following_is_the_sum_over_all_walks(monkeypatch):
    """Brute force over the angles of a track of three, with a frame missing."""
    monkeypatch.setattr(structured, "STEPS", np.array([0.6]))
    rng = np.random.default_rng(5)
    grid = angle_grid(16)
    table, _ = seen(np.array([0.0, 1.0, 1.5]), 0.7, rng, grid)
    smooth, step = follow_angles(table, ["a"] * 3, [0, 1, 3])
    assert step == pytest.approx(0.6)
    apart = np.asarray(wrap(jnp.asarray(grid[None] - grid[:, None])))
    moves = []
    for frames in (1, 2):
        law = wrapped_normal.log_ratio_to_uniform(jnp.asarray(apart), 0.6 * frames**0.5)
        move = np.exp(np.asarray(law, np.float64))
        moves.append(move / move.sum(1, keepdims=True))
    joint = np.einsum("a,b,c,ab,bc->abc", *table.prob, *moves)
    joint /= joint.sum()
    expected = [joint.sum((1, 2)), joint.sum((0, 2)), joint.sum((0, 1))]
    np.testing.assert_allclose(smooth.prob, expected, atol=2e-5)


def test_a_sure_patch_that_no_step_leads_to_spoils_nothing():
    """Sums that a float has no digits for were not numbers."""
    rng = np.random.default_rng(7)
    truth = np.tile(0.002 * np.arange(12.0), 4)
    angles = truth.copy()
    angles[[5, 30]] += np.pi
    table, _ = seen(angles, 0.04, rng)
    table = AngleTable(ANGLES, np.maximum(table.log_prob, -300.0))
    track, frame = np.divmod(np.arange(48), 12)
    smooth, _ = follow_angles(table, track, frame)
    assert np.isfinite(smooth.log_prob).all()
    others = np.delete(np.arange(48), [5, 30])
    assert rms(smooth.angle[others], truth[others]) < 0.04


def test_bad_labels():
    rng = np.random.default_rng(6)
    table, _ = seen(np.zeros(4), 0.3, rng)
    with pytest.raises(DataError, match="groups must be one for each of the 4"):
        pool_angles(table, [0, 1])
    with pytest.raises(DataError, match="track 7 has two patches in frame 1"):
        follow_angles(table, [7, 7, 7, 8], [0, 1, 1, 0])
