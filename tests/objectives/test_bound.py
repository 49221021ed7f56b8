import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxrvae.config import ModelConfig, ObjectiveConfig
from jaxrvae.data.known import Known
from jaxrvae.models import apply
from jaxrvae.models.build import build_model
from jaxrvae.objectives.bound import (
    Aim,
    bound_loss,
    image_weights,
    kl_cost,
    shared_evenly,
)
from jaxrvae.objectives.build import angle_priors

SIZE, NUMBER = 16, 4
KL = jnp.array([[0.5, 2.0], [1.5, 4.0]])


def some_images():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    places = rng.uniform(-3, 3, (NUMBER, 3, 2, 1, 1))
    square = (columns - places[:, :, 0]) ** 2 + (rows - places[:, :, 1]) ** 2
    return np.clip(np.exp(-square / 6).sum(1), 0, 1)[..., None].astype(np.float32)


def prepared(known=None, **options):
    """A function of objective and keys to the losses and their parts, key by key."""
    options = {"num_turns": 4, "hidden_dim": 16, "pose": ("rotation",)} | options
    config, images = ModelConfig(**options), some_images()
    model = build_model(config, images)
    graph, params = apply.fresh_networks(
        model, config, images, Known(config.num_classes)
    )
    projection = apply.project(model)
    found = apply.features(model, projection, jnp.asarray(images), True)
    found |= {name: jnp.asarray(values) for name, values in (known or {}).items()}
    networks, priors = nnx.merge(graph, params), angle_priors(config)

    def loss(objective, keys):
        def one(key):
            over = jnp.ones(())
            aim = Aim(objective, priors)
            return bound_loss(model, networks, projection, found, aim, over, key)

        return jax.jit(lambda keys: jax.lax.map(one, keys))(keys)

    return loss


@pytest.mark.parametrize(
    ("options", "progress", "cost"),
    [
        ({}, 0.3, 4.0),
        ({"beta": 3.0}, 0.3, 12.0),
        ({"beta": 3.0, "ramp": 0.5}, 0.25, 6.0),
        ({"beta": 3.0, "ramp": 0.5}, 0.75, 12.0),
        ({"free_bits": 2.0}, 1.0, 5.0),  # the first number holds less than that
        ({"capacity": 6.0, "capacity_weight": 30.0}, 1.0, 60.0),
        ({"capacity": 6.0, "ramp": 0.5, "capacity_weight": 1.0}, 0.25, 1.0),
    ],
)
def test_what_the_content_costs(options, progress, cost):
    objective = ObjectiveConfig(**options)
    np.testing.assert_allclose(kl_cost(KL, objective, jnp.float32(progress), 2), cost)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"decoder": "affine"}])
def test_more_samples_make_the_bound_tighter(options):
    """Averages of the bound over draws rise with the samples (Burda et al. 2016)."""
    loss, keys = prepared(**options), jax.random.split(jax.random.key(0), 40)
    means, errors = [], []
    for number in (1, 8, 64):
        values = np.asarray(loss(ObjectiveConfig(num_samples=number), keys)[0], float)
        means.append(values.mean())
        errors.append(values.std() / np.sqrt(len(keys)))
    assert means[1] < means[0] + 5 * np.hypot(errors[0], errors[1])
    assert means[2] < means[1] + 5 * np.hypot(errors[1], errors[2])
    assert means[2] < means[0]


def test_every_class_gets_as_many_images():
    bounds = jnp.asarray(np.random.default_rng(0).normal(0, 2, (3, 300)), jnp.float32)
    bounds = bounds + jnp.array([[0.0], [3.0], [-4.0]])
    shares = jax.nn.softmax(bounds + shared_evenly(bounds), axis=0).sum(1)
    np.testing.assert_allclose(shares, 100, rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["steerable", "affine"])
def test_the_class_summed_out_is_the_mean_over_known_ones(decoder):
    """log p(x) = log sum_c p(x, c), with the same draw of the content."""
    plain, keys = ObjectiveConfig(), jax.random.split(jax.random.key(0), 1)

    def likelihood(label):
        known = {"label": np.full(NUMBER, label, np.int32)}
        # the encoder reads no label, so that the content is the same
        loss = prepared(known, decoder=decoder, num_classes=3)
        return loss(plain, keys)[1]["log_likelihood"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "jaxrvae.models.steerable.known_numbers", lambda *_: jnp.zeros((NUMBER, 3))
        )
        patch.setattr(
            "jaxrvae.models.affine.known_numbers", lambda *_: jnp.zeros((NUMBER, 3))
        )
        held = np.array([likelihood(label) for label in range(3)])
        free = likelihood(-1)
    assert free > held.mean() - 1e-3  # log-sum-exp lies above the mean


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "decoder"),
    [
        ({"name": "mixture", "components": 3}, "affine"),
        ({"name": "vamp", "components": 3}, "affine"),
        ({"name": "vamp", "components": 3}, "steerable"),
        ("flow", "steerable"),
    ],
)
def test_learned_priors_have_slopes(prior, decoder):
    config, images = (
        ModelConfig(prior=prior, decoder=decoder, num_turns=4, hidden_dim=8),
        some_images(),
    )
    model = build_model(config, images)
    graph, params = apply.fresh_networks(
        model, config, images, Known(config.num_classes)
    )
    projection = apply.project(model)
    found = apply.features(model, projection, jnp.asarray(images), True)

    @jax.jit
    @jax.grad
    def slope(params):
        networks, over = nnx.merge(graph, params), jnp.ones(())
        aim, key = Aim(ObjectiveConfig(), angle_priors(config)), jax.random.key(1)
        return bound_loss(model, networks, projection, found, aim, over, key)[0]

    found = nnx.to_pure_dict(slope(params)["prior"])
    sizes = [float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(found)]
    assert all(np.isfinite(sizes))
    assert max(sizes) > 0


def test_labelled_images_alone_count_at_the_start():
    features = {"label": jnp.array([-1, 2, -1, 0])}
    np.testing.assert_allclose(image_weights(features, jnp.zeros(())), [0, 2, 0, 2])
    np.testing.assert_allclose(image_weights(features, jnp.ones(())), 1.0)
    half = image_weights(features, jnp.array(0.5))
    np.testing.assert_allclose(half, np.array([1, 2, 1, 2]) / 1.5)
    assert image_weights({}, jnp.zeros(())) == 1.0
    none = {"label": jnp.full(3, -1)}
    np.testing.assert_array_equal(image_weights(none, jnp.zeros(())), 0.0)
