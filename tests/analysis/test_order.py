import numpy as np
import pandas as pd
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.order import content_names, find_order, find_regions


def table_of(number=1000, frames=20, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        rng.normal(size=(number, 2)), columns=["content_0", "content_1"]
    )
    return table.assign(frame=np.arange(number) % frames), rng


def row(found, quantity, content):
    return found[(found.quantity == quantity) & (found.content == content)].iloc[0]


@pytest.mark.slow
def test_each_quantity_is_found_in_its_coordinate():
    table, rng = table_of()
    strain = np.sin(table["content_0"]) + 0.1 * rng.normal(size=len(table))
    kind = (table["content_1"] > 0.3).astype(int)
    found = find_order(table, pd.DataFrame({"strain": strain, "kind": kind}))
    own, other = row(found, "strain", "content_0"), row(found, "strain", "content_1")
    assert own.information_low > own.information_floor
    assert other.information_low < other.information_floor
    best = 1 - 0.01 / strain.var()  # what is left is the noise
    assert own.score_low <= best <= own.score_high + 0.02
    assert other.score < 0.05
    told = row(found, "kind", "all")
    assert (told.kind, told.num_groups) == ("class", 20)
    assert told.boosting > 0.97
    assert told.score > 0.93 > told.chance


def test_what_frames_share_is_not_learned():
    """A label of the frame is told by content, but not of frames held out."""
    table, rng = table_of(600, 12)
    table["content_0"] = table["frame"] + 0.01 * rng.normal(size=len(table))
    random = pd.DataFrame({"a": rng.normal(size=12)[table["frame"]]})
    assert row(find_order(table, random), "a", "content_0").score < 0.3


def test_unknown_values_are_left_out():
    table, _ = table_of(200, 5)
    values = table["content_0"].where(table["frame"] != 2)
    found = find_order(table, pd.DataFrame({"a": values}), most=150)
    assert row(found, "a", "all").num_rows == 150
    assert row(found, "a", "all").num_groups == 4


def test_latents_are_as_good_as_their_table(latents):
    rng = np.random.default_rng(0)
    content = rng.normal(size=(120, 2))
    made = latents(content, np.zeros(120), np.zeros(120, int))
    groups = np.arange(120) // 20
    found = find_order(made, pd.DataFrame({"a": content[:, 1] ** 3}), groups)
    assert found["content"].tolist() == ["content_0", "content_1", "all"]


def test_regions_are_squares_of_a_frame():
    table = pd.DataFrame({"x": [0, 9, 0, 0], "y": [0, 0, 9, 0], "frame": [0, 0, 0, 1]})
    assert len(set(find_regions(table, 8))) == 4


def test_bad_input_is_refused():
    table, _ = table_of(100, 1)
    values = pd.DataFrame({"a": np.ones(100)})
    with pytest.raises(DataError, match="find_regions"):
        find_order(table, values)
    with pytest.raises(DataError, match="content_0"):
        content_names(pd.DataFrame({"content": [1], "content_std_0": [1]}))
    with pytest.raises(ValueError, match="row of quantities"):
        find_order(table, values[:5])
    with pytest.raises(DataError, match="column 'region'"):
        find_order(table, values, "region")
