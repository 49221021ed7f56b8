"""What each event does to the network of graphene's bonds."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrvae.simulate.network import BOND, Network, link, unlink

HEAL_REACH = 1.5  # bonds from where an atom is missing to those it binds

Happened = list[tuple[str, tuple[int, ...], tuple[float, float]]]


def befall(
    network: Network, kind: str, which: np.ndarray, rng: np.random.Generator
) -> tuple[Network, Happened]:
    """The network after one event and what follows from it at once."""
    network = dataclasses.replace(
        network,
        **{
            field.name: getattr(network, field.name).copy()
            for field in dataclasses.fields(network)
            if field.name != "num_atoms"
        },
    )
    network, happened = ACTIONS[kind](network, which, rng)
    return _tidy(network, happened)


def _hop(network: Network, which: np.ndarray, rng: np.random.Generator):
    atoms = network.atom[which]
    network.atom[which] = atoms[::-1]
    network.silicon[which] = [False, True]
    network.changed[which] = True
    return network, [("hop", _ids(atoms), _place(network, which))]


def _to_fourfold(network: Network, which: np.ndarray, rng: np.random.Generator):
    silicon, lost = which.tolist()
    log = [("to fourfold", _ids(network.atom[which]), _place(network, which))]
    others = [int(s) for s in network.neighbours[lost] if s >= 0 and s != silicon]
    middle = network.positions[which].mean(0)
    _remove(network, lost)
    for other in others:
        link(network.neighbours, silicon, other)
    network.positions[silicon] = middle
    return network, log


def _to_threefold(network: Network, which: np.ndarray, rng: np.random.Generator):
    silicon = int(which[0])
    around = network.neighbours[silicon]
    points = network.positions[around]
    gap = np.hypot(*(points[:, None] - points).transpose(2, 0, 1))
    splits = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]

    def cost(split: tuple[tuple[int, int], ...]) -> float:  # pentagons stay closed
        closed = sum(_in_pentagon(network, silicon, *around[list(p)]) for p in split)
        return 10 * closed + sum(gap[pair] for pair in split) / BOND

    best = min(splits, key=cost)
    pair = around[list(best[rng.integers(2)])].tolist()
    middle = network.positions[pair].mean(0)
    place = (2 * middle + network.positions[silicon]) / 3
    for other in pair:
        unlink(network.neighbours, silicon, other)
    network.positions[silicon] += (network.positions[silicon] - place) / 2
    network, new = _add(network, place, [silicon, *pair], network.num_atoms)
    atoms = network.atom[[silicon, new]]
    return network, [("to threefold", _ids(atoms), _place(network, which))]


def _flip(network: Network, which: np.ndarray, rng: np.random.Generator):
    """Bond a-b turns: a keeps one neighbour and takes one of b's, and the reverse."""
    a, b = which.tolist()
    points = network.positions
    middle, half = points[which].mean(0), (points[b] - points[a]) / 2
    sense = int(rng.choice([-1, 1]))
    turned = sense * np.array([-half[1], half[0]])  # where a goes, from the middle
    give_a = _sides(network, a, b, middle, turned)[1]
    give_b = _sides(network, b, a, middle, turned)[0]
    log = [("flip", _ids(network.atom[which]), _place(network, which))]
    _exchange(network, a, b, give_a, give_b)
    points[a], points[b] = middle + turned, middle - turned
    flips = np.concatenate([network.flips, [[a, b, give_a, give_b]]])
    return dataclasses.replace(network, flips=flips), log


def _unflip(network: Network, which: np.ndarray, rng: np.random.Generator):
    a, b, given_a, given_b = network.flips[which[0]].tolist()
    log = [("unflip", _ids(network.atom[[a, b]]), _place(network, np.array([a, b])))]
    middle = network.positions[[a, b]].mean(0)
    half = (network.positions[b] - network.positions[a]) / 2
    turned = np.array([-half[1], half[0]])
    towards = network.positions[given_a] - middle
    turned *= np.sign(towards @ turned) or 1.0
    _exchange(network, a, b, given_b, given_a)
    network.positions[a], network.positions[b] = middle + turned, middle - turned
    flips = np.delete(network.flips, which[0], axis=0)
    return dataclasses.replace(network, flips=flips), log


def _knock(network: Network, which: np.ndarray, rng: np.random.Generator):
    site = int(which[0])
    kind = "knock" if network.coordination[site] == 3 else "edge"
    log = [(kind, _ids(network.atom[which]), _place(network, which))]
    _remove(network, site)
    return network, log


def _land(network: Network, which: np.ndarray, rng: np.random.Generator):
    number = network.num_atoms
    adatoms = np.concatenate([network.adatoms, [[*which, number]]])
    log = [("adatom lands", (number,), _place(network, which))]
    network = dataclasses.replace(network, adatoms=adatoms, num_atoms=number + 1)
    return _fall_in(network, len(adatoms) - 1, log)


def _move(network: Network, which: np.ndarray, rng: np.random.Generator):
    row = int(which[0])
    first, second, number = network.adatoms[row].tolist()
    log = [("adatom hops", (number,), _place(network, network.adatoms[row, :2]))]
    others = [
        (here, int(there))
        for here, not_there in ((first, second), (second, first))
        for there in network.neighbours[here]
        if there >= 0 and there != not_there
    ]
    open_bonds = [
        bond
        for bond in others
        if not network.silicon[list(bond)].any()
        and network.active[list(bond)].all()
        and not (np.sort(network.adatoms[:, :2]) == sorted(bond)).all(1).any()
    ]
    if open_bonds:
        network.adatoms[row, :2] = open_bonds[rng.integers(len(open_bonds))]
    return _fall_in(network, row, log)


