import numpy as np
import pandas as pd
import pytest

from jaxrvae.locate.position_drift import drift_of_positions
from jaxrvae.simulate.graphene import Scan, Sheet, simulate_graphene


def scattered(count=200, side=150.0, seed=0):
    return np.random.default_rng(seed).uniform(0, side, (count, 2))


def table_of(frames):
    parts = [
        pd.DataFrame(places, columns=["x", "y"]).assign(frame=number)
        for number, places in frames.items()
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("step", [(0.0, 0.0), (3.0, -2.0), (-0.4, 11.3)])
def test_a_shift_is_found_exactly(step):
    places = scattered()
    drift = drift_of_positions(table_of({2: places, 5: places + step}))
    assert drift["frame"].tolist() == [2, 5]
    np.testing.assert_allclose(drift[["x", "y"]].iloc[1], step, atol=1e-9)
    assert drift["share"].iloc[1] == 1.0


def test_noise_and_its_stated_error():
    """The median of n steps of noise: five of the standard errors that it states."""
    rng, places = np.random.default_rng(1), scattered(400, 250.0)
    noisy = {k: places + 2.0 * k + rng.normal(0, 0.3, places.shape) for k in range(6)}
    drift = drift_of_positions(table_of(noisy))
    steps = np.diff(drift[["x", "y"]], axis=0) - 2.0
    expected = 1.2533 * 0.3 * np.sqrt(2 / 400)
    np.testing.assert_allclose(drift["error"].iloc[1:], expected, rtol=0.3)
    assert np.abs(steps).max() < 5 * expected


def test_atoms_that_come_go_and_hop_do_not_pull():
    rng, places = np.random.default_rng(2), scattered(300, 200.0)
    after = places + [5.0, 4.0]
    after[:60] += rng.normal(0, 8.0, (60, 2))
    after = np.concatenate([after[30:], rng.uniform(0, 200, (40, 2))])
    drift = drift_of_positions(table_of({0: places, 1: after}))
    np.testing.assert_allclose(drift[["x", "y"]].iloc[1], [5.0, 4.0], atol=0.01)
    assert drift["share"].iloc[1] == pytest.approx(0.8, abs=0.1)


def test_the_order_of_rows_does_not_matter():
    table = table_of({k: scattered() + k for k in range(3)})
    other = table.sample(frac=1, random_state=0)
    first, second = drift_of_positions(table), drift_of_positions(other)
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_too_few_atoms_tell_nothing():
    drift = drift_of_positions(table_of({0: scattered(5), 1: scattered(5) + 1}))
    assert drift[["x", "y"]].to_numpy().tolist() == [[0, 0], [0, 0]]
    assert drift["share"].isna().tolist() == [False, True]


def test_of_alike_steps_on_a_perfect_lattice_the_shortest_is_taken():
    rows, columns = np.mgrid[:20, :20].reshape(2, -1)
    lattice = np.stack([columns, rows], axis=1) * 9.0
    inside = lattice[(lattice > 20).all(1) & (lattice < 140).all(1)]
    drift = drift_of_positions(table_of({0: inside, 1: lattice + [4.0, -3.0]}))
    np.testing.assert_allclose(drift[["x", "y"]].iloc[1], [4.0, -3.0], atol=1e-9)


def test_graphene_under_the_beam():
    scan = Scan(num_frames=6, size=200, drift=2.5)
    truth = simulate_graphene(3, Sheet(num_grains=2), scan).truth
    atoms = truth["atoms"]
    drift = drift_of_positions(atoms.assign(atom=0))
    given = truth["drift"][["x", "y"]].to_numpy()
    assert np.abs(np.diff(given, axis=0)).max() > 3
    np.testing.assert_allclose(drift[["x", "y"]], given, atol=0.05)
