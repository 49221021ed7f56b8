import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis import lanes
from jaxrvae.analysis.lanes import lay_out, sort_tracks


def test_every_row_has_a_place_of_its_own_behind_the_one_before(monkeypatch):
    monkeypatch.setattr(lanes, "LANES", 5)  # so that tracks lie behind each other
    rng = np.random.default_rng(0)
    track = np.repeat(np.arange(60) * 3, rng.integers(1, 12, 60))
    frame = np.concatenate(
        [np.cumsum(rng.integers(1, 4, n)) for n in np.bincount(track)[::3]]
    )
    mixed = rng.permutation(len(track))
    track, frame = track[mixed], frame[mixed]
    found = sort_tracks(track, frame)
    evidence = rng.uniform(size=(len(track), 2)).astype(np.float32)
    observed, place, lane = lay_out(evidence, np.ones(len(track), bool), found)
    seen, first, real, known = (np.asarray(part) for part in observed)
    np.testing.assert_array_equal(seen[place, :, lane], evidence)
    assert known.sum() == len(set(zip(place, lane, strict=True))) == len(track)
    assert real.sum() == found.length.sum()
    assert (first * real).sum() == 60
    assert (seen.transpose(0, 2, 1)[known == 0] == 1).all()
    own, when = track[found.rows], frame[found.rows]
    same = np.diff(own) == 0
    assert (np.diff(lane)[same] == 0).all()
    np.testing.assert_array_equal(np.diff(place)[same], np.diff(when)[same])
    assert (lane.max() + 1) < 60  # some lie behind others


def test_long_gaps_end_tracks_and_common_ones_are_the_unit():
    found = sort_tracks(np.zeros(4, int), np.array([0, 5, 10, 700]))
    assert found.unit == 5
    assert found.piece.tolist() == [0, 0, 0, 1]
    assert found.place.tolist() == [0, 1, 2, 0]


def test_long_tracks_are_cut():
    found = sort_tracks(np.zeros(6, int), np.array([3, 4, 5, 7, 9, 10]), longest=3)
    assert found.piece.tolist() == [0, 0, 0, 1, 2, 2]
    assert found.place.tolist() == [0, 1, 2, 0, 0, 1]
    assert found.length.tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("tracks", "frames", "says"),
    [
        ([0, 0], [1, 1], "one row a frame and track"),
        ([0, 1, -1, -1], [0, 0, 1, 2], "tracks of two frames"),
        ([0, 0], [-1, 1], "frames >= 0"),
        ([], [], "tracks of two frames"),
    ],
)
def test_tables_that_are_no_tracks_are_refused(tracks, frames, says):
    with pytest.raises(DataError, match=says):
        sort_tracks(np.array(tracks, int), np.array(frames, int))
