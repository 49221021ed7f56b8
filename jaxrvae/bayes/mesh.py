"""A smooth random field on the nodes of a mesh: a Gaussian Markov random field.

The field is Matern's of smoothness 1, as the solution of a stochastic differential
equation: its precision joins a node to twelve others. Nodes row by row are a chain of
blocks, two rows each, so that factor, determinant and the parts of the inverse that are
wanted cost the number of nodes times the square of the shorter side. Next to the ends
of the mesh the field reaches further than inside.

Sources: Lindgren, Rue & Lindstrom 2011, J. R. Stat. Soc. B 73, 423 (field); Rue & Held
2005, Gaussian Markov Random Fields, 2.4 (chains); Takahashi, Fagan & Chin 1973 (parts
of the inverse).
"""

import dataclasses
from typing import Any

import numpy as np

from jaxrvae._typing import Float, Int, Number, ndarray

REACH = 8**0.5  # of the field, times the inverse length of its equation
ROWS = 2  # of nodes in a block: as far as the precision reaches


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Nodes at the corners of squares, with one square and more around what is there.

    Attributes:
        rows, columns: Of nodes; rows are even, and not fewer.
        spacing: In the unit of positions.
        corner: Position (x, y) of the first node.
        turned: Rows run along x, else along y.
    """

    rows: int
    columns: int
    spacing: float
    corner: tuple[float, float]
    turned: bool

    @property
    def size(self) -> int:
        """How many nodes."""
        return self.rows * self.columns

    def weights(
        self, positions: Float[ndarray, "n 2"]
    ) -> tuple[Int[ndarray, "n 4"], Float[ndarray, "n 4"]]:
        """The four nodes around each position, and their weights, bilinear."""
        place = (positions - np.array(self.corner)) / self.spacing
        place = place[:, ::-1] if not self.turned else place  # (row, column)
        low = np.floor(place).astype(int)
        row, column = (place - low).T
        first = low[:, 0] * self.columns + low[:, 1]
        nodes = first[:, None] + np.array([0, 1, self.columns, self.columns + 1])
        pairs = [
            (1 - row) * (1 - column),
            (1 - row) * column,
            row * (1 - column),
            row * column,
        ]
        return nodes, np.stack(pairs, axis=1)

    def precision(self, length: Number) -> tuple[Any, float]:
        """Of the field of unit variance, sparse; and half its log determinant.

        Without more nodes around it a field is more variable at the ends of its mesh,
        so each node is measured against its own standard deviation.

        Args:
            length: Distance at which the correlation has fallen to 0.14.
        """
        from scipy import sparse

        short = (REACH * self.spacing / length) ** 2
        waves = [_waves(number) for number in (self.rows, self.columns)]
        values = short + waves[0][0][:, None] + waves[1][0]
        variance = waves[0][1] @ values**-2.0 @ waves[1][1].T
        std = np.sqrt(variance).ravel()
        along = [_second_difference(number) for number in (self.rows, self.columns)]
        root = sparse.kronsum(along[1], along[0]) + short * sparse.eye(self.size)
        root = root @ sparse.diags(std)
        nats = float(np.log(values).sum() + np.log(std).sum())
        return (root.T @ root).tocsr(), nats


def make_mesh(
    positions: Float[ndarray, "n 2"], number: Number, most_nodes: int
) -> Mesh:
    """One whose squares hold one position, or more where the nodes would be too many.

    Args:
        number: How many positions share the area.
    """
    low, high = positions.min(0), positions.max(0)
    sides = np.maximum(high - low, 1e-9 * (high - low).max())
    area = sides.prod()
    number = min(float(number), float(most_nodes))
    spacing = max((area / number) ** 0.5, sides.max() / min(number, most_nodes / 4))
    turned = bool(sides[0] > sides[1])
    counts = np.ceil(sides / spacing).astype(int) + 3
    columns, rows = counts[::-1] if turned else counts
    corner = low - spacing
    rows += rows % 2
    return Mesh(int(rows), int(columns), float(spacing), (corner[0], corner[1]), turned)


def _second_difference(number: int) -> Any:
    """Sparse (number, number); nothing flows through the ends."""
    from scipy import sparse

    diagonals: Any = sparse.diags
    middle = np.full(number, 2.0)
    middle[[0, -1]] = 1.0
    beside = -np.ones(number - 1)
    return diagonals([beside, middle, beside], [-1, 0, 1])


def _waves(
    number: int,
) -> tuple[Float[ndarray, " {number}"], Float[ndarray, "{number} {number}"]]:
    """Its eigenvalues; and the eigenvectors' squares (node, wave)."""
    phase = np.pi * np.arange(number) / number
    wave = np.cos(phase * (np.arange(number)[:, None] + 0.5)) * (2 / number) ** 0.5
    wave[:, 0] = number**-0.5
    return 4 * np.sin(phase / 2) ** 2, np.square(wave)


