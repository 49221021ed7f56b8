import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.jumps import propagate
from jaxrvae.analysis.transitions import find_transitions

RATES = np.array([[-0.03, 0.02, 0.01], [0.06, -0.08, 0.02], [0.01, 0.04, -0.05]])
OFF = ~np.eye(3, dtype=bool)


def flicker(share, k=3):
    return np.full((k, k), share / (k - 1)) + (1 - share * k / (k - 1)) * np.eye(k)


def draw_tracks(rates, num_tracks, num_frames, seed, confusion=None):
    """States, their labels, tracks and frames, in rows."""
    rng = np.random.default_rng(seed)
    k, step = len(rates), propagate(rates).cumsum(1)
    states = np.zeros((num_tracks, num_frames), int)
    states[:, 0] = rng.integers(0, k, num_tracks)
    for t in range(1, num_frames):
        chance = rng.random(num_tracks)[:, None]
        states[:, t] = (chance > step[states[:, t - 1]]).sum(1)
    emitted = np.eye(k) if confusion is None else confusion
    chance = rng.random(states.shape)[..., None]
    labels = (chance > np.minimum(emitted.cumsum(1), 1)[states]).sum(-1)
    rows = np.arange(states.size)
    return states.ravel(), labels.ravel(), rows // num_frames, rows % num_frames


@pytest.fixture(scope="module")
def noisy():
    confusion = flicker(0.06)
    states, *table = draw_tracks(RATES, 200, 100, 0, confusion)
    known = find_transitions(*table, confusion=confusion, dt=0.5)
    learnt = find_transitions(*table, dt=0.5)
    return states, table, known, learnt


@pytest.mark.slow
@pytest.mark.parametrize("which", [2, 3], ids=["known", "learnt"])
def test_known_rates_come_back_from_flicker(noisy, which):
    found = noisy[which]
    np.testing.assert_allclose(found.rates.sum(1), 0, atol=1e-12)
    wrong = np.abs(found.rates - RATES / 0.5)[OFF] / found.rates_std[OFF]
    assert wrong.max() < 5
    # 200 x 100 frames: no rate is told better than by all its jumps, or much worse
    jumps = 20_000 * 0.2 * RATES[OFF]
    assert (found.rates_std[OFF] / (RATES[OFF] / 0.5) < 5 / np.sqrt(jumps)).all()
    naive = found.naive_rates[OFF] * 0.5 / RATES[OFF]
    assert (naive > 1.5).sum() >= 4
    assert found.effective > 100


def test_confusion_is_learnt(noisy):
    found = noisy[3].confusion
    error = np.sqrt(0.06 / (20_000 * 0.2))  # of each entry, from labels of known states
    assert np.abs(found - flicker(0.06)).max() < 10 * error
    np.testing.assert_allclose(noisy[2].confusion, flicker(0.06))


def test_smoothed_states_are_righter_than_labels(noisy):
    states, (labels, *_), known, _ = noisy
    assert (known.smoothed != states).mean() < 0.4 * (labels != states).mean()
    np.testing.assert_allclose(known.probabilities.sum(1), 1, atol=1e-5)
    sure = known.probabilities.max(1)
    right = known.smoothed == states
    for low, high in ((0.5, 0.9), (0.9, 0.99), (0.99, 1.1)):
        some = (sure >= low) & (sure < high)
        spread = np.sqrt((sure * (1 - sure))[some].sum()) / some.sum()
        assert abs(right[some].mean() - sure[some].mean()) < 10 * spread + 0.005


def test_each_step_raises_the_posterior(noisy):
    for found in noisy[2:]:
        assert (np.diff(found.history) > -0.01).all()  # float32 sums of 20,000 terms
        assert found.history[-1] > found.history[0]


def test_table_has_a_row_for_every_two_states(noisy):
    table = noisy[2].to_dataframe(["a", "b", "c"])
    assert len(table) == 6
    row = table[(table["before"] == "b") & (table["after"] == "a")].iloc[0]
    assert row["rate"] == noisy[2].rates[1, 0]
    assert row["rate_low"] < row["rate"] < row["rate_high"]
    assert row["count"] == noisy[2].counts[1, 0]
    with pytest.raises(ValueError, match="names must be 3"):
        noisy[2].to_dataframe(["a"])


