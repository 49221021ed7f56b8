import itertools

import numpy as np
import pytest

from jaxrvae.simulate.actions import befall
from jaxrvae.simulate.events import (
    BOND_AREA,
    Rates,
    advance,
    candidates,
    next_event,
)
from jaxrvae.simulate.lattice import graphene_sheet
from jaxrvae.simulate.network import BOND, build_network, relax

NONE = {name: 0.0 for name in vars(Rates())}


def only(**rates):
    return Rates(**(NONE | rates))


def sheet(num_silicon=0, half_width=3.0, active=1.8):
    rng = np.random.default_rng(0)
    network = build_network(graphene_sheet(half_width, BOND, [0.2], rng), active)
    middle = np.argsort(np.hypot(*network.positions.T))
    network.silicon[middle[:num_silicon]] = True
    return network


def ring_sizes(network, site):
    """Sizes of the rings at an atom, one for each pair of neighbours next in angle."""
    around = network.neighbours[site][network.neighbours[site] >= 0]
    away = network.positions[around] - network.positions[site]
    around = around[np.argsort(np.arctan2(away[:, 1], away[:, 0]))]
    return sorted(
        path_length(network, one, two, site) + 2
        for one, two in zip(around, np.roll(around, 1), strict=True)
    )


def path_length(network, start, end, without):
    reached, edge = {int(start), int(without)}, [int(start)]
    for length in itertools.count():
        if int(end) in edge:
            return length
        found = {int(n) for s in edge for n in network.neighbours[s] if n >= 0}
        edge = list(found - reached)
        reached |= found


def middle_of(network, kind):
    """The candidate nearest to the field's centre."""
    found = candidates(network)[kind]
    places = network.positions[found].mean(1)
    return found[np.hypot(*places.T).argmin()]


def neighbour_sets(network):
    return [set(row[row >= 0].tolist()) for row in network.neighbours]


def test_flip_makes_two_pentagons_and_two_heptagons_and_unflip_undoes_it():
    network, rng = sheet(), np.random.default_rng(1)
    bond = middle_of(network, "flip")
    flipped, log = befall(network, "flip", bond, rng)
    assert [entry[0] for entry in log] == ["flip"]
    for site in bond:
        assert ring_sizes(flipped, site) == [5, 7, 7]
    rested = relax(flipped)
    gap = rested.positions[bond[0]] - rested.positions[bond[1]]
    assert 0.8 * BOND < np.hypot(*gap) < 1.05 * BOND
    old = network.positions[bond[0]] - network.positions[bond[1]]
    assert abs(gap @ old) < 0.2 * np.hypot(*gap) * np.hypot(*old)  # turned by 90 deg
    back, log = befall(rested, "unflip", np.array([0]), rng)
    assert neighbour_sets(back) == neighbour_sets(network)
    np.testing.assert_allclose(relax(back).positions, network.positions, atol=2e-3)
    assert not len(back.flips)


def test_fourfold_silicon_and_back():
    network, rng = sheet(1), np.random.default_rng(2)
    (silicon,) = np.flatnonzero(network.silicon)
    assert ring_sizes(network, silicon) == [6, 6, 6]
    network = relax(network)
    four, _ = befall(network, "to fourfold", candidates(network)["to fourfold"][0], rng)
    assert ring_sizes(four, silicon) == [5, 5, 6, 6]
    assert four.alive.sum() == network.alive.sum() - 1
    four = relax(four)
    three, _ = befall(four, "to threefold", np.array([silicon]), rng)
    assert ring_sizes(three, silicon) == [6, 6, 6]
    assert three.alive.sum() == network.alive.sum()
    assert not three.silicon[-1]


def test_adatom_heals_a_vacancy():
    network, rng = sheet(), np.random.default_rng(3)
    site = middle_of(network, "knock")
    holed, _ = befall(network, "knock", site, rng)
    ends = np.flatnonzero(holed.alive & holed.active & (holed.coordination == 2))
    assert len(ends) == 3
    landing = candidates(holed)["adatom lands"]
    bond = landing[np.isin(landing, ends).any(1)][0]
    healed, log = befall(holed, "adatom lands", bond, rng)
    assert [entry[0] for entry in log] == ["adatom lands", "heal"]
    assert not len(healed.adatoms)
    assert (healed.coordination[healed.active & healed.alive] == 3).all()
    np.testing.assert_allclose(
        healed.positions[-1], network.positions[site[0]], atol=1e-6
    )


