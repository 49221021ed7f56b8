"""Honeycomb lattices: grains, neighbours and strain.

Positions are (n, 2) in nm, x to the right and y up, the origin at the field's centre.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from jaxrvae._typing import Float, Int, Number

NUM_WAVES = 16  # plane waves in a random strain field


@dataclasses.dataclass(frozen=True, eq=False)
class Lattice:
    """Sites of a crystal, one entry a site.

    Attributes:
        positions: (n, 2) nm.
        angle: (n,) radians, the direction of one bond, meant modulo 120 degrees.
        grain: (n,) number of the grain.
        strain: (n, 3) components xx, yy, xy.
    """

    positions: np.ndarray
    angle: np.ndarray
    grain: np.ndarray
    strain: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: np.ndarray) -> "Lattice":
        """Those sites that the mask or index array names."""
        return Lattice(
            **{
                field.name: getattr(self, field.name)[index]
                for field in dataclasses.fields(self)
            }
        )


def honeycomb(
    half_width: Number,
    bond: Number,
    angle: Number,
    origin: Float[np.ndarray, "2"] | tuple[Number, Number] = (0.0, 0.0),
) -> tuple[Float[np.ndarray, "site 2"], Int[np.ndarray, " site"]]:
    """Sites of a perfect honeycomb within |x|, |y| <= half_width, and sublattices.

    Args:
        half_width: nm.
        bond: Length of a bond, nm.
        angle: Direction of one bond from sublattice 0 to 1, radians; those from
            1 to 0 point the other way, that is, at 60 degrees modulo 120.
        origin: A site of sublattice 0, nm.

    >>> positions, sublattice = honeycomb(0.2, 0.142, 0.0)
    >>> positions[sublattice == 1].round(3).tolist()
    [[-0.071, -0.123], [-0.071, 0.123], [0.142, 0.0]]
    """
    reach = half_width * np.sqrt(2) + float(np.linalg.norm(origin)) + 2 * bond
    cells = int(np.ceil(reach / (bond * np.sqrt(3) / 2)))
    first, second = np.meshgrid(*[np.arange(-cells, cells + 1)] * 2, indexing="ij")
    first, second = first.ravel(), second.ravel()
    corner = np.stack(
        [1.5 * (first + second), np.sqrt(3) / 2 * (first - second)], axis=-1
    )
    positions = bond * np.concatenate([corner, corner + [1.0, 0.0]])
    sublattice = np.repeat([0, 1], len(corner))
    cos, sin = np.cos(angle), np.sin(angle)
    positions = positions @ np.array([[cos, sin], [-sin, cos]]) + np.asarray(origin)
    inside = (np.abs(positions) <= half_width).all(-1)
    return positions[inside], sublattice[inside]


def graphene_sheet(
    half_width: Number,
    bond: Number,
    angles: list[float],
    rng: np.random.Generator,
) -> Lattice:
    """One grain, or two that meet along a wavy line through the field's middle.

    Where atoms of two grains come closer than 0.8 bonds, that of the second is left
    out; so are atoms left with fewer than two neighbours. The lattices' origins are
    drawn, as are the direction and waves of the line.

    Args:
        half_width: Of the square to be filled, nm.
        bond: Length of a bond, nm.
        angles: Orientation of each grain, one or two, radians.
        rng: Draws in a fixed order.
    """
    grains = []
    for grain, angle in enumerate(angles):
        origin = rng.uniform(-bond, bond, 2)
        positions, sublattice = honeycomb(half_width, bond, angle, origin)
        grains.append(
            Lattice(
                positions=positions,
                angle=angle + np.pi * sublattice,
                grain=np.full(len(positions), grain),
                strain=np.zeros((len(positions), 3)),
            )
        )
    if len(grains) == 1:
        return grains[0]
    side = _boundary(half_width, rng)
    return _join(grains[0], grains[1], side, bond)


def neighbours(
    positions: Float[np.ndarray, "site 2"], cutoff: Number
) -> Int[np.ndarray, "site 4"]:
    """Numbers of the up to four nearest sites within the cutoff (nm); -1 where none."""
    from scipy.spatial import KDTree

    tree = KDTree(positions)
    found = tree.query(positions, k=5, distance_upper_bound=cutoff)
    index = np.asarray(found[1])
    return np.where(index[:, 1:] < len(positions), index[:, 1:], -1)


def deform(
    lattice: Lattice,
    strain: Number | Sequence[Number],
    length: Number,
    rng: np.random.Generator,
) -> Lattice:
    """The lattice under strain, its angles turned by the local rotation.

    Args:
        lattice: Unstrained.
        strain: Uniform components (xx, yy, xy), or the root mean square of xx and yy
            in a smooth random field.
        length: Over which the random field changes, nm.
        rng: Draws the random field.
    """
    field = draw_strain(lattice.positions, strain, length, rng)
    displacement, gradient = field(lattice.positions)
    return strained(lattice, displacement, gradient)


def strained(
    lattice: Lattice,
    displacement: Float[np.ndarray, "site 2"],
    gradient: Float[np.ndarray, "site 2 2"],
) -> Lattice:
    """The lattice displaced (nm), its angles turned by the gradient du_i/dx_j."""
    shear = (gradient[:, 0, 1] + gradient[:, 1, 0]) / 2
    turn = (gradient[:, 1, 0] - gradient[:, 0, 1]) / 2  # (du_y/dx - du_x/dy) / 2
    return Lattice(
        positions=lattice.positions + displacement,
        angle=lattice.angle + turn,
        grain=lattice.grain,
        strain=np.stack([gradient[:, 0, 0], gradient[:, 1, 1], shear], -1),
    )


def draw_strain(
    reference: Float[np.ndarray, "site 2"],
    strain: Number | Sequence[Number],
    length: Number,
    rng: np.random.Generator,
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """A field of displacements u (n, 2) and gradients du_i/dx_j (n, 2, 2) at points.

    Args:
        reference: Points over which the root mean square is taken and the mean
            displacement is zero, nm.
        strain: As `deform` takes it.
        length: Over which a random field changes, nm.
        rng: Draws it.
    """
    if isinstance(strain, Sequence):
        xx, yy, xy = strain
        tensor = np.array([[xx, xy], [xy, yy]])
        return lambda points: (
            points @ tensor,
            np.broadcast_to(tensor, (len(points), 2, 2)),
        )
    if not strain:
        return lambda points: (np.zeros_like(points), np.zeros((len(points), 2, 2)))
    waves = _random_waves(length, rng)
    displacement, gradient = waves(reference)
    diagonal = np.diagonal(gradient, axis1=1, axis2=2)
    scale = strain / np.sqrt((diagonal**2).mean())
    mean = displacement.mean(0)

    def field(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        displacement, gradient = waves(points)
        return scale * (displacement - mean), scale * gradient

    return field


def _random_waves(
    length: Number, rng: np.random.Generator
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Displacements and gradients of a sum of plane waves."""
    directions = rng.uniform(0, 2 * np.pi, NUM_WAVES)
    numbers = rng.uniform(0.5, 1.0, NUM_WAVES) * 2 * np.pi / (2 * length)
    waves = numbers[:, None] * np.stack([np.cos(directions), np.sin(directions)], -1)
    amplitudes = rng.normal(size=(NUM_WAVES, 2)) / numbers[:, None]
    starts = rng.uniform(0, 2 * np.pi, NUM_WAVES)

    def field(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        phases = points @ waves.T + starts
        gradients = -np.einsum("nm,mi,mj->nij", np.sin(phases), amplitudes, waves)
        return np.cos(phases) @ amplitudes, gradients

    return field


def _boundary(
    half_width: Number, rng: np.random.Generator
) -> Callable[[np.ndarray], np.ndarray]:
    """How far beyond a wavy line points lie, nm."""
    direction = rng.uniform(0, 2 * np.pi)
    normal = np.array([np.cos(direction), np.sin(direction)])
    along = np.array([-normal[1], normal[0]])
    offset = rng.uniform(-0.1, 0.1) * half_width
    phase = rng.uniform(0, 2 * np.pi)

    def beyond(points: np.ndarray) -> np.ndarray:
        wave = 0.05 * half_width * np.sin(np.pi * points @ along / half_width + phase)
        return points @ normal - offset - wave

    return beyond


def _join(
    first: Lattice,
    second: Lattice,
    beyond: Callable[[np.ndarray], np.ndarray],
    bond: Number,
) -> Lattice:
    """Both grains, up to half a bond beyond the line, without atoms too close."""
    from scipy.spatial import KDTree

    first = first[beyond(first.positions) < bond / 2]
    second = second[beyond(second.positions) > -bond / 2]
    gap, _ = KDTree(first.positions).query(second.positions)
    second = second[gap >= 0.8 * bond]
    joined = Lattice(
        **{
            field.name: np.concatenate(
                [getattr(first, field.name), getattr(second, field.name)]
            )
            for field in dataclasses.fields(Lattice)
        }
    )
    bonded = neighbours(joined.positions, 1.3 * bond) >= 0
    return joined[bonded.sum(1) >= 2]
