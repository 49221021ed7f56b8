"""What the model can be beside its defaults: classes, conditions, priors, counts."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from jaxrvae.analysis.scores import mixture_accuracy, pose_scores
from jaxrvae.estimator import RVAE
from jaxrvae.simulate import simulate

pytestmark = pytest.mark.usefixtures("compile_once")

NUMBER, SIZE = 600, 20


def glyphs(seed=0, number=NUMBER, **options):
    options = {"shift": 0.0, "shear": 0.0, "num_shapes": 2} | options
    return simulate("glyphs", seed=seed, num_images=number, size=SIZE, **options)


def fit(images, epochs=30, labels=None, conditions=None, objective=None, **options):
    model = RVAE(hidden_dim=64, **({"pose": ("rotation",)} | options))
    return model.fit(
        images,
        labels=labels,
        conditions=conditions,
        objective=objective,
        epochs=epochs,
        batch_size=50,
        progress=False,
    )


def shapes(patches):
    return patches.truth["shape"].to_numpy()


@pytest.mark.very_slow
@pytest.mark.parametrize("decoder", ["steerable", "affine"])
def test_counts_give_the_angle_and_the_shape(decoder):
    """Poisson counts, two a pixel where the glyph is and a tenth where it is not."""
    rng, new = np.random.default_rng(0), glyphs(1, 200)
    train = glyphs(0)
    counts = [
        rng.poisson(0.1 + 1.9 * p.values).astype(np.float32) for p in (train, new)
    ]
    model = fit(counts[0], decoder=decoder, likelihood="poisson")
    latents = model.encode(counts[1])
    assert pose_scores(latents, new.truth)["R"].min() > 0.9
    if decoder == "steerable":  # so few images teach the affine one the pose alone
        known = model.encode(counts[0])
        assert mixture_accuracy(known.content, latents.content, shapes(new)) > 0.9
    rates = model.decode(latents.content, latents.angle)
    assert rates.min() >= 0
    np.testing.assert_allclose(rates.mean(), counts[1].mean(), rtol=0.1)


@pytest.mark.very_slow
def test_bernoulli_with_the_angle_integrated_out():
    train, new = glyphs(), glyphs(1, 200)
    model = fit(train, decoder="steerable", likelihood="bernoulli")
    latents = model.encode(new)
    scores = pose_scores(latents, new.truth)
    assert scores["R"].min() > 0.98
    images = model.reconstruct(new)
    assert images.min() >= 0
    assert images.max() <= 1
    share = np.square(images - new.values).mean() / new.values.var()
    assert share < 0.1


@pytest.fixture(scope="module")
def labelled(compile_once):
    """Fitted with one label in ten, 60 of 600."""
    train = glyphs()
    labels = np.where(np.arange(NUMBER) % 10 == 0, shapes(train), -1)
    return fit(train, labels=labels, num_classes=2)


@pytest.mark.very_slow
def test_few_labels_teach_the_classes(labelled):
    new = glyphs(1, 200)
    latents = labelled.encode(new)
    assert latents.class_probabilities.shape == (200, 2)
    np.testing.assert_allclose(latents.class_probabilities.sum(1), 1, rtol=1e-5)
    assert (latents.class_probabilities.argmax(1) == shapes(new)).mean() > 0.98
    assert pose_scores(latents, new.truth)["R"].min() > 0.98
    assert "class" in latents.to_dataframe()


@pytest.mark.very_slow
@pytest.mark.parametrize("seed", range(3))
def test_four_shapes_are_four_classes_without_a_label(seed):
    train, new = glyphs(num_shapes=4), glyphs(1, 200, num_shapes=4)
    latents = fit(train, num_classes=4, seed=seed).encode(new)
    counted = np.zeros((4, 4), int)
    np.add.at(counted, (shapes(new), latents.class_probabilities.argmax(1)), 1)
    assert counted.max(1).sum() >= 198
    assert len(set(counted.argmax(1))) == 4


@pytest.mark.very_slow
def test_classes_are_decoded_and_kept_in_the_file(labelled, tmp_path):
    new, zero = glyphs(1, 40), np.zeros((1, 2), np.float32)
    decoded = [labelled.decode(zero, label=label)[0] for label in (0, 1)]
    assert np.square(decoded[0] - decoded[1]).mean() > 0.01
    np.testing.assert_array_equal(labelled.decode(zero)[0], decoded[0])
    assert labelled.manifold((3, 2), label=1).shape == (3, 2, SIZE, SIZE)
    labelled.save(tmp_path / "model.npz")
    again = RVAE.load(tmp_path / "model.npz")
    first, second = labelled.encode(new), again.encode(new)
    np.testing.assert_array_equal(first.angle, second.angle)
    np.testing.assert_array_equal(first.class_probabilities, second.class_probabilities)


@pytest.mark.very_slow
def test_content_need_not_hold_what_is_given(tmp_path):
    """One glyph with shear: given it, the content has little left to say of it."""
    train, new = (
        glyphs(s, n, num_shapes=1, shear=0.3) for s, n in ((0, NUMBER), (1, 200))
    )

    shears = [p.truth["shear"].to_numpy() for p in (train, new)]
    plain, told = fit(train), fit(train, conditions=shears[0])
    needed = [model.history["kl_content"].iloc[-1] for model in (plain, told)]
    assert needed[1] < needed[0] - 1.0
    seen = told.reconstruct(new, conditions=shears[1])
    assert np.square(seen - new.values).mean() < 0.1 * new.values.var()
    told.save(tmp_path / "model.npz")
    again = RVAE.load(tmp_path / "model.npz")
    images = again.decode(np.zeros((2, 2)), condition=np.array([-0.3, 0.3]))
    assert np.square(images[0] - images[1]).mean() > 0.1 * new.values.var()
    with pytest.raises(ValueError, match="fitted with 1 conditions an image; got 0"):
        again.encode(new)
    assert again.check(new, conditions=shears[1]) == told.check(
        new, conditions=shears[1]
    )


@pytest.mark.very_slow
@pytest.mark.parametrize(
    "prior", [{"name": "mixture", "components": 4}, "vamp", "flow"], ids=str
)
def test_manifold_follows_a_learned_prior(prior, tmp_path):
    train = glyphs(number=200)
    model = fit(train, epochs=6, prior=prior)
    images = model.manifold((2, 3))
    assert images.shape == (2, 3, SIZE, SIZE)
    turned = model.manifold((3, 2), axes=(1, 0))
    swapped = turned[::-1].swapaxes(0, 1)[::-1]  # rows go up
    np.testing.assert_allclose(swapped, images, atol=1e-5)
    with pytest.raises(ValueError, match="axes must be two contents of 0 ... 1"):
        model.manifold((2, 3), axes=(0, 2))
    assert np.isfinite(images).all()
    model.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(
        RVAE.load(tmp_path / "model.npz").manifold((2, 3)), images
    )


@pytest.mark.very_slow
def test_beta_and_capacity_hold_the_content():
    train = glyphs(number=200)
    free = fit(train, epochs=15).history["kl_content"].iloc[-1]
    dear = fit(train, epochs=15, objective={"beta": 20.0})
    held = fit(train, epochs=60, objective={"capacity": 1.0, "ramp": 0.5})
    assert dear.history["kl_content"].iloc[-1] < 0.7 * free
    np.testing.assert_allclose(held.history["kl_content"].iloc[-1], 1.0, atol=0.3)


@pytest.mark.parametrize(
    ("options", "given", "message"),
    [
        ({}, {"labels": np.zeros(20, int)}, "Make the model with num_classes=2"),
        ({"num_classes": 2}, {"labels": np.full(20, 2)}, "must lie in 0 ... 1"),
        ({"num_classes": 2}, {"labels": np.zeros(19, int)}, "labels must be 20"),
        ({"num_classes": 2}, {"labels": np.zeros(20)}, "whole numbers; got float64"),
        ({}, {"conditions": np.zeros(19)}, r"conditions must be \(20,\)"),
        ({}, {"conditions": np.full(20, np.inf)}, "conditions must not be infinite"),
        ({}, {"conditions": np.full(20, np.nan)}, "missing for every image"),
        ({"prior": "vamp"}, {"conditions": np.zeros(20)}, "Take prior='mixture'"),
        ({}, {"objective": {"betta": 2.0}}, "Did you mean 'beta'"),
    ],
)
def test_what_does_not_fit_is_refused_before_training(options, given, message):
    images = glyphs(number=20)
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        fit(images, epochs=1, **options, **given)
    assert "\n" not in str(caught.value)


def test_counts_must_not_be_negative():
    with pytest.raises(ValueError, match="likelihood='poisson' needs pixels in"):
        fit(glyphs(number=20).values - 1.0, epochs=1, likelihood="poisson")


def plain_gaussian(images):
    """Nats per image of white noise about each pixel's mean: what a model must beat."""
    flat = images.reshape(len(images), -1)
    rest = flat - flat.mean(0)
    spread = rest.var()
    square = np.square(rest).sum(1) / spread
    return -0.5 * (square + flat.shape[1] * np.log(2 * np.pi * spread))


