import numpy as np
import pytest

from jaxrvae import DataError
from jaxrvae.analysis.validation import seed_spread, split_by_frame, split_by_region


def test_frames_are_never_on_both_sides_and_every_row_is_judged_once():
    frames = np.random.default_rng(0).integers(0, 17, 400)
    folds = split_by_frame(frames, 4, seed=3)
    assert len(folds) == 4
    for train, test in folds:
        assert not set(frames[train]) & set(frames[test])
        assert len(train) + len(test) == len(frames)
    judged = np.sort(np.concatenate([test for _, test in folds]))
    assert judged.tolist() == list(range(400))


def test_blocks_of_frames_stay_together_and_the_seed_decides():
    frames = np.repeat(np.arange(20), 3)
    folds = split_by_frame(frames, 4, block=5)
    assert sorted(sorted(set(frames[test] // 5)) for _, test in folds) == [
        [0], [1], [2], [3],
    ]  # fmt: skip
    same = split_by_frame(frames, 4, block=5)
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(folds, same, strict=True))
    tests = {tuple(split_by_frame(frames, 4, seed=s)[0][1]) for s in range(5)}
    assert len(tests) > 1


@pytest.mark.parametrize("window", [5.0, 20.0, 31.0])
def test_no_window_overlaps_one_on_the_other_side(window):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 256, (2, 900))
    folds = split_by_region(x, y, 64, window=window, num_folds=4)
    judged = np.sort(np.concatenate([test for _, test in folds]))
    assert judged.tolist() == list(range(900))
    for train, test in folds:
        gap = np.maximum(
            np.abs(x[train, None] - x[test]), np.abs(y[train, None] - y[test])
        )
        assert gap.min() >= window  # squares of this side do not overlap
        assert len(train) > 0


def test_the_band_takes_no_more_than_it_needs():
    x = np.arange(100.0)
    train, test = split_by_region(x, 0 * x, 50, window=10, num_folds=2)[0]
    assert len(test) == 50
    assert len(train) == 41  # of fifty, those closer than ten pixels are nine


def test_windows_that_leak_flatter_a_score_that_the_split_does_not():
    """A field of white noise seen through windows can be told from neighbors alone."""
    from scipy.ndimage import uniform_filter

    rng = np.random.default_rng(2)
    field = uniform_filter(rng.normal(size=(128, 128)), 12)
    y, x = rng.integers(6, 122, (2, 1500))
    values = field[y, x]
    order = rng.permutation(1500)
    leaky = [(order[300:], order[:300])]
    fair = split_by_region(x.astype(float), y.astype(float), 32, window=24, seed=0)

    def explained(folds):
        from sklearn.neighbors import KNeighborsRegressor

        scores = []
        for train, test in folds:
            model = KNeighborsRegressor(3).fit(np.c_[x, y][train], values[train])
            scores.append(model.score(np.c_[x, y][test], values[test]))
        return np.mean(scores)

    assert explained(leaky) > 0.6
    assert explained(fair) < 0.2


def test_the_spread_over_seeds():
    table = seed_spread(
        {"good": [0.9, 0.8, 1.0], "error": [3.0, 1.0, 2.0], "lost": [1.0, np.nan, 2.0]},
        better={"error": "low"},
    ).set_index("name")
    assert table.loc["good", "worst"] == 0.8
    assert table.loc["error", "worst"] == 3.0
    assert np.isnan(table.loc["lost", "worst"])
    assert table["seeds"].tolist() == [3, 3, 2]
    half = 2.919986 * 0.1 / np.sqrt(3)  # Student's t, 95 % point at 2 degrees
    assert table.loc["good", "high"] == pytest.approx(0.9 + half, rel=1e-5)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(2.0, 3.0, (1500, 5))
    table = seed_spread({str(i): row for i, row in enumerate(draws)}, level=0.9)
    covered = ((table["low"] < 2) & (2 < table["high"])).mean()
    assert abs(covered - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 1500)


def test_one_seed_says_nothing_of_the_spread():
    row = seed_spread({"a": [1.0]}).iloc[0]
    assert np.isnan(row["std"])
    assert np.isinf(row["high"])


def test_what_cannot_be_split_is_refused():
    with pytest.raises(DataError, match="at least 5 blocks of 1 frames"):
        split_by_frame(np.zeros(10, int))
    with pytest.raises(DataError, match="regions of 64 pixels"):
        split_by_region(np.zeros(9), np.zeros(9), 64, window=3)
    x = np.arange(20.0)
    with pytest.raises(DataError, match="larger regions"):
        split_by_region(x, 0 * x, 10, window=30, num_folds=2)
    with pytest.raises(ValueError, match="finite"):
        split_by_region(np.array([0, np.nan]), np.zeros(2), 10, window=3)
    with pytest.raises(ValueError, match="level"):
        seed_spread({"a": [1.0, 2.0]}, level=1)
    with pytest.raises(ValueError, match="one number a seed"):
        seed_spread({"a": np.zeros((2, 2))})
    with pytest.raises(ValueError, match="'high' or 'low'"):
        seed_spread({"a": [1.0, 2.0]}, better="big")
