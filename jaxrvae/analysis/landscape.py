"""Free energy of the content: -ln of its density, where there are data to tell it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from jaxrvae._checks import DataError, between, whole
from jaxrvae._typing import Array, Bool, Float, Int, Number, ndarray
from jaxrvae.analysis.density import (
    Cells,
    choose_mixture,
    choose_width,
    make_cells,
    mixture_energy,
    refit,
    smooth,
    through,
)

NUM_CELLS = 64  # along either content
NUM_FOLDS = 4  # that are held out in turn
LEAST_POINTS = 50
WINDOW = 4  # cells to either side, in which those points lie
LEAST_NEAR = 3  # points about a place, for it to be populated
MOST_COMPONENTS = 30
SUBSAMPLE = 8000  # contents that a mixture is fitted to
NUM_NODES = 400  # contents that stand for all, in more than two dims
RARE = 2e-3  # share of the contents that lie higher than the populated region

Energy = Callable[[Float[Array, " latent"]], Float[Array, ""]]


@dataclasses.dataclass(frozen=True, eq=False)
class FreeEnergy:
    """-ln p over the content, k_BT, zero at its minimum; NaN where there are no data.

    Call it with contents (..., d).

    Attributes:
        surface: One content to its energy, for JAX; it goes on beyond the data.
        draws: The same of bootstrap resamples, along a first axis of its arrays; None
            where there are none. Their zero is that of the surface's own minimum.
        nodes: (m, d) contents that stand for all: the grid's, or a sample.
        populated: (m,) which of the nodes have data about them.
        spread: (d,) standard deviation of the contents.
        shape: Of the grid; () without one.
        highest: Above this the energy is not known, where there is no grid.
        width: Over which the density was smoothed, in cells; the number of components
            of a mixture.
    """

    surface: Energy
    draws: Any
    nodes: Float[ndarray, "m latent"]
    populated: Bool[ndarray, " m"]
    spread: Float[ndarray, " latent"]
    shape: tuple[int, ...] = ()
    highest: float = np.inf
    width: float = np.nan

    @property
    def content_dim(self) -> int:
        """Numbers a content has."""
        return self.nodes.shape[1]

    @property
    def axes(self) -> list[Float[ndarray, " node"]]:
        """Contents of the grid's nodes, along every axis; none without a grid."""
        grid = self.nodes.reshape(*self.shape, -1)
        return [np.unique(grid[..., i]) for i in range(len(self.shape))]

    @property
    def values(self) -> Float[ndarray, "*node"]:
        """At the nodes, in the shape of the grid if there is one."""
        return self(self.nodes).reshape(self.shape or -1)

    @property
    def std(self) -> Float[ndarray, "*node"]:
        """Of the values, over the bootstrap resamples; NaN where there are no data."""
        found = self.resampled(self.nodes).std(axis=0, ddof=1)
        return np.where(self.populated, found, np.nan).reshape(self.shape or -1)

    def __call__(self, points: Float[ndarray, "*n latent"]) -> Float[ndarray, "*n"]:
        """Energies of contents, k_BT; NaN where there are no data."""
        return np.where(self.has_data(points), energies(self.surface, points), np.nan)

    def has_data(self, points: Float[ndarray, "*n latent"]) -> Bool[ndarray, "*n"]:
        """Whether there are contents about these."""
        points = np.asarray(points, np.float64)
        flat = points.reshape(-1, points.shape[-1])
        if self.shape:
            grid = self._grid
            index = grid.index(flat)
            found = (index >= 0) & self.populated[index]
        else:
            found = energies(self.surface, flat) <= self.highest
        return found.reshape(points.shape[:-1])

    def resampled(self, points: Float[ndarray, "n latent"]) -> Float[ndarray, "draw n"]:
        """Energies by every bootstrap resample, with nothing left out."""
        if self.draws is None:
            raise ValueError("there are no resamples. Take num_bootstraps >= 2.")
        return np.asarray(_resampled(self.draws, np.asarray(points, np.float32)))

    def band(
        self, points: Float[ndarray, "n latent"], level: Number = 0.9
    ) -> Float[ndarray, "2 n"]:
        """Lower and upper end of the interval that holds so much of the resamples."""
        between("level", level, 0, 1)
        share = [(1 - level) / 2, (1 + level) / 2]
        return np.quantile(self.resampled(points), share, axis=0)

    @property
    def _grid(self) -> Cells:
        axes = self.axes
        low = np.array([axis[0] for axis in axes])
        step = np.array([axis[1] - axis[0] for axis in axes])
        return Cells(low, step, self.shape, np.zeros((0, 0)))


