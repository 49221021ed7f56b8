"""The published configurations: they build, train, and are as they were published."""

import dataclasses
import importlib
import math
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import _published, kalinin2020_pfm, kalinin2020_stem, pyroved_ved
from jaxrvae._checks import DataError
from jaxrvae.config import to_mapping
from jaxrvae.estimator import model_from
from jaxrvae.models.fitted import FittedModel
from jaxrvae.sweep.data import by_frame

NUM_IMAGES = 16
HALF = 0.5  # shares of the field in the published unit of the shift

# What the papers and programs say, in their own words and units.
SPATIAL = {"learning_rate": 1e-4, "batch_size": 100, "hidden_dim": 500}
PYROVED = {"learning_rate": 1e-3, "batch_size": 100, "hidden_dim": 128}
ATOMAI = {"learning_rate": 1e-4, "batch_size": 32, "hidden_dim": 128}
DENSE_POSE = {
    "content_dim": 2,
    "pose": ("rotation", "shift"),
    "posterior": "gaussian",
    "encoder hidden layers": 2,
    "shift_std": 0.1,
}
PUBLISHED = {
    "spatial_vae_mnist": DENSE_POSE
    | SPATIAL
    | {
        "epochs": 100,
        "decoder hidden layers": 2,
        "angle_std": math.pi / 4,
        "likelihood": "bernoulli",
        "num_images": 60_000,
    },
    "pyroved_ivae": DENSE_POSE
    | PYROVED
    | {
        "epochs": 200,
        "decoder hidden layers": 3,
        "angle_std": 1.0,
        "likelihood": "bernoulli",
    },
    "pyroved_jivae": DENSE_POSE
    | PYROVED
    | {"decoder hidden layers": 3, "angle_std": 1.0, "classes": "enumerated"},
    "pyroved_ssivae": DENSE_POSE
    | PYROVED
    | {"decoder hidden layers": 3, "angle_std": 1.0, "classes": "enumerated"},
    "pyroved_ved": {
        "learning_rate": 1e-3,
        "batch_size": 100,
        "num_images": 2714,
        "content_dim": 2,
        "pose": (),
        "encoder": "convolutional",
        "encoder width": 32,
        "image_weight": 0.0,
    },
    "atomai_rvae": DENSE_POSE
    | ATOMAI
    | {
        "epochs": 100,
        "decoder hidden layers": 3,
        "angle_std": 0.1,
        "likelihood": "gaussian",
        "noise": 1.0,
    },
    "atomai_jrvae": DENSE_POSE
    | ATOMAI
    | {
        "epochs": 100,
        "decoder hidden layers": 3,
        "angle_std": 0.1,
        "noise": 1.0,
        "classes": "gumbel",
        "temperature": 0.67,
        "capacity": 5.0,
        "capacity_weight": 30.0,
        "ramp_steps": 25_000,
    },
    "kalinin2020_stem": DENSE_POSE
    | {
        "learning_rate": 1e-4,
        "batch_size": 200,
        "epochs": 200,
        "hidden_dim": 128,
        "likelihood": "gaussian",
        "num_images": 68_056,
        "window": 24,
    },
    "kalinin2020_pfm": DENSE_POSE
    | {
        "batch_size": 50,
        "epochs": 500,
        "hidden_dim": 512,
        "likelihood": "gaussian",
    },
    "target_vae_p8": {
        "content_dim": 2,
        "pose": ("rotation", "shift"),
        "posterior": "enumerated",
        "num_turns": 8,
        "encoder": "group-convolution",
        "encoder width": 128,
        "decoder hidden layers": 2,
        "hidden_dim": 512,
        "shift_std": 0.1,
        "likelihood": "bernoulli",
        "learning_rate": 2e-4,
        "batch_size": 100,
        "epochs": 500,
        "num_images": 60_000,
    },
    "mnist_turned": {  # not a publication's, but in the same form
        "content_dim": 2,
        "posterior": "enumerated",
        "num_turns": 8,
        "likelihood": "bernoulli",
        "num_images": 60_000,
    },
}
NAMES = sorted(PUBLISHED)


def module(name: str) -> types.ModuleType:
    return importlib.import_module(f"experiments.{name}")


