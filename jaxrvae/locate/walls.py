"""Domain walls: where the polarity changes sign, which way, and how bent."""

import dataclasses

import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, positive
from jaxrvae._typing import Float, Number
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.locate.polarity import find_polarity
from jaxrvae.locate.spectrum import denoise

COLUMNS = ("frame", "x", "y", "direction", "confidence", "wall", "arc", "curvature")
SMALLEST = 1.5  # waves of the finest detail that a domain is across, at least
SURE = 5.0  # standard deviations of noise that a domain's response reaches somewhere
LEAST_POINTS = 4  # of a wall


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """The polarity of one frame without its noise.

    Attributes:
        values: (row, col) signed response.
        noise: Standard deviation left in a pixel.
        detail: Pixels, the shortest wave that is told from noise.
    """

    values: Float[np.ndarray, "row col"]
    noise: float
    detail: float


def find_walls(
    movie: Frames,
    *,
    spacing: Number | None = None,
    min_size: Number | None = None,
    amplitude: str | None = None,
    phase: str | None = None,
    offset: Number | None = None,
) -> pd.DataFrame:
    """Points along the domain walls of PFM frames, to a fraction of a pixel.

    The polarity (`find_polarity`) goes through the filter of its own spectrum; walls
    are its zero contours. Domains too small to be seen, and those nowhere above the
    noise, are not told from their surroundings.

    Args:
        movie: Frames with amplitude and phase, or with a channel "polarity".
        spacing: Pixels between points along a wall; None: half the shortest wave that
            the frame tells from noise.
        min_size: Diameter of the smallest domain (of a circle of its area) in nm, or
            pixels where the pixel size is not known; None: from the frame's detail.
        amplitude, phase, offset: As `find_polarity` takes them.

    Returns:
        One row a point: frame (its number); x, y (pixels); direction (radians, of the
        wall's normal, from negative to positive polarity, counter-clockwise as
        displayed); confidence (the probability that both sides have the polarity that
        they are said to have, by the noise); wall (its number in the frame); arc
        (pixels along the wall, from its first point; positive polarity lies to the
        right of the way); curvature (one over pixels, positive where the wall bends
        around the positive domain).

    Raises:
        DataError: There is no wall in any frame, or a channel is missing.

    >>> from jaxrvae.data.containers import Frame
    >>> rows, columns = np.mgrid[:64, :64] - 31.5
    >>> disc = Frame(np.stack([np.tanh(16 - np.hypot(rows, columns))] * 2, axis=-1))
    >>> walls = find_walls(Frames((disc,), channels=("polarity", "amplitude")))
    >>> walls["wall"].nunique(), round(float(1 / walls["curvature"].median()))
    (1, 16)
    """
    for name, value in (("spacing", spacing), ("min_size", min_size)):
        if value is not None:
            positive(name, value)
    movie.index_by_number()
    tables = []
    for frame in find_polarity(movie, amplitude=amplitude, phase=phase, offset=offset):
        field = polarity_field(frame, min_size)
        table = _walls(field, spacing or field.detail / 2)
        table.insert(0, "frame", frame.number)
        tables.append(table)
    found = pd.concat(tables, ignore_index=True)
    if found.empty:
        raise DataError(
            "expected domain walls; the polarity changes its sign nowhere above the"
            " noise. Check the channels, or lower min_size."
        )
    return found


def polarity_field(frame: Frame, min_size: Number | None = None) -> Field:
    """The polarity of a frame as walls are read from it.

    Args:
        frame: With the polarity as its first channel.
        min_size: As `find_walls` takes it.
    """
    clean = denoise(np.asarray(frame.values[..., 0], np.float64))
    detail = 1 / max(clean.cutoff, 1e-3)
    if min_size is None:
        smallest = SMALLEST * detail
    else:
        smallest = min_size / (frame.pixel_size or 1.0)
    values = _without_specks(clean.values, clean.remaining, smallest)
    return Field(values, max(clean.remaining, 1e-12), detail)