def energies(
    surface: Energy, points: Float[ndarray, "*n latent"]
) -> Float[ndarray, "*n"]:
    """Of all points, with nothing left out."""
    points = np.asarray(points, np.float32)
    found = _energies(surface, points.reshape(-1, points.shape[-1]))
    return np.asarray(found, np.float64).reshape(points.shape[:-1])


@jax.jit
def _energies(surface: Energy, points: Array) -> Array:
    return jax.vmap(surface)(points)


@jax.jit
def _resampled(draws: Energy, points: Array) -> Array:
    return jax.vmap(lambda own: jax.vmap(own)(points))(draws)


def find_free_energy(
    content: ndarray,
    frames: ndarray | None = None,
    *,
    num_bootstraps: int = 30,
    num_cells: int = NUM_CELLS,
    seed: int = 0,
) -> FreeEnergy:
    """Free energy of the contents, -ln of their density.

    In one and two dims the density is smooth on a grid; in more it is a mixture of
    Gaussians. Its width, or their number, is the one by which contents held out are
    likeliest.

    Args:
        content: (n, d) of the patches.
        frames: (n,) frame of every patch. What is held out and what is resampled are
            then whole frames: neighboring patches are not independent.
        num_bootstraps: Resamples, for uncertainties; 0: none.
        num_cells: Of the grid, along every axis.
        seed: Of what is held out and resampled.

    Raises:
        DataError: For fewer than 50 contents, or ones that are not finite.

    Source: Silverman 1982, Ann. Stat. 10, 795; Efron & Tibshirani 1993, ch. 8 (blocks).

    >>> pairs = np.random.default_rng(0).normal(0, [1.0, 2.0], (2000, 2))
    >>> found = find_free_energy(pairs, num_bootstraps=0)
    >>> difference = found(np.array([[1.0, 0.0], [0.0, 0.0]]))
    >>> round(float(difference[0] - difference[1]), 1)
    0.5
    """
    content, groups = _checked(content, frames)
    whole("num_bootstraps", num_bootstraps, 0)
    if num_bootstraps == 1:
        raise ValueError("num_bootstraps must be 0 or at least 2; got 1.")
    whole("num_cells", num_cells, 8)
    rng = np.random.default_rng(seed)
    find = _on_grid if content.shape[1] <= 2 else _by_mixture
    with threadpool_limits(1):  # systems so small only wait for other threads
        return find(content, groups, num_bootstraps, num_cells, rng)


