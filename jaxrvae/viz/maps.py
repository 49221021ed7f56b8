"""Latents where they belong: over the frames."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxrvae.data.containers import Frame, Frames, Latents
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 10.4  # inches, of figures as wide as the page
SMALLEST_DOT = 3.0  # points^2


def class_map(
    frame: Frame, latents: Latents, atoms: pd.DataFrame | None = None
) -> "Figure":
    """One frame as it was recorded, and with its atoms coloured by class.

    Args:
        atoms: All atoms found; those without a patch are drawn as small dots.
    """
    rows = in_frame(latents, frame.number)
    classes = latents.class_probabilities.argmax(axis=1)
    height, width = frame.shape[:2]
    with style.styled():
        figure, axes = style.new_figure(
            WIDTH, 0.48 * WIDTH * height / width + 0.85, 1, 2
        )
        for axis in axes[0]:
            style.show_frame(axis, frame)
        axes[0, 0].set_title(frame.name or f"frame {frame.number}")
        axis = axes[0, 1]
        size = _dot_size(frame, latents, WIDTH / 2)
        if atoms is not None:
            left = _without_patch(atoms, latents.table, frame.number)
            axis.scatter(
                left["x"], left["y"], s=0.12 * size, c="white", ec="black", lw=0.3,
                label=f"without a whole window ({len(left)})",
            )  # fmt: skip
        for index in range(latents.class_probabilities.shape[1]):
            chosen = rows[classes[rows] == index]
            label = f"class {index} ({len(chosen)})"
            _dots(axis, latents.table.iloc[chosen], index, size, label)
        for handle in figure.legend(
            *axis.get_legend_handles_labels(), loc="outside lower center", ncols=7,
            handletextpad=0.1, columnspacing=1.2,
        ).legend_handles:  # fmt: skip
            handle.set_sizes([34])  # type: ignore[union-attr]
        return figure


def latent_maps(
    frame: Frame, latents: Latents, symmetry: Sequence[int] | None = None
) -> "Figure":
    """One frame's atoms coloured by content and by angle.

    The angle is shown modulo the symmetry of the largest class, on a cyclic colour
    map: all colours once are one period.

    Args:
        symmetry: The order of every class; without it, that of the patches.
    """
    dims = min(latents.content.shape[1], 2)
    height, width = frame.shape[:2]
    side = WIDTH / 3
    with style.styled():
        figure, axes = style.new_figure(
            side * (dims + 1), (side - 0.75) * height / width + 0.3, 1, dims + 1
        )
        rows = in_frame(latents, frame.number)
        places = latents.table.iloc[rows]
        size = _dot_size(frame, latents, side - 0.75)
        for i in range(dims):
            values = latents.content[:, i]
            low, high = np.percentile(values, [1, 99])
            colors = {"cmap": "viridis", "vmin": low, "vmax": high}
            bar = _value_map(axes[0, i], frame, places, values[rows], size, colors)
            axes[0, i].set_title(f"content {i}")
        period = 360 / (symmetry[0] if symmetry else _usual(latents))
        angle = np.degrees(latents.angle[rows]) % period
        colors = {"cmap": "twilight", "vmin": 0, "vmax": period}
        bar = _value_map(axes[0, dims], frame, places, angle, size, colors)
        ticks = np.linspace(0, period, 5)
        bar.set_ticks(ticks, labels=[f"{tick:g}°" for tick in ticks])
        axes[0, dims].set_title(
            "angle" if period == 360 else f"angle modulo {period:g}°"
        )
        return figure


def gallery(movie: Frames, latents: Latents) -> "Figure":
    """Every frame, small, with its atoms coloured by class; rare classes stand out."""
    columns = int(np.clip(np.ceil(np.sqrt(1.6 * len(movie))), 1, 10))
    rows = -(-len(movie) // columns)
    side = min(WIDTH / columns, 4.0)
    with style.styled():
        figure, axes = style.new_figure(
            side * columns, rows * (side + 0.15) + 0.1, rows, columns
        )
        engine: Any = figure.get_layout_engine()
        engine.set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
        classes = latents.class_probabilities.argmax(axis=1)
        shares = np.bincount(classes, minlength=latents.class_probabilities.shape[1])
        shares = shares / len(classes)
        for axis in axes.flat[len(movie) :]:
            axis.set_visible(False)
        for axis, frame in zip(axes.flat, movie, strict=False):
            style.show_frame(axis, frame, bar=False, alpha=0.8)
            mine = in_frame(latents, frame.number)
            size = _dot_size(frame, latents, 0.95 * side)
            for index, share in enumerate(shares):
                chosen = latents.table.iloc[mine[classes[mine] == index]]
                larger = np.clip(0.1 / max(share, 1e-3), 0.8, 4.0)
                _dots(axis, chosen, index, size * larger)
            axis.set_title(str(frame.number), fontsize=7, pad=1.5, fontweight="normal")
        return figure


def in_frame(latents: Latents, number: int) -> np.ndarray:
    """Rows of the latents that belong to the frame of this number."""
    if "frame" not in latents.table:
        raise ValueError("latents need a table with columns frame, x and y for maps.")
    return np.flatnonzero(latents.table["frame"].to_numpy() == number)


def _usual(latents: Latents) -> int:
    """The order of symmetry that most patches have."""
    return max(int(np.bincount(latents.symmetry).argmax()), 1)


def _value_map(
    axis: "Axes",
    frame: Frame,
    places: pd.DataFrame,
    values: np.ndarray,
    size: float,
    colors: dict[str, Any],
) -> Any:
    """Dots over the frame; returns their colour bar."""
    style.show_frame(axis, frame, alpha=0.6)
    dots = axis.scatter(
        places["x"], places["y"], c=values, s=size, lw=_edge(size), ec="black", **colors
    )
    bar: Any = axis.figure.colorbar(dots, ax=axis, fraction=0.046, pad=0.02)  # type: ignore[union-attr]
    bar.outline.set_visible(False)
    return bar


def _dots(
    axis: "Axes", places: pd.DataFrame, index: int, size: float, label: str = ""
) -> None:
    axis.scatter(
        places["x"], places["y"], s=size, c=style.class_color(index), ec="black",
        marker=style.class_marker(index), lw=_edge(size), label=label,
    )  # fmt: skip


def _dot_size(frame: Frame, latents: Latents, inches: float) -> float:
    """Area in points^2 of a dot that leaves its neighbours and some image to be seen.

    Half the typical distance of neighbouring patches, at this width of the frame.
    """
    from scipy.spatial import KDTree

    rows = in_frame(latents, frame.number)
    if len(rows) < 3:
        return 40.0
    places = latents.table.iloc[rows][["x", "y"]].to_numpy()
    distance = np.median(KDTree(places).query(places, k=2)[0][:, 1])
    points = 72 * inches * distance / frame.shape[1]
    return float(np.clip((0.5 * points) ** 2, SMALLEST_DOT, 90.0))


def _edge(size: float) -> float:
    """Width of a dot's black edge, points: none where it would hide the dot."""
    return min(0.5, size / 40) if size > 1.5 * SMALLEST_DOT else 0.0


def _without_patch(
    atoms: pd.DataFrame, table: pd.DataFrame, number: int
) -> pd.DataFrame:
    """Atoms of the frame that are not in the patches' table."""
    here = atoms[atoms["frame"] == number]
    known = set(zip(*(table[name] for name in ("frame", "x", "y")), strict=True))
    places = zip(here["frame"], here["x"], here["y"], strict=True)
    left = np.array([place not in known for place in places], bool)
    return here.loc[left]
