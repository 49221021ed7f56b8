import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import ndimage

from jaxrvae.config import ModelConfig
from jaxrvae.data.known import Known
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.models import apply
from jaxrvae.models.affine import AffineModel
from jaxrvae.models.build import build_model

HEIGHT, WIDTH = 20, 18
render = jax.jit(AffineModel.render)


def blobs(number=3, seed=0):
    """Smooth images in [0, 1] away from the edges, one channel."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    y, x = rows - (HEIGHT - 1) / 2, columns - (WIDTH - 1) / 2
    places = rng.uniform(-3, 3, (number, 3, 2, 1, 1))
    square = (x - places[:, :, 0]) ** 2 + (y - places[:, :, 1]) ** 2
    return (np.exp(-square / 6).sum(1)[..., None] / 3).astype(np.float32)


def make_model(**options):
    return build_model(ModelConfig(**({"decoder": "affine"} | options)), blobs())


def rendered(model, image, angle=0.0, shift=(0.0, 0.0), scale=1.0):
    """The shift in pixels, downwards."""
    unit = jnp.array([shift[0], -shift[1]]) / (HEIGHT / 2)
    points = pixel_grid(HEIGHT, WIDTH)
    canonical, pose = jnp.asarray(image), (jnp.array(angle), unit, jnp.array(scale))
    return np.asarray(render(model, canonical, points, *pose))[..., 0]


def test_pose_zero_gives_the_canonical_pixels():
    np.testing.assert_allclose(
        rendered(make_model(), blobs()[0]), blobs()[0, ..., 0], atol=1e-5
    )


def test_rendering_turns_counter_clockwise_then_moves_right_and_down():
    angle, shift = 0.8, (1.5, -0.75)
    image = blobs()[0]
    found = rendered(make_model(), image, angle, shift)
    expected = ndimage.rotate(image[..., 0], np.degrees(angle), reshape=False, order=3)
    expected = ndimage.shift(expected, shift[::-1], order=3)
    # straight lines between the pixels cut a few per cent off a blob's top
    assert np.linalg.norm(found - expected) < 0.06 * np.linalg.norm(expected)


def test_rendering_scales_about_the_centre():
    image, centre = blobs()[0], np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])
    found = rendered(make_model(), image, scale=0.8)
    expected = ndimage.affine_transform(
        image[..., 0], [1.25] * 2, -0.25 * centre, order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_cubic_rendering_is_the_spline_of_its_coefficients():
    image = blobs()[0]
    coefs = ndimage.spline_filter(np.pad(image[..., 0], 12), mode="mirror")
    coefs = coefs[12:-12, 12:-12, None].astype(np.float32)
    found = rendered(make_model(decoder="affine-cubic"), coefs, 0.8)
    expected = ndimage.rotate(image[..., 0], np.degrees(0.8), reshape=False, order=3)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_recorded_images_have_the_background_and_the_units(likelihood):
    images = blobs()
    config = ModelConfig(decoder="affine", likelihood=likelihood, hidden_dim=8)
    model = build_model(config, images)
    graph, params = apply.fresh_networks(
        model, config, images, Known(config.num_classes)
    )
    networks = nnx.merge(graph, params)
    found = model.recorded(networks, jnp.zeros((2, HEIGHT, WIDTH, 1)))
    edge = np.concatenate([images[:, 0], images[:, -1]]).mean()
    # an empty image is the patches' edge: probabilities stay off 0 by a hundredth
    np.testing.assert_allclose(found, edge, atol=0.02)


def test_encoder_sees_the_same_whatever_the_brightness_of_the_camera():
    images = blobs()
    queries = []
    for recorded in (images, 50 * images + 7):
        config = ModelConfig(decoder="affine", hidden_dim=8)
        model = build_model(config, recorded)
        found = apply.features(model, apply.project(model), jnp.asarray(recorded), True)
        queries.append(found["coefs"])
    np.testing.assert_allclose(queries[0], queries[1], atol=1e-3)


def test_images_moved_back_lie_as_at_pose_zero():
    model = make_model(
        encoder="moved-back",
        likelihood="bernoulli",
        pose=("rotation", "shift", "scale"),
    )
    assert model.moved_back
    image, (angle, shift, scale) = blobs()[0], (0.8, (1.5, -0.75), 0.9)
    seen = rendered(model, image, angle, shift, scale)
    unit = jnp.array([shift[0], -shift[1]]) / (HEIGHT / 2)
    pose = jnp.full((1, 1), angle), unit[None, None], jnp.full((1, 1), scale)
    back = model._moved_back(jnp.asarray(seen)[None, ..., None], *pose)
    expected = (image.ravel() - model.offset) / model.scale
    left = np.linalg.norm(back[0, 0] - expected)
    # two lookups between pixels blur; half a pixel off would leave 0.3
    assert left < 0.12 * np.linalg.norm(expected)