def _without_specks(values: np.ndarray, noise: float, smallest: float) -> np.ndarray:
    """The field with domains that cannot be told given their surroundings' sign."""
    from scipy.ndimage import maximum
    from skimage.measure import label

    values, area = values.copy(), np.pi / 4 * smallest**2
    for _ in range(2):  # specks in specks
        for sign in (1, -1):
            regions = np.asarray(label(sign * values > 0, connectivity=1))
            size = np.bincount(regions.ravel())[1:]
            if len(size) < 2:
                continue
            index = np.arange(1, len(size) + 1)
            peak = np.asarray(maximum(sign * values, regions, index))
            goes = np.append(False, (size < area) | (peak < SURE * noise))
            values[goes[regions]] = -sign * 1e-3 * noise
    return values


def _walls(field: Field, spacing: float) -> pd.DataFrame:
    """The points of all walls of a field; a table without the frame."""
    from skimage.measure import find_contours

    tables = []
    for contour in find_contours(field.values, 0.0):
        xy = _evenly(contour[:, ::-1], spacing)
        if len(xy) < LEAST_POINTS:
            continue
        tangent, bend = _bent(xy, spacing, field.detail)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        if np.median(_step(field, xy, normal)) < 0:  # walk it the other way
            xy, normal, bend = xy[::-1], -normal[::-1], -bend[::-1]
        table = {
            "x": xy[:, 0],
            "y": xy[:, 1],
            "direction": np.arctan2(-normal[:, 1], normal[:, 0]),
            "confidence": _confidence(field, xy, normal),
            "wall": len(tables),
            "arc": spacing * np.arange(len(xy)),
            "curvature": bend,
        }
        tables.append(pd.DataFrame(table))
    if not tables:
        return pd.DataFrame(columns=list(COLUMNS[1:]))
    return pd.concat(tables, ignore_index=True)


def _evenly(
    xy: Float[np.ndarray, "point 2"], spacing: float
) -> Float[np.ndarray, "even 2"]:
    """Points at equal distances along a line, from its first one on."""
    steps = np.hypot(*np.diff(xy, axis=0).T)
    along = np.append(0.0, np.cumsum(steps))
    places = np.arange(0.0, along[-1], spacing)
    return np.stack([np.interp(places, along, part) for part in xy.T], axis=1)


def _bent(
    xy: Float[np.ndarray, "point 2"], spacing: float, width: float
) -> tuple[Float[np.ndarray, "point 2"], Float[np.ndarray, " point"]]:
    """Unit tangents and curvatures towards the normal, of the line smoothed."""
    from scipy.ndimage import gaussian_filter1d

    closed = np.hypot(*(xy[0] - xy[-1])) < 1.5 * spacing
    sigma = min(width / spacing, len(xy) / 8)
    ends = 0 if closed else len(xy) - 1
    if not closed:  # an odd reflection keeps an end's direction
        xy = np.pad(xy, ((ends, ends), (0, 0)), mode="reflect", reflect_type="odd")
    mode = "wrap" if closed else "nearest"
    first, second = (
        gaussian_filter1d(xy, sigma, axis=0, order=order, mode=mode) / spacing**order
        for order in (1, 2)
    )
    inside = slice(ends, len(xy) - ends)
    first, second = first[inside], second[inside]
    speed = np.maximum(np.hypot(*first.T), 1e-9)
    cross = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return first / speed[:, None], cross / speed**3


def _sides(
    field: Field, xy: Float[np.ndarray, "point 2"], normal: Float[np.ndarray, "point 2"]
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """The field half a wave of the finest detail before and behind the wall."""
    from scipy.ndimage import map_coordinates

    reach = field.detail / 2 * normal
    before, behind = (
        map_coordinates(field.values, (xy + move)[:, ::-1].T, order=1, mode="nearest")
        for move in (reach, -reach)
    )
    return before, behind


def _step(
    field: Field, xy: Float[np.ndarray, "point 2"], normal: Float[np.ndarray, "point 2"]
) -> Float[np.ndarray, " point"]:
    before, behind = _sides(field, xy, normal)
    return before - behind


def _confidence(
    field: Field, xy: Float[np.ndarray, "point 2"], normal: Float[np.ndarray, "point 2"]
) -> Float[np.ndarray, " point"]:
    """Probability that noise has given neither side its sign."""
    from scipy.special import ndtr

    before, behind = _sides(field, xy, normal)
    return ndtr(before / field.noise) * ndtr(-behind / field.noise)
