"""Free energy of the content, the ways over it, and what structures do on them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrvae._typing import Float, ndarray
from jaxrvae.analysis.pathways import STRIP, Pathways
from jaxrvae.viz import style
from jaxrvae.viz.images import root_norm
from jaxrvae.viz.transitions import draw_transitions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIGHEST = 8.0  # k_BT; the colours end there
MOST_POINTS = 6000
FAR = 3.0  # times the usual step from frame to frame, from which on there is a gap


def pathway_figures(found: Pathways) -> "Iterator[tuple[str, Figure]]":
    """(name, figure) of all that there is, one after the other."""
    if found.images is not None:
        yield "states", state_images(found)
    if found.shares is not None:
        yield "shares", state_shares(found)
    if found.transitions is not None:
        unit = "frame" if found.transitions.dt == 1 else "s"
        yield "transitions", draw_transitions(found.transitions, unit=unit)
    if found.free_energy is not None:
        yield "free_energy", energy_map(found)
    if found.paths is not None:
        yield "paths", path_strips(found)


def energy_map(found: Pathways, axis: "Axes | None" = None) -> "Figure":
    """The free energy with the ways between the states on it.

    Of one content its curve, with a band of 90 %; of two their plane; of more that of
    the two directions that the contents spread over most.
    """
    assert found.free_energy is not None, "there is a free energy"
    with style.styled():
        ax: Any = axis
        if ax is None:
            ax = style.new_figure(5.6, 4.4)[1][0, 0]
        figure = ax.figure
        dims = found.content.shape[1]
        if dims == 1:
            _curve(ax, found)
            return figure
        flat = _plane(found)
        if dims == 2:
            shown = _contours(ax, found)
            labels = ["content 0", "content 1"]
        else:
            shown = _cloud(ax, found, flat)
            labels = ["first principal content", "second principal content"]
        bar = figure.colorbar(shown, ax=ax, fraction=0.046, pad=0.02)
        bar.set_label("free energy, $k_BT$")
        bar.outline.set_visible(False)
        ax.set(xlabel=labels[0], ylabel=labels[1])
        _ways(ax, found, flat)
        return figure


def path_strips(found: Pathways) -> "Figure":
    """Each path: decoded images along it and, below, its free energy with its band."""
    assert found.paths is not None, "there are paths"
    number = len(found.paths)
    with style.styled():
        heights = [1.0, 1.25] * number
        figure, axes = style.new_figure(
            9.4, 2.5 * number, 2 * number, 1, height_ratios=heights
        )
        for index in range(number):
            _strip(axes[2 * index, 0], found, index)
            _profile(axes[2 * index + 1, 0], found, index)
        axes[-1, 0].set_xlabel("share of the way")
        return figure


def state_shares(found: Pathways) -> "Figure":
    """The share of every state, frame by frame, with its interval of 90 %.

    Frames that lie farther apart than is usual are not joined; beyond the eighth state,
    lines are broken.
    """
    assert found.shares is not None, "there are several frames"
    with style.styled():
        figure, axes = style.new_figure(7.6, 3.2)
        axis = axes[0, 0]
        for index, own in found.shares.groupby("state"):
            number = int(str(index))
            color, line = style.class_color(number), style.class_line(number)
            values = own[["frame", "share", "low", "high"]].to_numpy(float)
            steps = np.diff(values[:, 0])
            far = np.flatnonzero(steps > FAR * np.median(steps)) + 1
            frame, share, low, high = np.insert(values, far, np.nan, axis=0).T
            axis.fill_between(frame, low, high, color=color, alpha=0.2, lw=0)
            axis.plot(frame, share, line, color=color, lw=1.4, label=f"state {index}")
            alone = np.isnan(np.append(share[1:], np.nan))
            alone &= np.isnan(np.append(np.nan, share[:-1]))
            axis.plot(frame[alone], share[alone], ".", color=color)
        axis.set(xlabel="frame", ylabel="share of the patches", ylim=(0, None))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.18))
        return figure


def state_images(found: Pathways) -> "Figure":
    """The image of every state, with its number of patches."""
    assert found.images is not None, "there are images"
    number = len(found.images)
    columns = min(number, 8)
    rows = -(-number // columns)
    planes = found.images if found.images.ndim == 3 else found.images[..., 0]
    norm = root_norm(*np.percentile(planes, [0.2, 99.9]))
    with style.styled():
        figure, axes = style.new_figure(
            1.42 * max(columns, 4), 1.85 * rows, rows, columns
        )
        for axis in axes.flat:
            axis.set_visible(False)
        for index, axis in zip(range(number), axes.flat, strict=False):
            axis.set_visible(True)
            style.show_image(axis, planes[index], bar=False, norm=norm)
            count = int(np.sum(found.states.labels == index))
            axis.set_title(f"state {index}\n{count} patches", fontsize=8.5)
            axis.plot(
                [0.02, 0.98], [1.0, 1.0], transform=axis.transAxes, lw=4,
                color=style.class_color(index), clip_on=False,
            )  # fmt: skip
        return figure


def _curve(axis: "Axes", found: Pathways) -> None:
    energy = found.free_energy
    assert energy is not None
    nodes = energy.nodes[energy.populated]
    axis.plot(nodes[:, 0], energy(nodes), color=style.INK, lw=1.5)
    if energy.draws is not None:
        axis.fill_between(
            nodes[:, 0], *energy.band(nodes), color=style.FAINT, alpha=0.4
        )
    for index, place in enumerate(found.typical):
        height = energy(place[None])[0]
        _number(axis, np.array([place[0], height if np.isfinite(height) else 0]), index)
    axis.set(xlabel="content 0", ylabel="free energy, $k_BT$")


def _plane(found: Pathways) -> Any:
    """The map from contents to the plane that is drawn."""
    content = found.content
    if content.shape[1] == 2:
        return lambda points: points
    middle = content.mean(axis=0)
    _, _, axes = np.linalg.svd(
        content[:: len(content) // MOST_POINTS + 1] - middle, full_matrices=False
    )
    return lambda points: (points - middle) @ axes[:2].T


def _contours(axis: "Axes", found: Pathways) -> Any:
    energy = found.free_energy
    assert energy is not None
    values = np.minimum(energy.values, HIGHEST)
    levels = np.arange(0, HIGHEST + 0.5, 0.5)
    x, y = energy.axes
    shown = axis.contourf(x, y, values.T, levels, cmap="viridis_r")
    axis.contour(x, y, values.T, levels[::2], colors="white", linewidths=0.4, alpha=0.6)
    seen = np.argwhere(np.isfinite(values))
    (left, low), (right, high) = seen.min(axis=0).tolist(), seen.max(axis=0).tolist()
    axis.set_xlim(float(x[left]), float(x[right]))
    axis.set_ylim(float(y[low]), float(y[high]))
    return shown


def _cloud(axis: "Axes", found: Pathways, flat: Any) -> Any:
    energy = found.free_energy
    assert energy is not None
    content = found.content
    some = np.random.default_rng(0).permutation(len(content))[:MOST_POINTS]
    height = np.minimum(energy(content[some]), HIGHEST)
    order = np.argsort(-height)
    places = flat(content[some])[order]
    return axis.scatter(*places.T, c=height[order], s=5, lw=0, cmap="viridis_r", vmin=0)


def _ways(axis: "Axes", found: Pathways, flat: Any) -> None:
    import matplotlib.patheffects as effects

    outline = [effects.withStroke(linewidth=3.2, foreground="white"), effects.Normal()]
    drawn = [
        (found.paths, "-", "minimum free energy"),
        (found.geodesics, ":", "geodesic"),
    ]
    for ways, line, label in drawn:
        if ways is None:
            continue
        for index in range(len(ways)):
            x, y = flat(ways.points[index]).T
            axis.plot(
                x, y, line, color=style.INK, lw=1.6, path_effects=outline,
                label=label if index == 0 else None,
            )  # fmt: skip
    if found.paths is not None:
        known = found.paths.supported
        axis.plot(
            *flat(found.paths.saddle[known]).T, "x", color="#D55E00", ms=7, mew=2,
            label="saddle",
        )  # fmt: skip
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, 1.13), ncols=3)
    for index, place in enumerate(flat(found.typical)):
        _number(axis, place, index)


def _number(axis: "Axes", place: Float[ndarray, "2"], index: int) -> None:
    x, y = place.tolist()
    axis.annotate(
        str(index), (x, y), ha="center", va="center", fontsize=8.5,
        fontweight="bold", bbox={
            "boxstyle": "circle,pad=0.22", "fc": "white",
            "ec": style.class_color(index), "lw": 1.6,
        },
    )  # fmt: skip


def _strip(axis: "Axes", found: Pathways, index: int) -> None:
    """Images side by side, none where there is no decoder."""
    first, last = found.pairs[index].tolist()
    axis.set_title(f"state {first} to state {last}")
    style.bare(axis)
    if found.strips is None:
        axis.set_visible(False)
        return
    images = found.strips[index]
    planes = images if images.ndim == 3 else images[..., 0]
    height, width = planes.shape[1:]
    row = np.full((height, STRIP * width + (STRIP - 1) * 3), np.nan)
    for k, plane in enumerate(planes):
        row[:, k * (width + 3) : k * (width + 3) + width] = plane
    norm = root_norm(*np.nanpercentile(found.strips, [0.5, 99.8]))
    axis.imshow(row, cmap="gray", norm=norm, interpolation="nearest")


def _profile(axis: "Axes", found: Pathways, index: int) -> None:
    paths, energy = found.paths, found.free_energy
    assert paths is not None
    assert energy is not None
    points = paths.points[index]
    share = np.linspace(0, 1, len(points))
    own = paths.energy[index] - paths.energy[index][0]
    axis.plot(share, own, color=style.INK, lw=1.5)
    if energy.draws is not None:
        band = energy.resampled(points)
        low, high = np.quantile(band - band[:, :1], [0.05, 0.95], axis=0)
        known = np.isfinite(own)
        axis.fill_between(
            share, low, high, where=known, color=style.FAINT, alpha=0.35, lw=0
        )
    text = []
    ways = zip(
        ("up", "back"), paths.barrier[index], paths.barrier_interval[index], strict=True
    )
    for name, height, (low, high) in ways:
        told = (
            f"{height:.1f} ({low:.1f} to {high:.1f})"
            if np.isfinite(height)
            else f"above {low:.1f}"
        )
        text.append(f"barrier {name}: {told} $k_BT$")
    axis.set_title("   ".join(text), fontsize=8.5, fontweight="normal")
    axis.set(ylabel="$k_BT$", xlim=(-0.06, 1.06))
