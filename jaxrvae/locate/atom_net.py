"""Atoms by a network that was trained on simulated images alone.

It sees images at one scale, neighbours `SPACING` pixels apart, and makes two maps of
them: whether an atom is here, and whether it is a heavy one. Where noise hides single
atoms, it knows what crystals look like.
"""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import nnx

from jaxrvae._typing import Array, Float, Number
from jaxrvae.locate.canvas import WIDTH_SHARE, make_canvas, maxima, value_at
from jaxrvae.locate.choose import scores_of
from jaxrvae.locate.seek import Found, atom_table
from jaxrvae.locate.spectrum import noise_level
from jaxrvae.networks.unet import FACTOR, UNet

WEIGHTS = Path(__file__).with_name("atom_net.npz")
SPACING = 6.0  # pixels between neighbouring atoms, as the network sees them
SIDES = 32  # sides are padded to multiples of it: few programs are compiled
FLIPS = ((1, 1), (1, -1), (-1, 1), (-1, -1))  # of rows and columns
LOCAL = 9.0  # pixels that the network sees: over which contrast is made equal
LEAST = 0.3  # of the map, where an atom is
NOISY, SURE = 3.0, 8.0  # heights in standard errors: the network's place, the fit's
TWICE, VARIES = 2.0, 0.2  # the usual height: of heavy atoms; what it varies by
FEWEST = 12  # atoms that tell how bright is usual
BRIGHT = 3.0  # times the usual atom, above what is around
PASSED, ALONE = 0.3, 0.55  # of the spacing: no atom so near; none beside it
STRAY = 0.3  # of the spacing: no fit goes so far with reason


@dataclasses.dataclass(frozen=True, eq=False)
class AtomNet:
    """Weights, and what its map means.

    Attributes:
        atom, heavy: (offset, slope) of the log odds of being one, by the maps' logits.
    """

    graph: Any
    params: Any
    atom: tuple[float, float] = (0.0, 1.0)
    heavy: tuple[float, float] = (0.0, 1.0)


def fresh_net(seed: int) -> tuple[Any, Any]:
    """The network's graph and its weights before training."""
    return nnx.split(UNet(2, 2, rngs=nnx.Rngs(seed)), nnx.Param)


@functools.cache
def load_net(path: Path = WEIGHTS) -> AtomNet:
    """The network that the package holds; `jaxrvae.locate.atom_training` made it."""
    graph, params = fresh_net(0)
    leaves, tree = jax.tree.flatten(params)
    with np.load(path) as arrays:
        found = [jnp.asarray(arrays[f"w{i}"], jnp.float32) for i in range(len(leaves))]
        atom, heavy = arrays["calibration"].tolist()
    return AtomNet(graph, jax.tree.unflatten(tree, found), tuple(atom), tuple(heavy))


@jax.jit
def logits(
    graph: Any, params: Any, inputs: Float[Array, "batch height width 2"]
) -> Float[Array, "batch height width 2"]:
    """The network's two maps, as log odds, of what it sees."""
    return nnx.merge(graph, params)(inputs)


@jax.jit
def evened(
    images: Float[Array, "batch height width"],
) -> Float[Array, "batch height width 2"]:
    """Images and, beside them, the same with local mean and contrast made equal.

    Matter on the crystal then hides neither.
    """
    flat = images - blurred(images)
    even = flat / jnp.sqrt(blurred(jnp.square(flat)) + 1e-3)
    return jnp.stack([images, even], axis=-1)


def blurred(
    images: Float[Array, "batch height width"],
) -> Float[Array, "batch height width"]:
    """Means over `LOCAL` pixels around every one, of what lies within the image."""

    def means(side: int) -> Array:
        away = jnp.arange(side)[:, None] - jnp.arange(side)
        weight = jnp.exp(-jnp.square(away / LOCAL) / 2)
        return weight / weight.sum(1, keepdims=True)

    height, width = images.shape[1:]
    return means(height) @ images @ means(width).T


