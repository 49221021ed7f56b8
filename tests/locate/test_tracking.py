import logging

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment

from jaxrvae import DataError
from jaxrvae.locate import tracking
from jaxrvae.locate.tracking import link


def grid(side=6, spacing=9.0):
    rows, columns = np.mgrid[:side, :side].reshape(2, -1)
    return np.stack([columns, rows], axis=1) * spacing + 10.0


def movie(numbers, places, noise=0.0, seed=0):
    """The same places in every frame, with a column that says which is which."""
    rng = np.random.default_rng(seed)
    parts = [
        pd.DataFrame(places + rng.normal(0, noise, places.shape), columns=["x", "y"])
        .assign(frame=number, atom=np.arange(len(places)))
        .reset_index(drop=True)
        for number in numbers
    ]
    return pd.concat(parts, ignore_index=True)


def agrees(table):
    """Whether tracks and atoms are the same partition."""
    pairs = table[["track", "atom"]].drop_duplicates()
    return pairs["track"].is_unique and pairs["atom"].is_unique


def test_atoms_that_stay_keep_their_track():
    linked = link(movie(range(5), grid(), noise=0.3))
    assert agrees(linked)
    assert sorted(linked["track"].unique()) == list(range(36))


def test_rows_index_and_columns_stay():
    table = movie(range(3), grid(), noise=0.3).assign(name="C")
    table = table.sample(frac=1, random_state=1).set_index("name", append=True)
    before = table.copy()
    linked = link(table)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(linked.drop(columns="track"), before)
    assert linked["track"].dtype == np.int64


def test_the_order_of_rows_does_not_matter():
    table = movie(range(4), grid(), noise=0.5)
    shuffled = table.sample(frac=1, random_state=3)
    again = link(shuffled)["track"].loc[table.index]
    assert link(table)["track"].tolist() == again.tolist()


def test_mirrored_and_moved_tables_have_the_same_tracks():
    table = movie(range(4), grid(), noise=0.5)
    other = table.assign(x=300 - table["x"], y=table["y"] + 40)
    pairs = pd.DataFrame({"a": link(table)["track"], "b": link(other)["track"]})
    pairs = pairs.drop_duplicates()
    assert pairs["a"].is_unique
    assert pairs["b"].is_unique


@pytest.mark.parametrize("gap", [0, 1, 2, 3])
@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_tracks_outlive_as_many_frames_as_gap_says(gap, missing):
    table = movie(range(missing + 2), grid())
    lost = (table["atom"] == 7) & table["frame"].between(1, missing)
    linked = link(table[~lost], gap=gap)
    kept = linked.loc[linked["atom"] == 7, "track"].nunique() == 1
    assert kept == (missing <= gap)
    assert agrees(linked[linked["atom"] != 7])


@pytest.mark.parametrize(("numbers", "kept"), [((3, 6), True), ((3, 7), False)])
def test_frame_numbers_that_are_not_there_count(numbers, kept):
    linked = link(movie(numbers, grid()), gap=2)
    assert agrees(linked) == kept
    assert linked["track"].nunique() == (36 if kept else 72)


def test_far_frame_numbers_cost_nothing():
    linked = link(movie((-5, 10**15), grid()), gap=3)
    assert linked["track"].nunique() == 72


@pytest.mark.parametrize(("step", "kept"), [(4.9, True), (5.1, False)])
def test_steps_are_bounded(step, kept):
    table = movie((0, 1), np.array([[10.0, 20.0], [80.0, 20.0]]))
    table.loc[2, "x"] += step
    assert agrees(link(table, max_step=5.0, drift=None)) == kept


def test_drift_of_several_pixels_is_removed():
    steps = np.array([[0.0, 0], [4.0, -3], [8.5, -4], [4.0, 1]])
    lattice = grid(side=16)
    lattice = lattice[np.random.default_rng(0).permutation(256)[:190]]  # holes tell
    table = movie(range(4), lattice, noise=0.2)
    table[["x", "y"]] += steps[table["frame"]]
    linked = link(table, max_step=2.0)
    assert agrees(linked)
    pd.testing.assert_frame_equal(linked[["x", "y"]], table[["x", "y"]])
    given = pd.DataFrame(steps, columns=["x", "y"]).assign(frame=range(4))
    assert linked["track"].equals(link(table, max_step=2.0, drift=given)["track"])
    assert not agrees(link(table, max_step=2.0, drift=None))


