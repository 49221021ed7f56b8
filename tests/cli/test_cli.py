"""The command line: help, one line for every bad input, and a short whole run."""

import numpy as np
import pytest

from jaxrvae.cli import main
from jaxrvae.simulate import simulate

VERBS = ("demo", "run", "simulate", "fit", "encode", "report", "bench")


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A small graphene image, and the folder it is in."""
    folder = tmp_path_factory.mktemp("scan")
    movie = simulate("graphene", seed=0, num_frames=1, size=96, snr=6.0)
    np.save(folder / "scan_1.npy", movie[0].values)
    return folder / "scan_1.npy"


def refused(capsys, tmp_path, *arguments):
    """The one line that a run with these arguments fails with; nothing is left."""
    out = tmp_path / "out"
    assert main(["run", *map(str, arguments), "--out", str(out), "--quiet"]) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1, errors
    assert errors[0].startswith("jaxrvae: ")
    left = [p.name for p in out.rglob("*") if p.is_file()] if out.exists() else []
    assert not set(left) & {"report.html", "latents.parquet", "model.npz"}
    return errors[0]


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert "example" in capsys.readouterr().out


def test_wrong_use_ends_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "--no-such-option"])
    assert stop.value.code == 2


def test_missing_file(capsys, tmp_path):
    assert "none.npy" in refused(capsys, tmp_path, tmp_path / "none.npy")


def test_truncated_file(capsys, tmp_path, scan):
    path = tmp_path / "half.npy"
    path.write_bytes(scan.read_bytes()[: scan.stat().st_size // 2])
    assert "half.npy" in refused(capsys, tmp_path, path, "--pixel-size", 0.0156)


def test_wrong_format(capsys, tmp_path):
    path = tmp_path / "text.tif"
    path.write_text("not an image")
    assert "text.tif" in refused(capsys, tmp_path, path)


@pytest.mark.parametrize("kind", ["nan", "constant"])
def test_images_without_information(capsys, tmp_path, kind):
    image = np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32)
    image[3, 4] = np.nan
    path = tmp_path / f"{kind}.npy"
    np.save(path, image if kind == "nan" else np.ones((96, 96), np.float32))
    assert path.name in refused(capsys, tmp_path, path, "--pixel-size", 0.0156)


@pytest.mark.slow
def test_noise_alone_holds_no_atoms(capsys, tmp_path):
    path = tmp_path / "noise.npy"
    np.save(path, np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32))
    line = refused(capsys, tmp_path, path, "--pixel-size", 0.0156)
    assert "noise" in line
    assert "atoms" in line


@pytest.mark.slow
def test_patch_larger_than_the_image(capsys, tmp_path, scan):
    line = refused(capsys, tmp_path, scan, "--pixel-size", 0.0156, "--window", 3)
    assert "scan_1" in line


def test_content_dim_0(capsys, tmp_path, scan):
    line = refused(capsys, tmp_path, scan, "--pixel-size", 0.0156, "--content-dim", 0)
    assert "content_dim" in line


@pytest.mark.slow
def test_a_loss_that_is_not_finite(capsys, tmp_path, scan):
    options = ("--pixel-size", 0.0156, "--window", 0.5, "--learning-rate", 1e30)
    line = refused(capsys, tmp_path, scan, *options, "--epochs", 3)
    assert "finite" in line


@pytest.mark.slow
def test_a_directory_in_use(capsys, tmp_path, scan):
    from jaxrvae.training.checkpoint import RunDirectory

    with RunDirectory(tmp_path / "out", {}):
        line = refused(capsys, tmp_path, scan, "--pixel-size", 0.0156, "--window", 0.5)
    assert "out" in line


@pytest.mark.slow
def test_a_short_run_leaves_everything(tmp_path, scan):
    out = tmp_path / "out"
    command = ["run", str(scan), "--pixel-size", "0.0156", "--window", "0.5"]
    assert main([*command, "--epochs", "2", "--out", str(out), "--quiet"]) == 0
    names = {path.name for path in out.iterdir()}
    assert {
        "config.yaml",
        "metrics.csv",
        "checkpoints",
        "latents.parquet",
        "figures",
        "report.html",
        "versions.json",
    } <= names
