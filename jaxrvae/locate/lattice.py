"""Atoms against the honeycomb that they make: sites, sublattices, vacancies.

The lattice is found in reciprocal space, where the atoms' own structure factor is
highest in one of five parts of the field. It then grows outwards, bent as atoms say: by
strain and by what the scan distorts. For graphene and, from above, MoS2.
"""

import dataclasses

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive
from jaxrvae._typing import Float, Int, Number
from jaxrvae.locate.choose import nearest_distances

FEWEST = 12  # atoms that tell a lattice
ANGLES, SCALES = 60, 31  # tried over 60 degrees, and over a quarter of the length
FIRST_RADIUS = 8.0  # bonds, in which the lattice is straight
STARTS = ((0.5, 0.5), (0.3, 0.3), (0.7, 0.3), (0.3, 0.7), (0.7, 0.7))  # of the field
NUM_TOLD, TOLD_WIDTH = 16, 1.2  # filled sites that tell of one; lattice constants
STEP, RING = 0.6, 3.0  # lattice constants: growth, and what is told anew then
BEYOND = 1e9  # pixels: nowhere
SIXTY = np.array([[1.0, 0.0], [0.5, np.sqrt(3) / 2]])
REACH = 0.35  # bonds: how near its site an atom is on it
MOTIF = np.array([[1 / 3, 1 / 3], [2 / 3, 2 / 3]])  # in lattice vectors


@dataclasses.dataclass(frozen=True, eq=False)
class LatticeFit:
    """Atoms on their sites, and sites without an atom.

    Attributes:
        atoms: The atoms with the columns site_a, site_b (numbers of lattice vectors),
            sublattice (0, and 1: the brighter one; -1 for atoms on no site), off_site
            (pixels from the site) and relative (intensity over the median of the
            sublattice: two atoms seen as one are at half of it where one is missing),
            both NaN for those.
        vacancies: frame, x, y (pixels) and sublattice of empty sites within the field
            that the atoms span.
        lattice: A row a frame: frame; bond (mean length, pixels); angle (radians, of a
            bond from sublattice 0 to 1, counter-clockwise, modulo 2 pi / 3); explained
            (share of the atoms that are on a site; .55 where they are in no order, as
            the lattice bends towards them); off_site (RMS, pixels).
    """

    atoms: pd.DataFrame
    vacancies: pd.DataFrame
    lattice: pd.DataFrame


def fit_lattice(atoms: pd.DataFrame, *, bond: Number | None = None) -> LatticeFit:
    """The honeycomb of every frame's atoms.

    Args:
        atoms: Columns frame, x, y (pixels), and intensity to tell the sublattices
            apart; as `find_atoms` gives them.
        bond: Distance of neighbours in pixels; None: the median of the atoms' own.

    Raises:
        DataError: Columns are missing, or a frame has fewer than 12 atoms.

    >>> import jaxrvae as jr
    >>> movie = jr.simulate("graphene", num_frames=1, size=96, silicon_fraction=0)
    >>> found = fit_lattice(movie.truth["atoms"], bond=9.1)
    >>> bool(found.lattice["explained"].iloc[0] > 0.99)
    True
    """
    missing = {"frame", "x", "y"} - set(atoms.columns)
    if missing:
        raise DataError(f"atoms must have frame, x and y; {sorted(missing)} missing.")
    if bond is not None:
        positive("bond", bond, "It is in pixels.")
    tables, empty, rows = [], [], []
    for number in np.unique(atoms["frame"]):
        own = atoms[atoms["frame"] == number]
        if len(own) < FEWEST:
            raise DataError(
                f"frame {number}: expected at least {FEWEST} atoms to tell a lattice;"
                f" got {len(own)}. Leave the frame out."
            )
        table, vacant, facts = _one(pd.DataFrame(own), bond)
        tables.append(table)
        empty.append(vacant.assign(frame=number))
        rows.append({"frame": number, **facts})
    vacancies = pd.concat(empty, ignore_index=True)
    return LatticeFit(pd.concat(tables), vacancies, pd.DataFrame(rows))


