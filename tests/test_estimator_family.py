"""Every decoder, encoder and posterior by composition; spectra, signals, ensembles."""

import numpy as np
import pytest

from jaxrvae.analysis.scores import pose_scores
from jaxrvae.estimator import RVAE
from jaxrvae.simulate import simulate

SIZE = 16
COORDINATE = {"name": "coordinate", "layers": 1, "features": 8, "skip": True}
GROUP = {"name": "group-convolution", "width": 8}
CONVOLUTIONAL = {"name": "convolutional", "width": 8}
GUMBEL = {"name": "auto", "classes": "gumbel"}

FAMILY = {
    "coordinate, gaussian": {
        "decoder": COORDINATE,
        "posterior": "gaussian",
        "angle_prior": {"std": 1.0},
        "likelihood": "bernoulli",
    },
    "coordinate, enumerated": {"decoder": "coordinate"},
    "von Mises": {
        "decoder": "affine",
        "posterior": "von_mises",
        "angle_prior": {"concentration": 2.0, "fold": 2},
    },
    "projected normal": {"decoder": "affine", "posterior": "projected_normal"},
    "turned back": {
        "encoder": {"name": "turned-back", "units": 48},
        "decoder": {"name": "affine", "units": 40, "activation": "gelu"},
    },
    "moved back": {
        "encoder": {"name": "moved-back", "units": 48},
        "likelihood": "bernoulli",
        "pose": ("rotation", "shift", "scale"),
    },
    "dense copies": {"decoder": "affine", "encoder": "dense", "prior": "vamp"},
    "convolutional": {"decoder": CONVOLUTIONAL, "encoder": CONVOLUTIONAL},
    "group convolution": {"encoder": GROUP},
    "scale": {"pose": ("rotation", "shift", "scale")},
    "Gumbel": {"num_classes": 5, "posterior": GUMBEL},
    "Gumbel, affine": {"num_classes": 5, "posterior": GUMBEL, "decoder": "affine"},
    "noise of every pixel": {"likelihood": {"name": "gaussian", "noise": "per-pixel"}},
    "grey levels": {"likelihood": "continuous-bernoulli", "decoder": "steerable"},
    "counts read out": {"likelihood": "poisson-gaussian"},
    "fixed noise": {"likelihood": {"name": "gaussian", "noise": 0.3}},
    "shift prior": {"shift_prior": {"std": [0.05, 0.02]}},
}


def glyphs(number=240, **options):
    options = {"shift": 0.05, "num_shapes": 2} | options
    return simulate("glyphs", seed=0, num_images=number, size=SIZE, **options)


def fit(images, epochs, given=None, **options):
    model = RVAE(**({"num_turns": 4, "hidden_dim": 32} | options))
    return model.fit(
        images, epochs=epochs, batch_size=40, progress=False, **(given or {})
    )


@pytest.mark.very_slow
@pytest.mark.parametrize("options", FAMILY.values(), ids=FAMILY)
def test_every_member_of_the_family_fits_reads_and_is_saved(options, tmp_path):
    images = np.clip(glyphs().values, 0, 1)
    model = fit(images, 3, **options)
    assert model.history["loss"].iloc[-1] < model.history["loss"].iloc[0]
    found = model.encode(images[:20])
    for part in (found.content, found.angle, found.angle_std, found.shift, found.scale):
        assert np.isfinite(part).all()
    assert np.isfinite(model.reconstruct(images[:20])).all()
    assert np.isfinite(model.log_evidence(images[:8], num_samples=3)).all()
    model.save(tmp_path / "model.npz")
    again = RVAE.load(tmp_path / "model.npz").encode(images[:20])
    np.testing.assert_array_equal(again.content, found.content)


@pytest.mark.very_slow
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "options",
    [
        {"decoder": "coordinate", "posterior": "von_mises"},
        {"decoder": CONVOLUTIONAL, "encoder": GROUP},
        {"decoder": "affine", "encoder": "convolutional"},
        {"decoder": "steerable"},
    ],
    ids=str,
)
def test_patches_of_any_shape_and_channels(options, channels):
    values = glyphs(80).values[:, :, :13, None] * np.linspace(1, 0.5, channels)
    model = fit(values.astype(np.float32), 2, **options)
    assert model.reconstruct(values[:4]).shape[:3] == (4, SIZE, 13)
    assert model.decode(np.zeros((3, 2)), angle=0.5).shape[:3] == (3, SIZE, 13)


@pytest.mark.very_slow
def test_large_patches_go_through_convolutions():
    patches = simulate("glyphs", seed=0, num_images=20, size=96, shift=0.0)
    options = {"pose": ("rotation",), "posterior": "gaussian"}
    model = fit(patches, 2, decoder=CONVOLUTIONAL, **options)
    assert model.reconstruct(patches[:2]).shape == (2, 96, 96)


@pytest.mark.very_slow
def test_more_samples_are_a_tighter_bound():
    """The importance-weighted bound is trained on, and its loss is that bound."""
    images, options = glyphs(120, shift=0.0), {"pose": ("rotation",)}
    many = fit(images, 6, {"objective": {"num_samples": 4}}, **options)
    one = fit(images, 6, **options)
    assert many.history["loss"].iloc[-1] < one.history["loss"].iloc[-1]


