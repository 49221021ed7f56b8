import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import ive, logsumexp

from jaxrvae.geometry.polar import fourier_bessel, turn
from jaxrvae.models import apply
from jaxrvae.models.likelihoods import (
    FAMILIES,
    log_likelihood,
    log_partition,
    mean_of,
)
from jaxrvae.models.marginal import (
    explain,
    log_normalizer,
    marginal_log_likelihood,
    natural_pixels,
)
from jaxrvae.models.steerable import SteerableModel, SteerableNetworks

SIZE, FREQUENCY, NUMBER = 16, 0.2, 6
BASIS = fourier_bessel(SIZE, SIZE, FREQUENCY)


def make_model(ticks=(0.0,), num_angles=96):
    return SteerableModel(
        BASIS,
        jnp.zeros(1),
        jnp.ones(1),
        (SIZE, SIZE, 1),
        FREQUENCY,
        tuple(float(tick) for tick in ticks),
        num_angles,
    )


def features_of(model, images):
    return apply.features(model, jax.jit(type(model).projection)(model), images, True)


def smooth_canonical(number=NUMBER, seed=0):
    """Coefficients, of unit norm, of images of four blobs away from the edge."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    places = rng.uniform(-2.5, 2.5, (number, 4, 2, 1, 1))
    square = (columns - places[:, :, 0]) ** 2 + (rows - places[:, :, 1]) ** 2
    heights = rng.uniform(-1, 1, (number, 4, 1, 1))
    images = jnp.asarray((heights * np.exp(-square / 4)).sum(1), jnp.float32)
    coefs = features_of(make_model(), images[..., None])["coefs"][:, 0]
    return coefs / jnp.linalg.norm(coefs, axis=1, keepdims=True)


def observed(model, canonical, noise, seed=1):
    """Features of the canonical images at random poses, with noise."""
    rng = np.random.default_rng(seed)
    number, reach = len(canonical), 0.7 * max(model.ticks)
    angle = rng.uniform(-np.pi, np.pi, number)
    shift = rng.uniform(-reach, reach, (number, 2)) / (SIZE / 2)
    images = render(
        model,
        canonical,
        jnp.asarray(angle, jnp.float32),
        jnp.asarray(shift, jnp.float32),
        jnp.ones(number),
    )
    images += noise * rng.standard_normal(images.shape, dtype=np.float32)
    return jnp.asarray(images, jnp.float32)


evaluate = jax.jit(marginal_log_likelihood)
render = jax.jit(jax.vmap(SteerableModel.render, (None, 0, 0, 0, 0)))


def found_for(model, images, canonical, noise, log_prior=None):
    log_prior = jnp.zeros(96) if log_prior is None else log_prior
    features = features_of(model, images)
    return evaluate(model, features, canonical, jnp.float32(noise**2), log_prior)


def integrated(fine, coarse, images, canonical, noise, log_prior=0.0):
    """The same by summing a fine grid of poses in float64.

    Each of the coarse grid's places stands for the square of one step around it.
    """
    features = features_of(fine, images)
    harmonics = fine.fold(features["coefs"], canonical)
    grid = np.asarray(jax.jit(type(fine).correlations)(fine, harmonics), np.float64)
    share = 1.0
    if len(coarse.ticks) > 1:
        steps = [model.ticks[1] - model.ticks[0] for model in (fine, coarse)]
        share = (steps[0] / (steps[1] * len(coarse.ticks))) ** 2
    weighted = (grid / noise**2 + log_prior).reshape(len(images), -1)
    correlation = logsumexp(weighted, axis=1) + np.log(share / fine.num_angles)
    square = np.asarray(features["energy"]) + np.square(np.asarray(canonical)).sum(1)
    constant = 0.5 * coarse.num_modes * np.log(2 * np.pi * noise**2)
    return correlation - 0.5 * square / noise**2 - constant


def von_mises(angles, loc, concentration):
    normal = np.log(ive(0, concentration)) + concentration
    return concentration * np.cos(angles - loc) - normal


# A peak is about one grid step wide at noise 0.3, a tenth of one at 0.02.
@pytest.mark.parametrize("noise", [1.0, 0.3, 0.1, 0.05, 0.02])
def test_angle_is_integrated_to_a_twentieth_of_a_nat(noise):
    model, canonical = make_model(), smooth_canonical()
    images = observed(model, canonical, noise)
    found = found_for(model, images, canonical, noise)
    fine = make_model(num_angles=96 * 64)
    expected = integrated(fine, model, images, canonical, noise)
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_without_the_correction_a_narrow_peak_would_be_missed():
    model, canonical = make_model(), smooth_canonical()
    images = observed(model, canonical, 0.02)
    expected = integrated(
        make_model(num_angles=96 * 64), model, images, canonical, 0.02
    )
    grid_alone = integrated(model, model, images, canonical, 0.02)
    assert np.abs(grid_alone - expected).max() > 0.5


# The peak is wider than the step of the places at noise 1; at 0.1 it is a narrow ridge
# along which turn and shift make up for each other, and the grid alone is 3 nats off.
@pytest.mark.parametrize(("noise", "nats"), [(1.0, 0.1), (0.5, 0.2), (0.1, 0.7)])
def test_angle_and_shift_are_integrated(noise, nats):
    model, canonical = make_model(np.linspace(-2, 2, 5)), smooth_canonical()
    images = observed(model, canonical, noise)
    found = found_for(model, images, canonical, noise)
    fine = make_model(np.linspace(-2.5, 2.5, 41), 192)
    expected = integrated(fine, model, images, canonical, noise)
    np.testing.assert_allclose(found, expected, atol=nats)


@pytest.mark.parametrize("noise", [1.0, 0.1])
def test_prior_of_the_angle_weighs_the_angles(noise):
    model, canonical = make_model(), smooth_canonical()
    images = observed(model, canonical, noise)
    log_prior = von_mises(model.angles(), 0.5, 4.0)
    found = found_for(
        model,
        images,
        canonical,
        noise,
        jnp.asarray(log_prior, jnp.float32),
    )
    fine = make_model(num_angles=96 * 64)
    fine_prior = von_mises(fine.angles(), 0.5, 4.0)
    expected = integrated(fine, model, images, canonical, noise, fine_prior)
    np.testing.assert_allclose(found, expected, atol=0.05)


@pytest.mark.parametrize("ticks", [(0.0,), (-2.0, 0.0, 2.0)])
def test_value_does_not_change_with_a_quarter_turn_of_the_image(ticks):
    model, canonical = make_model(ticks), smooth_canonical()
    images = observed(model, canonical, 0.1)
    turned = jnp.rot90(images, axes=(1, 2))
    args = canonical, 0.1
    np.testing.assert_allclose(
        found_for(model, turned, *args), found_for(model, images, *args), rtol=1e-4
    )


def test_value_does_not_change_with_a_turn_by_one_step_of_the_grid():
    model, canonical = make_model(), smooth_canonical()
    features = features_of(model, observed(model, canonical, 0.05))
    step = jnp.full((NUMBER, 1), 2 * np.pi / 96)
    turned = turn(features["coefs"], jnp.array(model.orders), step)
    values = [
        evaluate(
            model,
            {**features, "coefs": coefs},
            canonical,
            jnp.float32(0.0025),
            jnp.zeros(96),
        )
        for coefs in (features["coefs"], turned)
    ]
    np.testing.assert_allclose(values[1], values[0], rtol=1e-4)


def test_slope_against_finite_differences():
    model, canonical = make_model(np.linspace(-2, 2, 5)), smooth_canonical(2)
    images = observed(model, canonical, 0.3)
    toward = smooth_canonical(2, seed=9)

    def total(size):
        moved = canonical + size * toward
        return found_for(model, images, moved, 0.3).sum()

    slope = jax.jit(jax.grad(total))(jnp.float32(0.0))
    finite = (total(jnp.float32(0.005)) - total(jnp.float32(-0.005))) / 0.01
    np.testing.assert_allclose(slope, finite, rtol=0.02, atol=0.02)


def test_noise_that_explains_the_residual_is_the_likeliest():
    model, canonical = make_model(), smooth_canonical(40)
    images = observed(model, canonical, 0.1)
    levels = [0.08, 0.1, 0.125]
    values = [found_for(model, images, canonical, level).mean() for level in levels]
    assert values[1] > max(values[0], values[2])


def test_model_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_model().ticks = (1.0,)


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("ticks", [(0.0,), (-1.0, -0.5, 0.0, 0.5, 1.0)])
def test_families_against_the_likelihood_of_every_rendered_pose(kind, ticks):
    """The pose meets the image in `sum x eta` alone; nothing else may depend on it."""
    model = dataclasses.replace(
        make_model(ticks),
        likelihood=kind,
        offset=jnp.array([0.2]),
        scale=jnp.array([0.7]),
    )
    canonical = 4 * smooth_canonical()
    networks = SteerableNetworks(
        model.orders, 2, 4, 8, background=jnp.array([-0.5]), rngs=nnx.Rngs(0)
    )
    points = [(0.3, (0.02, -0.05)), (-2.0, (0.0, 0.0)), (1.4, (-0.04, 0.01))] * 2
    rng, images = np.random.default_rng(3), []
    for coefs, (angle, shift) in zip(canonical, points, strict=True):
        moved = jnp.array(shift if len(ticks) > 1 else (0.0, 0.0))
        natural = render_one(model, coefs, jnp.array(angle), moved) - 0.5
        mean = np.asarray(mean_of(kind, natural), float)
        images.append(rng.poisson(mean) if kind == "poisson" else mean)
    images = jnp.asarray(np.stack(images), jnp.float32)
    projection = jax.jit(SteerableModel.projection)(model)
    features = apply.features(model, projection, images, True)
    found = jax.jit(explain)(
        model, networks, projection, features, canonical, jnp.zeros(96)
    )

    @jax.jit
    def every_pose(coefs, image):
        unit = jnp.array([1.0, -1.0]) / (SIZE / 2)
        places = jnp.stack([jnp.array([x, y]) for y in ticks for x in ticks]) * unit
        angles = jnp.asarray(model.angles(), jnp.float32)
        by_angle = jax.vmap(render_one, (None, None, 0, None))
        natural = jax.vmap(by_angle, (None, None, None, 0))(
            model, coefs, angles, places
        )
        return log_likelihood(kind, image, natural - 0.5, jnp.ones(()))

    for i in range(NUMBER):
        nats = np.asarray(every_pose(canonical[i], images[i]), float)
        expected = logsumexp(nats) - np.log(nats.size)
        # the pixels' sum is not quite the basis's, and A's sum not quite that of pose 0
        size = np.ptp(nats)
        assert abs(float(found[i]) - expected) < 0.2 + 0.03 * size
        assert size > 0.5  # the pose does matter


def test_normalizer_is_taken_over_the_poses():
    """Not at pose zero alone, where a decoder could lower it between the pixels."""
    model = dataclasses.replace(make_model(), likelihood="poisson")
    projection = jax.jit(SteerableModel.projection)(model)
    rng = np.random.default_rng(0)  # all detail that the basis has
    sharp = jnp.asarray(rng.normal(0, 0.5, (2, 2 * len(model.orders))), jnp.float32)

    @jax.jit
    def at(angle):
        natural = natural_pixels(model, projection, sharp, angle)
        return log_partition("poisson", natural).sum((1, 2))

    every = np.asarray([at(angle) for angle in model.angles()], float)
    assert (np.ptp(every, axis=0) > 0.1).all()  # the poses do differ
    expected = logsumexp(every, axis=0) - np.log(len(every))

    @jax.jit
    def estimate(key):
        own = projection, sharp, jnp.zeros(1), jnp.zeros(96), key
        return log_normalizer(model, *own)

    # exp of it is an unbiased estimate from four poses
    few = np.asarray([estimate(jax.random.key(i)) for i in range(1000)], float)
    weights = np.exp(few - expected)
    error = weights.std(axis=0) / np.sqrt(len(few))
    assert (np.abs(weights.mean(0) - 1) < 4 * error + 1e-4).all()


def render_one(model, coefs, angle, shift):
    return model.render(coefs, angle, shift, jnp.ones(()))