def stated(study: _published.Study) -> dict[str, object]:
    """A study's settings in the publications' words."""
    model, training, objective = study.model, study.training, study.objective
    found = {
        "num_images": study.num_images,
        "ramp_steps": study.ramp_steps,
        "window": getattr(study.data, "size", None),
        "content_dim": model.content_dim,
        "pose": model.pose,
        "posterior": model.posterior_family,
        "num_turns": model.num_turns,
        "hidden_dim": model.hidden_dim,
        "likelihood": model.likelihood_kind,
        "noise": model.noise,
        "encoder": model.encoder_family,
        "classes": model.setting("posterior", "classes"),
        "temperature": model.setting("posterior", "temperature"),
        "angle_std": (model.angle_prior or {}).get("std"),
        "shift_std": (model.shift_prior or {"std": 0.0})["std"] / HALF,
        "learning_rate": training.learning_rate,
        "batch_size": training.batch_size,
        "epochs": training.epochs,
        "capacity": objective.capacity,
        "capacity_weight": objective.capacity_weight,
        "image_weight": objective.image_weight,
        "encoder width": model.setting("encoder", "width"),
    }
    if model.encoder_family == "dense":  # the pose's head has one more
        found["encoder hidden layers"] = model.setting("encoder", "layers") + 1
    if model.decoder_family == "coordinate":  # the first one reads the points
        found["decoder hidden layers"] = model.setting("decoder", "layers") + 1
    return found


