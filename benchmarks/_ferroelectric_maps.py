"""Maps of content and angle over a scan, a row a window size."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 2.6  # inches of a map
NO_WALL = (0.71, 0.73, 0.75)  # where none is within half a window
TITLES = (
    "polarity (red +), window",
    "content along polarity",
    "other content",
    "angle",
)
MARGIN = "#6f757c"  # where windows would reach beyond the scan


def draw(
    frame: Any, walls: pd.DataFrame, maps: dict[int, Any], order: dict[int, list[int]]
) -> "Figure":
    """The scan, its contents and its angle, for every window size.

    Args:
        frame: Of polarity.
        walls: Its walls.
        maps: Dense encodings, by pixels of the window.
        order: Of the content coordinates, by the same.
    """
    with style.styled():
        figure, axes = style.new_figure(
            4 * SIDE + 1.4, len(maps) * SIDE + 0.5, len(maps), 4
        )
        for row, (size, own) in enumerate(maps.items()):
            _scan(axes[row, 0], frame, walls, size)
            for i in range(2):
                which = order[size][i]
                bar = _content(axes[row, 1 + i], frame, walls, own, which)
                figure.colorbar(bar, ax=axes[row, 1 + i], fraction=0.045, pad=0.02)
            bar = _angle(axes[row, 3], frame, walls, own, size)
            ticks = figure.colorbar(bar, ax=axes[row, 3], fraction=0.045, pad=0.02)
            ticks.set_ticks([-180, 0, 180], labels=["−180°", "0°", "180°"])
            nm = size * (frame.pixel_size or 1.0)
            axes[row, 0].set_ylabel(f"window {size} px = {nm:.0f} nm")
        for axis, title in zip(axes[0], TITLES, strict=True):
            axis.set_title(title)
        return figure


def _scan(axis: Any, frame: Any, walls: pd.DataFrame, size: int) -> None:
    from matplotlib.patches import Rectangle

    style.show_frame(axis, frame)
    _walls(axis, walls)
    far = frame.shape[1] - 6
    axis.add_patch(
        Rectangle((far - size, 5), size, size, fill=False, ec="black", lw=1.6)
    )


def _content(axis: Any, frame: Any, walls: pd.DataFrame, own: Any, i: int) -> Any:
    values = own.content[..., i]
    low, high = np.percentile(values, [1, 99])
    shown = axis.imshow(
        values, cmap="viridis", vmin=low, vmax=high, extent=_extent(own),
        interpolation="nearest",
    )  # fmt: skip
    _finish(axis, frame, walls)
    return shown


def _angle(axis: Any, frame: Any, walls: pd.DataFrame, own: Any, size: int) -> Any:
    from scipy.spatial import KDTree

    y, x = np.meshgrid(own.y, own.x, indexing="ij")
    places = np.stack([x, y], axis=-1)
    near = KDTree(walls[["x", "y"]]).query(places)[0] < size / 2
    under = np.full((1, 1, 3), NO_WALL)
    axis.imshow(under, extent=_extent(own))
    shown = axis.imshow(
        np.where(near, np.degrees(own.angle), np.nan), cmap="twilight", vmin=-180,
        vmax=180, extent=_extent(own), interpolation="nearest",
    )  # fmt: skip
    _finish(axis, frame, walls)
    return shown


def _finish(axis: Any, frame: Any, walls: pd.DataFrame) -> None:
    style.bare(axis)
    height, width = frame.shape[:2]
    _walls(axis, walls)
    style.scale_bar(axis, (height, width), frame.pixel_size)
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)
    axis.set_facecolor(MARGIN)


def _walls(axis: Any, walls: pd.DataFrame) -> None:
    for _, own in walls.groupby("wall"):
        xy = own[["x", "y"]].to_numpy()
        if np.hypot(*(xy[0] - xy[-1])) < 3:  # closed
            xy = np.concatenate([xy, xy[:1]])
        axis.plot(*xy.T, color="black", lw=0.6)


def _extent(own: Any) -> tuple[float, float, float, float]:
    half = (own.x[1] - own.x[0]) / 2
    return own.x[0] - half, own.x[-1] + half, own.y[-1] + half, own.y[0] - half