@pytest.mark.slow
def test_without_noise_it_is_the_gamma_posterior():
    """Slow jumps, all of them seen: rates have a gamma posterior."""
    from scipy.stats import gamma

    rates = RATES / 20
    _, *table = draw_tracks(rates, 200, 100, 3)
    found = find_transitions(*table, hidden=False)
    dwell = np.bincount(table[0][table[2] < 99], minlength=3)[:, None]
    posterior = gamma(found.counts + 0.5, scale=1 / (dwell + 1))
    mean, std = posterior.mean()[OFF], posterior.std()[OFF]
    error = std / np.sqrt(found.effective)
    # two jumps within a frame: a share of the order of a rate
    assert (np.abs(found.rates[OFF] - mean) < 5 * error + 0.02 * mean).all()
    np.testing.assert_allclose(found.rates_std[OFF], std, rtol=0.15)
    np.testing.assert_allclose(found.naive_interval[1][OFF], posterior.ppf(0.95)[OFF])


def test_without_hidden_states_labels_are_right(noisy):
    _, table, *_ = noisy
    found = find_transitions(*table, hidden=False, num_samples=20)
    exact = find_transitions(*table, confusion=np.eye(3), num_samples=20)
    np.testing.assert_array_equal(exact.draws, found.draws)
    np.testing.assert_array_equal(found.smoothed, table[0])


@pytest.mark.slow
def test_transitions_that_never_happen_have_intervals_from_zero():
    labels = np.tile(np.repeat([0, 1, 0, 1], 10), 20)
    rows = np.arange(800)
    found = find_transitions(
        labels,
        rows // 40,
        rows % 40,
        num_states=3,
        confusion=flicker(0.02),
        num_samples=1000,
    )
    assert (found.rates_interval[0][[0, 1], 2] == 0).all()
    assert (found.rates_interval[1][[0, 1], 2] < 8 / 390).all()
    assert found.rates_interval[0][0, 1] > 0
    assert found.rates_interval[1][2, 0] > 1  # of a state never seen, all is open


def test_only_what_is_allowed_happens(noisy):
    _, table, *_ = noisy
    allowed = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    found = find_transitions(*table, allowed=allowed, num_samples=200)
    assert (found.draws[:, OFF & ~allowed] == 0).all()
    assert (found.rates[allowed] > 0).all()


def test_numbering_states_otherwise_numbers_rates_otherwise(noisy):
    _, (labels, tracks, frames), _, plain = noisy
    order = np.array([2, 0, 1])
    turned = find_transitions(np.argsort(order)[labels], tracks, frames, dt=0.5)
    error = plain.rates_std / np.sqrt(plain.effective)
    apart = np.abs(turned.rates - plain.rates[order][:, order])
    assert (apart < 8 * error[order][:, order]).all()


@pytest.mark.slow
def test_missing_rows_are_summed_over():
    rng = np.random.default_rng(4)
    states, labels, tracks, frames = draw_tracks(RATES, 200, 100, 5, flicker(0.05))
    kept = rng.random(len(labels)) < 0.5
    gone = np.where(kept, labels, -1)
    options = {"confusion": flicker(0.05), "num_samples": 1000}
    dropped = find_transitions(labels[kept], tracks[kept], frames[kept], **options)
    unknown = find_transitions(gone, tracks, frames, **options)
    for found in (dropped, unknown):
        wrong = np.abs(found.rates - RATES)[OFF] / found.rates_std[OFF]
        assert wrong.max() < 5
    apart = np.abs(dropped.rates - unknown.rates)
    assert (apart < 8 * unknown.rates_std / np.sqrt(unknown.effective)).all()
    assert len(unknown.smoothed) == len(labels)
    assert (unknown.smoothed == states).mean() > 0.9


@pytest.mark.slow
def test_every_other_frame_tells_the_same_rates():
    _, labels, tracks, frames = draw_tracks(RATES, 200, 200, 6)
    some = frames % 2 == 0
    found = find_transitions(
        labels[some], tracks[some], frames[some], dt=2.0, num_samples=500
    )
    wrong = np.abs(found.rates - RATES / 2)[OFF] / found.rates_std[OFF]
    assert wrong.max() < 5


def soft_table():
    states, _, tracks, frames = draw_tracks(RATES, 200, 100, 7)
    seen = 2.2 * np.eye(3)[states] + np.random.default_rng(8).normal(
        size=(len(states), 3)
    )
    odds = np.exp(2.2 * seen) * np.bincount(states)  # by Bayes, with the true shares
    probabilities = odds / odds.sum(1, keepdims=True)
    probabilities[::50] = np.nan
    return states, probabilities, tracks, frames


def wrong_by(found):
    return (np.abs(found.rates - RATES)[OFF] / found.rates_std[OFF]).max()


