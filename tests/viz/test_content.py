import dataclasses

import numpy as np
import pytest

from jaxrvae.viz.content import angle_roses, content_scatter


@pytest.mark.parametrize(("dims", "panels"), [(1, 1), (2, 2), (3, 6), (4, 6)])
def test_planes_of_content(latents, draw, dims, panels):
    rng = np.random.default_rng(0)
    content = rng.normal(size=(60, dims)).astype(np.float32)
    some = dataclasses.replace(latents, content=content, content_std=content)
    figure = draw(content_scatter(some))
    shown = [axis for axis in figure.axes if axis.get_label() != "<colorbar>"]
    assert len(shown) == panels


def test_every_patch_is_a_point(latents, draw):
    axis = draw(content_scatter(latents)).axes[0]
    points = np.concatenate([group.get_offsets() for group in axis.collections])
    order = np.lexsort(points.T)
    truth = latents.content[np.lexsort(latents.content.T)]
    np.testing.assert_allclose(points[order], truth, atol=1e-6)


def test_rose_repeats_a_period_all_around(latents, draw):
    figure = draw(angle_roses(latents, symmetry=[3, 1, 1]))
    heights = np.array([bar.get_height() for bar in figure.axes[0].patches])
    np.testing.assert_allclose(heights[:24], heights[24:48])
    mine = latents.class_probabilities.argmax(1) == 0
    assert np.square(heights).sum() == pytest.approx(3 * mine.sum())  # area, not length
    assert figure.axes[0].get_title() == f"class 0 ({mine.sum()}), mod 120°"


def test_class_without_patches_is_drawn(latents, draw):
    probabilities = np.pad(latents.class_probabilities, ((0, 0), (0, 1)))
    more = dataclasses.replace(latents, class_probabilities=probabilities)
    draw(content_scatter(more))
    assert len(draw(angle_roses(more)).axes) == 4
