import dataclasses

import numpy as np
import pandas as pd
import pytest

from jaxrvae.viz.images import (
    aligned_means,
    class_images,
    manifold_figure,
    reconstructions,
    turned_back,
)
from jaxrvae.viz.training import training_history


def wedge(size=33):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.exp(-((x - 8) ** 2 + (y + 3) ** 2) / 20) + np.exp(-(x**2 + y**2) / 8)


def test_quarter_turns_are_turned_back():
    image = wedge()
    back = turned_back(np.rot90(image), np.pi / 2)  # rot90 turns counter-clockwise
    np.testing.assert_allclose(back, image, atol=1e-6)
    np.testing.assert_allclose(turned_back(image, 0.0), image, atol=1e-6)


def test_outside_is_unknown():
    back = turned_back(wedge(), np.pi / 4)
    assert np.isnan(back[0, 0])
    assert np.isfinite(back[16]).all()


def test_means_are_of_patches_turned_upright(latents, patches):
    angles = np.pi / 2 * (np.arange(60) % 4)
    turned = np.stack([np.rot90(wedge(), i % 4) for i in range(60)])
    posed = dataclasses.replace(latents, angle=angles.astype(np.float32))
    some = dataclasses.replace(patches, values=turned.astype(np.float32))
    means, counts = aligned_means(some, posed)
    for mean in means:
        np.testing.assert_allclose(mean[1:-1, 1:-1], wedge()[1:-1, 1:-1], atol=1e-5)
    assert counts.tolist() == [40, 15, 5]


def test_class_without_patches_has_no_mean(latents, patches, draw):
    probabilities = np.pad(latents.class_probabilities, ((0, 0), (0, 1)))
    more = dataclasses.replace(latents, class_probabilities=probabilities)
    assert np.isnan(aligned_means(patches, more)[0][3]).all()
    draw(class_images(patches, more, np.zeros((4, 16, 16), np.float32)))


@pytest.mark.parametrize("channels", [(), (2,)])
def test_class_images_say_how_many(latents, patches, draw, channels):
    values = np.ones((60, 16, 16, *channels), np.float32) * patches.values.reshape(
        60, 16, 16, *(1 for _ in channels)
    )
    some = dataclasses.replace(patches, values=values)
    figure = draw(class_images(some, latents, np.zeros((3, 16, 16, *channels))))
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert "class 0\n40 patches" in titles


def test_manifold_fades_what_no_patch_is_near(draw):
    images = np.random.default_rng(0).normal(size=(3, 3, 8, 8))
    content = np.array([[0.0, 2.0]])  # the middle column, the upper row
    figure = draw(manifold_figure(images, 0.02, content))
    strength = [axis.images[0].get_alpha() for axis in figure.axes]
    assert np.flatnonzero(np.array(strength) == 1).tolist() == [1]
    assert "0.16 nm each" in figure.get_supxlabel()


def test_manifold_of_one_content_is_a_row(draw):
    images = np.random.default_rng(0).normal(size=(1, 5, 8, 8))
    assert len(draw(manifold_figure(images, content=np.zeros((3, 1)))).axes) == 5


def test_differences_are_patch_minus_model(latents, patches, draw):
    rows = np.array([3, 9])
    figure = draw(reconstructions(patches, latents, 0 * patches.values[rows], rows))
    for axis, row in zip(figure.axes[4:], rows, strict=True):
        np.testing.assert_allclose(axis.images[0].get_array(), patches.values[row])


def test_history_is_drawn_as_far_as_it_goes(draw):
    history = pd.DataFrame(
        {"epoch": [1, 2, 3], "loss": [3.0, 2, 1], "noise": [1.0, 1, 1]}
    )
    figure = draw(training_history(history))
    assert len(figure.axes) == 2
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [3, 2, 1])
