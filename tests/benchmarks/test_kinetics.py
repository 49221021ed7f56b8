import numpy as np
import pandas as pd
import pytest

from benchmarks import kinetics


def honeycomb(silicon):
    """Pixels of graphene, and Si at some of its sites; first those of sublattice 0."""
    i, j = np.mgrid[-4:5, -4:5].reshape(2, -1)
    steps = kinetics.BOND * np.array([[1.5, 3**0.5 / 2], [1.5, -(3**0.5) / 2]])
    corner = i[:, None] * steps[0] + j[:, None] * steps[1]
    places = np.concatenate([corner, corner + [kinetics.BOND, 0.0]])
    atoms = pd.DataFrame(places, columns=["x", "y"]).assign(
        frame=0, element="C", site="C", atom=range(len(places))
    )
    for at in silicon:
        atoms.loc[at, ["element", "site"]] = "Si", "Si"
    return atoms


def test_sublattices_are_told_by_the_way_that_bonds_point():
    middle, half = 40, 81  # of each sublattice, neighbors of each other
    one = kinetics._of_frame(honeycomb([middle]))
    other = kinetics._of_frame(honeycomb([middle + half]))
    assert one["state"].tolist() == [0]
    assert other["state"].tolist() == [1]
    assert one["free"].tolist() == [1.0]
    border = kinetics._of_frame(honeycomb([0]))  # with neighbors outside
    assert border["state"].tolist() == [-1]


def test_a_second_si_blocks_the_neighbor_between():
    found = kinetics._of_frame(honeycomb([40, 41]))
    np.testing.assert_allclose(found["free"], 2 / 3)


def test_labels_are_wrong_as_often_as_asked():
    states = np.random.default_rng(0).integers(0, 3, (200, 100))
    seen = kinetics.blur(states, kinetics.WRONG, np.random.default_rng(1))
    table = np.zeros((3, 3))
    np.add.at(table, (states.ravel(), seen["labels"]), 1)
    share = table / table.sum(1, keepdims=True)
    assert np.abs(share - kinetics.WRONG).max() < 5 * np.sqrt(0.05 / 6600)
    assert (seen["tracks"][100], seen["frames"][100]) == (1, 0)


def test_summary_counts_rates_inside_and_the_worst_batch():
    inside = [[True, True]] * 5 + [[True, False]] * 5
    found = [
        (np.array(i), np.array([0.3]), 0.9, 50.0 + n) for n, i in enumerate(inside)
    ]
    row, counted = kinetics.summary("x", {"known": found, "known, counted": found})
    assert row["inside"] == pytest.approx(0.75)
    assert row["worst"] == 0.5
    assert row["+-"] == pytest.approx(np.sqrt(0.75 * 0.25 / 20))
    assert (row["kept"], counted["kept"]) == (False, "-")
    assert row["off"] == pytest.approx(0.3)
    assert row["least effective draws"] == 50
