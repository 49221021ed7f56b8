import dataclasses
import json

import jaxtyping
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.stats import norm

from jaxrvae._checks import DataError, RunError
from jaxrvae.data.containers import Latents, Patches
from jaxrvae.estimator import RVAE, model_from
from jaxrvae.models import apply
from jaxrvae.simulate import simulate
from jaxrvae.training import fit as training_fit

pytestmark = pytest.mark.usefixtures("compile_once")

SIZE, NUMBER, EPOCHS = 20, 500, 30
OPTIONS = {
    "rotation": {"pose": ("rotation",)},
    "shift": {},
    "affine": {"decoder": "affine"},
    "bernoulli": {"likelihood": "bernoulli", "decoder": "affine-cubic"},
    "coordinate": {"decoder": "coordinate"},
    "convolutional": {"decoder": {"name": "convolutional", "width": 8}},
}
QUICK = "rotation", "shift", "affine", "bernoulli"
LONGER = {"coordinate": 60}  # epochs
SHIFTED = "shift", "affine", "bernoulli"


def glyphs(seed=0, number=NUMBER, **options):
    """An F and a hook, turned and, unless told otherwise, shifted."""
    options = {"shift": 0.08, "shear": 0.0, "num_shapes": 2} | options
    return simulate("glyphs", seed=seed, num_images=number, size=SIZE, **options)


def fit(patches, kind="rotation", epochs=EPOCHS, **options):
    model = RVAE(hidden_dim=64, **OPTIONS[kind], **options)
    return model.fit(patches, epochs=epochs, batch_size=50, progress=False)


def count_traces(patch, module, maker):
    """A list that grows whenever what `module.maker` makes is traced."""
    traced, make = [], getattr(module, maker)

    def made(*args, **options):
        function = make(*args, **options)

        def counted(*inputs):
            traced.append(maker)
            return function(*inputs)

        return counted

    patch.setattr(module, maker, made)
    return traced


@dataclasses.dataclass
class Case:
    """A fitted model; images it has not seen, as they are, turned, and moved."""

    kind: str
    model: RVAE
    trained_on: Patches
    truth: pd.DataFrame  # of the first 100 images
    images: np.ndarray
    latents: Latents


@pytest.fixture(scope="module")
def cases(compile_once):
    """The case of each kind, made when first asked for; its loss is traced once."""
    made = {}

    def get(kind):
        if kind not in made:
            still = 0.0 if kind == "rotation" else 0.08
            patches, new = glyphs(0, shift=still), glyphs(1, 100, shift=still)
            near = glyphs(2, 50, shift=0.02).values
            turned = np.rot90(new.values, axes=(1, 2))[:50]
            moved = np.roll(near, (-1, 1), (1, 2))  # one pixel to the right, one up
            images = np.concatenate([new.values, turned, near, moved])
            with pytest.MonkeyPatch.context() as patch:
                traced = count_traces(patch, training_fit, "make_loss")
                model = fit(patches, kind, LONGER.get(kind, EPOCHS))
            assert len(traced) == 1
            made[kind] = Case(
                kind, model, patches, new.truth, images, model.encode(images)
            )
        return made[kind]

    return get