def toy(study: _published.Study) -> _published.Study:
    """Two steps of small networks on few small images."""
    model, data = study.model, study.data
    options = {}
    for option in ("encoder", "decoder"):
        choice = getattr(model, option)
        if isinstance(choice, dict) and {"width", "features"} & set(choice):
            small = {"width": 2, "features": 2}
            options[option] = {key: small.get(key, choice[key]) for key in choice}
    if isinstance(data, _published.Glyphs):
        data = dataclasses.replace(data, size=12)
    if isinstance(data, _published.Digits):
        data = dataclasses.replace(data, pad=-8)  # of the glyphs in their place
    if isinstance(data, kalinin2020_stem.Windows):
        data = dataclasses.replace(data, size=10)
    training = dataclasses.replace(study.training, epochs=1, batch_size=NUM_IMAGES // 2)
    study = study.changed(hidden_dim=6, **options)
    return dataclasses.replace(
        study, data=data, num_images=NUM_IMAGES, training=training
    )


@pytest.fixture
def quick_to_compile(monkeypatch):
    """Programs that run once; without the gauge, that training does not need."""
    monkeypatch.setattr(FittedModel, "settled", lambda self, given: self)
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def test_every_published_file_has_its_row():
    folder = Path(_published.__file__).parent
    files = folder.glob("[!_]*.py")
    assert {f.stem for f in files if "_published" in f.read_text()} == set(PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_the_published_ones(name):
    found = stated(module(name).config())
    for key, value in PUBLISHED[name].items():
        if isinstance(value, float):
            assert found[key] == pytest.approx(value), key
        else:
            assert found[key] == value, key


@pytest.mark.parametrize("name", NAMES)
def test_every_study_of_a_sweep_builds_and_starts_with_the_config(name):
    studies = module(name).sweep()
    assert studies[0] == module(name).config()
    names = [study.name for study in studies]
    assert len(set(names)) == len(names)
    for study in studies:
        assert model_from(to_mapping(study.model)).config == study.model
        assert study.model.num_classes > 1 or study.labels == 0


def test_the_four_windows_and_their_steps():
    found = {study.data.window for study in kalinin2020_pfm.sweep()}
    assert found == {8, 16, 32, 64}
    assert kalinin2020_pfm.STEPS == {8: 16, 16: 16, 32: 16, 64: 32}
    for window, study in ((8, "window-8"), (64, "window-64")):
        assert study in [s.name for s in kalinin2020_pfm.sweep()]
        grid = kalinin2020_pfm.Grid(window=window).centres(kalinin2020_pfm.SHAPE)
        own = kalinin2020_pfm.config(window).num_images
        assert own == len(grid) * 48  # of 60 frames, twelve are held out


@pytest.mark.very_slow
@pytest.mark.usefixtures("quick_to_compile")
@pytest.mark.parametrize(
    ("name", "study"),
    [(name, 0) for name in NAMES if name != "pyroved_ved"]
    + [("kalinin2020_stem", "class-conditioned"), ("kalinin2020_stem", "skip")],
)
def test_each_trains_two_steps(name, study):
    """And `pyroved_ved` in the test below."""
    studies = {study.name: study for study in module(name).sweep()}
    study = toy(studies[study] if study else module(name).config())
    train, test = study.data(NUM_IMAGES, 0, None)
    assert min(len(train), len(test)) > 0
    model = _published.fit(study, train, progress=False)
    assert model.history["step"].tolist() == [2]
    assert np.isfinite(model.history["loss"]).all()


@pytest.mark.very_slow
@pytest.mark.usefixtures("quick_to_compile")
def test_a_run_prints_its_scores(capsys):
    studies = [toy(study) for study in pyroved_ved.sweep()]
    options = ["--num-images", "48", "--epochs", "1", "--seed", "3"]
    assert _published.run_command("What it is.", studies, options) == 0
    found = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    assert set(found) == {"GMM accuracy", "k-NN accuracy", "spectra R2"}
    assert 0 <= float(found["k-NN accuracy"]) <= 1


def test_angles_are_scored_by_class_and_symmetry():
    _, test = kalinin2020_pfm.config(64).data(30, 0, None)
    turns = 2 * np.pi / 3 * np.arange(len(test))
    truth = test.truth.assign(shape=np.arange(len(test)) % 2 * 2, angle=turns)
    truth = truth.assign(symmetry=np.where(truth["shape"] == 0, 3, 0))
    latents = types.SimpleNamespace(angle=np.full(len(test), 0.4))
    test = dataclasses.replace(test, truth=truth)
    found = _published.angle_scores(latents, test)
    assert found["R, down"] == pytest.approx(1)
    assert found["median angle error, down, degrees"] == pytest.approx(0, abs=1e-4)
    assert len(found) == 2  # a wall has no angle here


def test_spectra_and_unlabeled_classes_are_scored():
    study = toy(pyroved_ved.config())
    train, test = study.data(40, 0, None)
    given = study.spectra(test.truth)

    class Exact:
        """Content that tells the shapes apart, and spectra without error."""

        config = study.model

        def encode(self, patches, **told):
            assert not told
            shape = patches.truth["shape"].to_numpy()
            content = shape[:, None] + np.linspace(0, 0.01, 2 * len(shape)).reshape(
                -1, 2
            )
            one = np.ones((len(shape), 1))
            return types.SimpleNamespace(content=content, class_probabilities=one)

        def decode_spectra(self, content):
            return given

    found = _published.scores(study, Exact(), train, test)
    assert found.pop("spectra R2") == 1
    assert found == {"GMM accuracy": 1, "k-NN accuracy": 1}  # no angle, no bound


def test_digits_that_are_not_there_are_one_line(tmp_path, capsys):
    studies = module("spatial_vae_mnist").sweep()
    assert _published.run_command("", studies, ["--data", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "train-images-idx3-ubyte.gz" in said


def test_glyphs_take_no_folder(tmp_path, capsys):
    studies = module("pyroved_ivae").sweep()
    assert _published.run_command("", studies, ["--data", str(tmp_path)]) == 1
    assert "simulated" in capsys.readouterr().err
    with pytest.raises(DataError, match="Leave it out"):
        _published.Glyphs()(4, 0, tmp_path)


def test_digits_are_read_from_their_folder(tmp_path):
    import gzip

    for split in ("train", "t10k"):
        images, labels = np.zeros((9, 28, 28), np.uint8), np.arange(9, dtype=np.uint8)
        images[:, 10:18, 5:20] = 200
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, values.ndim])
            head += np.array(values.shape, ">i4").tobytes()
            path = tmp_path / f"{split}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(head + values.tobytes()))
    train, test = _published.Digits(pad=2, spread=None, shift=0.1)(6, 0, tmp_path)
    assert train.values.shape == (6, 32, 32)
    assert len(test) == 2
    assert train.table["class"].tolist() == train.truth["shape"].tolist()


def test_a_capacity_in_steps_becomes_a_share_of_the_training():
    study = module("atomai_jrvae").config()
    assert study.aim(8000) == study.objective  # 250 steps in each of 100 epochs
    fewer, more = study.aim(2000), study.aim(16_000)
    assert fewer.capacity == pytest.approx(5 * 6200 / 25_000)
    assert fewer.ramp == 1
    assert (more.capacity, more.ramp) == (5.0, 0.5)
    assert module("atomai_rvae").config().aim(10).capacity is None


def test_a_share_of_the_classes_is_told():
    study = module("pyroved_ssivae").config()
    train, test = study.data(40, 0, None)
    labels = study.told(train)["labels"]
    assert (labels >= 0).sum() == 4
    assert (labels[::10] == train.truth["shape"][::10]).all()
    assert study.told_later(test) == {}
    whole = dataclasses.replace(study, labels=1.0)
    assert (whole.told_later(test)["labels"] == test.truth["shape"]).all()


def test_frames_are_held_out_whole():
    grid = kalinin2020_pfm.Grid(window=64)
    train, test = grid(100, 0, None)
    assert not set(train.table["frame"]) & set(test.table["frame"])
    assert len(train) == 100
    one = train[train.table["frame"].to_numpy() == 0]
    kept, held = by_frame(one, 1000)
    assert len(kept) + len(held) == len(one)
    assert len(held) == -(-len(one) // 5)


def test_a_wall_has_the_direction_of_its_normal():
    """Up lies towards 60 degrees, as displayed with row 0 on top."""
    row, column = np.mgrid[:40, :40] - 19.5
    angle = np.radians(60)
    field = (column * np.cos(angle) - row * np.sin(angle))[None]
    grid = kalinin2020_pfm.Grid(window=8)
    movie = kalinin2020_pfm.jr.Frames((kalinin2020_pfm.jr.Frame(field[0]),))
    positions = grid.centres((40, 40)).assign(frame=0)
    patches = kalinin2020_pfm.jr.cut_patches(movie, positions, size=8)
    truth = kalinin2020_pfm.true_walls(field, patches, 8)
    walls = truth[truth["symmetry"] == 1]
    assert 0 < len(walls) < len(truth)
    np.testing.assert_allclose(walls["angle"], angle, atol=0.05)
    up = patches.values.mean((1, 2)) > 4
    assert (truth["shape"][up] == kalinin2020_pfm.CLASSES.index("up")).all()


@pytest.mark.parametrize("unit", ["radians", "degrees"])
def test_the_piezoresponse_has_the_sign_of_the_polarity(unit):
    rng = np.random.default_rng(0)
    sign = rng.choice([-1.0, 1.0], (20, 20))
    phase = np.angle(sign * np.exp(0.7j)) + 0.05 * rng.standard_normal((20, 20))
    phase = np.degrees(phase) if unit == "degrees" else phase
    values = kalinin2020_pfm.piezoresponse(np.full((20, 20), 3.0), phase)
    assert abs((np.sign(values) * sign).mean()) == 1
    np.testing.assert_allclose(np.abs(values), 1, atol=0.05)


def test_recorded_domains_are_read_from_both_kinds_of_file(tmp_path):
    import h5py

    rng = np.random.default_rng(0)
    amplitude, phase = rng.uniform(1, 2, (40, 40)), rng.choice([0.0, np.pi], (40, 40))
    (tmp_path / "nsid").mkdir()
    with h5py.File(tmp_path / "nsid" / "a.h5", "w") as file:
        for name, values in (
            ("AmplitudeTrace", 0 * amplitude),
            ("AmplitudeRetrace", amplitude),
            ("PhaseRetrace", phase),
            ("Height", phase),
        ):
            file.create_dataset(f"M/{name}/data", data=values).attrs["quantity"] = name
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "a.npy", np.stack([amplitude, phase], axis=-1)[None])
    both = [kalinin2020_pfm.recorded(tmp_path / kind)[0] for kind in ("nsid", "npy")]
    np.testing.assert_allclose(both[0].values, both[1].values, atol=1e-5)
    train, test = kalinin2020_pfm.Grid(window=8)(10, 0, tmp_path / "npy")
    assert train.values.shape[1:] == (8, 8)
    assert train.truth is None
    assert len(train) + len(test) == 9
    with h5py.File(tmp_path / "nsid" / "b.h5", "w") as file:
        file.create_dataset("Height", data=phase)
    with pytest.raises(DataError, match="amplitude and phase"):
        kalinin2020_pfm.recorded(tmp_path / "nsid")


def test_windows_of_graphene_know_their_sites():
    train, test = kalinin2020_stem.config().data(48, 0, None)
    assert train.values.shape[1:] == (24, 24)
    assert not set(train.table["frame"]) & set(test.table["frame"])
    sites = np.array(kalinin2020_stem.SITES)[train.truth["shape"]]
    is_silicon = train.table["class"].to_numpy() == 1
    assert is_silicon.any()
    np.testing.assert_array_equal(sites == "Si", is_silicon)
    order = train.truth["symmetry"].to_numpy()
    assert (order[sites == "C"] == 3).all()
    assert (order[sites == "next to Si"] == 1).all()
