import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats
from scipy.special import i0

from jaxrvae.config import ModelConfig, ObjectiveConfig
from jaxrvae.data.known import Known
from jaxrvae.geometry.circle import wrap
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.models import apply
from jaxrvae.models.affine import AffineModel
from jaxrvae.models.build import build_model
from jaxrvae.objectives.bound import Aim, bound_loss
from jaxrvae.priors.pose import angle_prior as make_prior

SIZE, NUMBER = 16, 3
render = jax.jit(AffineModel.render)


def some_images(number=NUMBER, channels=1):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    places = rng.uniform(-3, 3, (number, 3, 2, 1, 1))
    square = (columns - places[:, :, 0]) ** 2 + (rows - places[:, :, 1]) ** 2
    images = np.clip(np.exp(-square / 6).sum(1), 0, 1)[..., None]
    return (images * np.linspace(1, 0.5, channels)).astype(np.float32)


def prepared(**options):
    """The model, its graph, fresh weights and the features of some images."""
    options = {"decoder": "affine", "num_turns": 4, "hidden_dim": 16} | options
    config, images = ModelConfig(**options), some_images()
    model = build_model(config, images)
    graph, params = apply.fresh_networks(
        model, config, images, Known(config.num_classes)
    )
    projection = apply.project(model)
    found = apply.features(model, projection, jnp.asarray(images), True)
    return model, graph, params, found


def affine_loss(model, networks, found, angle_prior, key, progress=1.0):
    loc, concentration = angle_prior
    prior = make_prior({"loc": loc, "concentration": concentration})
    aim = Aim(ObjectiveConfig(), (jnp.zeros(96), prior))
    over = jnp.float32(progress)
    return bound_loss(model, networks, {}, found, aim, over, key)


def slow_loss(model, networks, found, angle_prior, key):
    """As the docstring says it, all pixels, image by image and copy by copy."""
    query = jax.jit(lambda f: model.query(networks, f))(found)
    content_key, angle_key, shift_key, _ = jax.random.split(key, 4)
    draws = [
        jax.random.normal(content_key, query.content.shape),
        jax.random.normal(angle_key, query.angle.shape),
        jax.random.normal(shift_key, query.shift.shape),
    ]
    content = query.content + jnp.exp(query.content_log_std) * draws[0]
    angles = query.angle + jnp.exp(query.angle_log_std) * draws[1]
    shift = query.shift + jnp.exp(query.shift_log_std) * draws[2]
    canonical = model.canonical(networks, content)
    noise, background = float(networks.noise), np.asarray(networks.background[...])
    loc, concentration = angle_prior

    def kl(mean, log_std, prior_std):
        mean, std = np.asarray(mean, float), np.exp(np.asarray(log_std, float))
        return (
            np.log(prior_std / std) + (std**2 + mean**2) / (2 * prior_std**2) - 0.5
        ).sum()

    grid = pixel_grid(*model.shape[:2])
    total = 0.0
    for b in range(len(content)):
        weights = np.asarray(jax.nn.softmax(query.logits[b]), float)
        for k in range(model.num_turns):
            angle, turn = angles[b, k], 2 * np.pi * k / model.num_turns
            moved = shift[b, k] if model.shifted else jnp.zeros(2)
            image = render(model, canonical[b], grid, angle, moved, jnp.ones(()))
            image = np.asarray(image, float) + background
            data = np.asarray(found["images"][b], float)
            if model.likelihood == "bernoulli":
                likelihood = (data * image - np.logaddexp(0, image)).sum()
            else:
                likelihood = stats.norm(image, noise).logpdf(data).sum()
            bin_width = np.pi / model.num_turns
            part = likelihood
            off, log_std = query.angle[b, k] - turn, query.angle_log_std[b, k]
            part -= kl(off, log_std, bin_width)
            if model.shifted:
                spread = query.shift_log_std[b, k]
                part -= kl(query.shift[b, k], spread, model.shift_std[0])
            part -= np.log(weights[k] * model.num_turns)
            part += concentration * np.cos(angle - loc) - np.log(i0(concentration))
            total += weights[k] * part
        total -= kl(query.content[b], query.content_log_std[b], 1.0)
    return -total / len(content)


CASES = {
    "shift": {},
    "rotation alone": {"pose": ("rotation",)},
    "cubic, bernoulli": {"decoder": "affine-cubic", "likelihood": "bernoulli"},
}


@pytest.mark.slow
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_bound_averaged_over_the_lattice_is_the_slow_loop(options):
    model, graph, params, found = prepared(**options)
    key, networks = jax.random.key(3), nnx.merge(graph, params)
    expected = slow_loss(model, networks, found, (0.7, 2.0), key)

    @jax.jit
    def from_corner(corner):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax.random, "randint", lambda *_: corner)
            return affine_loss(model, networks, found, (0.7, 2.0), key)[0]

    corners = [from_corner(jnp.array(at)) for at in np.ndindex(2, 2)]
    assert np.ptp(corners) > 1e-3
    np.testing.assert_allclose(np.mean(corners), expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("concentration", [0.0, 1000.0])
def test_angle_prior_may_be_uniform_or_very_sharp(concentration):
    model, graph, params, found = prepared(pose=("rotation",))
    networks, key = nnx.merge(graph, params), jax.random.key(0)
    values = [
        affine_loss(model, networks, found, (loc, concentration), key)[0]
        for loc in (0.0, 1.3)
    ]
    assert np.isfinite(values).all()
    assert (values[0] == values[1]) == (concentration == 0)


def test_bound_does_not_change_when_the_image_turns_by_one_copy():
    """The copies trade places; the samples are taken out of the comparison."""
    model, graph, params, found = prepared()
    networks = nnx.merge(graph, params)
    turned = jnp.rot90(found["images"], axes=(1, 2))
    images = turned * model.scale + model.offset
    turned_found = apply.features(model, apply.project(model), images, True)
    query, turned_query = (
        jax.jit(lambda f: model.query(networks, f))(f) for f in (found, turned_found)
    )
    np.testing.assert_allclose(turned_query.content, query.content, atol=1e-4)
    np.testing.assert_allclose(
        turned_query.logits, jnp.roll(query.logits, 1, 1), atol=1e-4
    )
    np.testing.assert_allclose(
        wrap(turned_query.angle - jnp.roll(query.angle, 1, 1) - np.pi / 2),
        0.0,
        atol=1e-4,
    )
    shift = jnp.roll(query.shift, 1, 1)
    quarter = jnp.stack([-shift[..., 1], shift[..., 0]], -1)  # counter-clockwise
    np.testing.assert_allclose(turned_query.shift, quarter, atol=1e-4)


@pytest.mark.slow
def test_slope_against_finite_differences():
    model, graph, params, found = prepared()
    key = jax.random.key(5)
    flat, rebuild = jax.flatten_util.ravel_pytree(params)
    toward = jnp.asarray(
        np.random.default_rng(0).standard_normal(len(flat)), flat.dtype
    )
    toward /= jnp.linalg.norm(toward)

    @jax.jit
    def along(size):
        networks = nnx.merge(graph, rebuild(flat + size * toward))
        return affine_loss(model, networks, found, (0.0, 0.0), key)[0]

    slope = jax.jit(jax.grad(along))(0.0)
    finite = (along(0.01) - along(-0.01)) / 0.02
    np.testing.assert_allclose(slope, finite, rtol=0.02, atol=0.02)