def _one(
    own: pd.DataFrame, bond: Number | None
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """One frame: its atoms' table, its vacancies and its facts."""
    xy = own[["x", "y"]].to_numpy(float)
    length = float(bond or np.median(nearest_distances(xy)))
    sites, places = _grown(xy, length)
    chosen, off = _on_sites(xy, places, REACH * length)
    on = chosen >= 0
    kind = (sites[:, 0] % 1 > 0.5).astype(int)  # of the motif
    bright = own["intensity"].to_numpy(float) if "intensity" in own else None
    if bright is not None:
        level = [np.median(bright[on][kind[chosen[on]] == i]) for i in (0, 1)]
        kind = 1 - kind if level[0] > level[1] else kind
    cell = np.floor(sites).astype(int)
    table = own.assign(
        site_a=np.where(on, cell[chosen, 0], 0),
        site_b=np.where(on, cell[chosen, 1], 0),
        sublattice=np.where(on, kind[chosen], -1),
        off_site=np.where(on, off, np.nan),
    )
    if bright is not None:
        usual = np.array([np.median(bright[on][kind[chosen[on]] == i]) for i in (0, 1)])
        table["relative"] = np.where(on, bright / usual[kind[chosen]], np.nan)
    free = np.setdiff1d(np.flatnonzero(_within(places, xy)), chosen)
    columns = {"x": places[free, 0], "y": places[free, 1], "sublattice": kind[free]}
    facts = {
        **_bonds(sites, places, kind),
        "explained": float(on.mean()),
        "off_site": float(np.sqrt(np.nanmean(off[on] ** 2))) if on.any() else np.nan,
    }
    return table, pd.DataFrame(columns), facts


def _grown(
    xy: Float[np.ndarray, "atom 2"], length: float
) -> tuple[Float[np.ndarray, "site 2"], Float[np.ndarray, "site 2"]]:
    """Sites (in lattice vectors) all over the field and where they lie, pixels.

    Grown from several places; kept is what has most atoms on its sites.
    """
    starts = []
    for share in STARTS:
        middle = xy.min(0) + np.array(share) * np.ptp(xy, axis=0)
        inner = np.hypot(*(xy - middle).T) < FIRST_RADIUS * length
        if inner.sum() >= FEWEST:
            starts.append((*_start(xy[inner], length), middle))
    if not starts:  # few atoms, far apart
        starts = [(*_start(xy, length), xy.mean(0))]
    best, most = None, -1
    for vectors, origin, middle in starts:
        sites, places = _grown_from(xy, vectors, origin, middle)
        number = int((_on_sites(xy, places, REACH * length)[0] >= 0).sum())
        if number > most:
            best, most = (sites, places), number
    assert best is not None
    return best


def _grown_from(
    xy: Float[np.ndarray, "atom 2"],
    vectors: Float[np.ndarray, "2 2"],
    origin: Float[np.ndarray, "2"],
    middle: Float[np.ndarray, "2"],
) -> tuple[Float[np.ndarray, "site 2"], Float[np.ndarray, "site 2"]]:
    """From a middle outwards, a ring of sites at a time.

    Each is where its neighbours that have atoms say: a lattice that bends is known only
    near where it is seen.
    """
    length = float(np.hypot(*vectors.T).mean() / np.sqrt(3))
    origin = origin + np.rint((middle - origin) @ np.linalg.inv(vectors)) @ vectors
    farthest = np.hypot(*(xy - middle).T).max() / length
    reach = int(np.ceil(farthest / 1.5)) + 2
    cells = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), -1).reshape(
        -1, 2
    )
    sites = np.concatenate([cells + part for part in MOTIF])
    places = origin + sites @ vectors
    flat = sites @ SIXTY  # in lattice constants, undistorted
    radius, all_of_it = FIRST_RADIUS / np.sqrt(3), 2.0 * reach
    away = np.hypot(*flat.T)
    while True:
        known = np.where((away < radius)[:, None], places, BEYOND)
        chosen, _ = _on_sites(xy, known, REACH * length)
        on = chosen >= 0
        last = radius > all_of_it
        asked = np.flatnonzero((away < radius + 1) & (last | (away > radius - RING)))
        places = _where_neighbours_say(flat, asked, chosen[on], xy[on], places)
        if last:
            return sites, places
        radius += STEP


