"""Log density of points: smooth on a grid in one and two dims, a mixture beyond.

On the grid the counts of the cells are Poisson, and the log density is the one of the
highest likelihood less a penalty on its third derivatives, of which a Gaussian has
none. It is smoothed over a width that adapts: wider where there are fewer points.
"""

import dataclasses
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int, ndarray
from jaxrvae.analysis.mixture import FLOOR, grow

WIDTHS = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0, 11.3, 16.0, 22.6)  # cells
NUM_NEWTON = 40
PATIENCE = 4  # widths wider than the best one, after which none are tried
ENOUGH = 0.01  # nats, that the last step gained
OUTLIERS = 5e-4  # share of the points, at either end
MARGIN = 0.1  # of the range between


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class SplineEnergy:
    """A cubic B-spline over one or two dims; constant outside its box.

    Attributes:
        coefs: (node,) or (node, node), along the first content, then the second.
        low, step: Content of the first node, and from one node to the next.
    """

    coefs: Array  # plain: resamples stand along a first axis of everything
    low: Array
    step: Array

    def __call__(self, point: Float[Array, " latent"]) -> Float[Array, ""]:
        """The energy at one content."""
        sizes = np.array(self.coefs.shape)
        place = jnp.clip((point - self.low) / self.step, 0.0, sizes - 1.0) + 1.0
        base = jnp.floor(jax.lax.stop_gradient(place)).astype(jnp.int32)
        weights = _spline_weights(place - base)
        padded = jnp.pad(self.coefs, (1, 2), "reflect", reflect_type="odd")
        part = jax.lax.dynamic_slice(padded, list(base - 1), [4] * len(sizes))
        for own in weights:
            part = own @ part
        return part


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class MixtureEnergy:
    """Minus the log density of a mixture of Gaussians, less a constant.

    Attributes:
        log_weight: (c,) of every component, with its normalization.
        mean: (c, d).
        whiten: (c, d, d) offsets to standard normal ones.
    """

    log_weight: Array
    mean: Array
    whiten: Array
    constant: Array

    def __call__(self, point: Float[Array, " latent"]) -> Float[Array, ""]:
        """The energy at one content."""
        white = jnp.einsum("cij,cj->ci", self.whiten, point - self.mean)
        of_each = self.log_weight - 0.5 * jnp.square(white).sum(-1)
        return -jax.scipy.special.logsumexp(of_each) - self.constant


def _spline_weights(part: Float[Array, " latent"]) -> Float[Array, "latent 4"]:
    rest = 1 - part
    middle = [(4 - 6 * p**2 + 3 * p**3) / 6 for p in (part, rest)]
    return jnp.stack([rest**3 / 6, *middle, part**3 / 6], axis=-1)


def through(
    values: Float[ndarray, "*node"],
    low: Float[ndarray, " latent"],
    step: Float[ndarray, " latent"],
) -> SplineEnergy:
    """The spline through values on a grid, with no curvature at its ends.

    >>> line = through(np.array([0.0, 1.0, 4.0, 9.0]), np.zeros(1), np.ones(1))
    >>> round(float(line(jnp.array([2.0]))), 4)
    4.0
    """
    coefs = np.asarray(values, np.float64)
    for axis in range(coefs.ndim):
        size = coefs.shape[axis]
        matrix = np.diag(np.full(size, 4.0))
        matrix += np.eye(size, k=1) + np.eye(size, k=-1)
        matrix[[0, -1]] = 6 * np.eye(size)[[0, -1]]
        solved = np.linalg.solve(matrix / 6, np.moveaxis(coefs, axis, 0))
        coefs = np.moveaxis(solved, 0, axis)
    return SplineEnergy(*(jnp.asarray(v, jnp.float32) for v in (coefs, low, step)))


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """A grid over the points, and what is needed to smooth its counts.

    Attributes:
        low, step: Middle of the first cell, and from one to the next.
        shape: Cells along every axis.
        bands: Of the penalty, a lower band of a symmetric matrix (LAPACK).
    """

    low: Float[ndarray, " latent"]
    step: Float[ndarray, " latent"]
    shape: tuple[int, ...]
    bands: Float[ndarray, "band cell"]

    def index(self, points: Float[ndarray, "n latent"]) -> Int[ndarray, " n"]:
        """The cell of every point; -1 outside."""
        place = np.rint((points - self.low) / self.step)
        inside = np.all((place >= 0) & (place < self.shape), axis=1)
        place = np.where(inside[:, None], place, 0).astype(int)
        return np.where(inside, np.ravel_multi_index(tuple(place.T), self.shape), -1)

    def nodes(self) -> Float[ndarray, "cell latent"]:
        """Middles of the cells."""
        return (
            self.low + self.step * np.indices(self.shape).reshape(len(self.low), -1).T
        )


def make_cells(points: Float[ndarray, "n latent"], num_cells: int) -> Cells:
    """The grid over all points but outliers, with a margin to either side."""
    low, high = np.quantile(points, [OUTLIERS, 1 - OUTLIERS], axis=0)
    spread = np.maximum(high - low, 1e-9)
    low, high = low - MARGIN * spread, high + MARGIN * spread
    low, high = np.maximum(low, points.min(0)), np.minimum(high, points.max(0))
    low, high = low - MARGIN * spread, high + MARGIN * spread
    shape = (num_cells,) * points.shape[1]
    step = (high - low) / num_cells
    return Cells(low + step / 2, step, shape, _penalty(shape))


