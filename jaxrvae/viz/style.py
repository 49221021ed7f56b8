"""What all figures share: colours that the colour-blind tell apart, scale bars, axes.

Figures are made by `matplotlib.figure.Figure`: no window, no global state.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrvae._checks import DataError
from jaxrvae.data.containers import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito 2008, in an order that sets neighbours well apart; then grey.
CLASS_COLORS = (
    "#56B4E9", "#E69F00", "#009E73", "#CC79A7",
    "#D55E00", "#F0E442", "#0072B2", "#999999",
)  # fmt: skip
CLASS_MARKERS = "osD^vP"  # beyond the eighth class, colours come again in other shapes
CLASS_LINES = ("-", "--", ":", "-.")
INK, FAINT = "#1b1f24", "#8a929b"
DPI = 130
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def class_color(index: int) -> str:
    """The colour of a class, the same in every figure."""
    return CLASS_COLORS[index % len(CLASS_COLORS)]


def class_marker(index: int) -> str:
    """Its marker: a circle for the first eight classes."""
    return CLASS_MARKERS[index // len(CLASS_COLORS) % len(CLASS_MARKERS)]


def class_line(index: int) -> str:
    """Its line: solid for the first eight classes."""
    return CLASS_LINES[index // len(CLASS_COLORS) % len(CLASS_LINES)]


def styled() -> Any:
    """A context in which matplotlib draws in the house's style."""
    try:
        import matplotlib
    except ImportError as error:
        raise DataError(
            "figures need matplotlib, which is not installed. Install it with:"
            ' pip install "jaxrvae[report]"'
        ) from error
    return matplotlib.rc_context(STYLE)


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> "tuple[Figure, np.ndarray]":
    """A figure (inches) and its axes as an array (rows, columns)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, np.asarray(axes)


def show_image(
    axis: "Axes",
    image: np.ndarray,
    pixel_size: float | None = None,
    bar: bool = True,
    **options: Any,
) -> Any:
    """The image in grey (its first channel), without ticks, with a scale bar."""
    plane = image if image.ndim == 2 else image[..., 0]
    settings: dict[str, Any] = {"cmap": "gray", "interpolation": "nearest"}
    if "norm" not in options and "vmin" not in options:
        low, high = np.percentile(plane, [0.5, 99.8])
        settings |= {"vmin": low, "vmax": high if high > low else low + 1}
    shown = axis.imshow(plane, **(settings | options))
    bare(axis)
    if bar:
        scale_bar(axis, plane.shape, pixel_size)
    axis.set_xlim(-0.5, plane.shape[1] - 0.5)
    axis.set_ylim(plane.shape[0] - 0.5, -0.5)
    return shown


def show_frame(axis: "Axes", frame: Frame, bar: bool = True, **options: Any) -> Any:
    """A frame in grey, or, where its values have a sign that says something, in two.

    Blue is negative and red is positive (`frame.metadata["signed"]`).
    """
    values = frame.values
    if frame.metadata.get("signed"):
        plane = values if values.ndim == 2 else values[..., 0]
        top = float(np.percentile(np.abs(plane), 99)) or 1.0
        options = {"cmap": "RdBu_r", "vmin": -top, "vmax": top} | options
    return show_image(axis, values, frame.pixel_size, bar, **options)


def bare(axis: "Axes") -> None:
    """Leaves neither ticks nor a frame."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def scale_bar(axis: "Axes", shape: tuple[int, ...], pixel_size: float | None) -> None:
    """A bar of a round length, about a quarter of the width, with its unit."""
    import matplotlib.patheffects as effects

    unit = "px" if pixel_size is None else "nm"
    step = 1.0 if pixel_size is None else pixel_size
    length = round_length(0.28 * shape[1] * step)
    pixels = length / step
    x, y = 0.04 * shape[1], 0.95 * shape[0]
    outline = [effects.withStroke(linewidth=2.2, foreground="black", alpha=0.75)]
    thick = [effects.withStroke(linewidth=5.0, foreground="black", alpha=0.75)]
    axis.plot(
        [x, x + pixels], [y, y], color="white", lw=2.6, solid_capstyle="butt",
        path_effects=[*thick, effects.Normal()],
    )  # fmt: skip
    axis.text(
        x, y - 0.025 * shape[0], f"{length:g} {unit}", color="white",
        fontsize=8, fontweight="bold", va="bottom", path_effects=outline,
    )  # fmt: skip


def round_length(length: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not longer.

    >>> round_length(0.7), round_length(37)
    (0.5, 20.0)
    """
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step * power for step in (1, 2, 5) if step * power <= length))
