import numpy as np
import pandas as pd
import pytest

from benchmarks import order


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    number = 600
    return pd.DataFrame(
        {
            "frame": np.arange(number) // 100,
            "strain": rng.normal(size=number),
            "coordination": np.where(rng.random(number) < 0.3, 2, 3),
            "plain": True,
            "far": True,
        }
    )


def test_content_that_is_the_strain_scores_one(rows):
    content = rows[["strain", "coordination"]].to_numpy(float)
    found = order.scores(content, rows)
    assert found["strain R2"] > 0.97
    assert found["coordination"] == found["balanced"] == 1.0


def test_content_that_names_the_sheet_alone_scores_nothing(rows):
    rows["strain"] += 5 * rows["frame"]  # sheets that are held out lie beyond
    found = order.scores(
        rows[["frame", "frame"]].to_numpy() + rng_noise(len(rows)), rows
    )
    assert found["strain R2"] < 0.9
    assert found["balanced"] < 0.6


def rng_noise(number):
    return 0.1 * np.random.default_rng(1).normal(size=(number, 2))


@pytest.mark.slow
def test_truth_goes_with_the_atoms():
    movie, truth = order.simulate(0, 2)
    found = order.with_truth(truth[["frame", "x", "y"]] + [0, 0.1, 0.1], movie, truth)
    assert found["known"].all()
    np.testing.assert_array_equal(found["coordination"], truth["coordination"])
    assert set(truth["coordination"]) == {2, 3, 4}
    assert truth.loc[truth["coordination"] == 2, "strain"].isna().all()
