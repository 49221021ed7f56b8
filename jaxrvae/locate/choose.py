"""Which of the fitted atoms to believe, and where to look for more."""

import dataclasses
import math
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Number
from jaxrvae.locate.canvas import Canvas, Fitted, bucket, maxima, value_at
from jaxrvae.locate.evidence import height_errors

if TYPE_CHECKING:
    from scipy.spatial import KDTree

NUM_LINKED = 6  # neighbours that an atom's standard error takes into account
LINK_REACH = 5.0  # sigmas up to which they do
ABSENT = np.array([8.0, 8.0, 1.0, 0.0], np.float32)  # an atom that fills up a group
NUM_LEVELS = 8
MOST_PIXELS = 2**18  # of which their noise is taken: all, or as many spread evenly
MISFIT = 0.07  # of an atom's height: what its Gaussian gets wrong about its tail,
TAIL = 1.6  # which is so many times as wide
HARD_CORE = 0.65  # atoms are not nearer than this share of the usual distance
PAIR_REACH = 2.2  # usual distances up to which pairs of atoms are looked at
PAIR_BINS = 33
PAIR_CLIP = 3.0  # what a pair costs at most, in chi squared
SURE = 4.0  # the score of atoms that make the pair correlation function
LEAST_SCATTER = 0.08  # of distances to the nearest neighbour, as a share of the usual


@dataclasses.dataclass(frozen=True, eq=False)
class Noise:
    """Noise as an atom feels it, over the white noise, by the brightness around.

    Noise that neighbouring pixels share weighs more than white noise; so do errors of
    the model where atoms are bright.
    """

    levels: np.ndarray
    factors: np.ndarray

    def at(self, brightness: np.ndarray) -> np.ndarray:
        """The factor at each place."""
        return np.interp(brightness, self.levels, self.factors)


