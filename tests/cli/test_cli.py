import fcntl
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile

import jaxrvae
from jaxrvae.cli import main

VERBS = ["demo", "run", "simulate", "fit", "encode", "pathways", "report", "bench"]
RNG = np.random.default_rng(0)


def atoms_image(size=96, spacing=9.0):
    """A square lattice of bright atoms, some noise."""
    rows, columns = np.mgrid[:size, :size]
    wave = np.cos(2 * np.pi * rows / spacing) + np.cos(2 * np.pi * columns / spacing)
    return (np.exp(2 * wave) + RNG.normal(size=(size, size))).astype(np.float32)


def status(*words):
    """Exit status of the command line."""
    try:
        return main([str(word) for word in words])
    except SystemExit as end:
        return end.code


def refused(capsys, words, expected=1):
    """The one line on standard error."""
    assert status(*words) == expected
    lines = capsys.readouterr().err.strip().splitlines()
    said = [line for line in lines if line.startswith("jaxrvae: ")]
    assert len(said) == 1, lines
    assert lines[-1] == said[0]
    return said[0]


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.npy"
    np.save(path, atoms_image())
    return path


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(verb, capsys):
    assert status(verb, "--help") == 0
    text = capsys.readouterr().out
    assert f"example:\n  jaxrvae {verb}" in text


def test_every_verb_is_listed(capsys):
    assert status("--help") == 0
    text = capsys.readouterr().out
    assert all(f"\n    {verb} " in text for verb in VERBS)


def test_version(capsys):
    assert status("--version") == 0
    assert capsys.readouterr().out == f"jaxrvae {jaxrvae.__version__}\n"


@pytest.mark.slow
def test_help_loads_nothing_heavy():
    code = (
        "import sys; from jaxrvae.cli import main\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('pandas', 'flax', 'optax', 'orbax', 'matplotlib', 'scipy',"
        " 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["runn"],
        ["run"],
        ["run", "--out", "x"],
        ["run", "a.tif", "--epochs", "many"],
        ["run", "a.tif", "--sise", "8"],
        ["simulate", "diamond", "--out", "x.npz"],
        ["simulate", "graphene", "--out", "x.npz", "--set", "size"],
        ["fit", "a.npy"],
        ["encode", "model.npz"],
    ],
)
def test_wrong_use_is_status_2(words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status(*words) == 2
    assert "usage: jaxrvae" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def missing(folder):
    return folder / "none.tif", ["none.tif: expected a file, found none", "Check"]


def truncated(folder):
    path = folder / "half.npy"
    np.save(path, atoms_image())
    path.write_bytes(path.read_bytes()[:9000])
    return path, ["half.npy: expected a whole file", "truncated", "Copy it again"]


def truncated_hdf5(folder):
    path = folder / "half.hdf5"
    with h5py.File(path, "w") as file:
        file["image"] = atoms_image()
    path.write_bytes(path.read_bytes()[:9000])
    return path, ["half.hdf5: expected a whole file", "truncated", "Copy it again"]


def empty(folder):
    path = folder / "empty.tif"
    path.touch()
    return path, ["empty.tif: the file is empty", "Copy it again"]


def wrong_ending(folder):
    path = folder / "image.tif"
    np.save(folder / "image.npy", atoms_image())
    (folder / "image.npy").rename(path)
    return path, ["image.tif: expected TIFF content; got NumPy array", "right ending"]


def unknown_format(folder):
    path = folder / "notes.docx"
    path.write_text("atoms")
    return path, ["notes.docx: expected a file ending in .npy", "Convert it"]


def noise(folder):
    path = folder / "noise.npy"
    np.save(path, RNG.normal(size=(128, 128)).astype(np.float32))
    return path, ["noise.npy: expected atoms; found none", "Check the channel"]


def with_nan(folder):
    path = folder / "nan.tif"
    image = atoms_image()
    image[3, 4] = np.nan
    tifffile.imwrite(path, image)
    return path, ["nan.tif: expected finite numbers; got 1 NaN", "Crop or repair"]


def constant(folder):
    path = folder / "flat.npy"
    np.save(path, np.ones((64, 64), np.float32))
    return path, ["flat.npy: expected an image with contrast", "Leave it out"]


@pytest.mark.parametrize(
    "make",
    [
        missing,
        truncated,
        truncated_hdf5,
        empty,
        wrong_ending,
        unknown_format,
        noise,
        with_nan,
        constant,
    ],
)
def test_bad_images_are_refused_in_one_line(make, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    path, expected = make(folder)
    line = refused(capsys, ["run", path, "--out", tmp_path / "out"])
    for part in expected:
        assert part in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--content-dim", "0"], "content_dim must be >= 1; got 0"),
        (["--epochs", "0"], "epochs must be >= 1; got 0"),
        (["--window", "-1"], "window must be finite and > 0"),
        (["--size", "4"], "size must be >= 8"),
        (["--pixel-size", "0"], "pixel_size must be finite and > 0"),
        (["--learning-rate", "-1"], "learning_rate must be finite and > 0"),
        (["--window", "2"], "window=2 nm needs the pixel size"),
        (
            ["--window", "5", "--pixel-size", "0.02"],
            "image.npy: expected a patch that fits into the image (96 x 96",
        ),
        (["--config", "none.yaml"], "none.yaml: expected a file, found none"),
    ],
)
def test_bad_settings_are_refused_in_one_line(
    options, expected, image, tmp_path, capsys
):
    line = refused(capsys, ["run", image, *options, "--out", tmp_path / "out"])
    assert expected in line
    assert not (tmp_path / "out").exists()


