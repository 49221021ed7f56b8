"""What surrounds each atom: neighbours, strain, brightness, the way to a defect."""

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, between, positive
from jaxrvae._typing import Bool, Float, Number, Shaped, ndarray

REACH = 1.35  # bonds: between the first and the second neighbours of a honeycomb
MOST = 8  # neighbours counted
LEAST_SPREAD = 0.05  # of the directions of bonds, to tell three strains from them
COLUMNS = ("frame", "x", "y")


def find_surroundings(
    atoms: pd.DataFrame,
    *,
    bond: Number | None = None,
    reach: Number = REACH,
    defects: Shaped[ndarray, " n"] | None = None,
) -> pd.DataFrame:
    """Coordination, strain, intensity and distance to the nearest defect, per atom.

    The strain E is that of the atom's own bonds: the least squares solution of
    length = bond (1 + u E u) over their directions u. It holds what the lattice is
    strained by and how atoms within its cell have moved.

    Args:
        atoms: frame, x, y (pixels, y downwards); intensity where it is known.
        bond: Unstrained, pixels; None: the median over all bonds, so that strain is
            against the mean lattice.
        reach: Bonds within which atoms are neighbours.
        defects: (n,) which atoms are; None: those well inside whose coordination is
            not the usual one.

    Returns:
        A row an atom, in the order given: coordination; strain_xx, strain_yy,
        strain_xy (x right, y up; NaN below three neighbours) and dilation, their
        trace; defect_distance (bonds; infinite without any); inside, of the box
        around all atoms less the reach, beyond which neighbours may lie outside the
        image; intensity, over the median of its frame.

    >>> x, y = np.meshgrid(np.arange(6.0), np.arange(6.0))
    >>> square = pd.DataFrame({"frame": 0, "x": x.ravel(), "y": y.ravel()})
    >>> found = find_surroundings(square)
    >>> found.loc[found["inside"], "coordination"].unique().tolist()
    [4]
    """
    missing = [name for name in COLUMNS if name not in atoms]
    if missing or not len(atoms):
        raise DataError(
            f"expected atoms with {list(COLUMNS)}; got {len(atoms)} rows of"
            f" {list(atoms.columns)}. find_atoms gives such a table."
        )
    between("reach", reach, 1.0, 5.0, "It is in bonds.")
    places = atoms[["x", "y"]].to_numpy(float) * [1.0, -1.0]
    frames = [np.asarray(i) for i in atoms.groupby("frame").indices.values()]
    near = {i: _neighbors(places[rows]) for i, rows in enumerate(frames)}
    if bond is None:
        bond = _typical_bond([distance for _, distance in near.values()])
    positive("bond", bond, "It is in pixels.")
    coordination = np.zeros(len(atoms), int)
    strain = np.full((len(atoms), 3), np.nan)
    inside = np.zeros(len(atoms), bool)
    for i, rows in enumerate(frames):
        vectors, distance = near[i]
        bonded = distance <= reach * bond
        coordination[rows] = bonded.sum(1)
        strain[rows] = _strain(vectors, distance / bond, bonded)
        inside[rows] = _within(places[rows], reach * bond)
    if defects is None:
        usual = np.bincount(coordination[inside]).argmax() if inside.any() else -1
        defects = inside & (coordination != usual)
    defects = np.asarray(defects, bool)
    away = np.full(len(atoms), np.inf)
    for rows in frames:
        away[rows] = _to_nearest(places[rows], defects[rows]) / bond
    table = pd.DataFrame({"coordination": coordination}, index=atoms.index)
    for name, values in zip(("xx", "yy", "xy"), strain.T, strict=True):
        table[f"strain_{name}"] = values
    table["dilation"] = strain[:, :2].sum(1)
    table["defect_distance"], table["inside"] = away, inside
    if "intensity" in atoms:
        typical = atoms.groupby("frame")["intensity"].transform("median")
        table["intensity"] = atoms["intensity"] / typical
    return table


def _neighbors(
    places: Float[ndarray, "n 2"],
) -> tuple[Float[ndarray, "n near 2"], Float[ndarray, "n near"]]:
    """Vectors to the nearest atoms and their lengths; infinite where there are none."""
    from scipy.spatial import KDTree

    distance, index = map(np.asarray, KDTree(places).query(places, k=MOST + 1))
    distance, index = distance[:, 1:], index[:, 1:]  # the first is the atom itself
    there = np.isfinite(distance)
    index = np.where(there, index, 0)
    vectors = np.where(there[..., None], places[index] - places[:, None], 0.0)
    return vectors, distance


def _typical_bond(distances: list[Float[ndarray, "n near"]]) -> float:
    """Median length of all bonds, from a first guess by nearest neighbours."""
    lengths = np.concatenate(distances)
    nearest = lengths[:, 0][np.isfinite(lengths[:, 0])]
    if not len(nearest):
        raise DataError("expected frames of >= 2 atoms; got none. Give bond in pixels.")
    return float(np.median(lengths[lengths <= REACH * np.median(nearest)]))


def _strain(
    vectors: Float[ndarray, "n near 2"],
    length: Float[ndarray, "n near"],
    bonded: Bool[ndarray, "n near"],
) -> Float[ndarray, "n 3"]:
    """xx, yy and xy of every atom by its normal equations; NaN where they are not."""
    size = np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    x, y = np.moveaxis(vectors / size, -1, 0)
    rows = np.stack([x * x, y * y, 2 * x * y], -1) * bonded[..., None]
    excess = np.where(bonded, length - 1, 0.0)
    squares = np.einsum("nki,nkj->nij", rows, rows)
    least = np.linalg.eigvalsh(squares)[:, 0]
    good = (bonded.sum(1) >= 3) & (least > LEAST_SPREAD)
    found = np.full((len(rows), 3), np.nan)
    right = np.einsum("nki,nk->ni", rows, excess)[good]
    found[good] = np.linalg.solve(squares[good], right[..., None])[..., 0]
    return found


def _within(places: Float[ndarray, "n 2"], margin: float) -> Bool[ndarray, " n"]:
    low, high = places.min(0) + margin, places.max(0) - margin
    return ((places >= low) & (places <= high)).all(1)


def _to_nearest(
    places: Float[ndarray, "n 2"], defects: Bool[ndarray, " n"]
) -> Float[ndarray, " n"]:
    from scipy.spatial import KDTree

    if not defects.any():
        return np.full(len(places), np.inf)
    return KDTree(places[defects]).query(places)[0]