@pytest.mark.slow
def test_probabilities_say_more_than_labels():
    states, probabilities, *table = soft_table()
    soft = find_transitions(
        probabilities, *table, confusion=np.eye(3), num_samples=1000
    )
    learnt = find_transitions(probabilities, *table, num_samples=1000)
    guess = np.nan_to_num(probabilities).argmax(1)
    hard = find_transitions(guess, *table, num_samples=1000)
    assert max(wrong_by(soft), wrong_by(learnt), wrong_by(hard)) < 5
    assert (soft.smoothed == states).mean() > (guess == states).mean()
    assert soft.rates_std[OFF].sum() < hard.rates_std[OFF].sum()
    assert learnt.rates_std[OFF].sum() < hard.rates_std[OFF].sum()
    assert np.diag(learnt.confusion).min() > 0.95  # right already: little to learn


@pytest.mark.slow
def test_probabilities_that_are_too_sure_are_not_believed():
    _, probabilities, *table = soft_table()
    sure = np.square(probabilities) ** 2
    sure /= sure.sum(1, keepdims=True)
    learnt = find_transitions(sure, *table, num_samples=1000)
    believed = find_transitions(sure, *table, confusion=np.eye(3), num_samples=1000)
    assert wrong_by(learnt) < 5 < wrong_by(believed)


@pytest.mark.slow
def test_rows_without_track_keep_their_labels():
    labels = np.array([0, 0, 1, 1, 1, -1, 2])
    tracks = np.array([4, 4, 4, -1, 9, -1, -1])
    found = find_transitions(labels, tracks, np.arange(7), num_samples=20)
    assert found.smoothed[[3, 5, 6]].tolist() == [1, -1, 2]
    assert found.probabilities.shape == (7, 3)


def test_a_state_that_is_never_left_lasts_for_ever():
    labels = np.tile(np.repeat([0, 1], 20), 4)
    rows = np.arange(160)
    found = find_transitions(
        labels,
        rows // 40,
        rows % 40,
        allowed=np.array([[0, 1], [0, 0]]),
        num_samples=40,
    )
    assert found.lifetimes[1] == np.inf
    assert (found.lifetimes_interval[:, 1] == np.inf).all()
    low, high = found.lifetimes_interval[:, 0]
    assert low < found.lifetimes[0] < high < np.inf
    np.testing.assert_allclose(found.stationary, [0, 1], atol=1e-9)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": np.array([0, 1, 5, 0])}, "labels from 0 to 1"),
        ({"labels": np.array([0, 1, -2, 0])}, "labels from 0 to 1"),
        ({"labels": np.array([0.0, 1, 1, 0])}, "whole numbers"),
        ({"labels": np.full((4, 2), 0.4)}, "sum to 1"),
        ({"labels": np.full((4, 3), 1 / 3)}, "num_states"),
        ({"labels": np.zeros(4, int), "num_states": 1}, "two states or more"),
        ({"labels": np.zeros(4, int), "num_states": 50}, "at most 20"),
        ({"tracks": np.zeros(3, int)}, "tracks must be 4"),
        ({"tracks": np.arange(4)}, "two frames or more"),
        ({"frames": np.array([0, 1, 1, 2])}, "one row a frame"),
        ({"frames": np.array([-1, 0, 1, 2])}, "frames >= 0"),
        ({"frames": np.array([0.5, 1, 2, 3])}, "whole numbers"),
        ({"confusion": np.ones((2, 2))}, "sum to 1"),
        ({"confusion": np.eye(3)}, r"\(2, 2\)"),
        ({"allowed": np.ones((3, 3))}, "allowed must be"),
        ({"dt": 0.0}, "dt must be"),
        ({"num_samples": 3}, "num_samples must be"),
        ({"allowed": np.array([[0, 1], [0, 0]]), "hidden": False}, "follow each other"),
    ],
)
def test_bad_input_is_refused(change, says):
    given = {
        "labels": np.array([0, 1, 1, 0]),
        "tracks": np.zeros(4, int),
        "frames": np.arange(4),
        "num_states": 2,
    }
    with pytest.raises((ValueError, DataError), match=says):
        find_transitions(**(given | change))


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    """Rates from 0.003 to 0.1 a frame, 6 % of labels wrong, and learnt from them."""
    rng = np.random.default_rng(9)
    inside = []
    for seed in range(12):
        rates = 10 ** rng.uniform(-2.5, -1, (3, 3)) * OFF
        rates -= np.diag(rates.sum(1))
        _, *table = draw_tracks(rates, 40, 100, seed, flicker(0.06))
        found = find_transitions(*table, num_samples=1000, seed=seed)
        low, high = found.rates_interval
        inside.append(((low <= rates) & (rates <= high))[OFF])
    share = np.mean(inside)
    assert share > 0.9 - 5 * np.sqrt(0.9 * 0.1 / 72)
