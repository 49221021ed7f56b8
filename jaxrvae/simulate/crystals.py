"""Crystals of columns of atoms: unit cells, defects, polar displacements and tilts.

Positions are (n, 2) in nm, x to the right and y up, the origin at the field's centre.
"""

import dataclasses
from typing import Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae._typing import Float, Int, Number
from jaxrvae.simulate.elements import atomic_number

SAME_COLUMN = 0.01  # nm: atoms closer than this, seen along the beam, are one column
LATTICE_CONSTANTS = {"graphene": 0.246, "mos2": 0.316, "perovskite": 0.39}  # nm


@dataclasses.dataclass(frozen=True, eq=False)
class Cell:
    """A unit cell seen along the beam.

    Attributes:
        vectors: (2, 2) nm, one a row.
        positions: (m, 2) nm, of the columns.
        atoms: Atomic numbers of each column, one cell deep.
        fragile: (m,) whether the column may lose atoms.
        metal: (m,) whether a dopant may replace its heaviest atom.
    """

    vectors: np.ndarray
    positions: np.ndarray
    atoms: tuple[tuple[int, ...], ...]
    fragile: np.ndarray
    metal: np.ndarray


def known_cell(structure: str, a_site: str = "Pb", b_site: str = "Ti") -> Cell:
    """The cell of "graphene", "mos2" or "perovskite" (cubic, along [001]).

    >>> known_cell("mos2").atoms
    ((42,), (16, 16))
    """
    a = LATTICE_CONSTANTS[structure]
    if structure == "perovskite":
        columns = ((atomic_number(a_site),), (atomic_number(b_site), 8), (8,), (8,))
        places = a * np.array([[0, 0], [0.5, 0.5], [0.5, 0], [0, 0.5]])
        heavy = np.array([True, True, False, False])
        return Cell(a * np.eye(2), places, columns, ~heavy, heavy)
    vectors = a * np.array([[1.0, 0.0], [0.5, np.sqrt(3) / 2]])
    places = np.array([[0.0, 0.0], [a / 2, a / np.sqrt(12)]])
    if structure == "graphene":
        both = np.array([True, True])
        return Cell(vectors, places, ((6,), (6,)), both, both)
    metal = np.array([True, False])
    return Cell(vectors, places, ((42,), (16, 16)), ~metal, metal)


def cell_of(atoms: Any) -> Cell:
    """The cell of an ASE `Atoms`, or of anything with its positions, numbers and cell.

    The beam goes along z, and the third vector of the cell must too; lengths are in
    angstroms, as ASE has them. Columns of the lightest element may lose atoms, those of
    the heaviest take dopants.

    Raises:
        DataError: The object is not such, or its cell is not repeated in the plane.
    """
    try:
        positions = np.asarray(atoms.positions, float) / 10
        numbers = np.asarray(atoms.numbers, int)
        vectors = np.asarray(atoms.cell, float).reshape(3, 3) / 10
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(
            "structure must be a name or have positions (n, 3), numbers (n,) and cell "
            f"(3, 3), as an ASE Atoms; got {type(atoms).__name__}."
        ) from error
    plane = vectors[:2, :2]
    if abs(np.linalg.det(plane)) < 1e-4 or np.abs(vectors[:2, 2]).max() > 1e-6:
        raise DataError(
            "the first two vectors of the structure's cell must span the plane across "
            f"the beam (z); got {np.round(10 * vectors, 3).tolist()} angstroms. Turn "
            "the structure, or give it a cell."
        )
    if not len(numbers):
        raise DataError("structure must hold at least one atom; got none.")
    column = _columns(positions[:, :2], plane)
    members = [np.flatnonzero(column == c) for c in range(column.max() + 1)]
    columns = tuple(tuple(int(z) for z in numbers[m]) for m in members)
    places = np.stack([positions[m[0], :2] for m in members])
    fragile = np.array([min(c) == numbers.min() for c in columns])
    metal = np.array([max(c) == numbers.max() for c in columns])
    return Cell(plane, places, columns, fragile, metal)


def _columns(points: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The number of each atom's column, in the order of the atoms; periodic."""
    parts = points @ np.linalg.inv(vectors)
    apart = parts[:, None] - parts
    apart = (apart - np.rint(apart)) @ vectors
    same = np.hypot(*apart.transpose(2, 0, 1)) < SAME_COLUMN
    return np.unique(same.argmax(1), return_inverse=True)[1]


def tile(
    cell: Cell, half_width: Number, angle: Number, origin: Float[np.ndarray, "2"]
) -> tuple[
    Float[np.ndarray, "site 2"],
    Int[np.ndarray, " site"],
    Int[np.ndarray, "site 2"],
    Float[np.ndarray, "site 2"],
]:
    """Columns within |x|, |y| <= half_width of the cell repeated and then turned.

    Returns:
        Positions, the number of the column in its cell, the cell's two indices, and
        the position in the crystal's own frame (not turned, not shifted).
    """
    reach = half_width * np.sqrt(2) + float(np.linalg.norm(origin))
    reach += float(np.abs(cell.vectors).sum() + np.abs(cell.positions).max())
    heights = 1 / np.linalg.norm(np.linalg.inv(cell.vectors), axis=0)
    first, second = (int(np.ceil(reach / h)) for h in heights)
    grid = np.mgrid[-first : first + 1, -second : second + 1].reshape(2, -1).T
    own = (grid @ cell.vectors)[:, None] + cell.positions
    number = np.tile(np.arange(len(cell.positions)), len(grid))
    index = np.repeat(grid, len(cell.positions), axis=0)
    own = own.reshape(-1, 2)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = own @ np.array([[cos, sin], [-sin, cos]]) + origin
    inside = (np.abs(turned) <= half_width).all(-1)
    return turned[inside], number[inside], index[inside], own[inside]


def polarization(
    points: Float[np.ndarray, "site 2"],
    walls: Float[np.ndarray, " wall"],
    kind: int,
    width: Number,
) -> tuple[Float[np.ndarray, "site 2"], Int[np.ndarray, " site"]]:
    """Direction of polarization (at most 1 long) and number of the domain, per site.

    Args:
        points: In the crystal's frame, nm.
        walls: Where along their normal the walls are, nm, in order.
        kind: 180: walls across x between domains along +y and -y, through zero. 90:
            walls across (1, 1) between +x and +y, head to tail, through rotation.
        width: Walls are tanh(distance / width), nm.
    """
    normal = np.array([1.0, 0.0]) if kind == 180 else np.array([1.0, 1.0]) / np.sqrt(2)
    depth = (points @ normal)[:, None] - walls
    turn = np.prod(np.tanh(depth / width), axis=1)
    domain = (depth > 0).sum(1)
    if kind == 180:
        return np.stack([np.zeros_like(turn), turn], -1), domain
    angle = np.pi / 4 * (1 + turn)
    return np.stack([np.cos(angle), np.sin(angle)], -1), domain


def tilts(
    index: Int[np.ndarray, "site 2"], number: Int[np.ndarray, " site"], tilt: Number
) -> Float[np.ndarray, "site 2"]:
    """Displacements (nm) of a perovskite's oxygen by octahedra turned about the beam.

    Neighbouring octahedra turn by `tilt` radians in opposite senses (Glazer's a0a0c).
    """
    sense = 1 - 2 * (index.sum(1) % 2)
    reach = sense * np.tan(tilt) * LATTICE_CONSTANTS["perovskite"] / 2
    zero = np.zeros_like(reach)
    right = np.where(number == 2, reach, zero)  # the oxygen below each B
    up = np.where(number == 3, -reach, zero)  # the one to its left
    return np.stack([right, up], -1)
