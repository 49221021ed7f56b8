import itertools
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from skimage.color import rgb2lab

from jaxrvae.viz import style

# Machado, Oliveira & Fernandes 2009: total loss of the green and of the red cones.
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]


@pytest.mark.parametrize("eye", [np.eye(3), DEUTERANOPIA, PROTANOPIA])
def test_class_colors_differ_for_every_eye(eye):
    linear = np.array([to_rgb(color) for color in style.CLASS_COLORS]) ** 2.2
    seen = np.clip(linear @ np.asarray(eye).T, 0, 1) ** (1 / 2.2)
    lab = rgb2lab(seen[None])[0]
    pairs = itertools.combinations(lab, 2)
    assert min(np.linalg.norm(a - b) for a, b in pairs) > 7  # 2.3 is just noticeable


def test_more_classes_than_colors_differ_in_shape():
    looks = {(style.class_color(i), style.class_marker(i)) for i in range(24)}
    assert len(looks) == 24


@pytest.mark.parametrize("length", [0.0123, 0.5, 1.0, 3.7, 49.0, 800.0])
def test_round_length(length):
    found = style.round_length(length)
    assert found <= length < 2.5 * found
    assert f"{found:e}"[0] in "125"


def test_bar_is_as_long_as_it_says(draw):
    figure, axes = style.new_figure(3, 3)
    style.show_image(axes[0, 0], np.eye(100), pixel_size=0.02)
    draw(figure)
    line, label = axes[0, 0].lines[0], axes[0, 0].texts[0]
    value, unit = label.get_text().split()
    assert np.ptp(line.get_xdata()) * 0.02 == pytest.approx(float(value))
    assert unit == "nm"


def test_bar_without_pixel_size_is_in_pixels():
    _, axes = style.new_figure(3, 3)
    style.show_image(axes[0, 0], np.eye(100))
    assert axes[0, 0].texts[0].get_text() == "20 px"


def test_constant_and_colored_images_are_shown(draw):
    figure, axes = style.new_figure(3, 3, 1, 2)
    style.show_image(axes[0, 0], np.ones((9, 9)))
    style.show_image(axes[0, 1], np.ones((9, 9, 2)), bar=False)
    draw(figure)
    assert axes[0, 0].images[0].get_array().shape == (9, 9)
    assert axes[0, 1].images[0].get_array().shape == (9, 9)


@pytest.mark.slow
def test_no_window_and_no_global_state():
    code = (
        "import sys, numpy as np; from jaxrvae.viz import content, images, maps, "
        "style, training; print('matplotlib' in sys.modules);"
        "f, a = style.new_figure(2, 2); style.show_image(a[0, 0], np.eye(4));"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
