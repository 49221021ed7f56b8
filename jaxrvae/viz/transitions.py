"""States as a graph: how much time is spent in each, and how fast they turn over."""

from collections.abc import Sequence
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxrvae.analysis.jumps import stationary_shares
from jaxrvae.analysis.transitions import Transitions
from jaxrvae.viz import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 6.8  # inches
BESIDE, ABOVE = 0.8, 0.52  # the ring's radius is 1: room for words around it
LARGEST = 0.32  # radius of a state that all time is spent in
SMALLEST = 0.075
BEND = 0.09  # of an arrow, over its length
APART = 0.32  # radians: where an arrow leaves a state, from the straight way
THICKEST = 5.5  # points
MOST_TRIED = 7  # states: all orders around the ring are tried
LETTER, LINE = 0.036, 0.1  # size of the arrows' words
ALONG = np.linspace(0.2, 0.7, 21)  # an arrow, where its words may stand


def draw_transitions(
    rates: Transitions | np.ndarray,
    ax: "Axes | None" = None,
    names: Sequence[str] | None = None,
    unit: str = "frame",
) -> "Figure":
    """States as circles, transitions as arrows with their rates.

    A circle's area is the state's share in the long run. An arrow has the color of the
    state it leaves; its width grows with the root of its rate, and on it stand the rate
    and its standard deviation. Only transitions that are sure to happen are drawn:
    those whose interval does not reach down to 0.

    Args:
        rates: What `find_transitions` gives, or a generator (k, k).
        ax: Where to draw; without it, in a new figure.
        names: Of the states; without it, their numbers.
        unit: Of time: that of the `dt` that the rates were found with.
    """
    of_data = rates if isinstance(rates, Transitions) else None
    matrix = np.asarray(rates.rates if isinstance(rates, Transitions) else rates)
    k = len(matrix)
    if matrix.shape != (k, k):
        raise ValueError(f"rates must be (k, k); got {matrix.shape}.")
    if names is not None and len(names) != k:
        raise ValueError(f"names must be {k}, one a state; got {len(names)}.")
    sure = (matrix > 0) & ~np.eye(k, dtype=bool)
    share = stationary_shares(matrix)
    if of_data is not None:
        sure, share = sure & (of_data.rates_interval[0] > 0), of_data.stationary
    places = _ring(np.where(sure, matrix, 0.0))
    radius = np.maximum(LARGEST * np.sqrt(share), SMALLEST)
    low, high = places[:, 1].min() - ABOVE, places[:, 1].max() + ABOVE
    with style.styled():
        height = WIDTH * (high - low) / (2 + 2 * BESIDE) + 0.35
        axis = style.new_figure(WIDTH, height)[1][0, 0] if ax is None else ax
        _frame(axis, low, high)
        words = [f"state {i}" for i in range(k)] if names is None else names
        _states(axis, places, radius, share, words, -np.diag(matrix), unit)
        power = 3 * int(np.floor(np.log10(max(matrix.max(), 1e-300)) / 3))
        _arrows(axis, places, radius, matrix, sure, of_data, power)
        scale = f"10$^{{{power}}}$ per {unit}" if power else f"per {unit}"
        axis.set_title(f"Transitions, {scale}")
        if of_data is not None:
            axis.set_xlabel(_left_out(of_data, sure, unit), fontsize=7.5, loc="left")
        return axis.figure  # type: ignore[return-value]


def _ring(rates: np.ndarray) -> np.ndarray:
    """(k, 2) places on a circle, the first on top; fast transitions are neighbors."""
    k = len(rates)
    first = np.pi if k == 2 else np.pi / 2
    angle = first - 2 * np.pi * np.arange(k) / k
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if not 3 < k <= MOST_TRIED:
        return ring
    apart = np.linalg.norm(ring[:, None] - ring, axis=2)
    weight = np.sqrt(rates)
    orders = [(0, *rest) for rest in permutations(range(1, k))]
    cost = [(weight * apart[np.ix_(order, order)]).sum() for order in orders]
    return ring[list(orders[int(np.argmin(np.round(cost, 12)))])]


def _states(
    ax: "Axes",
    places: np.ndarray,
    radius: np.ndarray,
    share: np.ndarray,
    names: Sequence[str],
    out: np.ndarray,
    unit: str,
) -> None:
    from matplotlib.patches import Circle

    for i, (x, y) in enumerate(places.tolist()):
        color = style.class_color(i)
        ax.add_patch(Circle((x, y), radius[i], fc=color, ec="none", zorder=3))
        far = 1 + float(radius[i]) + 0.06 + 0.1 * abs(x * y)
        stay = f"stays {_short(1 / out[i])} {_many(unit)}" if out[i] > 0 else "for ever"
        side: Any = "center" if abs(x) < 0.3 else "left" if x > 0 else "right"
        level: Any = "center" if abs(y) < 0.75 else "bottom" if y > 0 else "top"
        for text, size, weight in (
            (f"{names[i]}\n\n", 9.5, "bold"),
            (f"\n{_percent(share[i])}\n{stay}", 8, "normal"),
        ):
            ax.text(
                far * x, far * y, text, ha=side, va=level, fontsize=size,
                fontweight=weight, linespacing=1.3 * 9.5 / size, zorder=5,
            )  # fmt: skip


