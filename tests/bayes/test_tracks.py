import numpy as np
import pytest
from scipy import stats

from jaxrvae import DataError
from jaxrvae.bayes import follow_content
from jaxrvae.bayes.content import Seen
from jaxrvae.bayes.tracks import _Chain, in_order


def moves(rng, number, length, std, time):
    """Ornstein-Uhlenbeck from its stationary law; a walk if time is infinite."""
    kept = np.exp(-1 / time)
    added = std if np.isinf(time) else std * (1 - kept**2) ** 0.5
    found = np.empty((number, length))
    found[:, 0] = 0.0 if np.isinf(time) else std * rng.standard_normal(number)
    for i in range(1, length):
        found[:, i] = kept * found[:, i - 1] + added * rng.standard_normal(number)
    return found


def measured_tracks(rng, std, time, noise):
    """60 tracks of 40 frames about their own means, a fifth of them missing."""
    values = moves(rng, 60, 40, std, time) + 0.7 * rng.standard_normal((60, 1))
    track, frame = (a.ravel() for a in np.indices(values.shape))
    kept = rng.permutation(np.flatnonzero(rng.random(values.size) < 0.8))
    truth = values.ravel()[kept]
    measured = truth + noise * rng.standard_normal(len(truth))
    return track[kept], frame[kept], truth, measured


def dense(track, frame, process, std, time, between):
    """Prior covariance, the level's included as good as flat."""
    same = track[:, None] == track
    if process == "walk":
        begin = np.array([frame[track == one].min() for one in track])
        run = np.minimum(frame[:, None], frame) - begin[:, None]
        return 1e4 + same * (between**2 + std**2 * run)
    run = abs(frame[:, None] - frame)
    return 1e4 + same * (between**2 + std**2 * np.exp(-run / time))


@pytest.mark.parametrize(
    ("process", "time"), [("walk", np.inf), ("ornstein-uhlenbeck", 5.0)]
)
def test_process_is_learned_and_smoothing_near_the_best(process, time):
    rng = np.random.default_rng(0)
    std, noise = (0.15, 0.5) if process == "walk" else (0.5, 0.6)
    track, frame, truth, measured = measured_tracks(rng, std, time, noise)
    errors = np.full((len(truth), 1), noise)
    found = follow_content((measured[:, None], errors), track, frame, process, np.inf)
    assert found.std[0] == pytest.approx(std, rel=0.2)
    assert found.between[0] == pytest.approx(0.7, abs=5 * 0.7 / 120**0.5)
    if process != "walk":
        assert found.time[0] == pytest.approx(time, rel=0.4)
    prior = dense(track, frame, process, std, time, 0.7)
    best = prior @ np.linalg.solve(prior + noise**2 * np.eye(len(truth)), measured)
    ideal = np.square(best - truth).mean() ** 0.5
    off = found.content[:, 0] - truth
    assert np.square(off).mean() ** 0.5 < 1.03 * ideal
    assert ideal < 0.65 * noise
    inside = (abs(off) < 1.96 * found.content_std[:, 0]).mean()
    assert 0.92 < inside < 0.98


@pytest.mark.parametrize("process", ["walk", "ornstein-uhlenbeck"])
def test_following_is_the_dense_posterior_with_gaps(process):
    rng = np.random.default_rng(1)
    track = np.array([3, 3, 3, 3, 8, 8, 8, 5])
    frame = np.array([0.0, 1.0, 2.5, 9.0, 4.0, 0.0, 1.0, 2.0])
    noise = rng.uniform(0.2, 0.8, 8)
    measured = rng.standard_normal(8)
    both = measured[:, None], noise[:, None]
    found = follow_content(both, track, frame, process, np.inf)
    learned = found.std[0], found.time[0], found.between[0]
    prior = dense(track, frame, process, *learned)
    gain = prior @ np.linalg.inv(prior + np.diag(noise**2))
    np.testing.assert_allclose(found.content[:, 0], gain @ measured, atol=1e-3)
    variance = np.diag(prior - gain @ prior)
    np.testing.assert_allclose(found.content_std[:, 0] ** 2, variance, atol=1e-3)


@pytest.mark.parametrize("walks", [True, False])
def test_evidence_is_that_of_the_joint_normal(walks):
    rng = np.random.default_rng(2)
    track = np.repeat([0, 1, 2], [5, 4, 1])
    frame = np.array([0, 1, 4, 5, 6, 2, 3, 5, 9, 1.0])
    noise, measured = rng.uniform(0.3, 0.9, (2, 10))
    _, first, gap = in_order(track, frame)
    seen = Seen(noise**-2, measured / noise**2)
    chain = _Chain(seen, first, gap, np.cumsum(first) - 1, walks)
    found, expected = [], []
    for learned in ([0.2, 0.5, 3.0], [0.7, 0.3, 1.0]):
        found.append(chain._solved(np.array(learned))[2])
        std, between, time = learned
        process = "walk" if walks else "ornstein-uhlenbeck"
        covariance = dense(track, frame, process, std, time, between)
        law = stats.multivariate_normal(np.zeros(10), covariance + np.diag(noise**2))
        expected.append(law.logpdf(measured))
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0], abs=5e-3)


def both_nats(std, time):
    rng = np.random.default_rng(3)
    track, frame, _, measured = measured_tracks(rng, std, time, 0.3)
    both = measured[:, None], np.full((len(measured), 1), 0.3)
    processes = "walk", "ornstein-uhlenbeck"
    return [follow_content(both, track, frame, p, np.inf).nats[0] for p in processes]


def test_evidence_tells_the_processes_apart():
    walk, drawn_back = both_nats(0.5, 4.0)
    assert drawn_back > walk + 5
    walk, drawn_back = both_nats(0.15, np.inf)  # that of a very long time is a walk
    assert drawn_back < walk + 0.5


def test_posteriors_of_a_model_have_their_prior_divided_out():
    rng = np.random.default_rng(4)
    track, frame, _, measured = measured_tracks(rng, 0.15, np.inf, 0.5)
    noise = np.full((len(track), 1), 0.5)
    mean = measured[:, None] / (1 + noise**2)
    std = np.sqrt(1 / (1 + noise**-2))
    first = follow_content((mean, std), track, frame)
    other = follow_content((measured[:, None], noise), track, frame, prior_std=np.inf)
    np.testing.assert_allclose(first.content, other.content, atol=1e-6)


def test_bad_tracks():
    both = np.zeros((4, 1)), np.full((4, 1), 0.5)
    with pytest.raises(ValueError, match="did you mean|Did you mean 'walk'"):
        follow_content(both, [0, 0, 1, 1], [0, 1, 0, 1], "walks")
    with pytest.raises(DataError, match="frame must be one for each of the 4"):
        follow_content(both, [0, 0, 1, 1], [0, 1])
    with pytest.raises(DataError, match="track 1 has two patches in frame 3"):
        follow_content(both, [0, 0, 1, 1], [0, 1, 3, 3])
    with pytest.raises(DataError, match="none has two patches"):
        follow_content(both, [0, 1, 2, 3], [0, 1, 3, 3])
    with pytest.raises(DataError, match="frame must be finite"):
        follow_content(both, [0, 0, 1, 1], [0, np.nan, 0, 1])