def _penalty(shape: tuple[int, ...]) -> Float[ndarray, "band cell"]:
    """Of the third differences in every direction, squared and added up."""
    from scipy import sparse

    def difference(size: int, order: int) -> Any:
        return sparse.csr_array(np.diff(np.eye(size), order, axis=0))

    if len(shape) == 1:
        third = difference(shape[0], 3)
        total = third.T @ third
    else:
        total: Any = 0
        for order, times in enumerate((1, 3, 3, 1)):
            rows, columns = shape
            along = difference(rows, 3 - order), difference(columns, order)
            both = sparse.kron(*along, format="csr")
            total = total + times * (both.T @ both)
    number = total.shape[0]
    band = 3 * shape[-1] if len(shape) > 1 else 3
    bands = np.zeros((band + 1, number))
    entries = sparse.coo_array(total)
    row, column = entries.coords
    lower = row >= column
    bands[(row - column)[lower], column[lower]] = entries.data[lower]
    return bands


def smooth(
    cells: Cells,
    counts: Float[ndarray, " cell"],
    width: float,
    start: Float[ndarray, " cell"],
) -> Float[ndarray, " cell"]:
    """Log of the expected counts, smoothed over about so many cells.

    Args:
        start: From where Newton's method goes on.

    Source: Silverman 1982, Ann. Stat. 10, 795 (penalized log density).
    """
    from scipy.linalg import solveh_banded

    weight = counts.sum() / max(np.count_nonzero(counts), 1) * width**6
    bands = weight * cells.bands

    def cost(log_counts: Float[ndarray, " cell"]) -> float:
        rough = log_counts @ _times(bands, log_counts)
        return float(np.exp(log_counts).sum() - counts @ log_counts + 0.5 * rough)

    found, least = start, cost(start)
    for _ in range(NUM_NEWTON):
        expected = np.exp(found)
        slope = counts - expected - _times(bands, found)
        curvature = bands.copy()
        curvature[0] += np.maximum(expected, 1e-9)
        step = solveh_banded(curvature, slope, lower=True, check_finite=False)
        share = 1.0
        while share > 1e-4:
            with np.errstate(over="ignore", invalid="ignore"):
                tried = cost(found + share * step)
            if tried < least:
                break
            share /= 2
        else:
            break
        found, least = found + share * step, tried
        if slope @ step < ENOUGH:
            break
    return found


def _times(bands: ndarray, vector: ndarray) -> ndarray:
    """The symmetric banded matrix times the vector."""
    found = bands[0] * vector
    for k in np.flatnonzero(bands.any(axis=1))[1:]:
        found[k:] += bands[k, :-k] * vector[:-k]
        found[:-k] += bands[k, :-k] * vector[k:]
    return found


def choose_width(
    cells: Cells, folds: Float[ndarray, "fold cell"]
) -> tuple[float, Float[ndarray, " cell"]]:
    """The width that counts held out ask for, and all counts smoothed by it.

    It is the widest under which they are as likely as under the best one, within a
    standard error: what is finer is noise as likely as not, and bends every path.

    Args:
        folds: Counts of separate parts of the points, each held out in turn.

    Source: Hastie, Tibshirani & Friedman 2009, 7.10.1 (one standard error).
    """
    total = folds.sum(axis=0)
    starts = [_rough(cells, total - fold) for fold in folds]
    scores: list[ndarray] = []
    for width in WIDTHS:
        scores.append(np.zeros(len(folds)))
        for i, fold in enumerate(folds):
            starts[i] = smooth(cells, total - fold, width, starts[i])
            share = fold.sum() / max(total.sum() - fold.sum(), 1.0)
            scores[-1][i] = fold @ starts[i] - share * np.exp(starts[i]).sum()
        if len(scores) - 1 - np.argmax(np.sum(scores, axis=1)) >= PATIENCE:
            break
    best = int(np.argmax(np.sum(scores, axis=1)))
    lost = scores[best] - np.array(scores)
    error = lost.std(axis=1, ddof=1) * np.sqrt(len(folds))
    width = WIDTHS[int(np.flatnonzero(lost.sum(axis=1) <= error)[-1])]
    return width, smooth(cells, total, width, starts[0])


def _rough(cells: Cells, counts: Float[ndarray, " cell"]) -> Float[ndarray, " cell"]:
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(counts.reshape(cells.shape), 3.0, mode="constant")
    return np.log(blurred.ravel() + 1e-6 * blurred.max())


def mixture_energy(
    mixture: Any, scale: Float[ndarray, " latent"], constant: float
) -> MixtureEnergy:
    """Of scikit-learn's mixture, fitted to contents divided by the scale."""
    factors = mixture.precisions_cholesky_  # offsets times these are white
    whiten = factors.swapaxes(1, 2) / scale
    log_weight = np.log(mixture.weights_) - 0.5 * len(scale) * np.log(2 * np.pi)
    log_weight += np.linalg.slogdet(whiten)[1]
    parts = log_weight, mixture.means_ * scale, whiten, constant
    return MixtureEnergy(*(jnp.asarray(part, jnp.float32) for part in parts))


def choose_mixture(
    points: Float[ndarray, "n latent"],
    held_out: Float[ndarray, "m latent"],
    most: int,
    rng: np.random.Generator,
) -> Any:
    """A mixture of as many Gaussians as make the points held out likeliest.

    Args:
        points: Of about unit variance.

    Returns:
        scikit-learn's `GaussianMixture`, of the points that are not held out.
    """
    fits = grow(points, most, rng, patience=4)
    return max(fits, key=lambda fit: fit.score(held_out))


def refit(mixture: Any, points: Float[ndarray, "n latent"]) -> Any:
    """The mixture fitted to other points, from where it stands."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    start = {
        "weights_init": mixture.weights_,
        "means_init": mixture.means_,
        "precisions_init": mixture.precisions_,
    }
    number = mixture.n_components
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fresh = GaussianMixture(number, max_iter=20, reg_covar=FLOOR, **start)
        return fresh.fit(points)
