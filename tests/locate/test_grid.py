import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.data.patches import cut_patches
from jaxrvae.locate.grid import grid_points


def movie(*shapes):
    rng = np.random.default_rng(0)
    frames = [Frame(rng.random(s), number=2 * i) for i, s in enumerate(shapes)]
    return Frames(tuple(frames), channels=("a", "b"))


def test_every_pixel_has_its_window():
    points = grid_points(movie((4, 6, 2)), 1)
    assert points.columns.tolist() == ["frame", "x", "y"]
    assert len(points) == 24
    assert points["x"].max() == 5
    assert points["y"].max() == 3


def test_grid_lies_in_the_middle_and_every_patch_has_support():
    frames = movie((40, 31, 2), (24, 24, 2))
    points = grid_points(frames, 6, margin=7.5)
    assert set(points["frame"]) == {0, 2}
    for number, size in ((0, (40, 31)), (2, (24, 24))):
        own = points[points["frame"] == number]
        for axis, length in zip("yx", size, strict=True):
            left = own[axis].min() - 0, length - 1 - own[axis].max()
            assert left[0] == pytest.approx(left[1])
            assert left[0] >= 7.5
            assert left[0] < 7.5 + 3 + 1e-9
    patches = cut_patches(frames, points, size=16)
    assert len(patches) == len(points)
    assert patches.values.shape[1:] == (16, 16, 2)


def test_what_has_no_room_is_refused():
    with pytest.raises(DataError, match="less a margin of 20 has none"):
        grid_points(movie((30, 60, 2)), 4, margin=20)
    with pytest.raises(ValueError, match="step must be finite and > 0"):
        grid_points(movie((30, 60, 2)), 0)
