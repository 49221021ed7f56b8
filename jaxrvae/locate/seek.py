"""The search in one image: candidates, joint fit, evidence, and again."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae.locate.evidence import height_errors
from jaxrvae.locate.gaussians import Atoms, Model, Scene, fit
from jaxrvae.locate.spectrum import Denoised, denoise

WIDTH_SHARE = 0.39  # starting sigma over the distance of neighbours (graphene's)
BINNED_WIDTH = 2.0  # sigma in pixels below which binning would lose detail
BACKGROUND_SHARE = 5.0  # knots of the background stand this many neighbours apart
TRIAL, ENTER, NEAR, APART = 2.0, 2.0, 0.5, 0.65
PENALTY, CORE = 1.0, 0.08
NUM_LINKED = 8  # neighbours counted in an atom's standard error
SPREAD = 0.1  # standard deviation of log sigma between atoms of a frame


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What find_atoms takes, lengths in pixels of the frame."""

    spacing: float | None = None
    false_share: float = 0.01
    least_confidence: float = 0.5
    num_rounds: int = 3


def maxima(image: np.ndarray, distance: float = 1.0) -> np.ndarray:
    """(n, 2) x, y of local maxima, refined by a parabola, brightest first."""
    from skimage.feature import peak_local_max

    found = peak_local_max(
        image, min_distance=max(1, int(distance)), exclude_border=False
    )
    rows, columns = found.T
    return np.stack(
        [
            columns + _vertex(image, rows, columns, 1),
            rows + _vertex(image, rows, columns, 0),
        ],
        axis=1,
    )


def _vertex(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, axis: int):
    last = image.shape[axis] - 1
    place = [rows, columns]
    before, after = list(place), list(place)
    before[axis] = np.maximum(place[axis] - 1, 0)
    after[axis] = np.minimum(place[axis] + 1, last)
    low, mid, high = image[tuple(before)], image[tuple(place)], image[tuple(after)]
    curve = low - 2 * mid + high
    shift = np.where(curve < 0, (low - high) / (2 * np.where(curve < 0, curve, 1)), 0)
    inside = (place[axis] > 0) & (place[axis] < last)
    return np.where(inside, np.clip(shift, -0.5, 0.5), 0.0)


@dataclasses.dataclass(frozen=True, eq=False)
class Canvas:
    """An image binned to the fit's resolution and padded to few sizes.

    Attributes:
        bin: Image pixels along a side of a canvas pixel.
        shape: (row, col) of the canvas that hold data.
        noise: Standard deviation of a canvas pixel.
        size: Side of an atom's window, canvas pixels.
    """

    scene: Scene
    noise: float
    bin: int
    shape: tuple[int, int]
    size: int

    def to_image(self, xy: np.ndarray) -> np.ndarray:
        """Pixel positions on the canvas as those of the image."""
        return xy * self.bin + (self.bin - 1) / 2

    def from_image(self, xy: np.ndarray) -> np.ndarray:
        """Pixel positions of the image as those on the canvas."""
        return (xy - (self.bin - 1) / 2) / self.bin


def canvas(image: np.ndarray, noise: float, sigma: float, spacing: float) -> Canvas:
    """The image as the fit takes it: binned to two to four pixels a sigma."""
    step = max(1, int(sigma / BINNED_WIDTH))
    pads = [(0, -side % step) for side in image.shape]
    whole = np.pad(image, pads, mode="edge")
    rows, columns = whole.shape[0] // step, whole.shape[1] // step
    small = whole.reshape(rows, step, columns, step).mean(axis=(1, 3))
    padded = [bucket(side, (64, 96, 128, 192, 256)) for side in small.shape]
    values, weight = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
    values[:rows, :columns], weight[:rows, :columns] = small, 1.0
    half = bucket(math.ceil(4 * sigma / step), (6, 8, 10, 12, 14, 17, 20, 25, 30, 40))
    apart = BACKGROUND_SHARE * spacing / step
    basis = [_splines(n, m, apart) for n, m in zip(padded, small.shape, strict=True)]
    scene = Scene(
        image=jnp.asarray(values),
        weight=jnp.asarray(weight * (step / noise) ** 2),
        basis_y=jnp.asarray(basis[0]),
        basis_x=jnp.asarray(basis[1]),
        spread=jnp.asarray(SPREAD, jnp.float32),
    )
    return Canvas(
        scene, noise / step, step, (rows, columns), min(2 * half + 1, min(padded) - 1)
    )


def bucket(size: float, steps: tuple[int, ...]) -> int:
    """The first of the steps that is as large, beyond the last its multiples."""
    for step in steps:
        if size <= step:
            return step
    return steps[-1] * math.ceil(size / steps[-1])


