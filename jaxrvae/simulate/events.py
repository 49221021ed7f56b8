"""What the beam does to graphene: events, their candidates, and waiting times."""

import dataclasses

import numpy as np

from jaxrvae._checks import at_least
from jaxrvae._typing import Int, Number
from jaxrvae.simulate.actions import befall
from jaxrvae.simulate.network import BOND, Network

BOND_AREA = 3**0.5 / 2 * BOND**2  # nm^2 of the sheet for each of its bonds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rates:
    """Events a frame.

    Attributes:
        hop_rate: A threefold Si changes place with a C neighbour; per Si.
        fourfold_rate: A neighbour of a threefold Si is knocked out, and the Si sits in
            place of both; per Si.
        threefold_rate: A fourfold Si catches a C atom and is threefold again; per Si.
        flip_rate: A C-C bond turns by 90 degrees, which makes two pentagons and two
            heptagons (Stone-Wales); per bond.
        unflip_rate: It turns back; per turned bond.
        knock_rate: A C atom with three C neighbours is knocked out; per atom.
        edge_rate: So is one with two neighbours, at a vacancy; per atom.
        adatom_rate: A C atom lands above a bond; per square nm.
        adatom_hop_rate: It goes on to a bond that shares an atom; per adatom. Beside a
            vacancy it falls in.
        adatom_leave_rate: It flies off; per adatom.
    """

    hop_rate: Number = 0.1
    fourfold_rate: Number = 0.003
    threefold_rate: Number = 0.03
    flip_rate: Number = 5e-5
    unflip_rate: Number = 0.1
    knock_rate: Number = 1e-5
    edge_rate: Number = 0.01
    adatom_rate: Number = 0.002
    adatom_hop_rate: Number = 1.0
    adatom_leave_rate: Number = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            at_least(name, value, 0)


@dataclasses.dataclass(frozen=True)
class Event:
    """What happened.

    Attributes:
        time: Frames since the first.
        kind: "hop", "to fourfold", "to threefold", "flip", "unflip", "knock", "edge",
            "adatom lands", "adatom hops", "adatom leaves" or "heal".
        atoms: Numbers of the atoms it befell.
        place: (x, y) nm, before.
    """

    time: float
    kind: str
    atoms: tuple[int, ...]
    place: tuple[float, float]


def candidates(network: Network) -> dict[str, Int[np.ndarray, "candidate place"]]:
    """By kind of event, the sites (or numbers of adatoms, flips) it may befall."""
    count, around = network.coordination, network.neighbours
    live = network.alive & network.active
    carbon = live & ~network.silicon
    beside_silicon = _any_neighbour(network, network.silicon)
    whole = carbon & (count == 3)
    quiet = whole & ~beside_silicon & ~_any_neighbour(network, count != 3)
    pairs = np.stack([np.repeat(np.arange(len(around)), 4), around.ravel()], -1)
    pairs = pairs[pairs[:, 1] >= 0]
    threefold = live & network.silicon & (count == 3)
    swap = pairs[threefold[pairs[:, 0]] & _lone(network, whole)[pairs[:, 1]]]
    bonds = pairs[pairs[:, 0] < pairs[:, 1]]
    still = quiet.copy()
    still[_near_flips(network)] = False
    taken = np.isin(_code(network, bonds), _code(network, network.adatoms[:, :2]))
    landing = bonds[carbon[bonds].all(1) & ~taken]
    adatoms = np.arange(len(network.adatoms))[:, None]
    return {
        "hop": swap,
        "to fourfold": swap,
        "to threefold": np.flatnonzero(live & network.silicon & (count == 4))[:, None],
        "flip": bonds[still[bonds].all(1)],
        "unflip": np.arange(len(network.flips))[:, None],
        "knock": np.flatnonzero(whole & ~beside_silicon)[:, None],
        "edge": np.flatnonzero(carbon & (count < 3) & ~beside_silicon)[:, None],
        "adatom lands": landing,
        "adatom hops": adatoms,
        "adatom leaves": adatoms,
    }


def rate_of(rates: Rates) -> dict[str, float]:
    """Events a frame and candidate, by kind."""
    return {
        "hop": rates.hop_rate / 3,  # of the three neighbours each
        "to fourfold": rates.fourfold_rate / 3,
        "to threefold": rates.threefold_rate,
        "flip": rates.flip_rate,
        "unflip": rates.unflip_rate,
        "knock": rates.knock_rate,
        "edge": rates.edge_rate,
        "adatom lands": rates.adatom_rate * BOND_AREA,
        "adatom hops": rates.adatom_hop_rate,
        "adatom leaves": rates.adatom_leave_rate,
    }


def advance(
    network: Network,
    rates: Rates,
    start: Number,
    duration: Number,
    rng: np.random.Generator,
) -> tuple[Network, list[Event]]:
    """The network `duration` frames later, and what happened in between.

    Source: Gillespie 1977, doi:10.1021/j100540a008, the direct method.
    """
    time, end, events = float(start), float(start + duration), []
    while True:
        wait, kind, which = next_event(network, rates, rng)
        time += wait
        if time > end:  # what is waited for has no memory
            return network, events
        network, happened = befall(network, kind, which, rng)
        events += [Event(time, *rest) for rest in happened]


def next_event(
    network: Network, rates: Rates, rng: np.random.Generator
) -> tuple[float, str, Int[np.ndarray, " place"]]:
    """How many frames until something happens (inf: nothing will), what, and where."""
    found, per_candidate = candidates(network), rate_of(rates)
    weights = np.array([len(found[kind]) * r for kind, r in per_candidate.items()])
    total = weights.sum()
    if not total:
        return np.inf, "", np.zeros(0, int)
    wait = float(rng.exponential(1 / total))
    kind = list(per_candidate)[rng.choice(len(weights), p=weights / total)]
    return wait, kind, found[kind][rng.integers(len(found[kind]))]


def _any_neighbour(network: Network, mask: np.ndarray) -> np.ndarray:
    return np.any(mask[network.neighbours] & (network.neighbours >= 0), axis=1)


def _lone(network: Network, whole: np.ndarray) -> np.ndarray:
    """Carbon with three neighbours, one of them Si, none with a bond missing."""
    around = network.neighbours
    silicon = (network.silicon[around] & (around >= 0)).sum(1)
    return whole & (silicon == 1) & ~_any_neighbour(network, network.coordination != 3)


def _near_flips(network: Network) -> np.ndarray:
    """Sites of turned bonds and their neighbours."""
    core = network.flips[:, :2].ravel()
    around = network.neighbours[core].ravel()
    return np.concatenate([core, around[around >= 0]])


def _code(network: Network, pairs: np.ndarray) -> np.ndarray:
    """One number for each pair of sites, in either order."""
    low, high = np.sort(pairs, axis=1).T
    return low * len(network.positions) + high