@pytest.fixture
def no_type_checks():
    """As a user runs it: what is said about a wrong type is our own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def turns(first, second):
    return np.exp(1j * (np.asarray(first) - np.asarray(second)))


def shift_r2(latents, truth, mine):
    """R^2 of the shift, less one constant in the canonical frame of the class."""
    told = truth["shift_x"].to_numpy() - 1j * truth["shift_y"].to_numpy()
    found = latents.shift[:100, 0] - 1j * latents.shift[:100, 1]
    rest = (told - found) * np.exp(-1j * latents.angle[:100])
    return 1 - np.var(rest[mine]) / np.var(told[mine])


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUICK)
def test_angle_and_shift_are_recovered_in_every_class(cases, kind):
    case = cases(kind)
    for shape in range(2):
        mine = (case.truth["shape"] == shape).to_numpy()
        off = turns(case.latents.angle[:100], case.truth["angle"])[mine]
        assert abs(off.mean()) > 0.99
        if kind != "rotation":
            assert shift_r2(case.latents, case.truth, mine) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUICK)
def test_content_tells_the_shapes_apart(cases, kind):
    content = cases(kind).latents.content[:100]
    shape = cases(kind).truth["shape"].to_numpy()
    centres = np.stack([content[shape == i].mean(0) for i in range(2)])
    distance = np.linalg.norm(content[:, None] - centres, axis=-1)
    assert (distance.argmin(1) == shape).mean() > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("kind", QUICK)
def test_pose_follows_a_quarter_turn_and_content_stays(cases, kind):
    latents = cases(kind).latents
    plain, turned = slice(50), slice(100, 150)
    content = latents.content
    np.testing.assert_allclose(content[turned], content[plain], atol=1e-3)
    angle, shift = latents.angle, latents.shift
    error = np.angle(turns(angle[turned], angle[plain] + np.pi / 2))
    np.testing.assert_allclose(error, 0, atol=0.02)
    # (right, down) turned counter-clockwise by a right angle is (down, -right)
    right, down = shift[plain].T
    np.testing.assert_allclose(shift[turned], np.stack([down, -right], 1), atol=0.05)
    std = latents.angle_std
    np.testing.assert_allclose(std[turned], std[plain], rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SHIFTED)
def test_pose_follows_a_shift_by_whole_pixels(cases, kind):
    latents = cases(kind).latents
    near, moved = slice(150, 200), slice(200, 250)
    error = np.angle(turns(latents.angle[moved], latents.angle[near]))
    assert np.median(np.abs(error)) < np.radians(1)
    change = latents.shift[moved] - latents.shift[near]
    assert np.median(np.abs(change - [1, -1])) < 0.1
    content = latents.content
    apart = np.linalg.norm(content[moved] - content[near], axis=1)
    assert np.median(apart) < 0.3 * np.linalg.norm(content[near].std(0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shift", "affine"])
def test_decode_turns_counter_clockwise_and_shifts_right_and_down(cases, kind):
    model = cases(kind).model
    content = cases(kind).latents.content[:4]
    upright = model.decode(content)
    assert upright.shape == (4, SIZE, SIZE)
    level = np.median(upright)
    for image, turned, moved in zip(
        upright - level,
        model.decode(content, angle=0.7) - level,
        model.decode(content, shift=(1.0, -2.0)) - level,
        strict=True,
    ):
        expected = ndimage.rotate(image, np.degrees(0.7), reshape=False, order=3)
        assert np.corrcoef(turned.ravel(), expected.ravel())[0, 1] > 0.97
        wrong = ndimage.rotate(image, -np.degrees(0.7), reshape=False, order=3)
        assert np.corrcoef(turned.ravel(), wrong.ravel())[0, 1] < 0.9
        inside = slice(3, -3), slice(3, -3)
        expected = np.roll(image, (-2, 1), (0, 1))
        np.testing.assert_allclose(moved[inside], expected[inside], atol=0.02)


@pytest.mark.very_slow
@pytest.mark.parametrize("kind", ["coordinate", "convolutional"])
def test_slower_decoders_do_the_same(cases, kind):
    test_angle_and_shift_are_recovered_in_every_class(cases, kind)
    test_content_tells_the_shapes_apart(cases, kind)
    test_pose_follows_a_quarter_turn_and_content_stays(cases, kind)
    test_pose_follows_a_shift_by_whole_pixels(cases, kind)
    test_decode_turns_counter_clockwise_and_shifts_right_and_down(cases, kind)


@pytest.mark.slow
def test_decode_scales_about_the_centre(cases):
    model = cases("shift").model
    content = cases("shift").latents.content[:1]
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2

    def spread(image):
        weight = np.clip(image - 0.2, 0, None)
        return np.sqrt((weight * (rows**2 + columns**2)).sum() / weight.sum())

    sizes = [
        spread(model.decode(content, scale=scale)[0]) for scale in (0.8, 1.0, 1.25)
    ]
    np.testing.assert_allclose(sizes[0] / sizes[1], 0.8, atol=0.05)
    np.testing.assert_allclose(sizes[2] / sizes[1], 1.25, atol=0.05)


@pytest.mark.slow
def test_decode_takes_a_pose_for_each_image(cases):
    model = cases("shift").model
    content = cases("shift").latents.content[:3]
    angle = np.array([0.1, -2.0, 3.0])
    shift = np.array([[0.0, 1.0], [1.0, 0.0], [-1.0, 0.5]])
    together = model.decode(content, angle, shift)
    for i in range(3):
        alone = model.decode(content[i : i + 1], float(angle[i]), tuple(shift[i]))
        np.testing.assert_allclose(together[i], alone[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rotation", "shift", "affine"])
def test_reconstruction_explains_the_images(cases, kind):
    images = cases(kind).trained_on.values[:200]
    rest = cases(kind).model.reconstruct(images) - images
    assert np.square(rest).mean() < 0.1 * images.var()


@pytest.mark.slow
def test_manifold_is_decoded_quantiles_first_content_to_the_right(cases):
    model = cases("shift").model
    images = model.manifold((2, 3))
    assert images.shape == (2, 3, SIZE, SIZE)
    content = np.array([[norm.ppf(5 / 6), norm.ppf(3 / 4)]])  # top right
    np.testing.assert_allclose(images[0, 2], model.decode(content)[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shift", "bernoulli"])
def test_saved_and_loaded_it_encodes_bit_for_bit(cases, kind, tmp_path):
    model, images = cases(kind).model, cases(kind).images
    model.save(tmp_path / "deep" / "model.npz")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["model.npz"]
    again = RVAE.load(tmp_path / "deep" / "model.npz")
    assert again.config == model.config
    assert again.metadata == model.metadata
    assert set(model.metadata) == {"subtracted", "divided_by"}
    pd.testing.assert_frame_equal(again.history, model.history)
    first, second = cases(kind).latents, again.encode(images)
    for name in ("content", "content_std", "angle", "angle_std", "shift", "symmetry"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(
        model.decode(first.content), again.decode(first.content)
    )


@pytest.mark.slow
def test_latents_are_whole(cases):
    latents = cases("shift").latents
    assert latents.content.shape == latents.content_std.shape == (250, 2)
    assert latents.shift.shape == latents.shift_std.shape == (250, 2)
    assert ((latents.angle >= -np.pi) & (latents.angle < np.pi)).all()
    probability = latents.angle_modes[..., 1]
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-4)
    np.testing.assert_array_equal(latents.angle_modes[:, 0, 0], latents.angle)
    assert (latents.symmetry == 1).all()  # F and hook look like nothing else, turned
    assert (latents.angle_std > 0).all()
    assert (latents.shift_std > 0).all()
    assert {"content_1", "angle", "shift_x"} <= set(latents.to_dataframe())


@pytest.mark.slow
def test_rotation_alone_says_no_shift(cases):
    latents = cases("rotation").latents
    assert not latents.shift.any()
    assert not latents.shift_std.any()


@pytest.mark.slow
def test_same_seed_same_numbers_other_seed_others(cases):
    case = cases("rotation")
    again = fit(case.trained_on)
    assert list(again.history["loss"]) == list(case.model.history["loss"])
    content = again.encode(case.images).content
    np.testing.assert_array_equal(content, case.latents.content)
    other = fit(case.trained_on, seed=1)
    assert list(other.history["loss"]) != list(case.model.history["loss"])


@pytest.mark.slow
def test_encoding_any_number_of_patches_compiles_two_sizes(cases, monkeypatch):
    traced = []
    posterior = apply.steerable_posterior

    def counted(*args):
        traced.append(1)
        return posterior(*args)

    monkeypatch.setattr(apply, "steerable_posterior", counted)
    apply.encode.clear_cache()
    case = cases("rotation")
    for number in (1, 3, 16, 17, 40, 249):
        found = case.model.encode(case.images[:number]).content
        np.testing.assert_allclose(found, case.latents.content[:number], atol=1e-4)
    assert len(traced) == 2


@pytest.mark.very_slow
def test_channels_and_oblong_patches():
    """The second channel is the first one, halved and lifted; the third is flat."""
    plain = glyphs(0, 200, shift=0.0).values[:, 3:-3]
    channels = [plain, 0.5 * plain + 3.0, np.full_like(plain, 2.0)]
    patches = np.stack(channels, axis=-1)
    model = RVAE(pose=("rotation",), hidden_dim=32)
    model.fit(patches, epochs=25, batch_size=20, progress=False)
    latents = model.encode(patches[:16])
    images = model.decode(latents.content, latents.angle, latents.shift)
    assert images.shape == patches[:16].shape
    rest = np.square(images - patches[:16]).mean((0, 1, 2))
    assert (rest[:2] < 0.3 * patches.var((0, 1, 2))[:2]).all()
    assert rest[2] < 0.02
    assert np.isfinite(latents.angle_std).all()


@pytest.mark.slow
def test_stated_angle_error_is_the_true_one():
    """Noisy glyphs, one shape: the squares of error over stated error average 1."""
    noisy = {"shift": 0.0, "noise": 0.3, "num_shapes": 1}
    model = fit(glyphs(0, **noisy))
    patches = glyphs(1, 800, **noisy)
    latents = model.encode(patches)
    off = turns(latents.angle, patches.truth["angle"])
    ratio = np.angle(off / off.mean()) / latents.angle_std
    # standard error of a root mean square of n normal numbers: 1 / sqrt(2 n)
    assert abs(np.sqrt(np.mean(ratio**2)) - 1) < 5 / np.sqrt(2 * len(ratio))


@pytest.mark.very_slow
def test_prior_of_the_angle_pulls_a_symmetric_shape():
    """A bar looks the same upside down: the prior says which way is up."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    angle = rng.normal(0.5, 0.3, NUMBER + 100)[:, None, None]
    along = columns * np.cos(angle) - rows * np.sin(angle)
    across = columns * np.sin(angle) + rows * np.cos(angle)
    bars = np.exp(-(along**2) / 18 - across**2 / 3).astype(np.float32)
    bars += 0.1 * rng.standard_normal(bars.shape, dtype=np.float32)
    spreads = []
    for prior in ({"loc": 0.5, "concentration": 8.0}, None):
        latents = fit(bars[:NUMBER], angle_prior=prior).encode(bars[NUMBER:])
        assert (latents.symmetry % 2 == 0).mean() > 0.9
        spreads.append(latents.angle_modes[:, 0, 1])
        if prior:
            # the bars' zero is where training put it: but for that, one constant
            assert abs(turns(latents.angle, angle[NUMBER:, 0, 0]).mean()) > 0.9
    # one mode holds all with the prior; two share it without, but for the noise learnt
    assert np.median(spreads[0]) > 0.99
    assert 0.5 <= np.median(spreads[1]) < 0.9