def _splines(length: int, used: int, apart: float) -> np.ndarray:
    """(pixel, knot) cubic B-splines over the used pixels, at most `apart` apart."""
    num = bucket(math.ceil(used / apart) + 3, (5, 8, 12, 16, 24, 32, 48, 64))
    t = (np.arange(length) + 0.5) / used * (num - 3) + 1
    u = np.abs(t[:, None] - np.arange(num))
    near = 2 / 3 - u**2 + u**3 / 2
    far = np.clip(2 - u, 0, None) ** 3 / 6
    return (
        np.where(u < 1, near, far).astype(np.float32)
        * (np.arange(length) < used)[:, None]
    )


def atoms_in(image: np.ndarray, options: Options) -> pd.DataFrame:
    """x, y, intensity, sigma, confidence of an image's atoms; empty if none."""
    clean = denoise(image)
    spacing = options.spacing or typical_spacing(clean)
    sigma = WIDTH_SHARE * spacing
    on = canvas(image, clean.noise, sigma, spacing)
    xy = maxima(clean.values, 0.4 * spacing)
    floor = float(np.percentile(clean.values, 5))
    columns, rows = np.clip(np.round(xy).astype(int), 0, None).T
    heights = clean.values[rows, columns] - floor
    heights = 0.5 * np.maximum(heights, 0.1 * np.median(heights))
    width = math.log(sigma / on.bin)
    params = np.column_stack(
        [on.from_image(xy), heights, np.full(len(xy), width)]
    ).astype(np.float32)
    knots = (on.scene.basis_y.shape[1], on.scene.basis_x.shape[1])
    model = Model(
        atoms=Atoms(jnp.zeros((0, 4)), jnp.zeros(0)),
        width=jnp.asarray(width, jnp.float32),
        knots=jnp.full(knots, floor, jnp.float32),
    )
    least = threshold(image.size, sigma, spacing, options.false_share)
    for turn in range(options.num_rounds + 1):
        last = turn == options.num_rounds
        if not len(params):
            break
        model, rest = _fit(on, model, params)
        params = np.asarray(model.atoms.params)[: len(params)]
        noise = _effective_noise(on, rest, float(model.width))
        score = _scores(params, noise)
        inside = _inside(params, on.shape)
        apart = spacing / on.bin
        if inside.sum() > 8:
            apart = _nearest(params[inside])
        bar = least if last else min(least, TRIAL)
        for _ in range(8):
            good = _good(params, score, apart, on.shape)
            keep = _apart(params, good, APART * apart) & ~_worst(params, good, bar, apart)
            if keep.all():
                break
            params = params[keep]
            if not len(params):
                break
            score = _scores(params, noise)
        score = _good(params, score, apart, on.shape)
        if not last:
            new = _more(on, rest, model, params, noise, min(least, ENTER), NEAR * apart)
            params = np.concatenate([params, new])
    if not len(params):
        return pd.DataFrame(columns=["x", "y", "intensity", "sigma", "confidence"])
    xy = on.to_image(params[:, :2].astype(np.float64))
    broadened = np.exp(2.0 * params[:, 3]) - (1 - 1 / on.bin**2) / 12
    return pd.DataFrame(
        {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "intensity": params[:, 2],
            "sigma": on.bin * np.sqrt(np.maximum(broadened, 0.01)),
            "confidence": 1 - 0.5 * np.exp(-np.maximum(score - least, 0)),
        }
    )


def typical_spacing(clean: Denoised) -> float:
    """Median distance of neighbouring maxima of the filtered image, pixels."""
    from scipy.spatial import cKDTree

    xy = maxima(clean.values)
    if len(xy) < 3:
        return float(min(clean.values.shape)) / 4
    distance, _ = cKDTree(xy).query(xy, k=2)
    return float(np.median(distance[:, 1]))


def threshold(
    num_pixels: int, sigma: float, spacing: float, false_share: float
) -> float:
    """Standard deviations above which noise alone makes few enough false atoms.

    An image has about one independent place per 2 pi sigma^2 and room for one atom per
    spacing^2.
    """
    from scipy.stats import norm

    places, room = num_pixels / (2 * np.pi * sigma**2), num_pixels / spacing**2
    return float(norm.isf(min(0.1, false_share * room / places)))


def _fit(on: Canvas, model: Model, params: np.ndarray) -> tuple[Model, np.ndarray]:
    total = _padded(len(params))
    whole = np.tile(np.array([8.0, 8.0, 0.0, 0.0], np.float32), (total, 1))
    whole[: len(params)] = params
    present = (np.arange(total) < len(params)).astype(np.float32)
    start = model._replace(atoms=Atoms(jnp.asarray(whole), jnp.asarray(present)))
    model, rest, _ = fit(on.scene, start, size=on.size)
    return model, np.asarray(rest)