@pytest.mark.very_slow
def test_scale_is_recovered():
    """Blobs from 0.8 to 1.2 times as wide: the scale goes with that."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:24, :24] - 11.5
    true = rng.uniform(0.8, 1.25, (600, 1, 1))
    bar = np.exp(-((columns / (5 * true)) ** 2) - (rows / (2 * true)) ** 2)
    images = bar + 0.03 * rng.standard_normal((600, 24, 24))
    model = fit(images, 60, content_dim=1, pose=("scale",))
    found = model.encode(images).scale
    assert np.corrcoef(np.log(found), np.log(true[:, 0, 0]))[0, 1] > 0.98


@pytest.mark.very_slow
def test_members_of_an_ensemble_are_those_of_their_seeds(tmp_path):
    patches = glyphs(shift=0.0)
    both = fit(patches, 8, {"seeds": 2}, pose=("rotation",), seed=3)
    second = fit(patches, 8, pose=("rotation",), seed=4)
    own = both.encode(patches)
    assert len(own.members) == 2
    assert own.agreement.shape == (len(patches),)
    losses = [one.history["loss"].iloc[-1] for one in (both, second)]
    first = fit(patches, 8, pose=("rotation",), seed=3)
    mean = (first.history["loss"].iloc[-1] + losses[1]) / 2
    np.testing.assert_allclose(losses[0], mean, rtol=1e-3)
    both.save(tmp_path / "model.npz")
    again = RVAE.load(tmp_path / "model.npz").encode(patches)
    np.testing.assert_array_equal(again.agreement, own.agreement)
    np.testing.assert_array_equal(again.angle, own.angle)


@pytest.mark.very_slow
def test_spectra_are_told_from_patches_and_patches_from_spectra(tmp_path):
    patches = glyphs(400, shift=0.0)
    shape = patches.truth["shape"].to_numpy() == patches.truth["shape"].iloc[0]
    energy, shear = np.linspace(0, 1, 40), patches.truth["shear"].to_numpy()
    peak = np.exp(-((energy - 0.3 - 0.2 * shape[:, None]) ** 2) / 0.005)
    spectra = peak + shear[:, None] * np.exp(-((energy - 0.9) ** 2) / 0.002)
    model = fit(patches, 60, {"spectra": spectra}, pose=("rotation",))
    told = model.decode_spectra(model.encode(patches).content)
    assert np.square(told - spectra).mean() < 0.1 * spectra.var(0).mean()
    content, std = model.encode_spectra(spectra)
    assert std.min() > 0
    own = model.encode(patches).content
    assert np.square(content - own).mean() < 0.1 * own.var()
    model.save(tmp_path / "model.npz")
    again = RVAE.load(tmp_path / "model.npz").decode_spectra(np.zeros((1, 2)))
    np.testing.assert_array_equal(again, model.decode_spectra(np.zeros((1, 2))))
    with pytest.raises(ValueError, match="fitted with 40 values a spectrum; got 3"):
        model.encode_spectra(np.zeros((2, 3)))


@pytest.mark.very_slow
def test_a_condition_known_for_some_is_found_for_the_others():
    patches = glyphs(500, shift=0.0)
    shear = patches.truth["shear"].to_numpy()
    known = np.random.default_rng(0).random(500) < 0.4
    given = {"conditions": np.where(known, shear, np.nan)}
    model = fit(patches, 60, given, pose=("rotation",), num_turns=8)
    found = model.encode(patches)
    hidden = np.corrcoef(found.condition[~known, 0], shear[~known])[0, 1]
    assert hidden > 0.8
    assert (found.condition_std[~known] > 0).all()
    assert pose_scores(found, patches.truth)["R"].min() > 0.9


@pytest.mark.very_slow
def test_signals_have_a_shift_and_a_content():
    rng, places = np.random.default_rng(0), np.arange(48) - 23.5
    shift, width = rng.normal(0, 3, 400), rng.uniform(1.5, 5, 400)
    away = (places - shift[:, None]) / width[:, None]
    signals = np.exp(-np.square(away) / 2) + 0.02 * rng.standard_normal((400, 48))
    model = fit(signals, 60, content_dim=1, pose=("shift",), max_shift=0.2)
    found = model.encode(signals)
    assert np.corrcoef(found.shift[:, 0], shift)[0, 1] > 0.995
    assert abs(np.corrcoef(found.content[:, 0], width)[0, 1]) > 0.98
    np.testing.assert_array_equal(found.shift[:, 1], 0.0)
    assert model.reconstruct(signals).shape == signals.shape
    assert model.check() == []


def test_signals_cannot_be_turned():
    with pytest.raises(ValueError, match=r"Take pose=\('shift',\)"):
        RVAE().fit(np.random.default_rng(0).random((20, 48)))


def test_check_needs_images(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        RVAE().check(np.zeros((4, 16, 16)))
