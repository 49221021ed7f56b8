import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.bayes import AngleTable, drifting, follow_angles
from jaxrvae.distributions import wrapped_normal
from jaxrvae.geometry.circle import angle_grid, wrap


def seen(angles, noise, rng, grid, symmetry=1):
    """Tables of measurements with normal errors."""
    measured = angles + noise * rng.standard_normal(len(angles))
    off = np.asarray(wrap(jnp.asarray(grid - measured[:, None]), symmetry))
    log_prob = -0.5 * np.square(off / noise)
    log_prob -= np.logaddexp.reduce(log_prob, axis=1, keepdims=True)
    return AngleTable(grid, log_prob, symmetry)


def rms(first, second, symmetry=1):
    off = np.asarray(wrap(jnp.asarray(first - second), symmetry))
    return np.sqrt(np.square(off).mean())


def law(apart, spread):
    """Probabilities over the last axis."""
    logs = wrapped_normal.log_ratio_to_uniform(jnp.asarray(apart), spread)
    prob = np.exp(np.asarray(logs, np.float64))
    return prob / prob.sum(-1, keepdims=True)


@pytest.mark.slow
def test_it_is_the_sum_over_means_and_angles(monkeypatch):
    """Brute force for a track of three with a frame missing, and one alone."""
    monkeypatch.setattr(drifting, "STDS", np.array([0.9]))
    monkeypatch.setattr(drifting, "TIMES", np.array([2.0]))
    monkeypatch.setattr(drifting, "PER_STD", 9)  # every place of the grid
    rng = np.random.default_rng(0)
    grid = angle_grid(16)
    table = seen(np.array([0.0, 2.5, 3.0, -1.0]), 0.7, rng, grid)
    found, learned = follow_angles(
        table, ["a", "a", "a", "b"], [0, 1, 3, 0], "ornstein-uhlenbeck"
    )
    assert learned == pytest.approx((0.9, 2.0))
    expected = np.zeros((4, 16))
    for place in range(16):
        own = grid[(np.arange(16) - place + 8) % 16]
        moves = []
        for frames in (1, 2):
            kept = np.exp(-frames / 2.0)
            apart = np.asarray(wrap(jnp.asarray(own[None] - kept * own[:, None])))
            moves.append(law(apart, 0.9 * (1 - kept**2) ** 0.5))
        begin = law(own, 0.9)
        prob = table.prob
        joint = np.einsum("a,b,c,ab,bc->abc", begin * prob[0], prob[1], prob[2], *moves)
        for row, axes in enumerate(((1, 2), (0, 2), (0, 1))):
            expected[row] += joint.sum(axes)
        expected[3] += begin * prob[3]
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(found.prob, expected, atol=2e-4)


@pytest.mark.slow
@pytest.mark.parametrize("symmetry", [1, 3])
def test_angles_that_are_drawn_back(symmetry):
    """Spread and time are found; better than a walk, and calibrated."""
    rng = np.random.default_rng(1)
    std, time, noise = 0.25 / symmetry, 3.0, 0.4 / symmetry
    kept = np.exp(-1 / time)
    values = np.empty((12, 30))
    values[:, 0] = std * rng.standard_normal(12)
    for i in range(1, 30):
        fresh = std * (1 - kept**2) ** 0.5 * rng.standard_normal(12)
        values[:, i] = kept * values[:, i - 1] + fresh
    values += rng.uniform(-3, 3, (12, 1))
    track, frame = (a.ravel() for a in np.indices(values.shape))
    some = rng.permutation(np.flatnonzero(rng.random(values.size) < 0.85))
    truth = values.ravel()[some]
    grid = angle_grid(120)[: 120 // symmetry]
    table = seen(truth, noise, rng, grid, symmetry)
    parts = table, track[some], frame[some]
    found, learned = follow_angles(*parts, "ornstein-uhlenbeck")
    walked, _ = follow_angles(*parts)
    assert learned[0] == pytest.approx(std, rel=0.35)
    assert 0.4 < learned[1] / time < 2.5
    error = rms(found.angle, truth, symmetry)
    assert error < 0.6 * rms(table.angle, truth, symmetry)
    assert error < rms(walked.angle, truth, symmetry)
    off = abs(np.asarray(wrap(jnp.asarray(found.angle - truth), symmetry)))
    assert 0.9 < (off < 1.96 * found.angle_std).mean() < 0.99


def test_the_top_is_climbed_to():
    target = 6, 2
    weights = drifting._climb(
        lambda pair: -3.0 * sum((a - b) ** 2 for a, b in zip(pair, target, strict=True))
    )
    assert max(weights, key=lambda pair: weights[pair]) == target
    beside = [p for p in itertools.product((5, 6, 7), (1, 2, 3)) if p in weights]
    assert sum(weights.values()) == pytest.approx(1)
    assert len(beside) == len(weights) == 5


def test_an_unknown_process():
    table = AngleTable(angle_grid(4), np.full((2, 4), np.log(0.25)))
    with pytest.raises(ValueError, match="Did you mean 'walk'"):
        follow_angles(table, [0, 0], [0, 1], "walks")