def test_births_and_deaths():
    table = movie(range(6), grid(), noise=0.2)
    born = (table["atom"] == 3) & (table["frame"] < 2)
    dead = (table["atom"] == 30) & (table["frame"] > 3)
    linked = link(table[~born & ~dead])
    assert agrees(linked)
    assert linked["track"].max() == 35


def test_a_feature_tells_a_hop_from_staying():
    """A bright atom changes place with the dim one beside it, one spacing away."""
    table = movie(range(4), grid(), noise=0.2)
    table["height"] = np.where(table["atom"] == 14, 4.0, 1.0)
    later = table["frame"] >= 2
    swapped = table["atom"].replace({14: 15, 15: 14})
    table.loc[later, "atom"] = swapped[later]
    table.loc[later, "height"] = np.where(table["atom"] == 14, 4.0, 1.0)[later]
    assert not agrees(link(table))
    assert agrees(link(table, max_step=10.0, features={"height": 2.0}))


def test_a_lattice_that_hangs_together_is_settled_exactly():
    """Steps longer than half the spacing: trackpy's own search would give up."""
    table = movie((0, 1), grid(side=12), noise=1.5)
    linked = link(table, max_step=14.0, drift=None)
    first, second = (linked[linked["frame"] == k] for k in (0, 1))
    steps = second[["x", "y"]].to_numpy()[None] - first[["x", "y"]].to_numpy()[:, None]
    squares = (steps**2).sum(axis=-1)
    best = squares[linear_sum_assignment(squares)].sum()
    places = second.set_index("track")[["x", "y"]].reindex(first["track"])
    found = ((places.to_numpy() - first[["x", "y"]].to_numpy()) ** 2).sum()
    assert found == pytest.approx(best)


def test_sparse_and_dense_costs_agree(monkeypatch):
    table = movie((0, 1, 2), grid(side=8), noise=2.0)
    dense = link(table, max_step=12.0)
    monkeypatch.setattr(tracking, "DENSE", 0)
    pd.testing.assert_frame_equal(dense, link(table, max_step=12.0))


def test_the_largest_step_is_dear():
    """No successor costs 5 px squared: two links may cost less, or more."""
    table = pd.DataFrame({"frame": [0, 0, 1, 1], "x": [0.0, 4, 3, 7], "y": 0.0})
    assert link(table, max_step=5.0, drift=None)["track"].tolist() == [0, 1, 0, 1]
    table.loc[2:, "x"] = [4.0, 8.0]
    assert link(table, max_step=5.0, drift=None)["track"].tolist() == [0, 1, 1, 2]


def test_one_frame_and_one_atom():
    assert link(movie([4], grid()))["track"].nunique() == 36
    assert link(movie([4], grid()[:1]))["track"].tolist() == [0]


def test_trackpy_says_nothing(caplog):
    with caplog.at_level(logging.INFO):
        link(movie(range(3), grid()))
    assert not caplog.records


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="y"), r"\['y'\] of them missing"),
        (lambda t: t.drop(columns="frame"), r"\['frame'\] of them missing"),
        (lambda t: t.iloc[:0], "without rows"),
        (lambda t: t.assign(x=np.nan), "'x': expected finite numbers; 72 of 72"),
        (lambda t: t.assign(y=np.inf), "'y': expected finite"),
        (lambda t: t.assign(x="far"), "'x': expected numbers"),
        (lambda t: t.assign(frame=t["frame"] + 0.5), "whole numbers; got 0.5"),
        (lambda t: pd.concat([t, t.iloc[[40]]]), "frame 1 holds x=46, y=10 twice"),
    ],
)
def test_tables_that_cannot_be_used(change, message):
    with pytest.raises(DataError, match=message):
        link(change(movie((0, 1), grid())))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_step": -1.0}, "max_step must be finite and > 0; got -1.0"),
        ({"max_step": float("nan")}, "max_step"),
        ({"gap": -1}, "gap must be >= 0"),
        ({"drift": "none"}, "drift must be 'auto'"),
        ({"features": {"x": 1.0}}, "columns beside"),
        ({"features": {"intensity": 0.0}}, "intensity.*> 0"),
        ({"features": {"intensity": 1.0}}, r"\['intensity'\] of them missing"),
        ({"drift": pd.DataFrame({"frame": [0], "x": 0.0, "y": 0.0})}, "first frame 1"),
        ({"drift": pd.DataFrame({"frame": [0, 1], "x": 0.0})}, r"\['y'\]"),
        ({"drift": pd.DataFrame({"frame": [0, 0, 1], "x": 0.0, "y": 0.0})}, "several"),
    ],
)
def test_options_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message):
        link(movie((0, 1), grid()), **options)