def test_unknown_keyword_names_the_nearest():
    with pytest.raises(TypeError, match="Did you mean 'content_dim'"):
        RVAE(content_dims=3)
    with pytest.raises(TypeError, match="Did you mean 'num_turns'"):
        model_from({"num_turn": 3})
    assert model_from({"num_turns": 3, "pose": ["rotation"]}).config.num_turns == 3


def broken(kind):
    images = glyphs(0, 4).values
    if kind == "nan":
        images[1, 3, 3] = np.nan
    elif kind == "constant":
        images[:] = 2.0
    elif kind == "small":
        images = images[:, :7]
    elif kind == "flat":
        images = images[0]
    elif kind == "none":
        images = images[:0]
    return images


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", "1 of 4 patches hold NaN"),
        ("constant", "all patches are one constant"),
        ("small", "at least 8 x 8"),
        ("flat", "signals .* cannot be turned"),
        ("none", r"n >= 1; got \(0, 20, 20\)"),
    ],
)
def test_images_that_cannot_be_trained_on_are_refused(kind, message):
    model = RVAE()
    with pytest.raises(DataError, match=message) as caught:
        model.fit(broken(kind))
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="not fitted"):
        model.encode(glyphs(0, 2))


def test_bernoulli_needs_the_unit_range():
    with pytest.raises(DataError, match=r"needs pixels in \[0, 1\]; got \[0, 2.."):
        RVAE(likelihood="bernoulli").fit(np.round(255 * glyphs(0, 4).values))


