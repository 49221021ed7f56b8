import numpy as np
import pandas as pd
import pytest

from benchmarks.tracks import _sites, _spurious, honeycomb, movie


def test_a_spoiled_movie_keeps_its_truth():
    atoms, drift = movie(0, drift=3.0, spoiled=True, gone=1)
    true = atoms[atoms["atom"] >= 0]
    assert (atoms["atom"] < 0).mean() == pytest.approx(0.05, abs=0.01)
    assert not true.duplicated(["frame", "atom"]).any()
    assert drift["frame"].tolist() == list(range(10))


def test_sites_are_places():
    still = np.array([[0.0, 0], [0.5, 0], [9, 0], [9, 0.4], [30, 30]])
    sites = _sites(still)
    assert sites[0] == sites[1] != sites[2] == sites[3] != sites[4]


def test_spurious_positions_keep_away():
    here = pd.DataFrame({"frame": 0, "x": np.arange(0, 250, 9.0), "y": 100.0})
    found = _spurious(here, np.random.default_rng(0))
    away = np.abs(found["y"] - 100) + np.abs(found["x"] % 9 - 4.5)
    assert (away > 0).all()
    assert (found["atom"] == -1).all()


def test_the_honeycomb_has_as_many_sightings_as_it_says():
    """95 % seen and 5 % spurious; five standard errors of a binomial number."""
    atoms = honeycomb(2000, 3)
    error = 5 * np.sqrt(6000 * 0.05 * 0.95)
    assert abs(len(atoms) - 6000) < error
    assert atoms["frame"].unique().tolist() == [0, 1, 2]
