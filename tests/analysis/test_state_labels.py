import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.lanes import sort_tracks
from jaxrvae.analysis.state_labels import count_pairs, list_changes, read_labels


def test_probabilities_become_likelihoods_by_bayes():
    rng = np.random.default_rng(0)
    share = np.array([0.7, 0.2, 0.1])
    states = rng.choice(3, 200_000, p=share)
    seen = rng.normal(states, 0.7)
    likelihood = np.exp(-0.5 * ((seen[:, None] - np.arange(3)) / 0.7) ** 2)
    posterior = likelihood * share
    evidence, known = read_labels(posterior / posterior.sum(1, keepdims=True))
    assert known.all()
    # shares are means of 200,000 probabilities
    np.testing.assert_allclose(
        evidence, likelihood / likelihood.max(1, keepdims=True), rtol=0.05, atol=1e-6
    )


def test_rows_that_are_not_known_say_nothing():
    given = np.array([[0.5, 0.5], [np.nan, np.nan], [0.9, 0.1]])
    evidence, known = read_labels(given)
    assert known.tolist() == [True, False, True]
    assert evidence[1].tolist() == [1, 1]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_kinds_of_whole_numbers(kind):
    evidence, _ = read_labels(np.array([0, 2, 1], kind))
    np.testing.assert_array_equal(evidence, np.eye(3)[[0, 2, 1]])


def test_pairs_are_counted_over_rows_that_are_not_known():
    labels = np.array([0, -1, 1, 1, 0])
    tracks = sort_tracks(np.array([0, 0, 0, 0, 1]), np.array([0, 1, 2, 5, 6]))
    counts, dwell = count_pairs(labels, tracks, 2)
    assert counts.tolist() == [[0, 1], [0, 1]]
    assert dwell.tolist() == [2, 3]


def test_changes_are_listed_by_track_and_time():
    states = np.array([1, 0, 0, 2, 1, 1])
    tracks = np.array([3, 3, 7, 7, -1, 3])
    frames = np.array([4, 2, 0, 5, 1, 9])
    found = list_changes(states, tracks, frames)
    assert found["track"].tolist() == [3, 7]
    assert found["frame"].tolist() == [4, 5]
    assert found["elapsed"].tolist() == [2, 5]
    assert found["row"].tolist() == [0, 3]


def test_negative_probabilities_are_refused():
    with pytest.raises(DataError, match="the first is 1"):
        read_labels(np.array([[0.5, 0.5], [1.1, -0.1]]))
