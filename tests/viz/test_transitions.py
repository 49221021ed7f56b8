import numpy as np
import pytest

from jaxrvae.analysis.transitions import find_transitions
from jaxrvae.viz import style
from jaxrvae.viz.transitions import draw_transitions

CHAIN = np.array([[-0.02, 0.02, 0.0], [0.08, -0.09, 0.01], [0.0, 0.05, -0.05]])


def arrows(axis):
    from matplotlib.patches import FancyArrowPatch

    return [patch for patch in axis.patches if isinstance(patch, FancyArrowPatch)]


def circles(axis):
    from matplotlib.patches import Circle

    return [patch for patch in axis.patches if isinstance(patch, Circle)]


def words(axis):
    return [text.get_text() for text in axis.texts]


def test_arrows_and_circles_have_the_sizes_of_rates_and_shares(draw):
    axis = draw(draw_transitions(CHAIN, names=["a", "b", "c"])).axes[0]
    widths = [arrow.get_linewidth() for arrow in arrows(axis)]
    rates = np.sort(CHAIN[CHAIN > 0])[::-1]
    np.testing.assert_allclose(
        np.square(np.divide(widths, widths[0])), rates / rates[0]
    )
    areas = np.square([circle.get_radius() for circle in circles(axis)])
    # detailed balance: 0.02 p0 = 0.08 p1, 0.01 p1 = 0.05 p2
    np.testing.assert_allclose(areas[0] / areas[1], 4)
    said = words(axis)
    assert {"80", "50", "20", "10"} <= set(said)
    assert sum("a\n" in text for text in said) == 1
    assert "10$^{-3}$ per frame" in axis.get_title(loc="left")
    colors = {arrow.get_edgecolor()[:3] for arrow in arrows(axis)}
    assert len(colors) == 3


def test_only_what_is_sure_is_drawn_and_the_rest_is_told(draw):
    labels = np.tile(np.repeat([0, 1, 0, 1], 10), 20)
    rows = np.arange(800)
    found = find_transitions(
        labels, rows // 40, rows % 40, num_states=3, num_samples=200, dt=0.5
    )
    axis = draw(draw_transitions(found, unit="s")).axes[0]
    assert len(arrows(axis)) == 2
    assert "4 transitions that are not sure" in axis.get_xlabel()
    assert "per s" in axis.get_xlabel()
    assert any(" ± " in text for text in words(axis))
    assert any("stays" in text and " s" in text for text in words(axis))


@pytest.mark.parametrize("k", [2, 5, 9])
def test_words_do_not_cover_each_other(k, draw):
    rates = np.random.default_rng(k).uniform(0.01, 0.1, (k, k))
    rates[:, 5:] = 0  # not more than fit
    rates *= ~np.eye(k, dtype=bool)
    rates -= np.diag(rates.sum(1))
    figure = draw(draw_transitions(rates))
    axis = figure.axes[0]
    boxes = [
        text.get_window_extent() for text in axis.texts if "\n" not in text.get_text()
    ]
    assert len(boxes) == (rates > 0).sum()
    over = sum(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert over <= 0.05 * len(boxes)
    page = figure.bbox
    for text in axis.texts:
        box = text.get_window_extent()
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1


def test_draws_into_axes_that_are_given(draw):
    with style.styled():
        figure, axes = style.new_figure(8, 4, 1, 2)
    assert draw_transitions(CHAIN, ax=axes[0, 1]) is figure
    draw(figure)
    assert not axes[0, 0].patches
    assert len(circles(axes[0, 1])) == 3


def test_a_chain_at_rest_has_no_arrows(draw):
    axis = draw(draw_transitions(np.zeros((2, 2)))).axes[0]
    assert not arrows(axis)
    assert sum("for ever" in text for text in words(axis)) == 2


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="names must be 3"):
        draw_transitions(CHAIN, names=["a"])
    with pytest.raises(ValueError, match=r"\(k, k\)"):
        draw_transitions(CHAIN[:2])