@pytest.mark.very_slow
def test_evidence_is_of_the_recorded_pixels_and_rises_with_samples(tmp_path):
    """In other units of the pixels it moves by the logarithm of the unit, a pixel."""
    train, new = glyphs(noise=0.2), glyphs(1, 60, noise=0.2)
    model = fit(train)
    few, many = (model.log_evidence(new, num_samples=n) for n in (1, 30))
    assert many.shape == (60,)
    assert many.mean() > few.mean()
    assert many.mean() > plain_gaussian(new.values).mean() + 20
    other = fit(10 * train.values + 3)
    moved = other.log_evidence(10 * new.values + 3, num_samples=30)
    expected = many.mean() - SIZE**2 * np.log(10)
    # a training of its own, so the same but for its luck
    np.testing.assert_allclose(moved.mean(), expected, atol=15)
    model.save(tmp_path / "model.npz")
    again = RVAE.load(tmp_path / "model.npz").log_evidence(new, num_samples=30)
    np.testing.assert_array_equal(again, many)


@pytest.mark.very_slow
def test_decoders_agree_on_the_evidence():
    """Of noisy images of one shape both come near the truth: what the noise leaves."""
    train, new = (glyphs(s, n, num_shapes=1, noise=0.2) for s, n in ((0, 400), (1, 60)))
    noise = -0.5 * SIZE**2 * (1 + np.log(2 * np.pi * 0.2**2))
    for decoder in ("steerable", "affine"):
        found = fit(train, decoder=decoder, epochs=30).log_evidence(new, 20).mean()
        assert noise - 60 < found < noise + 10  # the angle costs some nats


