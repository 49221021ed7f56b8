import numpy as np
import pytest

from jaxrvae.analysis.committor import find_committor
from jaxrvae.analysis.jumps import propagate
from jaxrvae.analysis.transitions import find_transitions


def generator(seed, k=4, number=None):
    shape = (k, k) if number is None else (number, k, k)
    rates = np.random.default_rng(seed).gamma(1.0, size=shape) * ~np.eye(k, dtype=bool)
    return rates - rates.sum(-1)[..., None] * np.eye(k)


def test_three_states_by_hand():
    a, b, c, d, e, f = 0.2, 0.3, 1.5, 0.5, 0.7, 0.1
    rates = np.array([[-a - b, a, b], [c, -c - d, d], [e, f, -e - f]])
    found = find_committor(rates, 0, 2)
    np.testing.assert_allclose(found.committor, [0, d / (c + d), 1])
    # t0 (a + b) = 1 + a t1, t1 (c + d) = 1 + c t0
    t0 = (1 + a / (c + d)) / (a + b - a * c / (c + d))
    np.testing.assert_allclose(found.passage_time, [t0, (1 + c * t0) / (c + d), 0])
    np.testing.assert_allclose(found.committor_interval, [found.committor] * 2)


def test_ends_change_places():
    rates = generator(0)
    there, back = find_committor(rates, [0, 1], 3), find_committor(rates, 3, [0, 1])
    np.testing.assert_allclose(there.committor, 1 - back.committor)


def test_against_walks():
    rates = generator(1, k=3)
    step = propagate(rates, 0.02).cumsum(1)
    rng = np.random.default_rng(0)
    number = 2000
    state, time, open_ = np.ones(number, int), np.zeros(number), np.ones(number, bool)
    first = np.full(number, -1)
    while open_.any():
        moved = (rng.random(number)[:, None] > step[state]).sum(1)
        state = np.where(open_, moved, state)
        time[open_] += 0.02
        ended = open_ & (first < 0) & (state != 1)
        first[ended] = state[ended]
        open_ &= state != 2
    found = find_committor(rates, 0, 2)
    share = (first == 2).mean()
    assert abs(share - found.committor[1]) < 5 * np.sqrt(0.25 / number) + 0.02
    error = 5 * time.std() / np.sqrt(number) + 0.02
    assert abs(time.mean() - found.passage_time[1]) < error


def test_draws_give_intervals():
    draws = generator(2, k=3, number=500)
    found = find_committor(draws, 0, 2)
    each = draws[:, 1, 2] / -draws[:, 1, 1]
    low, middle, high = np.quantile(each, [0.05, 0.5, 0.95])
    np.testing.assert_allclose(found.committor_interval[:, 1], [low, high])
    np.testing.assert_allclose(found.committor[1], middle)
    assert (found.passage_interval[0] <= found.passage_time).all()


def test_states_that_never_arrive():
    rates = np.array(
        [[-1.0, 1.0, 0.0, 0.0], [1.0, -3.0, 1.0, 1.0], [0, 0, 0, 0], [0, 0, 0, 0]]
    )
    found = find_committor(rates, 0, 2)
    np.testing.assert_allclose(found.committor, [0, 1 / 3, 1, np.nan])
    np.testing.assert_allclose(found.passage_time, [np.inf, np.inf, 0, np.inf])
    table = found.to_dataframe()
    assert table["state"].tolist() == [0, 1, 2, 3]


def test_takes_what_find_transitions_gives():
    labels = np.tile(np.repeat([0, 1, 2, 1], 8), 8)
    rows = np.arange(256)
    found = find_transitions(labels, rows // 64, rows % 64, num_samples=60)
    way = find_committor(found, 0, 2)
    assert 0.2 < way.committor[1] < 0.8
    low, high = way.committor_interval[:, 1]
    assert low < way.committor[1] < high


@pytest.mark.parametrize(
    ("rates", "source", "target", "says"),
    [
        (generator(0), 0, 0, "must differ"),
        (generator(0), 0, 4, "from 0 to 3"),
        (generator(0), -1, 2, "from 0 to 3"),
        (generator(0), [], 2, "a state or several"),
        (np.ones((3, 3)), 0, 2, "sum to 0"),
        (-generator(0), 0, 2, ">= 0"),
        (np.zeros(3), 0, 2, r"\(k, k\)"),
        (np.full((3, 3), np.nan), 0, 2, ">= 0"),
    ],
)
def test_bad_input_is_refused(rates, source, target, says):
    with pytest.raises(ValueError, match=says):
        find_committor(rates, source, target)