def _matched(on: Canvas, rest: np.ndarray, width: float) -> np.ndarray:
    """The residual through the matched filter, in units of the white noise."""
    from scipy.ndimage import gaussian_filter

    sigma = math.exp(width)
    rows, columns = on.shape
    smooth = gaussian_filter(rest[:rows, :columns], sigma, mode="constant")
    return smooth * 2 * sigma * math.sqrt(math.pi) / on.noise


def _effective_noise(on: Canvas, rest: np.ndarray, width: float) -> float:
    """Noise of a canvas pixel as atoms feel it: correlated noise weighs more."""
    scores = _matched(on, rest, width)
    return on.noise * max(1.0, 1.4826 * float(np.median(np.abs(scores))))


def _scores(params: np.ndarray, noise: float) -> np.ndarray:
    """Heights over their standard errors."""
    from scipy.spatial import cKDTree

    n = len(params)
    total, k = _padded(n), min(NUM_LINKED, n - 1)
    whole = np.tile(np.array([0.0, 0.0, 1.0, 0.0], np.float32), (total, 1))
    whole[:n] = params
    index = np.zeros((total, NUM_LINKED), np.int32)
    linked = np.zeros((total, NUM_LINKED), np.float32)
    if k:
        distance, near = cKDTree(params[:, :2]).query(params[:, :2], k=k + 1)
        index[:n, :k], linked[:n, :k] = (
            near[:, 1:],
            distance[:, 1:] < 5 * np.exp(params[:, 3:]),
        )
    errors = height_errors(jnp.asarray(whole), jnp.asarray(index), jnp.asarray(linked))
    return params[:, 2] / (np.asarray(errors)[:n] * noise)


def _padded(n: int) -> int:
    return bucket(n, (64, 128, 192, 256, 384, 512, 768, 1024))


def _inside(params: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    x, y = params[:, 0], params[:, 1]
    return (x > -0.5) & (y > -0.5) & (x < shape[1] - 0.5) & (y < shape[0] - 0.5)


def _good(params, score, apart, shape):
    """Scores less what an unusually short distance to a neighbour costs."""
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(params[:, :2]).query(params[:, :2], k=2)
    nearest = distance[:, 1]
    usual = np.median(nearest)
    spread = max(1.4826 * float(np.median(np.abs(nearest - usual))), CORE * usual)
    short = np.clip((usual - nearest) / spread, 0, None)
    good = np.sign(score) * np.sqrt(np.abs(score * np.abs(score) - PENALTY * short**2))
    good = np.where(score * np.abs(score) - PENALTY * short**2 < 0, -np.abs(good), good)
    return np.where(_inside(params, shape), good, -9)


def _worst(params, good, bar, apart):
    """Atoms below the bar that have no worse one beside them."""
    from scipy.spatial import cKDTree

    low = good < bar
    pairs = cKDTree(params[:, :2]).query_pairs(1.2 * apart, output_type="ndarray")
    pairs = pairs[low[pairs].all(axis=1)] if len(pairs) else pairs
    better = np.where(good[pairs[:, 0]] > good[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    low[better] = False
    return low


def _nearest(params: np.ndarray) -> float:
    from scipy.spatial import cKDTree

    distance, _ = cKDTree(params[:, :2]).query(params[:, :2], k=2)
    return float(np.median(distance[:, 1]))


def _apart(params: np.ndarray, score: np.ndarray, least: float) -> np.ndarray:
    """Which atoms stay so that none are nearer than the least distance.

    Of those in conflict the one goes first whose score, shared out between its
    conflicts, is least: one between two others rather than both of them.
    """
    from scipy.spatial import cKDTree

    keep = np.ones(len(params), bool)
    pairs = cKDTree(params[:, :2]).query_pairs(least, output_type="ndarray")
    while len(pairs):
        count = np.bincount(pairs.ravel(), minlength=len(params))
        share = np.where(count > 0, score / np.maximum(count, 1), np.inf)
        worst = int(np.argmin(share))
        keep[worst] = False
        pairs = pairs[(pairs != worst).all(axis=1)]
    return keep


def _more(
    on: Canvas,
    rest: np.ndarray,
    model: Model,
    params: np.ndarray,
    noise: float,
    least: float,
    apart: float,
) -> np.ndarray:
    """Atoms to add where the residual holds more than noise."""
    from scipy.spatial import cKDTree

    width = float(model.width)
    scores = _matched(on, rest, width) * on.noise / noise
    xy = maxima(scores, apart)
    columns, rows = np.clip(np.round(xy).astype(int), 0, None).T
    found = scores[rows, columns]
    keep = found > least
    if len(params):
        distance, _ = cKDTree(params[:, :2]).query(xy)
        keep &= distance > apart
    height = found * noise / (math.sqrt(math.pi) * math.exp(width))
    new = np.column_stack([xy, height, np.full(len(xy), width)])
    return new[keep].astype(np.float32)