def matched(on: Canvas, fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """The residual through the atoms' matched filter in units of its white noise.

    Beside it the image of the atoms through the same filter.
    """
    from scipy.ndimage import gaussian_filter

    sigma = math.exp(float(fitted.model.width))
    unit = 2 * sigma * math.sqrt(math.pi) / on.noise
    smooth = gaussian_filter(fitted.residual, sigma, mode="constant")
    return smooth * unit, gaussian_filter(fitted.atoms_image, sigma, mode="nearest")


def noise_of(
    scores: np.ndarray, bright: np.ndarray, sigma: Number, before: Noise | None
) -> Noise:
    """The noise that a filtered residual shows, at least what was known before.

    A level differs from the whole image's noise only where it surely does.

    Levels of brightness share the image's area equally: a few bright atoms, whose
    neighbours may still be missing from the model, do not make a level of their own.
    """
    step = math.ceil(math.sqrt(bright.size / MOST_PIXELS))
    bright, scores = bright[::step, ::step], scores[::step, ::step]
    edges = np.linspace(0, bright.size, NUM_LEVELS + 1).round().astype(int)
    order = np.argpartition(bright, edges[1:-1], axis=None)
    parts = np.split(order, edges[1:-1])
    levels = np.array([float(np.median(bright.flat[part])) for part in parts])
    spread = [float(np.median(np.abs(scores.flat[part]))) for part in parts]
    pixels = step**2 * scores.size / NUM_LEVELS
    independent = max(1.0, pixels / (4 * math.pi * sigma**2))
    surely = 1 - min(1.0, 2 * 1.17 / math.sqrt(independent))  # 1.17: error of a MAD
    whole = float(np.median(np.abs(scores)))
    factors = 1.4826 * np.maximum(whole, surely * np.array(spread))
    factors = np.maximum(1.0, factors)
    if before is not None:
        factors = np.maximum(factors, before.factors)
    return Noise(np.maximum.accumulate(levels), factors)


@dataclasses.dataclass(frozen=True, eq=False)
class Errors:
    """What makes atoms' heights unsure, each (n,).

    Attributes:
        noise: Standard errors of the heights per unit of a canvas pixel's noise.
        shape: No probe is quite Gaussian: a share of each neighbour's height, less
            with distance, counts as an error as well.
    """

    noise: np.ndarray
    shape: np.ndarray

    def without(self, params: np.ndarray, keep: np.ndarray) -> "Errors":
        """Those of the atoms that stay: anew for the neighbours of those that go."""
        left, gone = params[keep], params[~keep]
        noise, shape = self.noise[keep], self.shape[keep]
        if len(left) and len(gone):
            away = tree_of(gone).query(left[:, :2])[0]
            which = np.flatnonzero(away < LINK_REACH * np.exp(left[:, 3]))
            anew = errors_of(left, which)
            noise[which], shape[which] = anew.noise, anew.shape
        return Errors(noise, shape)

    def scores(self, params: np.ndarray, noise: np.ndarray | float) -> np.ndarray:
        """Heights over their standard errors, given the noise of a canvas pixel."""
        return params[:, 2] / np.hypot(self.noise * noise, self.shape)


def errors_of(params: np.ndarray, which: np.ndarray | None = None) -> Errors:
    """Errors of the heights of atoms, (n, 4), or of some of them."""
    which = np.arange(len(params)) if which is None else which
    num, k = len(which), min(NUM_LINKED, len(params) - 1)
    total = bucket(num, (64, 256, 1024))
    groups = np.tile(ABSENT, (total, NUM_LINKED + 1, 1))
    there = np.zeros((total, NUM_LINKED + 1), np.float32)
    shape = np.zeros(num)
    there[:, 0], groups[:num, 0] = 1.0, params[which]
    if k and num:
        found = tree_of(params).query(params[which, :2], k=k + 1, workers=-1)
        distance, near = np.asarray(found[0])[:, 1:], np.asarray(found[1])[:, 1:]
        away = distance / np.exp(params[which, 3:])  # in sigmas
        groups[:num, 1 : k + 1] = params[near]
        there[:num, 1 : k + 1] = away < LINK_REACH
        tails = np.exp(-((away / TAIL) ** 2) / 2) * params[near, 2]
        shape = MISFIT * np.sqrt((tails**2).sum(axis=1))
    noise = height_errors(jnp.asarray(groups), jnp.asarray(there))
    return Errors(np.array(noise)[:num], shape)


def scores_of(params: np.ndarray, noise: np.ndarray | float) -> np.ndarray:
    """Heights over their standard errors, given the noise of a canvas pixel."""
    return errors_of(params).scores(params, noise)


def tree_of(params: np.ndarray) -> "KDTree":
    """For looking up neighbours; positions spread evenly need no balance."""
    from scipy.spatial import KDTree

    return KDTree(params[:, :2], balanced_tree=False, compact_nodes=False)


def nearest_distances(params: np.ndarray) -> np.ndarray:
    """(n,) distance of each atom to the nearest other one; inf for a lone atom."""
    if len(params) < 2:
        return np.full(len(params), np.inf)
    tree = tree_of(params)
    return tree.query(params[:, :2], k=2, workers=-1)[0][:, 1]


def in_order(params: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Scores less what unusual distances to other atoms cost.

    Evidence is counted in chi squared, the scores squared. Distances to the nearest
    atom scatter about the image's own median; one shorter by t of their standard
    deviations costs t^2 / 2. To this come the costs of pairs.
    """
    nearest = nearest_distances(params)
    usual = float(np.median(nearest))
    if not math.isfinite(usual):
        return scores
    scatter = 1.4826 * float(np.median(np.abs(nearest - usual)))
    short = np.clip((usual - nearest) / max(scatter, LEAST_SCATTER * usual), 0, None)
    costs = short**2 / 2 + pair_costs(params, scores, usual)
    left = scores * np.abs(scores) - costs
    return np.sign(left) * np.sqrt(np.abs(left))


def pair_costs(params: np.ndarray, scores: np.ndarray, usual: Number) -> np.ndarray:
    """(n,) what neighbours at unusual distances cost each atom, over the usual cost.

    A pair costs minus twice the log of the pair correlation function at its distance,
    where that is below one: a lattice has distances that do not occur, an amorphous
    film none but the shortest. The function is the image's own, of its surer atoms.
    """
    from scipy.ndimage import gaussian_filter1d

    reach = PAIR_REACH * usual
    pairs = tree_of(params).query_pairs(reach, output_type="ndarray")
    if not len(pairs):
        return np.zeros(len(params))
    gap = params[pairs[:, 0], :2] - params[pairs[:, 1], :2]
    place = np.hypot(gap[:, 0], gap[:, 1]) / reach * PAIR_BINS
    sure = (scores[pairs] > SURE).all(axis=1)
    counts = np.bincount(place[sure].astype(int), minlength=PAIR_BINS)[:PAIR_BINS]
    smooth = gaussian_filter1d(counts.astype(float), 1.2, mode="nearest")
    rings = 2 * np.arange(PAIR_BINS) + 1.0
    expected = smooth.sum() * rings / rings.sum()
    correlation = (smooth + 3) / (expected + 3)  # towards one where pairs are few
    by_place = np.clip(-2 * np.log(correlation), 0, PAIR_CLIP)
    each = np.interp(place - 0.5, np.arange(PAIR_BINS), by_place)
    costs = np.zeros(len(params))
    np.add.at(costs, pairs, each[:, None])
    return costs - np.median(costs)


def stays(params: np.ndarray, scores: np.ndarray, least: Number, usual: Number):
    """(n,) False for the atoms to be taken out now.

    Of atoms nearer to each other than the hard core the one goes whose evidence is
    least against that of all it is in conflict with: one between two good ones, but
    not a bright one with several ghosts. Of atoms below the least score only the worst
    of its surroundings goes, for the others gain when it has gone.
    """
    tree = tree_of(params)
    keep = np.ones(len(params), bool)
    evidence = np.maximum(scores, 1e-3) ** 2
    pairs = tree.query_pairs(HARD_CORE * usual, output_type="ndarray")
    while len(pairs):
        against = np.zeros(len(params))
        np.add.at(against, pairs, evidence[pairs[:, ::-1]])
        worst = int(
            np.argmin(np.where(against > 0, evidence / (against + 1e-9), np.inf))
        )
        keep[worst] = False
        pairs = pairs[(pairs != worst).all(axis=1)]
    low = scores < least
    pairs = tree.query_pairs(1.2 * usual, output_type="ndarray")
    pairs = pairs[low[pairs].all(axis=1)]
    first, second = pairs.T
    low[np.where(scores[first] > scores[second], first, second)] = False
    return keep & ~low


def more(
    on: Canvas,
    width: Number,
    params: np.ndarray,
    left: np.ndarray,
    excess: np.ndarray,
    apart: Number,
) -> np.ndarray:
    """(m, 4) atoms to add where the filtered residual exceeds what is bearable.

    Args:
        on: The canvas.
        width: Log of the width that the atoms share.
        params: (n, 4) atoms that stay.
        left: (row, col) the filtered residual, of `matched`.
        excess: (row, col) the residual in standard deviations, less the threshold.
        apart: Least distance to the atoms that stay, canvas pixels.
    """
    xy = maxima(excess, apart, least=0.0)
    if len(params) and len(xy):
        xy = xy[tree_of(params).query(xy, workers=-1)[0] > apart]
    height = value_at(left, xy) * on.noise / (math.sqrt(math.pi) * math.exp(width))
    new = np.column_stack([xy, height, np.full(len(xy), width)])
    return new.astype(np.float32)
