"""Latents among themselves: the content's plane, and the angles of each class."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrvae.data.containers import Latents
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 6000


def content_scatter(latents: Latents, seed: int = 0) -> "Figure":
    """Every patch in the plane of its content, by class (left) and as a density."""
    dims = latents.content.shape[1]
    with style.styled():
        if dims == 1:
            return _content_histogram(latents)
        pairs = list(combinations(range(min(dims, 3)), 2))
        figure, axes = style.new_figure(
            4.9 * 2, 4.2 * len(pairs), len(pairs), 2, sharex="row", sharey="row"
        )
        some = _some(len(latents), seed)
        for row, (i, j) in zip(axes, pairs, strict=True):
            _class_plane(row[0], latents, some, i, j)
            _density(row[1], latents.content[:, [i, j]])
            for axis in row:
                axis.set_xlabel(f"content {i}")
            row[0].set_ylabel(f"content {j}")
        axes[0, 0].set_title("by class")
        axes[0, 1].set_title("density (patches)")
        return figure


def angle_roses(latents: Latents, symmetry: Sequence[int] | None = None) -> "Figure":
    """The angles of every class, modulo its symmetry, as a rose (equal areas).

    Args:
        symmetry: The order of every class; without it, that of most of its patches.
    """
    classes = latents.class_probabilities.argmax(axis=1)
    number = latents.class_probabilities.shape[1]
    columns = min(number, 4)
    rows = -(-number // columns)
    with style.styled():
        figure, axes = style.new_figure(
            2.45 * columns, 2.75 * rows, rows, columns,
            subplot_kw={"projection": "polar"},
        )  # fmt: skip
        for axis in axes.flat[number:]:
            axis.set_visible(False)
        for index, axis in zip(range(number), axes.flat, strict=False):
            mine = classes == index
            order = symmetry[index] if symmetry else _usual(latents.symmetry[mine])
            _rose(axis, latents.angle[mine], order, style.class_color(index))
            period = "" if order == 1 else f", mod {360 / order:g}°"
            axis.set_title(
                f"class {index} ({mine.sum()}){period}", fontsize=8.5, loc="center"
            )
        return figure


def _usual(orders: np.ndarray) -> int:
    """The order that most have."""
    return max(int(np.bincount(orders).argmax()), 1) if len(orders) else 1


def _class_plane(
    axis: "Axes", latents: Latents, some: np.ndarray, i: int, j: int
) -> None:
    classes = latents.class_probabilities.argmax(axis=1)
    for index in range(latents.class_probabilities.shape[1]):
        chosen = some[classes[some] == index]
        axis.scatter(
            latents.content[chosen, i], latents.content[chosen, j], s=7, lw=0,
            c=style.class_color(index), marker=style.class_marker(index), alpha=0.75,
        )  # fmt: skip
        centre = _median(latents.content[classes == index][:, [i, j]])
        if centre is not None:
            axis.annotate(
                str(index), centre, (11, 11), textcoords="offset points", ha="center",
                va="center", fontsize=8.5, fontweight="bold", bbox={
                    "boxstyle": "circle,pad=0.22", "fc": "white",
                    "ec": style.class_color(index), "lw": 1.4, "alpha": 0.9,
                },
                arrowprops={"arrowstyle": "-", "lw": 0.7, "color": style.INK},
            )  # fmt: skip


def _median(points: np.ndarray) -> tuple[float, float] | None:
    if not len(points):
        return None
    x, y = np.median(points, axis=0).tolist()
    return x, y


def _density(axis: "Axes", points: np.ndarray) -> None:
    from matplotlib.colors import LogNorm

    shown = axis.hexbin(
        *points.T, gridsize=int(np.clip(np.sqrt(len(points)), 12, 60)), mincnt=1,
        cmap="magma_r", linewidths=0.1, norm=LogNorm(vmin=1),
    )  # fmt: skip
    bar: Any = axis.figure.colorbar(shown, ax=axis, fraction=0.046, pad=0.02)  # type: ignore[union-attr]
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter("{x:g}")
    few = np.max(np.asarray(shown.get_array())) < 10  # no decade but the first
    bar.ax.yaxis.set_minor_formatter("{x:g}" if few else "")


def _content_histogram(latents: Latents) -> "Figure":
    figure, axes = style.new_figure(7.6, 3.4)
    classes = latents.class_probabilities.argmax(axis=1)
    number = latents.class_probabilities.shape[1]
    axes[0, 0].hist(
        [latents.content[classes == i, 0] for i in range(number)], bins=80,
        stacked=True, color=[style.class_color(i) for i in range(number)],
        label=[f"class {i}" for i in range(number)],
    )  # fmt: skip
    axes[0, 0].set_xlabel("content 0")
    axes[0, 0].set_ylabel("patches")
    axes[0, 0].legend()
    return figure


def _rose(axis: "Axes", angles: np.ndarray, order: int, color: str) -> None:
    """Bars whose area is the count; one period is repeated all around."""
    bins = 72
    period = 2 * np.pi / order
    repeated = (angles % period)[:, None] + period * np.arange(order)
    counts, edges = np.histogram(repeated % (2 * np.pi), bins, (0, 2 * np.pi))
    axis.bar(
        edges[:-1], np.sqrt(counts), width=2 * np.pi / bins, align="edge",
        color=color, lw=0,
    )  # fmt: skip
    axis.set_yticks([])
    axis.set_xticks(np.radians([0, 90, 180, 270]))
    axis.tick_params(labelsize=7, pad=-1)
    axis.grid(alpha=0.4, lw=0.5)
    axis.spines["polar"].set_visible(False)


def _some(number: int, seed: int) -> np.ndarray:
    """Rows in random order, so that no class covers the others; not too many."""
    return np.random.default_rng(seed).permutation(number)[:MOST_POINTS]
