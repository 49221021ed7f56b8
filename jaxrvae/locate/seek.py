"""The search in one image: candidates, a joint fit, evidence, and again."""

import dataclasses
import math

import numpy as np
import pandas as pd

from jaxrvae._typing import Float, Number
from jaxrvae.locate.canvas import Canvas, Fitted, make_canvas, maxima, value_at
from jaxrvae.locate.choose import (
    Noise,
    errors_of,
    in_order,
    matched,
    more,
    nearest_distances,
    noise_of,
    stays,
)
from jaxrvae.locate.spectrum import Denoised, denoise

ENTER = 1.6  # standard deviations of the residual that make a candidate
NEAR = 0.5  # candidates are not nearer to atoms than this share of the usual distance
NUM_STEPS, NUM_INNER = 2, 6  # of a fit between two rounds: half converged will do
NUM_PRUNINGS = 8
TURNED_AWAY = 5.0  # noise atoms, to one that its distances to others let pass
LOGIT = (2.4, 1.35)  # of being an atom, by score: fitted to simulated graphene
RESTART = 1.25  # the distance found over that started from, which calls for a restart
NUM_STARTS = 3
LEAST_ACROSS = 5  # distances of neighbours that the image's shorter side holds
LONE = 8.0  # the score of an atom whose image's spectrum shows nothing


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What find_atoms takes, lengths in pixels of the image."""

    spacing: float | None = None
    false_share: float = 0.01
    num_rounds: int = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """Atoms of an image, and the distance of neighbours that they were sought with."""

    table: pd.DataFrame
    spacing: float


def seek(image: Float[np.ndarray, "row col"], options: Options) -> Found:
    """x, y, intensity, sigma, confidence of an image's atoms; empty where none are.

    Where the atoms found stand further apart than was assumed of them, noise was taken
    for atoms: the search starts again with their distance.
    """
    clean = denoise(image)
    spacing = options.spacing or typical_spacing(clean)
    if spacing > min(image.shape) / LEAST_ACROSS:
        return Found(_no_atoms(), spacing)
    found = _once(image, clean, spacing, options)
    for _ in range(NUM_STARTS - 1):
        if options.spacing is not None or len(found) < 2:
            break
        usual = float(np.median(nearest_distances(found[["x", "y"]].to_numpy())))
        if usual <= RESTART * spacing:
            break
        spacing = usual
        found = _once(image, clean, spacing, options)
    return Found(found, spacing)


def typical_spacing(clean: Denoised) -> float:
    """Median distance of neighbouring maxima of the filtered image, pixels.

    Infinite where the image has no detail above the noise.
    """
    xy = maxima(clean.values)
    seen = clean.detailed and len(xy) > 1
    return float(np.median(nearest_distances(xy))) if seen else math.inf


def threshold(num_pixels: int, spacing: Number, false_share: Number) -> float:
    """Standard deviations above which noise makes few enough atoms.

    An image has one independent place per 2 pi sigma^2 and room for one atom per
    spacing^2. Of atoms that are noise, distances to others turn most away.
    """
    from scipy.stats import norm

    sigma = 0.4 * spacing
    places, room = num_pixels / (2 * np.pi * sigma**2), num_pixels / spacing**2
    return float(norm.isf(min(0.1, TURNED_AWAY * false_share * room / places)))


def _once(
    image: np.ndarray, clean: Denoised, spacing: Number, options: Options
) -> pd.DataFrame:
    """One search with a given distance of neighbours."""
    on = make_canvas(image, clean.noise, spacing)
    model, params = _first(on, clean, spacing)
    least = threshold(image.size, spacing, options.false_share)
    noise: Noise | None = None
    scores = np.zeros(0)
    for turn in range(options.num_rounds + 1):
        if not len(params):
            break
        fitted = on.fit(model, params, NUM_STEPS, NUM_INNER)
        model = fitted.model
        left, bright = matched(on, fitted)
        noise = noise_of(left, bright, math.exp(float(model.width)), noise)
        last = turn == options.num_rounds
        usual = _usual(fitted.params, on.shape, spacing / on.bin)
        params, scores = _prune(
            on, fitted, noise.at(value_at(bright, fitted.params[:, :2])) * on.noise,
            least if last else min(least, ENTER), usual,
        )  # fmt: skip
        if not last:
            excess = left / noise.at(bright) - min(least, ENTER)
            width = float(model.width)
            new = more(on, width, params, left, excess, NEAR * usual)
            params = np.concatenate([params, new])
    if not len(params) or not (clean.detailed or scores.max() > LONE):
        return _no_atoms()
    params = on.fit(model, params).params  # without those that went last
    return atom_table(on, params, scores)


def _first(on: Canvas, clean: Denoised, spacing: Number):
    """A flat model, and maxima of the filtered image as atoms, (n, 4)."""
    xy = maxima(clean.values, 0.4 * spacing)
    floor = float(np.percentile(clean.values, 5))
    heights = value_at(clean.values, xy) - floor
    heights = np.maximum(heights, 0.1 * np.median(heights)) / 2
    width = np.full(len(xy), math.log(on.sigma))
    params = np.column_stack([on.from_image(xy), heights, width])
    return on.flat(floor), params.astype(np.float32)


def _usual(params: np.ndarray, shape: tuple[int, int], expected: Number) -> float:
    inside = params[_inside(params, shape)]
    return float(np.median(nearest_distances(inside))) if len(inside) > 8 else expected


def _inside(params: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    x, y = params[:, 0], params[:, 1]
    return (x > -0.5) & (y > -0.5) & (x < shape[1] - 0.5) & (y < shape[0] - 0.5)


def _prune(
    on: Canvas, fitted: Fitted, noise: np.ndarray, least: Number, usual: Number
) -> tuple[np.ndarray, np.ndarray]:
    """Atoms inside the image that the evidence supports, and their scores."""
    keep = _inside(fitted.params, on.shape)
    params, noise = fitted.params[keep], noise[keep]
    scores = np.zeros(0)
    errors = errors_of(params) if len(params) else None
    for _ in range(NUM_PRUNINGS):
        if errors is None or not len(params):
            break
        scores = in_order(params, errors.scores(params, noise))
        keep = stays(params, scores, least, usual)
        errors = errors.without(params, keep)
        params, noise, scores = params[keep], noise[keep], scores[keep]
        if keep.all():
            break
    return params, scores


def _no_atoms() -> pd.DataFrame:
    return pd.DataFrame(columns=["x", "y", "intensity", "sigma", "confidence"])


def atom_table(on: Canvas, params: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """x, y, intensity, sigma and confidence of fitted atoms, in image pixels."""
    xy = on.to_image(params[:, :2].astype(np.float64))
    binned = np.exp(2.0 * params[:, 3].astype(np.float64))
    variance = np.maximum(binned - (1 - 1 / on.bin**2) / 12, 0.01)  # without binning's
    return pd.DataFrame(
        {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "intensity": params[:, 2] * binned / variance,
            "sigma": on.bin * np.sqrt(variance),
            "confidence": 1 / (1 + np.exp(LOGIT[0] - LOGIT[1] * scores)),
        }
    )
