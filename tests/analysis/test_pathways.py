import io

import numpy as np
import pandas as pd
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.pathways import find_pathways

pytestmark = pytest.mark.slow
CENTERS = np.array([[-2.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
HOPS = np.array([[0.95, 0.05, 0.0], [0.04, 0.9, 0.06], [0.0, 0.08, 0.92]])


def chains(num_tracks=60, num_frames=20, width=0.4, seed=0):
    """Tracks that go over between three wells, never between the outer two."""
    rng = np.random.default_rng(seed)
    state = rng.integers(3, size=num_tracks)
    rows = []
    for frame in range(num_frames):
        content = CENTERS[state] + width * rng.normal(size=(num_tracks, 2))
        rows.append(
            pd.DataFrame(
                {
                    "frame": frame,
                    "track": np.arange(num_tracks),
                    "content_0": content[:, 0],
                    "content_1": content[:, 1],
                    "truth": state,
                }
            )
        )
        state = (rng.random((num_tracks, 1)) > HOPS[state].cumsum(1)).sum(1)
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def table():
    return chains()


@pytest.fixture(scope="module")
def found(table):
    return find_pathways(table, dt=0.5, num_bootstraps=4)


def test_states_are_the_wells(found, table):
    assert len(found.states) == 3
    seen = pd.crosstab(table["truth"], found.table["state"]).to_numpy()
    assert seen.max(axis=1).sum() / seen.sum() > 0.97
    away = np.linalg.norm(found.typical[:, None] - CENTERS, axis=2).min(axis=1)
    assert away.max() < 0.3


def test_rates_are_in_the_inverse_of_dt(found, table):
    own = pd.crosstab(found.table["state"], table["truth"]).to_numpy().argmax(1)
    place = np.argsort(own)  # of each truth, the state
    low, high = found.transitions.rates_interval[:, place][:, :, place]
    truth = -np.log(HOPS.diagonal()) / 0.5  # leaving, to first order
    leaving = found.transitions.rates[place][:, place]
    assert np.abs(-leaving.diagonal() / truth - 1).max() < 0.35
    assert (low[HOPS > 0.5] <= high[HOPS > 0.5]).all()


def test_ways_are_between_states_that_went_over(found, table):
    own = pd.crosstab(found.table["state"], table["truth"]).to_numpy().argmax(1)
    pairs = {tuple(sorted(own[pair])) for pair in found.pairs}
    assert {(0, 1), (1, 2)} <= pairs
    first = [sorted(own[pair]) for pair in found.pairs][:2]
    assert sorted(first) == [[0, 1], [1, 2]]


def test_shares_add_up(found):
    assert np.allclose(found.shares.groupby("frame")["share"].sum(), 1)


@pytest.mark.very_slow
def test_a_table_of_any_program_does(found, table):
    text = table.drop(columns="truth").to_csv(index=False)
    again = find_pathways(pd.read_csv(io.StringIO(text)), dt=0.5, num_bootstraps=0)
    assert np.array_equal(again.states.labels, found.states.labels)
    assert np.allclose(again.transitions.rates, found.transitions.rates)
    tables = again.tables()
    assert {"states", "shares", "transitions", "paths"} <= set(tables)


@pytest.mark.very_slow
def test_what_is_missing_is_said(table):
    content = table[["content_0", "content_1"]]
    found = find_pathways(content, num_bootstraps=0)
    assert found.transitions is found.shares is found.geodesics is None
    assert found.images is found.strips is None
    assert {"shares", "transitions", "geodesics"} <= set(found.notes)
    assert found.paths is not None


@pytest.mark.very_slow
def test_without_model_images_are_typical_patches(table):
    y, x = np.mgrid[-8:9, -8:9] / 8
    waves = np.stack([np.real((x + 1j * y) ** n) for n in (2, 3, 4)])
    truth = table["truth"].to_numpy()
    found = find_pathways(table, waves[truth], num_bootstraps=0)
    typical = found.states.representatives
    assert np.array_equal(found.images, waves[truth[typical]])
    assert found.symmetry == (truth[typical] + 2).tolist()
    assert found.tables()["states"]["symmetry"].tolist() == found.symmetry


def test_bad_input_is_refused(table):
    with pytest.raises(DataError, match="content_0"):
        find_pathways(table[["frame"]])
    with pytest.raises(DataError, match="finite"):
        find_pathways(table.assign(content_0=np.nan))
    with pytest.raises(ValueError, match="a patch for each"):
        find_pathways(table, np.zeros((3, 4, 4)))
    with pytest.raises(DataError, match="column frame"):
        find_pathways(table.drop(columns="frame"))
    with pytest.raises(ValueError, match="dt"):
        find_pathways(table, dt=0)
