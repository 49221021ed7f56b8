"""Domains, defects and walls of a simulated ferroelectric, on a periodic grid."""

import numpy as np
import pandas as pd

from jaxrvae._typing import Float, Number
from jaxrvae.simulate.imaging import render_atoms

STRIPE = 9.0  # wall widths across a stripe that is polarized in the plane
LEAST_SLOPE = 0.15  # of a wall between up and down, of that of a straight one
IN_PLANE, OUT_OF_PLANE = 1.5, 0.2  # stiffness within stripes, along and across
OUTSIDE = 0.3  # stiffness of components in the plane outside of stripes


def draw_pins(
    side: int,
    number: int,
    radius: Number,
    *,
    field: Number,
    softening: Number,
    rng: np.random.Generator,
) -> tuple[
    pd.DataFrame, Float[np.ndarray, "side side"], Float[np.ndarray, "side side"]
]:
    """Defects (x, y, field, softening), and the maps of field and softening.

    Args:
        side: Of the grid, pixels.
        number: How many.
        radius: Standard deviation of each one's Gaussian reach, pixels.
        field: Standard deviation of the fields at the centres.
        softening: At the centres, the same for all; where they overlap the sum is held
            at 1.
        rng: Draws places and fields.
    """
    places = rng.uniform(-0.5, side - 0.5, (number, 2))
    fields = rng.normal(0, field, number)
    copies = (places + np.array([i, j]) * side for i in (-1, 0, 1) for j in (-1, 0, 1))
    around = np.concatenate(list(copies))
    maps = [
        render_atoms(around, np.tile(peaks, 9), radius, (side, side))
        for peaks in (fields, np.full(number, float(softening)))
    ]
    pins = pd.DataFrame(places, columns=["x", "y"])
    return pins.assign(field=fields, softening=softening), maps[0], maps[1].clip(0, 1)


def draw_start(
    kind: str,
    side: int,
    *,
    num_domains: int,
    radius: Number,
    wall_width: Number,
    rng: np.random.Generator,
) -> Float[np.ndarray, "side side"]:
    """Out-of-plane polarization at the start: "domains", "stripes" or "random".

    Args:
        kind: Round up domains in a down film, stripes of both, or small noise.
        side: Of the grid, pixels.
        num_domains: How many round ones.
        radius: Their mean, or half the width of a stripe, pixels.
        wall_width: Pixels.
        rng: Draws places and radii (within 40 % of the mean).
    """
    y, x = np.mgrid[:side, :side].astype(float)
    if kind == "random":
        return 0.1 * rng.standard_normal((side, side))
    if kind == "stripes":
        angle = rng.uniform(0, np.pi)
        waves = np.rint(side / (4 * radius) * np.array([np.cos(angle), np.sin(angle)]))
        waves = waves if waves.any() else np.array([1.0, 0.0])
        wave = 2 * np.pi * waves / side
        depth = np.sin(wave[0] * x + wave[1] * y) / np.hypot(*wave)
        return np.tanh(depth / wall_width)
    depth = np.full((side, side), -float(side))
    for _ in range(num_domains):
        centre = rng.uniform(0, side, 2)
        gap = np.abs(np.stack([x, y]) - centre[:, None, None])
        gap = np.minimum(gap, side - gap)
        own = radius * rng.uniform(0.6, 1.4) - np.hypot(*gap)
        depth = np.maximum(depth, own)
    return np.tanh(depth / wall_width)


def in_plane_stripes(
    side: int, share: Number, wall_width: Number, rng: np.random.Generator
) -> tuple[
    Float[np.ndarray, "3 side side"],
    Float[np.ndarray, "2 side side"],
]:
    """Stiffness (z, x, y) and polarization (x, y) of stripes along the axes.

    Each is polarized along its normal, one way or the other.
    """
    stiffness = np.full((3, side, side), OUTSIDE)
    stiffness[0] = 1.0
    planar = np.zeros((2, side, side))
    width = STRIPE * wall_width
    for _ in range(max(1, round(share * side / width))):
        axis = int(rng.integers(2))  # 0: normal along x
        gap = np.abs(np.arange(side) - rng.uniform(0, side))
        gap = np.minimum(gap, side - gap)
        profile = (1 + np.tanh((width / 2 - gap) / wall_width)) / 2
        inside = np.broadcast_to(
            profile if axis == 0 else profile[:, None], (side,) * 2
        )
        stiffness[0] += (OUT_OF_PLANE - stiffness[0]) * inside
        for component in (0, 1):
            target = IN_PLANE if component == axis else OUTSIDE
            stiffness[1 + component] += (target - stiffness[1 + component]) * inside
            planar[component] *= 1 - inside
        planar[axis] += rng.choice([-1.0, 1.0]) * inside
    return stiffness, planar


def wall_points(
    polarization: Float[np.ndarray, "height width"], wall_width: Number
) -> pd.DataFrame:
    """Points x, y (pixels) of the zero contour, and direction of its normal.

    One wherever the contour crosses a line between neighbouring pixels. The direction
    is that of the gradient over a wall's width: radians, from - to +, counter-clockwise
    as displayed. Points where the polarization fades rather than turns (inside of
    domains polarized in the plane) are left out.

    >>> up = np.tile(np.arange(8) - 2.25, (8, 1)) / 4
    >>> wall = wall_points(up, 2.0)
    >>> wall["x"].unique().tolist(), float(abs(wall["direction"]).max())
    ([2.25], 0.0)
    """
    from scipy import ndimage
    from skimage.measure import find_contours

    contours = find_contours(np.asarray(polarization, float), 0.0)
    if not contours:
        return pd.DataFrame({"x": [], "y": [], "direction": []}, dtype=float)
    closed = [(line[0] == line[-1]).all() for line in contours]
    points = np.concatenate(
        [line[:-1] if end else line for line, end in zip(contours, closed, strict=True)]
    )
    slopes = [
        ndimage.gaussian_filter(polarization, wall_width / 2, order=order)  # pyright: ignore[reportArgumentType]
        for order in ((0, 1), (1, 0))
    ]
    right, down = (
        ndimage.map_coordinates(slope, points.T, order=1, mode="nearest")
        for slope in slopes
    )
    table = pd.DataFrame(
        {"x": points[:, 1], "y": points[:, 0], "direction": np.arctan2(-down, right)}
    )
    strong = np.hypot(right, down) > LEAST_SLOPE / wall_width
    return table.loc[strong].reset_index(drop=True)