class Blocks:
    """The factor of a precision matrix whose blocks are joined in a chain.

    Args:
        matrix: Sparse (n, n), symmetric, with nothing beyond the blocks beside its
            diagonal's.
        size: Of a block; it divides n.
    """

    def __init__(self, matrix: Any, size: int):
        from scipy.linalg import cholesky, solve_triangular

        self.size, self.roots, self.joints = size, [], []
        number = matrix.shape[0] // size
        joint = np.zeros((size, size))
        for i in range(number):
            rows = slice(i * size, (i + 1) * size)
            own = matrix[rows].tocsc()
            root = cholesky(own[:, rows].toarray() - joint @ joint.T, lower=True)
            self.roots.append(root)
            if i + 1 < number:
                right = own[:, rows.stop : rows.stop + size].toarray()
                joint = solve_triangular(root, right, lower=True).T
                self.joints.append(joint)

    @property
    def half_log_det(self) -> float:
        """Nats."""
        return float(sum(np.log(np.diag(root)).sum() for root in self.roots))

    def solve(self, right: Float[ndarray, "n side"]) -> Float[ndarray, "n side"]:
        """The inverse times this."""
        from scipy.linalg import solve_triangular

        parts = list(right.reshape(len(self.roots), self.size, -1))
        for i, root in enumerate(self.roots):
            if i:
                parts[i] = parts[i] - self.joints[i - 1] @ parts[i - 1]
            parts[i] = solve_triangular(root, parts[i], lower=True)
        for i in reversed(range(len(parts))):
            if i + 1 < len(parts):
                parts[i] = parts[i] - self.joints[i].T @ parts[i + 1]
            parts[i] = solve_triangular(self.roots[i], parts[i], lower=True, trans=1)
        return np.concatenate(parts)

    def variances(
        self, nodes: Int[ndarray, "n 4"], weights: Float[ndarray, "n 4"]
    ) -> Float[ndarray, " n"]:
        """Of weighted sums of four nodes each, the first one in the first block."""
        from scipy.linalg import cho_solve

        found = np.zeros(len(nodes))
        block = nodes[:, 0] // self.size
        order = np.argsort(block, kind="stable")
        ends = np.searchsorted(block[order], np.arange(len(self.roots) + 1))
        after = np.zeros((self.size, self.size))
        for i in reversed(range(len(self.roots))):
            own = cho_solve((self.roots[i], True), np.eye(self.size))
            both = own
            if i < len(self.joints):
                carried = np.linalg.solve(self.roots[i].T, self.joints[i].T)
                own = own + carried @ after @ carried.T
                beside = -carried @ after
                both = np.block([[own, beside], [beside.T, after]])
            rows = order[ends[i] : ends[i + 1]]
            local = nodes[rows] - i * self.size
            pairs = both[local[:, :, None], local[:, None]]
            found[rows] = np.einsum("np,npq,nq->n", weights[rows], pairs, weights[rows])
            after = own
        return found