@pytest.mark.slow
def test_books_balance_after_many_events():
    rates = Rates(
        hop_rate=1.0,
        fourfold_rate=0.1,
        threefold_rate=0.2,
        flip_rate=1e-3,
        unflip_rate=0.2,
        knock_rate=1e-3,
        edge_rate=0.05,
        adatom_rate=0.2,
    )
    start, rng = sheet(), np.random.default_rng(4)
    start.silicon[candidates(start)["knock"][::40, 0]] = True
    network, events = start, []
    for frame in range(20):
        network, new = advance(network, rates, frame, 1, rng)
        network = relax(network)
        events += new
    times = [event.time for event in events]
    assert times == sorted(times)
    assert 0 < min(times) < max(times) <= 20
    count = {kind: 0 for kind in [*candidates(network), "heal"]}
    for event in events:
        count[event.kind] += 1
    assert all(count.values())
    lost = count["to fourfold"] + count["knock"] + count["edge"]
    gained = count["to threefold"] + count["heal"]
    assert network.alive.sum() == start.alive.sum() - lost + gained
    aloft = count["adatom lands"] - count["adatom leaves"] - count["heal"]
    assert len(network.adatoms) == aloft
    silicon = network.silicon & network.alive
    assert silicon.sum() == start.silicon.sum()
    assert set(network.atom[silicon]) == set(start.atom[start.silicon])
    here = np.concatenate([network.atom[network.alive], network.adatoms[:, 2]])
    assert len(np.unique(here)) == len(here)
    coordination = network.coordination
    assert not coordination[~network.alive].any()
    assert coordination[network.alive & ~network.silicon].max() == 3
    for site, row in enumerate(network.neighbours):
        around = row[row >= 0]
        assert len(set(around)) == len(around)
        assert all((network.neighbours[other] == site).any() for other in around)
    quiet = ~start.active
    np.testing.assert_array_equal(
        network.silicon[: len(quiet)][quiet], start.silicon[quiet]
    )
    assert network.alive[: len(quiet)][quiet].all()


@pytest.mark.slow
def test_waiting_times_between_hops():
    network, rng = sheet(1), np.random.default_rng(5)
    rates, n = only(hop_rate=0.5), 1000
    drawn = [next_event(network, rates, rng) for _ in range(n)]
    waits = np.array([wait for wait, *_ in drawn])
    assert abs(waits.mean() * 0.5 - 1) < 5 / np.sqrt(n)  # exponential: std = mean
    assert abs(waits.std() * 0.5 - 1) < 5 * np.sqrt(2 / n)
    targets = [int(which[1]) for *_, which in drawn]
    _, counts = np.unique(targets, return_counts=True)
    assert len(counts) == 3
    assert np.abs(counts / n - 1 / 3).max() < 5 * np.sqrt(2 / 9 / n)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "kind", "share"),
    [
        ("knock_rate", "knock", 1.0),
        ("flip_rate", "flip", 1.0),
        ("adatom_rate", "adatom lands", BOND_AREA),
    ],
)
def test_events_come_at_their_rates(rate, kind, share):
    network, rng = sheet(), np.random.default_rng(6)
    expected = 0.5 * len(candidates(network)[kind]) * share  # events a frame at rate .5
    rates = only(**{rate: 0.5})
    duration = 2 / expected  # short: what has happened hardly changes what may
    counts = [len(advance(network, rates, 0, duration, rng)[1]) for _ in range(200)]
    assert abs(np.mean(counts) - 2) < 5 * np.sqrt(2 / 200) + 0.02


def test_kinds_compete_by_their_rates():
    network, rng = sheet(1), np.random.default_rng(7)
    rates = only(hop_rate=0.3, fourfold_rate=0.1)
    first = [next_event(network, rates, rng)[1] for _ in range(200)]
    share = np.mean([kind == "hop" for kind in first])
    assert abs(share - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 200)


def test_nothing_happens_at_rates_of_zero():
    network = sheet(1)
    after, events = advance(network, only(), 0, 1e6, np.random.default_rng(0))
    assert after is network
    assert not events


def test_negative_rates_are_refused():
    with pytest.raises(ValueError, match="flip_rate must be >= 0"):
        Rates(flip_rate=-1.0)