def scaled(
    image: Float[np.ndarray, "height width"], spacing: Number
) -> Float[np.ndarray, "row col"]:
    """The image as the network sees it: neighbours so far apart, standardized.

    Args:
        spacing: Distance of neighbouring atoms, pixels of the image.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    step = spacing / SPACING  # pixels of the image, to one that the network sees
    smooth = gaussian_filter(image, max(0.0, (step - 1) / 2), mode="nearest")
    places = [np.arange(0, side - 1 + 1e-6, step) for side in image.shape]
    grid = np.meshgrid(*places, indexing="ij")
    seen = map_coordinates(smooth, grid, order=1, mode="nearest")
    return ((seen - seen.mean()) / max(seen.std(), 1e-12)).astype(np.float32)


def atom_maps(
    image: Float[np.ndarray, "row col"], net: AtomNet
) -> Float[np.ndarray, "row col 2"]:
    """Log odds of an atom, and of its being heavy, of an image of the right scale.

    The mean over the image and its mirrored and half-turned copies, which errs less.
    """
    assert SIDES % FACTOR == 0
    pads = [(SIDES // 2, SIDES // 2 + -side % SIDES) for side in image.shape]
    wide = np.pad(image, pads, mode="reflect")
    inputs = np.asarray(evened(jnp.asarray(wide)[None]))
    found = np.zeros((*wide.shape, 2), np.float32)
    for up, left in FLIPS:  # one by one: large images need much memory
        copy = jnp.asarray(inputs[:, ::up, ::left])
        own = np.asarray(logits(net.graph, net.params, copy)[0])
        found += own[::up, ::left] / len(FLIPS)
    return found[pads[0][0] :, pads[1][0] :][: image.shape[0], : image.shape[1]]


def seek_by_net(
    image: Float[np.ndarray, "row col"],
    spacing: Number,
    net: AtomNet | None = None,
    standardized: bool = False,
) -> pd.DataFrame:
    """x, y (pixels of the image), confidence and heavy, each a probability.

    Args:
        spacing: Distance of neighbouring atoms, pixels.
        net: Another than the package's.
        standardized: Whether the image is as `scaled` makes it.
    """
    net = net or load_net()
    maps = atom_maps(image if standardized else scaled(image, spacing), net)
    odds = maps[..., 0]
    xy = maxima(1 / (1 + np.exp(-odds)), 0.4 * SPACING, least=LEAST)
    sure = [
        offset + slope * value_at(maps[..., i], xy)
        for i, (offset, slope) in enumerate((net.atom, net.heavy))
    ]
    columns = {
        "x": xy[:, 0] * spacing / SPACING,
        "y": xy[:, 1] * spacing / SPACING,
        "confidence": 1 / (1 + np.exp(-sure[0])),
        "heavy": 1 / (1 + np.exp(-sure[1])),
    }
    return pd.DataFrame(columns)


def with_bright(
    seen: pd.DataFrame, image: Float[np.ndarray, "row col"], spacing: Number
) -> pd.DataFrame:
    """The network's atoms, and those several times as bright that it passed over.

    It may see the lattice's own two sites where one heavy atom sits between them: those
    are left out then. Their stated probabilities are of peaks that no noise makes.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import KDTree

    if len(seen) < FEWEST:
        return seen
    around = gaussian_filter(image, spacing, mode="nearest")
    xy = seen[["x", "y"]].to_numpy()
    peaks = None
    for share in (WIDTH_SHARE / 2, WIDTH_SHARE):  # sharp to tell neighbours apart
        above = gaussian_filter(image, share * spacing, mode="nearest") - around
        peaks = maxima(above, 0.5 * spacing) if peaks is None else peaks
        peaks = peaks[value_at(above, peaks) > BRIGHT * np.median(value_at(above, xy))]
    assert peaks is not None
    if len(peaks):
        peaks = peaks[KDTree(xy).query(peaks)[0] > PASSED * spacing]
    if not len(peaks):
        return seen
    stays = KDTree(peaks).query(xy)[0] > ALONE * spacing
    columns = {"x": peaks[:, 0], "y": peaks[:, 1], "confidence": 0.95, "heavy": 0.95}
    return pd.concat([seen.loc[stays], pd.DataFrame(columns)], ignore_index=True)


def find_by_net(image: Float[np.ndarray, "row col"], spacing: Number) -> Found:
    """The network's atoms, with the heights and widths of a fit to the raw pixels.

    Where noise lets the fit stray, the network's own place is kept: it goes over to
    the fitted one as the height rises above its standard error, and so does what is
    heavy. Where the fit leaves the image, the smoothed image's height is kept as well.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.special import ndtr

    seen = with_bright(seek_by_net(image, spacing), image, spacing)
    if seen.empty:
        return Found(seen, spacing)
    noise = noise_level(image)
    on = make_canvas(image, noise, spacing)
    smooth = gaussian_filter(image, WIDTH_SHARE * spacing, mode="nearest")
    floor = float(np.percentile(smooth, 5))
    xy = seen[["x", "y"]].to_numpy()
    heights = np.maximum(value_at(smooth, xy) - floor, 1e-3 * noise)
    width = np.full(len(xy), math.log(on.sigma))
    start = np.column_stack([on.from_image(xy), heights, width]).astype(np.float32)
    fitted = on.fit(on.flat(floor), start)
    table = atom_table(on, fitted.params, np.zeros(len(xy)))
    sure = scores_of(fitted.params, on.noise)
    table["confidence"] = seen["confidence"]
    # an error that is not known, of atoms that lie on one another, is a large one
    sure = np.maximum(np.nan_to_num(sure), 1e-3)
    weight = np.clip((sure - NOISY) / (SURE - NOISY), 0, 1)
    height, usual = table["intensity"], table["intensity"].median()
    error = np.hypot(height / sure, VARIES * usual)
    bright = ndtr((height - TWICE * usual) / np.maximum(error, 1e-12))
    table["heavy"] = weight * bright + (1 - weight) * seen["heavy"]
    own, last = table[["x", "y"]].to_numpy(), np.array(image.shape[::-1]) - 1
    astray = np.hypot(*(own - xy).T) >= STRAY * spacing
    outside = ((own < 0) | (own > last)).any(axis=1)
    weight = np.where(astray | outside, 0.0, weight)[:, None]
    table[["x", "y"]] = weight * own + (1 - weight) * xy
    # a centre outside the image has any height that its flank allows
    table.loc[outside, "intensity"] = heights[outside]
    return Found(table, spacing)