def _arrows(
    ax: "Axes",
    places: np.ndarray,
    radius: np.ndarray,
    rates: np.ndarray,
    sure: np.ndarray,
    of_data: Transitions | None,
    power: int,
) -> None:
    """All arrows, the widest below, and their words where they cover least."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    pairs = np.argwhere(sure)
    pairs = pairs[np.argsort(-rates[sure])]
    curves = [_curve(places[pair], radius[pair]) for pair in pairs]
    dots = [_along(curve, np.linspace(0, 1, 40)) for curve in curves]
    taken: list[np.ndarray] = []
    for number, (i, j) in enumerate(pairs.tolist()):
        width = max(THICKEST * float(np.sqrt(rates[i, j] / rates[sure].max())), 0.6)
        path = Path(curves[number], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
        ax.add_patch(
            FancyArrowPatch(
                path=path, lw=width, color=style.class_color(i), arrowstyle="-|>",
                mutation_scale=7 + 2.2 * width, zorder=2, capstyle="butt",
                joinstyle="miter",
            )
        )  # fmt: skip
        std = None if of_data is None else float(of_data.rates_std[i, j]) / 10.0**power
        text = _number(float(rates[i, j]) / 10.0**power, std)
        spots = _along(curves[number], ALONG)
        half = np.array([LETTER * len(text), LINE]) / 2
        others = np.concatenate([np.zeros((0, 2)), *dots[:number], *dots[number + 1 :]])
        cost = [_covered(s, half, others, taken, places, radius) for s in spots]
        cost += 2 * np.abs(ALONG - 0.4)
        best = spots[int(np.argmin(cost))]
        taken.append(np.stack([best, half]))
        ax.text(
            float(best[0]), float(best[1]), text, fontsize=7.5, ha="center",
            va="center", zorder=4,
            color=_dark(style.class_color(i)), fontweight="bold",
            bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none",
                  "alpha": 0.85},
        )  # fmt: skip


def _curve(places: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """(3, 2) of a parabola from one circle's rim to another's, bent to its left."""
    away = places[1] - places[0]
    length = np.hypot(*away)
    along = away / length
    left = np.array([-along[1], along[0]])
    cos, sin = np.cos(APART), np.sin(APART)
    start = places[0] + (radius[0] + 0.01) * (cos * along + sin * left)
    end = places[1] - (radius[1] + 0.02) * (cos * along - sin * left)
    bend = (start + end) / 2 + BEND * length * left
    return np.stack([start, bend, end])


def _along(curve: np.ndarray, t: np.ndarray) -> np.ndarray:
    weights = np.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], axis=1)
    return weights @ curve


def _covered(
    spot: np.ndarray,
    half: np.ndarray,
    dots: np.ndarray,
    taken: list[np.ndarray],
    places: np.ndarray,
    radius: np.ndarray,
) -> float:
    """How much words here would cover: others' words, circles, arrows."""
    words = sum(
        float(np.maximum(half + size - np.abs(spot - at), 0).prod())
        for at, size in taken
    )
    gap = np.maximum(np.abs(places - spot) - half, 0)
    circles = np.maximum(radius - np.hypot(*gap.T), 0).sum()
    arrows = (np.abs(dots - spot) < half).all(1).sum()
    return 200 * words + 50 * float(circles) + 0.15 * float(arrows)


def _frame(ax: "Axes", low: float, high: float) -> None:
    style.bare(ax)
    ax.set_aspect("equal")
    ax.set_xlim(-1 - BESIDE, 1 + BESIDE)
    ax.set_ylim(low, high)


def _left_out(found: Transitions, sure: np.ndarray, unit: str) -> str:
    """What the figure does not show."""
    most = found.rates_interval[1]
    others = ~sure & ~np.eye(len(sure), dtype=bool) & (most > 0)
    if not others.any():
        return ""
    low, high = (_short(float(end)) for end in np.quantile(most[others], [0, 1]))
    which = "transition that is" if others.sum() == 1 else "transitions that are"
    bounds = f"{low} to {high}" if low != high else low
    return (
        f"Not drawn: {others.sum()} {which} not sure to happen; at most {bounds} per"
        f" {unit} (95 %)."
    )


def _number(value: float, std: float | None) -> str:
    """The value and its standard deviation, to two figures of the latter.

    >>> _number(20.31, 3.14), _number(0.4567, 0.0123), _number(1234.0, None)
    ('20.3 ± 3.1', '0.457 ± 0.012', '1230')
    """
    if std is None or not std > 0:
        return _short(value, 3)
    digits = max(1 - int(np.floor(np.log10(std))), 0)
    return f"{value:.{digits}f} ± {std:.{digits}f}"


def _short(value: float, figures: int = 2) -> str:
    """Few figures, without an exponent.

    >>> _short(0.00123), _short(873.2), _short(5.0)
    ('0.0012', '870', '5')
    """
    rounded = float(f"{value:.{figures}g}")
    digits = max(figures - 1 - int(np.floor(np.log10(abs(rounded) or 1.0))), 0)
    return (
        (f"{rounded:.{digits}f}").rstrip("0").rstrip(".")
        if digits
        else f"{rounded:.0f}"
    )


def _percent(share: float) -> str:
    return "< 0.1 %" if share < 1e-3 else f"{_short(100 * float(share))} %"


def _many(unit: str) -> str:
    return "frames" if unit == "frame" else unit


def _dark(color: str) -> tuple[float, float, float]:
    """The color, mixed with black, for words."""
    from matplotlib.colors import to_rgb

    red, green, blue = to_rgb(color)
    return 0.6 * red, 0.6 * green, 0.6 * blue
