import numpy as np
import pandas as pd
import pytest

from jaxrvae import DataError
from jaxrvae.locate.hops import BONDS, SHELLS, measure_hops
from jaxrvae.simulate import simulate
from jaxrvae.simulate.lattice import graphene_sheet


def table_of(frames, places, track=0):
    x, y = np.asarray(places, float).T
    return pd.DataFrame({"frame": frames, "x": x, "y": y, "track": track})


def test_shells_are_those_of_a_honeycomb():
    sheet = graphene_sheet(12.0, 1.0, [0.3], np.random.default_rng(0))
    xy = sheet.positions[np.hypot(*sheet.positions.T) < 8]
    centre = np.hypot(*xy.T).argmin()
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    near = (apart > 0.9) & (apart < 1.1)
    steps, here = np.full(len(xy), 99), np.arange(len(xy)) == centre
    for count in range(7):
        steps[here & (steps == 99)] = count
        here = here | near[here].any(axis=0)
    for shell, bonds in zip(SHELLS, BONDS, strict=True):
        ring = np.abs(apart[centre] - shell) < 0.05
        assert ring.any()
        assert steps[ring].min() == bonds


def test_known_hops_and_gaps():
    places = [[50, 50], [50, 60.2], [50, 60], [67.3, 60], [67.2, 61]]
    hops = measure_hops(table_of([0, 1, 2, 5, 6], places), bond=10.0)
    assert hops["frame"].tolist() == [1, 5]
    assert hops["elapsed"].tolist() == [1, 3]
    assert hops["bonds"].tolist() == [1, 2]
    np.testing.assert_allclose(hops["length"], [1.02, 1.73], atol=1e-9)
    np.testing.assert_allclose(hops["off_site"], [0.02, 1.73 - 3**0.5], atol=1e-9)


def test_from_one_track_to_the_next_is_no_hop_and_rows_may_be_in_any_order():
    two = pd.concat(
        [table_of([0, 1], [[5, 5], [5, 15]], 1), table_of([0, 1], [[40, 5]] * 2, 0)]
    )
    hops = measure_hops(two.sample(frac=1, random_state=0), bond=10.0)
    assert hops[["track", "frame"]].to_numpy().tolist() == [[1, 1]]


def test_drift_is_no_hop():
    drift = pd.DataFrame({"frame": [0, 1, 2], "x": [0, 30.0, 60], "y": 0.0})
    seen = table_of([0, 1, 2], [[5, 5], [35, 5], [65, 15]])
    assert len(measure_hops(seen, bond=10.0)) == 2
    hops = measure_hops(seen, bond=10.0, drift=drift)
    assert hops["frame"].tolist() == [2]
    assert hops["length"].tolist() == [1.0]


def test_simulated_silicon():
    movie = simulate("graphene", 3, num_frames=12, size=192, hop_rate=0.3)
    atoms = movie.truth["atoms"]
    silicon = atoms[atoms["element"] == "Si"].rename(columns={"atom": "track"})
    bond = 0.142 / movie[0].pixel_size
    hops = measure_hops(silicon, bond=bond)
    assert len(hops) > 5
    assert (hops.loc[hops["elapsed"] == 1, "off_site"].abs() < 0.35).all()


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (pd.DataFrame({"frame": [0], "x": 1.0, "y": 1.0}), {}, "find positions"),
        (table_of([0], [[1, 1]]), {"bond": 0.0}, "bond must be"),
        (
            table_of([0, 4], [[1, 1], [1, 1]]),
            {"drift": pd.DataFrame({"frame": [0], "x": 0.0, "y": 0.0})},
            "first frame 4",
        ),
    ],
)
def test_refused(table, options, message):
    with pytest.raises((DataError, ValueError), match=message):
        measure_hops(table, **{"bond": 10.0, **options})


def test_farther_than_the_shells():
    hop = measure_hops(table_of([0, 1], [[1, 1], [71, 1]]), bond=10.0)
    assert hop["bonds"].tolist() == [0]
    assert hop["off_site"].isna().all()


def test_nothing_moves():
    assert measure_hops(table_of([0], [[1, 1]]), bond=1.0).empty