def known_free_energy(
    energy: Energy,
    low: tuple[float, ...],
    high: tuple[float, ...],
    num_nodes: int = NUM_CELLS,
) -> FreeEnergy:
    """A free energy that is known, in a box of contents, all of it populated.

    Args:
        energy: One content (d,) to k_BT, for JAX; hashable, or a pytree.
    """
    axes = [np.linspace(*ends, num_nodes) for ends in zip(low, high, strict=True)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    nodes = nodes.reshape(-1, len(low))
    values = np.asarray(jax.vmap(energy)(jnp.asarray(nodes, jnp.float32)), np.float64)
    values -= values.min()
    weight = np.exp(-values) / np.exp(-values).sum()
    spread = np.sqrt(weight @ np.square(nodes - weight @ nodes))
    shape = (num_nodes,) * len(low)
    step = np.array([axis[1] - axis[0] for axis in axes])
    surface = through(values.reshape(shape), np.array(low), step)
    return FreeEnergy(surface, None, nodes, np.ones(len(nodes), bool), spread, shape)


def _checked(
    content: ndarray, frames: ndarray | None
) -> tuple[Float[ndarray, "n latent"], Int[ndarray, " n"]]:
    """The contents as (n, d), and the group of every one; -1 where all are apart."""
    content = np.asarray(content, np.float64)
    if content.ndim != 2 or not content.shape[1]:
        raise ValueError(f"content must be (n, content_dim); got {content.shape}.")
    if len(content) < LEAST_POINTS:
        raise DataError(
            f"expected at least {LEAST_POINTS} contents for a density; got"
            f" {len(content)}. Cut more patches."
        )
    if not np.isfinite(content).all():
        bad = int((~np.isfinite(content)).any(axis=1).sum())
        raise DataError(
            f"expected finite contents; {bad} of {len(content)} are not. Leave those"
            " patches out, or train the model again at a lower learning rate."
        )
    still = np.flatnonzero(content.std(axis=0) < 1e-9)
    if len(still):
        raise DataError(
            f"content {still.tolist()} is the same in all patches and has no density."
            " Leave it out."
        )
    if frames is None:
        return content, np.full(len(content), -1)
    frames = np.asarray(frames)
    if frames.shape != (len(content),):
        raise ValueError(
            f"frames must hold one a content, ({len(content)},); got {frames.shape}."
        )
    _, groups = np.unique(frames, return_inverse=True)
    if groups.max() < 1:
        raise ValueError("frames must differ. With a single one, leave frames out.")
    return content, groups


def _on_grid(
    content: Float[ndarray, "n latent"],
    groups: Int[ndarray, " n"],
    num_bootstraps: int,
    num_cells: int,
    rng: np.random.Generator,
) -> FreeEnergy:
    cells = make_cells(content, num_cells)
    index, number = cells.index(content), int(np.prod(cells.shape))
    inside = index >= 0
    index, groups = index[inside], groups[inside]

    def count(weights: ndarray | None) -> Float[ndarray, " cell"]:
        return np.bincount(index, weights, number).astype(np.float64)

    part = _parts(groups, rng)
    folds = np.stack([count(part == i) for i in range(part.max() + 1)])
    width, found = choose_width(cells, folds)
    counts = folds.sum(axis=0)
    near = _near(counts.reshape(cells.shape), width).ravel()
    populated = near >= LEAST_NEAR
    zero = float(found[populated].max())

    def surface(log_counts: ndarray, total: float) -> Any:
        energy = zero - log_counts - np.log(counts.sum() / total)
        return through(energy.reshape(cells.shape), cells.low, cells.step)

    draws = []
    for _ in range(num_bootstraps):
        if groups[0] < 0:
            own = rng.poisson(counts).astype(np.float64)
        else:
            number_of = groups.max() + 1
            own = count(
                rng.multinomial(number_of, np.ones(number_of) / number_of)[groups]
            )
        draws.append(surface(smooth(cells, own, width, found), own.sum()))
    return FreeEnergy(
        surface(found, counts.sum()),
        _stack(draws),
        cells.nodes(),
        populated,
        content.std(axis=0),
        cells.shape,
        width=width,
    )


def _parts(groups: Int[ndarray, " n"], rng: np.random.Generator) -> Int[ndarray, " n"]:
    """The fold of every content, whole groups together."""
    if groups[0] < 0:
        return rng.permutation(len(groups)) % NUM_FOLDS
    number = groups.max() + 1
    return (rng.permutation(number) % min(NUM_FOLDS, number))[groups]


def _near(counts: Float[ndarray, "*cell"], width: float) -> Float[ndarray, "*cell"]:
    """Points in a window of about the width to either side, a few cells at most."""
    from scipy.ndimage import uniform_filter

    size = 2 * int(np.clip(round(width), 1, WINDOW)) + 1
    return uniform_filter(counts, size, mode="constant") * size**counts.ndim + 1e-6


def _by_mixture(
    content: Float[ndarray, "n latent"],
    groups: Int[ndarray, " n"],
    num_bootstraps: int,
    num_cells: int,
    rng: np.random.Generator,
) -> FreeEnergy:
    del num_cells
    spread = content.std(axis=0)
    part = _parts(groups, rng)
    last = part == part.max()

    def sample(points: ndarray) -> Float[ndarray, "m latent"]:
        chosen = rng.permutation(len(points))[:SUBSAMPLE]
        return points[chosen] / spread

    mixture = choose_mixture(
        sample(content[~last]), sample(content[last]), MOST_COMPONENTS, rng
    )
    first = mixture_energy(mixture, spread, 0.0)
    nodes = content[rng.permutation(len(content))[:SUBSAMPLE]].astype(np.float32)
    height = energies(first, nodes)
    zero = float(height.min())
    highest = float(np.quantile(height, 1 - RARE)) - zero
    draws = []
    for _ in range(num_bootstraps):
        if groups[0] < 0:
            chosen = rng.integers(len(content), size=min(len(content), SUBSAMPLE))
            own = content[chosen]
        else:
            number = groups.max() + 1
            times = rng.multinomial(number, np.ones(number) / number)[groups]
            own = np.repeat(content, times, axis=0)
        draws.append(mixture_energy(refit(mixture, sample(own)), spread, zero))
    nodes = nodes[:NUM_NODES].astype(np.float64)
    return FreeEnergy(
        mixture_energy(mixture, spread, zero),
        _stack(draws),
        nodes,
        height[:NUM_NODES] - zero <= highest,
        spread,
        highest=highest,
        width=float(mixture.n_components),
    )


def _stack(draws: list[Any]) -> Any:
    return jax.tree.map(lambda *parts: jnp.stack(parts), *draws) if draws else None