@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.encode(glyphs(0, 2)),
        lambda model: model.decode(np.zeros((1, 2))),
        lambda model: model.reconstruct(glyphs(0, 2)),
        lambda model: model.manifold(),
        lambda model: model.save("nowhere.npz"),
    ],
)
def test_a_model_that_is_not_fitted_says_so(use):
    with pytest.raises(ValueError, match="not fitted"):
        use(RVAE())


@pytest.mark.slow
def test_a_fitted_model_refuses_what_it_was_not_fitted_on(cases, no_type_checks):
    model = cases("shift").model
    with pytest.raises(DataError, match=r"\(20, 18, 1\).*fitted on \(20, 20, 1\)"):
        model.encode(glyphs(0, 2).values[:, :, 1:-1])
    with pytest.raises(DataError, match="NaN"):
        model.encode(broken("nan"))
    for content in (np.zeros((2, 3)), np.zeros((1, 2, 2)), np.zeros(5)):
        with pytest.raises(ValueError, match=r"content must be \(n, 2\)"):
            model.decode(content)


def test_files_that_are_no_model_are_refused(tmp_path):
    with pytest.raises(DataError, match="expected a file, found none"):
        RVAE.load(tmp_path / "absent.npz")
    text, other, half = (tmp_path / name for name in ("a.npz", "b.npz", "c.npz"))
    text.write_text("no model")
    np.savez(other, values=np.zeros(3))
    np.savez(half, notes=np.array(json.dumps({"config": {}})))
    for path in (text, other, half):
        with pytest.raises(DataError, match=r"\.npz: expected a model.*Fit the model"):
            RVAE.load(path)


