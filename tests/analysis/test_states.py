import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.states import find_states, shares_by_frame

pytestmark = pytest.mark.slow
PLACES = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 6.0]])
COUNTS = (800, 200, 25)


def groups(seed=0):
    """Three round groups, the last a 32nd of the first, in random order."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(3), COUNTS))
    return PLACES[truth] + rng.normal(size=(len(truth), 2)), truth


@pytest.mark.parametrize("method", ["gmm", "dirichlet"])
def test_groups_are_states_largest_first(method):
    content, truth = groups()
    found = find_states(content, method=method, num_members=3)
    assert len(found) == 3
    assert np.mean(found.labels == truth) > 0.985  # Bayes' rate is .992
    assert np.all(np.diff(found.counts) <= 0)
    assert found.counts.sum() == len(content)
    away = np.linalg.norm(content[found.representatives] - PLACES, axis=1)
    assert away.max() < 1
    assert found.stability.min() > 0.9
    assert found.agreement > 0.95


def test_dense_groups_leave_outliers_to_none():
    content, truth = groups()
    content = np.concatenate([content, [[20.0, 20.0]]])
    found = find_states(content, method="hdbscan", num_members=2)
    assert found.labels[-1] == -1
    assert not found.probabilities[-1].any()
    known = found.labels[:-1] >= 0
    assert known.mean() > 0.7
    assert np.mean(found.labels[:-1][known] == truth[known]) > 0.98


def test_a_skewed_group_is_one_state():
    rng = np.random.default_rng(1)
    content = np.stack([rng.gamma(3.0, size=1500), rng.normal(size=1500)], 1)
    assert len(find_states(content, num_members=3)) == 1


def test_the_order_of_rows_does_not_matter():
    content, _ = groups()
    order = np.random.default_rng(2).permutation(len(content))
    one = find_states(content, num_members=2)
    other = find_states(content[order], num_members=2)
    assert np.mean(one.labels[order] == other.labels) > 0.99


def test_same_seed_same_states():
    content, _ = groups()
    one, other = (find_states(content, num_members=2, seed=5) for _ in range(2))
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.probabilities, other.probabilities)


def test_classify_says_what_labels_say():
    content, _ = groups()
    found = find_states(content, num_members=2)
    labels, probabilities = found.classify(content)
    assert np.array_equal(labels, found.labels)
    assert np.allclose(probabilities.sum(1), 1)
    with pytest.raises(ValueError, match="content must be"):
        found.classify(content[:, :1])


def test_so_many_as_asked_for():
    content, _ = groups()
    assert len(find_states(content, num_states=2, num_members=2)) == 2


def test_shares_have_intervals_that_cover():
    rng = np.random.default_rng(3)
    labels = (rng.random(200 * 50) < 0.3).astype(int)
    found = shares_by_frame(labels, np.repeat(np.arange(200), 50))
    own = found[found["state"] == 1]
    covered = (own["low"] < 0.3) & (own["high"] > 0.3)
    assert abs(covered.mean() - 0.9) < 3 * np.sqrt(0.9 * 0.1 / 200)
    assert np.allclose(found.groupby("frame")["share"].sum(), 1)
    assert found["count"].sum() == len(labels)


def test_bad_input_is_refused():
    content, _ = groups()
    with pytest.raises(DataError, match="finite"):
        find_states(np.full((50, 2), np.nan))
    with pytest.raises(DataError, match="at least 50"):
        find_states(content[:20], num_states=10)
    with pytest.raises(ValueError, match="method"):
        find_states(content, method="kmeans")
    with pytest.raises(ValueError, match="auto"):
        find_states(content, num_states="many")
    with pytest.raises(ValueError, match="hdbscan"):
        find_states(content, num_states=2, method="hdbscan")
    with pytest.raises(ValueError, match="frames"):
        find_states(content, frames=np.zeros(3))
    with pytest.raises(ValueError, match="frames"):
        shares_by_frame(np.zeros(3, int), np.zeros(4))