def test_unknown_setting_suggests_the_nearest(image, tmp_path, capsys):
    config = tmp_path / "run.yaml"
    config.write_text("model: {contentdim: 2}\n")
    line = refused(
        capsys, ["run", image, "--config", config, "--out", tmp_path / "out"]
    )
    assert "model does not take 'contentdim'. Did you mean 'content_dim'?" in line


def test_file_in_place_of_the_directory(image, tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    line = refused(capsys, ["run", image, "--out", tmp_path / "out"])
    assert "expected a directory; got a file" in line
    assert (tmp_path / "out").read_text() == "mine"


def test_directory_in_use(image, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = refused(capsys, ["run", image, "--out", out])
    assert "in use by another process (pid 4711)" in line
    assert [path.name for path in out.iterdir()] == [".lock"]


@pytest.mark.slow
def test_loss_that_is_not_finite_ends_at_the_last_good_state(tmp_path, capsys):
    patches = RNG.normal(size=(60, 12, 12)).astype(np.float32)
    np.save(tmp_path / "patches.npy", patches)
    out = tmp_path / "out"
    words = ["fit", tmp_path / "patches.npy", "--out", out, "--pose", "rotation"]
    line = refused(capsys, [*words, "--learning-rate", "1e30", "--epochs", "40"])
    assert "the loss stopped being finite in epoch" in line
    assert "Lower learning_rate" in line
    assert not (out / "model.npz").exists()
    assert not (out / "latents.parquet").exists()


@pytest.mark.slow
def test_run_of_files_from_end_to_end(image, tmp_path):
    out = tmp_path / "out"
    words = ["run", image, "--window", "0.6", "--pixel-size", "0.02", "--size", "12"]
    words += ["--epochs", "2", "--content-dim", "1", "--seed", "3", "--quiet"]
    assert status(*words, "--out", out) == 0
    table = pd.read_parquet(out / "latents.parquet")
    assert "content_0" in table
    assert "content_1" not in table
    assert (out / "report.html").stat().st_size > 1e5


def called(monkeypatch, module, name):
    """What the function is called with, in place of the function."""
    found = {}

    def keep(*words, **options):
        found.update(options, words=words)

    monkeypatch.setattr(f"jaxrvae.{module}.{name}", keep)
    return found


def test_report_hands_its_options_on(monkeypatch):
    found = called(monkeypatch, "pipeline", "refresh")
    assert status("report", "there", "--classes", "2", "--quiet") == 0
    assert found == {
        "words": ("there",),
        "num_classes": 2,
        "max_classes": None,
        "progress": False,
    }


def test_encode_hands_its_options_on(monkeypatch):
    found = called(monkeypatch, "commands", "encode_files")
    words = ["encode", "m.npz", "a.tif", "b.tif", "--channel", "1", "--out", "x.csv"]
    assert status(*words, "--pixel-size", "0.02") == 0
    assert found == {
        "words": ("m.npz", ["a.tif", "b.tif"], "x.csv"),
        "channel": 1,
        "pixel_size": 0.02,
        "progress": True,
    }


def test_demo_hands_its_options_on(monkeypatch, tmp_path):
    found = called(monkeypatch, "pipeline", "run")
    assert status("demo", "--seed", "5", "--out", tmp_path, "--quiet") == 0
    (config,) = found["words"]
    assert (config.out, config.model.seed) == (str(tmp_path), 5)
    assert found["progress"] is False


def test_options_override_the_file(monkeypatch, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "input: {files: [a.tif], pixel_size: 0.01}\n"
        "model: {content_dim: 3, num_turns: 6}\n"
        "out: there\n"
    )
    found = called(monkeypatch, "pipeline", "run")
    assert status("run", "--config", path, "--content-dim", "4", "--channel", "b") == 0
    (values,) = found["words"]
    assert values == {
        "input": {"files": ["a.tif"], "pixel_size": 0.01, "channel": "b"},
        "model": {"content_dim": 4, "num_turns": 6},
        "out": "there",
    }


def test_simulation_is_written_with_its_truth(tmp_path, capsys):
    out = tmp_path / "movie.npz"
    words = ["simulate", "graphene", "--seed", "2", "--out", out]
    assert status(*words, "--set", "num_frames=2", "size=64") == 0
    assert jaxrvae.read(out).values.shape == (2, 64, 64)
    truth = pd.read_csv(tmp_path / "movie_truth.csv")
    assert {"frame", "x", "y", "element"} <= set(truth)
    line = refused(capsys, [*words, "--set", "num_frame=2"])
    assert "Did you mean 'num_frames'?" in line
    assert "ends in .npz" in refused(capsys, [*words[:4], "--out", "movie.tif"])


def test_simulated_domains_are_written_with_their_walls(tmp_path):
    out = tmp_path / "domains.npz"
    words = ["simulate", "ferroelectric", "--out", out]
    assert status(*words, "--set", "num_frames=1", "size=64") == 0
    walls = pd.read_csv(tmp_path / "domains_truth.csv")
    assert list(walls) == ["frame", "x", "y", "direction"]


def test_wrong_model_file(image, tmp_path, capsys):
    words = ["encode", image, image, "--out", tmp_path / "x.csv"]
    assert "expected a model written by" in refused(capsys, words)
    assert not (tmp_path / "x.csv").exists()


def test_report_of_no_run(tmp_path, capsys):
    line = refused(capsys, ["report", tmp_path])
    assert "config.yaml: expected a file, found none" in line


def test_benchmark_that_is_not_there(capsys):
    line = refused(capsys, ["bench", "spede"])
    assert "Did you mean 'speed'?" in line


def test_command_is_installed():
    assert find_spec("jaxrvae.cli") is not None
    done = subprocess.run(
        [Path(sys.executable).with_name("jaxrvae"), "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("jaxrvae ")


@pytest.mark.slow
def test_pathways_of_a_table_of_any_program(tmp_path, capsys):
    places = np.where(np.arange(300) % 3, 6.0, -6.0) + RNG.normal(size=300)
    table = pd.DataFrame({"content_0": places})
    file, out = tmp_path / "latents.csv", tmp_path / "out"
    table.to_csv(file, index=False)
    assert status("pathways", file, "--states", "2", "--out", out, "--quiet") == 0
    assert pd.read_csv(out / "states.csv")["count"].tolist() == [200, 100]
    assert (out / "free_energy.png").stat().st_size > 1e4
    assert "column track" in capsys.readouterr().err


def test_pathways_say_what_is_wrong(tmp_path, capsys):
    file = tmp_path / "latents.csv"
    file.write_text("a,b\n1,2\n")
    assert status("pathways", file) == 2
    assert "a table needs --out" in capsys.readouterr().err
    line = refused(capsys, ["pathways", file, "--out", tmp_path / "o"])
    assert "content_0" in line
    line = refused(capsys, ["pathways", tmp_path / "no.csv", "--out", tmp_path])
    assert "no.csv" in line
