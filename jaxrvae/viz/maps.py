"""Latents where they belong: over the frames."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxrvae.data.containers import Frame, Frames, Latents
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def class_map(
    frame: Frame, latents: Latents, atoms: pd.DataFrame | None = None
) -> "Figure":
    """One frame with its atoms coloured by class.

    Args:
        atoms: All atoms found; those without a patch are drawn as small dots.
    """
    with style.styled():
        figure, axes = style.new_figure(7.6, 6.0)
        axis = axes[0, 0]
        style.show_image(axis, frame.values, frame.pixel_size)
        rows = in_frame(latents, frame.number)
        classes = latents.class_probabilities.argmax(axis=1)
        size = _dot_size(frame, len(rows), 5.6)
        if atoms is not None:
            left = _without_patch(atoms, latents.table, frame.number)
            axis.scatter(
                left["x"], left["y"], s=0.12 * size, c="white", alpha=0.6, lw=0,
                label=f"no full patch ({len(left)})",
            )  # fmt: skip
        for index in range(latents.class_probabilities.shape[1]):
            chosen = rows[classes[rows] == index]
            _dots(axis, latents.table.iloc[chosen], index, size)
            axis.scatter(
                [], [], s=40, c=style.class_color(index),
                marker=style.class_marker(index), ec="black", lw=0.4,
                label=f"class {index} ({len(chosen)})",
            )  # fmt: skip
        axis.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
        axis.set_title(frame.name or f"frame {frame.number}")
        return figure


def latent_maps(frame: Frame, latents: Latents) -> "Figure":
    """One frame's atoms coloured by content and by angle.

    The angle is shown modulo the symmetry of each patch, on a cyclic colour map: a
    full turn of colour is one period of the structure.
    """
    dims = min(latents.content.shape[1], 2)
    with style.styled():
        figure, axes = style.new_figure(4.1 * (dims + 1), 3.9, 1, dims + 1)
        rows = in_frame(latents, frame.number)
        places = latents.table.iloc[rows]
        size = _dot_size(frame, len(rows), 3.4)
        for i in range(dims):
            values = latents.content[:, i]
            low, high = np.percentile(values, [1, 99])
            _value_map(
                axes[0, i], frame, places, values[rows], size, f"content {i}",
                {"cmap": "viridis", "vmin": low, "vmax": high},
            )  # fmt: skip
        period, label = angle_period(latents)
        angle = np.degrees(latents.angle[rows]) % period
        _value_map(
            axes[0, dims], frame, places, angle, size, label,
            {"cmap": "twilight_shifted", "vmin": 0, "vmax": period},
        )  # fmt: skip
        return figure


def gallery(movie: Frames, latents: Latents, columns: int = 10) -> "Figure":
    """Every frame, small, with its atoms coloured by class."""
    columns = min(columns, len(movie))
    rows = -(-len(movie) // columns)
    side = 10.5 / columns
    with style.styled():
        figure, axes = style.new_figure(10.5, rows * (side + 0.14) + 0.1, rows, columns)
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)  # type: ignore[call-arg]
        classes = latents.class_probabilities.argmax(axis=1)
        number = latents.class_probabilities.shape[1]
        for axis in axes.flat[len(movie) :]:
            axis.set_visible(False)
        for axis, frame in zip(axes.flat, movie, strict=False):
            image = frame.values
            plane = image if image.ndim == 2 else image[..., 0]
            low, high = np.percentile(plane, [0.5, 99.8])
            axis.imshow(plane, cmap="gray", vmin=low, vmax=high, alpha=0.75)
            style.bare(axis)
            axis.set_xlim(-0.5, plane.shape[1] - 0.5)
            axis.set_ylim(plane.shape[0] - 0.5, -0.5)
            mine = in_frame(latents, frame.number)
            size = _dot_size(frame, len(mine), side * 0.92)
            for index in range(number):
                chosen = latents.table.iloc[mine[classes[mine] == index]]
                _dots(axis, chosen, index, size)
            axis.set_title(str(frame.number), fontsize=7, pad=1.5, fontweight="normal")
        return figure


def in_frame(latents: Latents, number: int) -> np.ndarray:
    """Rows of the latents that belong to the frame of this number."""
    if "frame" not in latents.table:
        raise ValueError("latents need a table with columns frame, x and y for maps.")
    return np.flatnonzero(latents.table["frame"].to_numpy() == number)


def angle_period(latents: Latents) -> tuple[float, str]:
    """Degrees after which most patches look the same, and a label that says so."""
    order = int(np.bincount(latents.symmetry).argmax()) if len(latents) else 1
    order = max(order, 1)
    return 360 / order, "angle" if order == 1 else f"angle modulo {360 / order:g}°"


def _value_map(
    axis: "Axes",
    frame: Frame,
    places: pd.DataFrame,
    values: np.ndarray,
    size: float,
    label: str,
    colors: dict,
) -> None:
    style.show_image(axis, frame.values, frame.pixel_size, alpha=0.55)
    dots = axis.scatter(
        places["x"], places["y"], c=values, s=size, lw=0.3, ec="black", **colors
    )
    axis.set_title(label)
    figure = axis.figure
    bar = figure.colorbar(dots, ax=axis, fraction=0.046, pad=0.02)  # type: ignore[union-attr]
    bar.outline.set_visible(False)  # type: ignore[operator]
    if "°" in label or label == "angle":
        bar.set_ticks(np.linspace(0, colors["vmax"], 5))
        bar.ax.set_yticklabels([f"{t:g}°" for t in np.linspace(0, colors["vmax"], 5)])


def _dots(axis: "Axes", places: pd.DataFrame, index: int, size: float) -> None:
    axis.scatter(
        places["x"], places["y"], s=size, c=style.class_color(index),
        marker=style.class_marker(index), ec="black", lw=min(0.4, size / 30),
    )  # fmt: skip


def _dot_size(frame: Frame, number: int, inches: float) -> float:
    """Area of a dot in points^2: 0.45 of the mean distance of the atoms across."""
    height, width = frame.shape[:2]
    side = (
        72 * inches / np.sqrt(max(number, 12)) * min(height, width) / max(frame.shape)
    )
    return float(np.clip((0.42 * side) ** 2, 1.0, 140.0))


def _without_patch(
    atoms: pd.DataFrame, table: pd.DataFrame, number: int
) -> pd.DataFrame:
    """Atoms of the frame that are not in the patches' table."""
    here = atoms[atoms["frame"] == number]
    known = set(zip(*(table[name] for name in ("frame", "x", "y")), strict=True))
    places = zip(here["frame"], here["x"], here["y"], strict=True)
    left = np.array([place not in known for place in places], bool)
    return here.loc[left]
