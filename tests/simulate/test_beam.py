import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import maximum_filter
from scipy.spatial import KDTree

from jaxrvae.simulate import simulate

BUSY = {
    "hop_rate": 0.5,
    "fourfold_rate": 0.05,
    "flip_rate": 1e-3,
    "knock_rate": 5e-4,
    "edge_rate": 0.05,
    "adatom_rate": 0.05,
}


@pytest.fixture(scope="module")
def movie():
    options = {"num_frames": 6, "size": 160, "num_grains": 2, "drift": 0.5}
    return simulate("beam", seed=3, silicon_fraction=0.02, **options, **BUSY)


def test_movie_and_tables(movie):
    atoms, events = movie.truth["atoms"], movie.truth["events"]
    assert movie.values.shape == (6, 160, 160)
    assert movie.pixel_size == 0.015625
    assert set(atoms["frame"]) == set(range(6))
    assert not atoms.duplicated(["frame", "atom"]).any()
    assert {"C", "Si", "boundary", "next to Si"} <= set(atoms["site"])
    silicon = atoms["site"].isin(["Si", "Si4"])
    assert ((atoms["element"] == "Si") == silicon).all()
    assert (atoms["coordination"][atoms["site"] == "Si4"] == 4).all()
    assert list(events) == ["frame", "time", "kind", "x", "y", "atoms"]
    assert (events["frame"] == np.ceil(events["time"])).all()
    assert len(events) > 20


def test_atoms_come_and_go_only_by_events(movie):
    atoms, events = movie.truth["atoms"], movie.truth["events"]
    inside = atoms[["x", "y"]].apply(lambda p: p.between(8, 151)).all(axis=1)
    for frame in range(1, 6):
        before, now = (
            set(atoms["atom"][atoms["frame"] == f]) for f in (frame - 1, frame)
        )
        core = set(atoms["atom"][inside & (atoms["frame"] == frame - 1)])
        new = set(atoms["atom"][inside & (atoms["frame"] == frame)]) - before
        told = {a for e in events["atoms"][events["frame"] == frame] for a in e}
        assert core - now <= told
        assert new <= told


def test_elements_stay_with_their_atoms(movie):
    assert (movie.truth["atoms"].groupby("atom")["element"].nunique() == 1).all()


def test_positions_are_the_maxima_of_the_image():
    options = {"num_frames": 1, "size": 128, "dose": 1e9, "background": 0.0}
    movie = simulate("beam", 1, silicon_fraction=0.0, fourfold_fraction=0.0, **options)
    image, atoms = movie[0].values, movie.truth["atoms"]
    found = np.argwhere(image == maximum_filter(image, 5))[:, ::-1]
    inside = atoms[["x", "y"]].apply(lambda p: p.between(6, 121)).all(axis=1)
    gap, _ = KDTree(found).query(atoms.loc[inside, ["x", "y"]])
    assert gap.max() < 1.5
    assert np.median(gap) < 0.6


def test_still_without_rates():
    rates = {name: 0.0 for name in [*BUSY, "threefold_rate", "unflip_rate"]}
    rates["adatom_hop_rate"] = rates["adatom_leave_rate"] = 0.0
    movie = simulate("beam", 0, num_frames=2, size=64, **rates)
    assert not len(movie.truth["events"])
    first, second = (movie.truth["atoms"].query("frame == @f") for f in (0, 1))
    np.testing.assert_array_equal(first[["x", "y"]], second[["x", "y"]])


def test_same_seed_same_movie_and_options_remake_it():
    options = {"num_frames": 3, "size": 64, **BUSY}
    first, again, other = (simulate("beam", s, **options) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.values, again.values)
    pd.testing.assert_frame_equal(first.truth["events"], again.truth["events"])
    assert not np.array_equal(first.values, other.values)
    remade = simulate("beam", 0, **first.truth["options"])
    np.testing.assert_array_equal(first.values, remade.values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_grains": 3}, "num_grains must be one of"),
        ({"silicon_fraction": 0.2}, "silicon_fraction must lie in"),
        ({"edge_rate": -0.1}, "edge_rate must be >= 0"),
        ({"strain": -0.01}, "strain must lie in"),
        ({"voltage": 0.0}, "voltage must be finite and > 0"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        simulate("beam", **options)
