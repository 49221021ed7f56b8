import dataclasses
import fcntl

import numpy as np
import pandas as pd
import pytest
import yaml

from jaxrvae import RVAE, DataError, RunError, pipeline, run
from jaxrvae.commands import encode_files, fit_patches, write_simulation
from jaxrvae.config import RunConfig, read_yaml, run_config, run_mapping
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.pipeline import cut, demo_config, locate, open_movie, refresh

TOY = {
    "input": {
        "simulate": "graphene",
        "options": {"num_frames": 2, "size": 128, "silicon_fraction": 0.05},
        "seed": 3,
    },
    "patches": {"window": 0.6, "size": 16},
    "track": {"max_step": 4.0},
    "model": {"hidden_dim": 16, "num_turns": 3},
    "training": {"epochs": 3},
    "classes": {"max_classes": 3},
}
FILES = [
    "classes.csv",
    "config.yaml",
    "latents.parquet",
    "metrics.csv",
    "model.npz",
    "positions.parquet",
    "report.html",
    "versions.json",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def result(folder):
    return run(TOY | {"out": str(folder / "toy")}, progress=False)


def test_directory_holds_everything(result):
    for name in FILES:
        assert (result.out / name).stat().st_size > 0
    assert list((result.out / "checkpoints").iterdir())
    names = {path.stem for path in (result.out / "figures").glob("*.png")}
    assert {"gallery", "classes", "content", "manifold", "classes_0000"} <= names
    assert not [path for path in result.out.rglob(".*") if path.name != ".lock"]


def test_atoms_are_patches_or_dropped(result):
    assert len(result.patches) + result.patches.num_dropped == len(result.positions)
    assert len(result.latents) == len(result.patches)
    table = pd.read_parquet(result.out / "latents.parquet")
    needed = {"frame", "x", "y", "content_1", "angle", "class", "offset", "scale"}
    assert needed <= set(table.columns)
    both = table.groupby("track")["frame"].nunique()
    assert (both == 2).mean() > 0.9  # nothing moves by more than a hop
    np.testing.assert_array_equal(table["class"], result.classes.labels)


def test_class_table_counts_frames_and_brightness(result):
    table = result.class_table()
    assert table["frames"].max() == 2
    assert table["brightness"].between(0.8, 1.2).all()  # carbon, with a few silicon
    assert table["count"].sum() == len(result.patches)


def test_settings_written_are_those_that_made_it(result):
    values = read_yaml(result.out / "config.yaml")
    assert run_mapping(run_config(values)) == values == result.settings


def test_other_settings_are_refused_before_any_work(result):
    other = TOY | {"model": TOY["model"] | {"seed": 7}, "out": str(result.out)}
    with pytest.raises(RunError, match="holds a run with model.seed: 0; now 7"):
        run(other, progress=False)


def test_directory_in_use_is_refused(result):
    with (result.out / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="in use by another process"):
            run(TOY | {"out": str(result.out)}, progress=False)


@pytest.mark.slow
def test_classes_can_be_made_afresh_and_the_run_refreshed(result):
    fresh = refresh(result.out, num_classes=2, progress=False)
    assert len(fresh.classes) == 2
    assert len(pd.read_csv(result.out / "classes.csv")) == 2
    assert fresh.timings["train"] == result.timings["train"]
    np.testing.assert_array_equal(fresh.latents.content, result.latents.content)
    (result.out / "report.html").unlink()
    again = run(TOY | {"out": str(result.out)}, progress=False)
    assert (result.out / "report.html").exists()
    pd.testing.assert_frame_equal(
        again.latents.to_dataframe(), result.latents.to_dataframe()
    )
    assert len(again.model.history) == len(result.model.history)


@pytest.mark.slow
def test_files_are_encoded_as_the_run_did(result, folder):
    for frame in result.frames:
        np.save(folder / f"frame_{frame.number}.npy", frame.values)
    files = [str(folder / f"frame_{number}.npy") for number in (0, 1)]
    table = encode_files(
        result.out / "model.npz",
        files,
        folder / "again.csv",
        pixel_size=result.frames.pixel_size,
        progress=False,
    )
    assert len(pd.read_csv(folder / "again.csv")) == len(table)
    np.testing.assert_allclose(
        table["content_0"], result.latents.content[:, 0], atol=1e-4
    )


@pytest.mark.slow
def test_patches_of_a_file_are_fitted_and_encoded(folder):
    write_simulation("glyphs", 0, {"num_images": 60, "size": 16}, folder / "g.npz")
    assert len(pd.read_csv(folder / "g_truth.csv")) == 60
    settings = {"pose": ("rotation",), "hidden_dim": 16}
    model = fit_patches(
        folder / "g.npz", folder / "fit", settings, epochs=2, progress=False
    )
    assert len(model.history) == 2
    encoded = encode_files(
        folder / "fit" / "model.npz", [str(folder / "g.npz")], folder / "g.parquet"
    )
    fitted = pd.read_parquet(folder / "fit" / "latents.parquet")
    pd.testing.assert_frame_equal(encoded, fitted)
    assert RVAE.load(folder / "fit" / "model.npz").config == model.config


SIDE = 64


def stripe(number, noise=0.03):
    """A positive stripe with wavy walls, broader from frame to frame; in degrees."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    middle = SIDE / 2 + 3 * np.sin(2 * np.pi * rows / SIDE)
    field = np.tanh((12.5 + 2 * number - np.abs(columns - middle)) / 2)
    rng = np.random.default_rng(number)
    noisy = field + noise * (rng.normal(size=(2, SIDE, SIDE)) * [[[1]], [[1j]]]).sum(0)
    seen = noisy * np.exp(1j * np.radians(40))
    values = np.stack([np.abs(seen), np.degrees(np.angle(seen))], axis=-1)
    return Frame(values.astype(np.float32), 20.0, f"scan {number}", number)


@pytest.fixture(scope="module")
def domains(folder):
    """A run on PFM frames, which are told by their channels."""
    movie = Frames((stripe(0), stripe(1)), channels=("Amplitude", "Phase"))
    given = TOY | {"patches": {"size": 16}, "walls": {"spacing": 2.0}}
    given |= {"input": {"files": ["scan.ibw"]}, "out": str(folder / "pfm")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "read", lambda files, **options: movie)
        return run(given, progress=False)


def test_amplitude_and_phase_are_domain_walls(domains):
    assert domains.settings["kind"] == "pfm"
    assert domains.patches.channels == ("polarity", "amplitude")
    assert domains.patches.values.shape[1:] == (16, 16, 2)
    table = pd.read_csv(domains.out / "domains.csv")
    grown = 4 * SIDE * 20.0**2  # two pixels on either side of every row
    assert table["grown"][1] == pytest.approx(grown, rel=0.05)
    assert (table["walls"] == 2).all()
    page = (domains.out / "report.html").read_text()
    assert "points along domain walls were found" in page
    assert "brightness" not in page.split("<h2>How it was made")[0]
    assert (domains.out / "figures" / "walls.png").exists()


def test_windows_on_a_grid_are_everywhere(folder):
    movie = Frames((stripe(0),), channels=("Amplitude", "Phase"))
    config = run_config(
        {"input": {"files": "a"}, "kind": "pfm", "patches": {"size": 16}}
        | {"walls": {"windows": "grid", "step": 4}}
    )
    frames, points = locate(movie, config)
    assert len(points) == 16**2
    patches = cut(frames, points, config)
    assert patches.num_dropped > 0
    assert patches.pixel_size == pytest.approx(20.0)


def test_demo_is_what_the_defaults_make_of_it():
    config = demo_config("here", seed=4)
    assert isinstance(config, RunConfig)
    assert config.out == "here"
    assert config.model.seed == config.input.seed == 4
    assert config.model.pose == ("rotation",)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"modle": {}}, TypeError, "run does not take 'modle'. Did you mean 'model'"),
        ({"model": {"contentdim": 2}}, TypeError, "Did you mean 'content_dim'"),
        ({"input": {"file": "a"}}, TypeError, "Did you mean 'files'"),
        ({"input": {}}, ValueError, "either files or simulate"),
        ({"input": {"simulate": "grafene"}}, ValueError, "Did you mean 'graphene'"),
        ({"input": 3}, ValueError, "input must hold files or simulate; got 3"),
        ({"model": 3}, ValueError, "model must hold settings"),
        ({"model": {"content_dim": 0}}, ValueError, "content_dim must be >= 1"),
        ({"patches": {"size": 2}}, ValueError, "size must be >= 8"),
        ({"patches": {"window": -1}}, ValueError, "window must be finite and > 0"),
        ({"patches": {"window": "1nm"}}, ValueError, "window must be one of"),
        ({"patches": {"window": None}}, ValueError, "needs the size in pixels"),
        ({"training": {"epochs": 0}}, ValueError, "epochs must be >= 1"),
    ],
)
def test_wrong_settings_say_what_is_wrong(change, error, message):
    values = {"input": {"files": "a.tif"}} | change
    if "window" in change.get("patches", {}) and change["patches"]["window"] is None:
        change = {"patches": {"window": None, "size": "auto"}}
        values |= change
    with pytest.raises(error, match=message):
        run_config(values)


def test_input_is_needed():
    with pytest.raises(ValueError, match="run needs input"):
        run_config({"model": {}})


def test_yaml_that_is_none_is_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("input: [unclosed")
    with pytest.raises(DataError, match=r"run\.yaml: expected YAML"):
        read_yaml(path)
    path.write_text("- a list")
    with pytest.raises(DataError, match="expected groups such as input"):
        read_yaml(path)
    path.write_text(yaml.safe_dump({"input": {"files": ["a.tif"]}}))
    assert run_config(read_yaml(path)).input.files == ("a.tif",)


def test_result_is_frozen(result):
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.out = None


def test_large_movies_stay_on_disk(tmp_path, monkeypatch):
    images = np.random.default_rng(0).normal(size=(3, 16, 16)).astype(np.float32)
    np.save(tmp_path / "movie.npy", images)

    def opened(lazy):
        source = {"files": str(tmp_path / "movie.npy"), "lazy": lazy}
        return open_movie(run_config({"input": source}))[0]

    for largest, lazy, stays in [
        (images.nbytes, None, False),
        (images.nbytes - 1, None, True),
        (0, False, False),
        (images.nbytes, True, True),
    ]:
        monkeypatch.setattr(pipeline, "LAZY_BYTES", largest)
        movie = opened(lazy)
        assert callable(movie[0].source) == stays
        np.testing.assert_array_equal(movie.values, images)