def _leave(network: Network, which: np.ndarray, rng: np.random.Generator):
    return _drop(network, int(which[0]))


ACTIONS: dict[str, Callable[..., tuple[Network, Happened]]] = {
    "hop": _hop,
    "to fourfold": _to_fourfold,
    "to threefold": _to_threefold,
    "flip": _flip,
    "unflip": _unflip,
    "knock": _knock,
    "edge": _knock,
    "adatom lands": _land,
    "adatom hops": _move,
    "adatom leaves": _leave,
}


def _fall_in(network: Network, row: int, log: Happened) -> tuple[Network, Happened]:
    """An adatom beside an atom that lacks a neighbour becomes that neighbour."""
    count = network.coordination
    for site in network.adatoms[row, :2].tolist():
        around = network.neighbours[site][network.neighbours[site] >= 0]
        if count[site] != 2 or network.silicon[[site, *around]].any():
            continue
        away = network.positions[site] - network.positions[around].mean(0)
        place = network.positions[site] + BOND * away / np.hypot(*away)
        gap = np.hypot(*(network.positions - place).T)
        open_ends = network.alive & (count < 3) & ~network.silicon
        ends = np.flatnonzero(open_ends & (gap < HEAL_REACH * BOND) & network.active)
        ends = [site, *(e for e in ends[np.argsort(gap[ends])].tolist() if e != site)]
        if len(ends) < 2 or gap[network.alive].min() < 0.6 * BOND:
            continue  # it would dangle, or the ends have closed up
        number = int(network.adatoms[row, 2])
        adatoms = np.delete(network.adatoms, row, axis=0)
        network = dataclasses.replace(network, adatoms=adatoms)
        network, _ = _add(network, place, ends[:3], number)
        return network, [*log, ("heal", (number,), (float(place[0]), float(place[1])))]
    return network, log


def _tidy(network: Network, log: Happened) -> tuple[Network, Happened]:
    """Atoms on one bond or none fly off; so do adatoms whose bond is gone."""
    while True:
        loose = (network.coordination < 2) & network.alive & network.active
        loose = np.flatnonzero(loose & ~network.silicon)
        if not len(loose):
            break
        log.append(("edge", _ids(network.atom[loose[:1]]), _place(network, loose[:1])))
        _remove(network, int(loose[0]))
    for row in range(len(network.adatoms) - 1, -1, -1):
        first, second = network.adatoms[row, :2].tolist()
        if not network.bonded(first, second) or network.silicon[[first, second]].any():
            network, left = _drop(network, row)
            log += left
    valid = [
        network.bonded(a, b)
        and network.bonded(a, given_b)
        and network.bonded(b, given_a)
        for a, b, given_a, given_b in network.flips.tolist()
    ]
    return dataclasses.replace(network, flips=network.flips[np.array(valid, bool)]), log


def _drop(network: Network, row: int) -> tuple[Network, Happened]:
    """An adatom flies off."""
    first, second, number = network.adatoms[row].tolist()
    log = [("adatom leaves", (number,), _place(network, np.array([first, second])))]
    adatoms = np.delete(network.adatoms, row, axis=0)
    return dataclasses.replace(network, adatoms=adatoms), log


def _remove(network: Network, site: int) -> None:
    for other in network.neighbours[site][network.neighbours[site] >= 0].tolist():
        unlink(network.neighbours, site, other)
        network.changed[other] = True
    network.alive[site] = False


def _add(
    network: Network, place: np.ndarray, ends: list[int], number: int
) -> tuple[Network, int]:
    """A new C site bonded to the ends; the atom's number may be new."""
    new = len(network.positions)
    row = {
        "positions": place[None],
        "neighbours": np.full((1, 4), -1),
        "silicon": [False],
        "alive": [True],
        "active": [True],
        "grain": network.grain[ends[:1]],
        "atom": [number],
        "changed": [True],
    }
    network = dataclasses.replace(
        network,
        num_atoms=max(network.num_atoms, number + 1),
        **{
            name: np.concatenate([getattr(network, name), value])
            for name, value in row.items()
        },
    )
    for end in ends:
        link(network.neighbours, new, end)
        network.changed[end] = True
    return network, new


def _exchange(network: Network, a: int, b: int, give_a: int, give_b: int) -> None:
    """`a` gives its neighbour to b and takes b's."""
    unlink(network.neighbours, a, give_a)
    unlink(network.neighbours, b, give_b)
    link(network.neighbours, a, give_b)
    link(network.neighbours, b, give_a)
    network.changed[[a, b, give_a, give_b]] = True


def _sides(
    network: Network, site: int, other: int, middle: np.ndarray, up: np.ndarray
) -> list[int]:
    """The two further neighbours of a site, that on the side of `up` first."""
    around = [int(s) for s in network.neighbours[site] if s >= 0 and s != other]
    height = [float((network.positions[s] - middle) @ up) for s in around]
    return [s for _, s in sorted(zip(height, around, strict=True), reverse=True)]


def _in_pentagon(network: Network, site: int, one: Any, two: Any) -> bool:
    """Whether two neighbours of a site are three bonds apart the other way round."""
    near = network.neighbours[one]
    near = near[(near >= 0) & (near != site)]
    beyond = network.neighbours[two]
    beyond = beyond[(beyond >= 0) & (beyond != site)]
    return bool(np.isin(network.neighbours[near], beyond).any())


def _ids(atoms: np.ndarray) -> tuple[int, ...]:
    return tuple(int(atom) for atom in atoms)


def _place(network: Network, sites: np.ndarray) -> tuple[float, float]:
    x, y = network.positions[sites].mean(0)
    return float(x), float(y)