@pytest.mark.very_slow
def test_without_rotation_the_angle_is_content():
    """No angle is stated, the content goes round with it, and the shift is found.

    Where a glyph's own place is, as it turns, is the content's to say: the shift is
    held against the truth from patches of like content.
    """
    train, new = (
        glyphs(s, n, num_shapes=1, shift=0.1) for s, n in ((0, 600), (1, 400))
    )
    model = fit(train, pose=("shift",), epochs=120)
    latents = model.encode(new)
    np.testing.assert_array_equal(latents.angle, 0.0)
    np.testing.assert_array_equal(latents.angle_std, 0.0)
    true = new.truth[["shift_x", "shift_y"]].to_numpy()
    rest, content = latents.shift - true, latents.content
    own = KNeighborsRegressor(5).fit(content[:200], rest[:200]).predict(content[200:])
    assert 1 - (rest[200:] - own).var() / true[200:].var() > 0.9
    seen = model.reconstruct(new)
    assert np.square(seen - new.values).mean() < 0.1 * new.values.var()
    assert np.isfinite(model.log_evidence(new[:20], num_samples=5)).all()


@pytest.mark.very_slow
def test_without_a_pose_it_is_a_plain_autoencoder():
    train = glyphs(number=300)
    model = fit(train, pose=(), epochs=10)
    latents = model.encode(train)
    for pose in (latents.angle, latents.angle_std, latents.shift, latents.shift_std):
        np.testing.assert_array_equal(pose, 0.0)
