import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage.transform import rotate

from jaxrvae.simulate import simulate
from jaxrvae.simulate.glyphs import (
    AREA,
    SHAPES,
    outlines,
    render_glyphs,
    signed_distance,
    simulate_glyphs,
)

SIZE = 64


def pose(shape, angle=0.0, shift_x=0.0, shift_y=0.0, shear=0.0):
    table = pd.DataFrame([[shape, angle, shift_x, shift_y, shear]])
    return table.set_axis(["shape", "angle", "shift_x", "shift_y", "shear"], axis=1)


@pytest.fixture(scope="module")
def glyphs():
    return simulate_glyphs(3, num_images=500)


@pytest.mark.parametrize("shape", range(4))
def test_angle_turns_counter_clockwise_as_displayed(shape):
    upright = render_glyphs(pose(shape), SIZE)[0]
    turned = render_glyphs(pose(shape, angle=0.6), SIZE)[0]
    expected = rotate(upright, np.degrees(0.6), order=3)
    assert np.corrcoef(turned.ravel(), expected.ravel())[0, 1] > 0.995


def test_shift_is_right_and_down_in_pixels():
    still = render_glyphs(pose(0), SIZE)[0]
    moved = render_glyphs(pose(0, shift_x=5, shift_y=-3), SIZE)[0]
    np.testing.assert_allclose(moved, np.roll(still, (-3, 5), (0, 1)), atol=1e-4)


@pytest.mark.parametrize("shape", range(4))
def test_shear_moves_upper_points_right_and_acts_before_turn_and_shift(shape):
    plain = render_glyphs(pose(shape), SIZE)[0]
    # output (row, col) is taken from (row, col - tan(shear) * up), up = centre - row
    tan, centre = np.tan(0.3), (SIZE - 1) / 2
    sheared = ndimage.affine_transform(
        plain, [[1, 0], [tan, 1]], offset=[0, -tan * centre], order=3
    )
    expected = rotate(sheared, np.degrees(-1.1), order=3)
    expected = ndimage.shift(expected, (2.5, -1.5), order=3)
    posed = render_glyphs(pose(shape, -1.1, -1.5, 2.5, 0.3), SIZE)[0]
    assert np.corrcoef(posed.ravel(), expected.ravel())[0, 1] > 0.99


def test_centroid_and_area_of_every_image_are_as_told(glyphs):
    rows, columns = np.mgrid[:48, :48] - 23.5
    ink = glyphs.values.sum((1, 2))
    np.testing.assert_allclose(ink, AREA * 24**2, rtol=0.02)
    x = (glyphs.values * columns).sum((1, 2)) / ink
    y = (glyphs.values * rows).sum((1, 2)) / ink
    np.testing.assert_allclose(x, glyphs.truth["shift_x"], atol=0.1)
    np.testing.assert_allclose(y, glyphs.truth["shift_y"], atol=0.1)


def test_shapes_stay_in_the_inscribed_disc(glyphs):
    rows, columns = np.mgrid[:48, :48] - 23.5
    outside = np.hypot(rows, columns) > 24
    share = glyphs.values[:, outside].sum(1) / glyphs.values.sum((1, 2))
    assert share.mean() < 1e-3


@pytest.mark.parametrize("shear", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("shape", range(4))
def test_no_shape_resembles_itself_or_another_at_any_other_angle(shape, shear):
    degrees = np.arange(-180, 180, 5)
    reference = render_glyphs(pose(shape, shear=shear), 48).ravel()
    for other in range(4):
        poses = pd.concat([pose(other, np.radians(a), 0, 0, shear) for a in degrees])
        images = render_glyphs(poses, 48).reshape(len(degrees), -1)
        alike = images @ reference / (reference @ reference)
        far = alike if other != shape else alike[np.abs(degrees) > 40]
        assert far.max() < 0.9


@pytest.mark.parametrize("shape", range(4))
def test_signed_distance_against_a_densely_drawn_outline(shape):
    from matplotlib.path import Path

    corners = outlines()[shape].astype(np.float32)
    along = np.linspace(0, 1, 2000)[:, None]
    drawn = np.concatenate(
        [
            a + along * (b - a)
            for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)
        ]
    )
    points = np.random.default_rng(0).uniform(-1, 1, (300, 2)).astype(np.float32)
    nearest = np.hypot(*(points[:, None] - drawn).transpose(2, 0, 1)).min(1)
    sign = np.where(Path(corners).contains_points(points), -1, 1)
    got = signed_distance(jnp.asarray(points), jnp.asarray(corners))
    np.testing.assert_allclose(got, sign * nearest, atol=1e-3)


def test_poses_are_drawn_as_asked():
    n = 4000
    truth = simulate_glyphs(1, num_images=n, size=16).truth
    assert abs(np.exp(1j * truth["angle"]).mean()) < 5 * (0.5 / n) ** 0.5 * 2**0.5
    assert truth["angle"].between(-np.pi, np.pi).all()
    for name, limit in {"shift_x": 1.28, "shift_y": 1.28, "shear": 0.3}.items():
        assert truth[name].abs().max() <= limit
        variance = limit**2 / 3  # of a uniform distribution; of its square 4/45 limit^4
        assert (
            abs((truth[name] ** 2).mean() - variance)
            < 5 * limit**2 * (4 / 45 / n) ** 0.5
        )
    counts = truth["shape"].value_counts()
    assert set(counts.index) == {0, 1, 2, 3}
    assert (counts - n / 4).abs().max() < 5 * (n * 3 / 16) ** 0.5
    normal = simulate_glyphs(1, num_images=n, size=16, angle=0.2).truth["angle"]
    assert abs(normal.std() / 0.2 - 1) < 5 / (2 * n) ** 0.5


def test_noise_is_added_last_and_not_clipped():
    quiet = simulate_glyphs(2, num_images=100, num_shapes=2)
    noisy = simulate_glyphs(2, num_images=100, num_shapes=2, noise=0.2)
    pd.testing.assert_frame_equal(quiet.truth, noisy.truth)
    assert quiet.truth["shape"].max() == 1
    assert quiet.values.min() >= 0
    assert quiet.values.max() <= 1 + 1e-6
    added = noisy.values - quiet.values
    n = added.size
    assert abs(added.std() / 0.2 - 1) < 5 / (2 * n) ** 0.5
    assert abs(added.mean()) < 5 * 0.2 / n**0.5


def test_same_seed_same_images(glyphs):
    again = simulate_glyphs(3, num_images=500)
    other = simulate_glyphs(4, num_images=500)
    np.testing.assert_array_equal(glyphs.values, again.values)
    assert not np.array_equal(glyphs.values, other.values)
    assert glyphs.values.dtype == np.float32
    assert glyphs.metadata["shapes"] == SHAPES
    np.testing.assert_allclose(glyphs.table[["x", "y"]], 23.5)
    np.testing.assert_array_equal(glyphs.table["frame"], np.arange(500))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_images": 0}, "num_images must be >= 1"),
        ({"size": 48.5}, "size must be a whole number"),
        ({"angle": "unifrom"}, "Did you mean 'uniform'"),
        ({"angle": -1.0}, "angle must lie in"),
        ({"shift": 0.7}, "shift must lie in"),
        ({"shear": np.nan}, "shear must lie in"),
        ({"noise": -0.1}, "noise must lie in"),
        ({"num_shapes": 5}, "num_shapes must be one of"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        simulate("glyphs", **options)