@pytest.mark.slow
def test_patches_on_disk_are_encoded_as_those_in_memory(cases, tmp_path):
    case = cases("rotation")
    number = apply.CHUNK + 20  # more than one chunk
    patches = case.trained_on[:number]
    patches.save(tmp_path / "patches")
    on_disk = Patches.load(tmp_path / "patches")
    assert isinstance(on_disk.values, np.memmap)
    found, expected = case.model.encode(on_disk), case.model.encode(patches)
    for name in ("content", "content_std", "angle", "angle_modes", "shift"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(
        case.model.reconstruct(on_disk[3:9]), case.model.reconstruct(patches[3:9])
    )


@pytest.mark.slow
def test_patches_on_disk_are_fitted_as_those_in_memory(tmp_path):
    patches = glyphs(0, 60)
    patches.save(tmp_path / "patches")
    losses = [
        fit(given, "rotation", epochs=2).history["loss"]
        for given in (patches, Patches.load(tmp_path / "patches"))
    ]
    np.testing.assert_array_equal(*losses)


@pytest.mark.slow
def test_absurd_learning_rate_ends_with_an_error_and_a_usable_model(cases):
    case = cases("rotation")
    model = RVAE(hidden_dim=64, **OPTIONS["rotation"])
    with pytest.raises(RunError, match="Lower learning_rate") as caught:
        model.fit(case.trained_on, epochs=20, learning_rate=1e30, progress=False)
    assert "\n" not in str(caught.value)
    if "nothing is kept" in str(caught.value):
        with pytest.raises(ValueError, match="not fitted"):
            model.encode(case.images)
    else:
        assert np.isfinite(model.history["loss"]).all()
        assert np.isfinite(model.encode(case.images).content).all()


@pytest.mark.slow
def test_a_run_directory_in_use_leaves_the_model_as_it_was(tmp_path):
    from jaxrvae.training.checkpoint import RunDirectory

    patches = glyphs(0, 60)
    model = RVAE(hidden_dim=8)
    with (
        RunDirectory(tmp_path / "run", {}),
        pytest.raises(RunError, match="in use"),
    ):
        model.fit(patches, epochs=1, run_dir=tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="not fitted"):
        model.encode(patches)


@pytest.mark.slow
def test_patches_and_arrays_are_the_same(cases):
    patches = glyphs(0, 30)
    model = cases("shift").model
    first, second = model.encode(patches), model.encode(patches.values)
    np.testing.assert_array_equal(first.content, second.content)
    pd.testing.assert_frame_equal(first.table, patches.table)
    assert len(second.table) == 30