def _where_neighbours_say(
    flat: Float[np.ndarray, "site 2"],
    asked: Int[np.ndarray, " asked"],
    filled: Int[np.ndarray, " atom"],
    xy: Float[np.ndarray, "atom 2"],
    places: Float[np.ndarray, "site 2"],
) -> Float[np.ndarray, "site 2"]:
    """Places of the sites asked for, from the filled sites around each.

    Args:
        flat: Sites of the undistorted lattice.
        filled: Sites that have an atom, and `xy` where it is.
    """
    from scipy.spatial import KDTree

    if len(filled) < NUM_TOLD:
        return places
    tree = KDTree(flat[filled])
    _, told = tree.query(flat[asked], k=NUM_TOLD)
    away = flat[filled][told] - flat[asked][:, None]  # (asked, told, 2)
    weight = np.exp(-np.square(away).sum(-1) / 2 / TOLD_WIDTH**2) + 1e-9
    terms = np.concatenate([np.ones((*away.shape[:2], 1)), away], axis=-1)
    gram = np.einsum("sti,st,stj->sij", terms, weight, terms)
    gram += 1e-6 * weight.sum(1)[:, None, None] * np.eye(3)
    right = np.einsum("sti,st,stc->sic", terms, weight, xy[told])
    new = places.copy()
    new[asked] = np.linalg.solve(gram, right)[:, 0]
    return new


def _start(
    xy: Float[np.ndarray, "atom 2"], length: float
) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, "2"]]:
    """Lattice vectors (rows) and the middle of a hexagon, pixels."""
    from scipy.optimize import minimize

    def factors(waves: Float[np.ndarray, "2 2"]) -> np.ndarray:
        three = np.concatenate([waves, -waves.sum(0, keepdims=True)])
        return np.exp(-1j * xy @ three.T).mean(0)

    def pair(angle: float, size: float) -> np.ndarray:
        turn = angle + np.array([0, 2 * np.pi / 3])
        return size * np.stack([np.cos(turn), np.sin(turn)], axis=1)

    usual = 4 * np.pi / (3 * length)
    tried = [
        pair(angle, usual * scale)
        for angle in np.arange(ANGLES) * np.pi / 3 / ANGLES
        for scale in np.linspace(0.88, 1.12, SCALES)
    ]
    best = max(tried, key=lambda waves: np.square(np.abs(factors(waves))).sum())
    found = minimize(
        lambda flat: -np.square(np.abs(factors(flat.reshape(2, 2)))).sum(),
        best.ravel(),
        method="Nelder-Mead",
        options={"initial_simplex": best.ravel() + 0.02 * usual * np.eye(5, 4)},
    )
    waves = found.x.reshape(2, 2)
    vectors = 2 * np.pi * np.linalg.inv(waves).T
    share = (np.pi - np.angle(factors(waves)[:2])) / (2 * np.pi)
    return vectors, share @ vectors


def _on_sites(
    xy: Float[np.ndarray, "atom 2"], places: Float[np.ndarray, "site 2"], reach: float
) -> tuple[Int[np.ndarray, " atom"], Float[np.ndarray, " atom"]]:
    """The site of every atom, -1 for none, and the distance; a site has one atom."""
    from scipy.spatial import KDTree

    off, chosen = KDTree(places).query(xy)
    chosen = np.where(off < reach, chosen, -1)
    order = np.argsort(off)
    _, first = np.unique(chosen[order], return_index=True)
    alone = np.zeros(len(xy), bool)
    alone[order[first]] = True
    return np.where(alone, chosen, -1), off


def _within(
    places: Float[np.ndarray, "site 2"], xy: Float[np.ndarray, "atom 2"]
) -> np.ndarray:
    """Whether sites lie inside the hull of the atoms."""
    from scipy.spatial import Delaunay

    return Delaunay(xy).find_simplex(places) >= 0


def _bonds(
    sites: Float[np.ndarray, "site 2"],
    places: Float[np.ndarray, "site 2"],
    kind: Int[np.ndarray, " site"],
) -> dict[str, float]:
    """Mean length and direction of the three bonds in the middle of the field."""
    number = len(sites) // 2
    middle = int(np.square(sites[:number] - MOTIF[0]).sum(1).argmin())
    second = sites[number:] - sites[middle]
    steps = np.array([[1, 1], [1, -2], [-2, 1]]) / 3
    apart = np.square(second[:, None] - steps).sum(-1)
    bonds = places[number + apart.argmin(0)] - places[middle]
    bonds = -bonds if kind[middle] else bonds
    direction = np.exp(3j * np.arctan2(-bonds[:, 1], bonds[:, 0])).mean()
    length = float(np.hypot(*bonds.T).mean())
    return {"bond": length, "angle": float(np.angle(direction)) / 3}
