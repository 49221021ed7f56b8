import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.jumps import propagate
from jaxrvae.analysis.timescales import implied_timescales, relaxation_times

RATES = np.array([[-0.02, 0.02, 0.0], [0.03, -0.05, 0.02], [0.0, 0.05, -0.05]])


def draw_labels(num_tracks, num_frames, wrong, seed):
    rng = np.random.default_rng(seed)
    step = propagate(RATES).cumsum(1)
    states = rng.integers(0, 3, (num_tracks, num_frames))
    for t in range(1, num_frames):
        chance = rng.random(num_tracks)[:, None]
        states[:, t] = (chance > step[states[:, t - 1]]).sum(1)
    other = rng.integers(0, 3, states.shape)
    labels = np.where(rng.random(states.shape) < 1.5 * wrong, other, states)
    rows = np.arange(labels.size)
    return labels.ravel(), rows // num_frames, rows % num_frames


def test_times_of_a_generator():
    times = relaxation_times(RATES)
    step = np.sort(np.linalg.eigvals(propagate(RATES, 7.0)).real)[::-1][1:]
    np.testing.assert_allclose(times, -7 / np.log(step))


@pytest.mark.slow
def test_wrong_labels_make_counted_times_rise_and_hidden_ones_stay():
    found = implied_timescales(
        *draw_labels(300, 64, 0.06, 0), [1, 4], dt=0.5, num_samples=500
    )
    truth = 0.5 * relaxation_times(RATES)
    for process in (1, 2):
        own = found[found["process"] == process].set_index("lag")
        assert own["counted_high"][1] < own["counted_low"][4]
        assert own["counted_high"][1] < 0.6 * truth[process - 1]
        spread = (own["hidden_high"] - own["hidden_low"]) / 3.29
        assert (np.abs(own["hidden"] - truth[process - 1]) < 4 * spread).all()
    assert found["time"].tolist() == [0.5, 0.5, 2.0, 2.0]


def test_counts_are_of_rows_exactly_a_lag_apart():
    tracks, frames = np.zeros(8, int), np.array([0, 1, 2, 3, 5, 6, 7, 8])
    labels = np.array([0, 0, 1, 1, 0, 1, 0, 0])
    found = implied_timescales(labels, tracks, frames, [2], num_samples=20)
    # 0-2: 01, 1-3: 01, 3-5: 10, 5-7: 00, 6-8: 10: eigenvalue 1/3 - 1
    np.testing.assert_allclose(found["counted"], -2 / np.log(2 / 3))


def test_bad_input_is_refused():
    labels, tracks, frames = draw_labels(2, 6, 0.0, 1)
    with pytest.raises(ValueError, match="lags must be"):
        implied_timescales(labels, tracks, frames, [0])
    with pytest.raises(DataError, match="50 frames apart"):
        implied_timescales(labels, tracks, frames, [50])
