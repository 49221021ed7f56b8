"""Members of one program learn what each would learn alone."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from jaxrvae._checks import DataError, RunError
from jaxrvae.config import ModelConfig, ObjectiveConfig, TrainingConfig
from jaxrvae.config.dotted import override
from jaxrvae.config.study import DataConfig, StudyConfig
from jaxrvae.data.batches import as_images
from jaxrvae.data.known import learn_known
from jaxrvae.sweep import Sweep, chosen
from jaxrvae.sweep.axes import points_of
from jaxrvae.sweep.data import images_of
from jaxrvae.sweep.measure import measure, program_key, settings_of
from jaxrvae.sweep.schedule import packed
from jaxrvae.training.fit import fit_models

DATA = DataConfig(kind="glyphs", num_images=100, num_test=40, size=12)
BASE = StudyConfig(
    data=DATA,
    model=ModelConfig(pose=("rotation",), hidden_dim=8, num_turns=4),
    training=TrainingConfig(epochs=10, batch_size=100),  # an epoch is a step
)


CHANGES = [
    {"model.seed": 3, "training.learning_rate": 1e-3},
    {"objective.beta": 3.0, "model.angle_prior": {"concentration": 1.0}},
]


@pytest.mark.slow
@pytest.mark.parametrize("decoder", ["steerable", "affine"])
def test_members_have_the_losses_of_runs_of_their_own(decoder):
    base = override(BASE, {"model.decoder": decoder})
    (group,) = packed(Sweep(base=base, axes=[chosen(CHANGES)]).points(), 64)
    settings = [settings_of(point.config) for point in group]
    given = {"images": as_images(images_of(DATA)[0])}
    known = learn_known(1, None, len(given["images"]), None)
    together = fit_models(settings, known, given, progress=False, tolerant=True)
    for place, own in enumerate(settings):
        alone = fit_models(own, known, given, progress=False)
        losses = [row["loss"] for row in alone.history]
        assert len(losses) == 10
        np.testing.assert_allclose(together.member_losses[:, place], losses, rtol=1e-5)
        assert together.members[place].config == own.model


@pytest.mark.slow
def test_a_member_that_diverges_leaves_the_others_going():
    base = override(BASE, {"training.epochs": 3})
    rates = [{"training.learning_rate": rate} for rate in (1e-3, 1e12)]
    points = Sweep(base=base, axes=[chosen(rates)]).points()
    good, bad = measure([point.config for point in points])
    assert good.error is None
    assert np.isfinite(list(good.metrics.values())).all()
    assert {"R, worst", "k-NN accuracy", "bound, nats per pixel"} <= set(good.metrics)
    assert "stopped being finite in epoch" in (bad.error or "")
    assert not bad.metrics


def test_points_share_a_program_where_shapes_and_data_agree():
    same = [
        {"model.seed": 1},
        {"training.learning_rate": 1e-4},
        {"objective.beta": 2.0},
        {"model.angle_prior": {"std": 0.1}},
        {"model.angle_prior": {"std": 0.5}},
    ]
    other = [
        {"model.hidden_dim": 9},
        {"data.seed": 1},
        {"training.epochs": 3},
        {"objective.ramp": 0.5},
        {"model.angle_prior": {"concentration": 2.0}},
    ]
    keys = [
        program_key(point.config)
        for point in Sweep(base=BASE, axes=[chosen([{}, *same])]).points()
    ]
    assert len(set(keys)) == 2  # normal priors have a program of their own
    points = Sweep(base=BASE, axes=[chosen([{}, *other])]).points()
    groups = packed(points, 64)
    assert sorted(len(group) for group in groups) == [1, 1, 1, 1, 2]
    peers = [dataclasses.replace(BASE, program="pyroved")]
    assert program_key(peers[0]) != program_key(BASE)


@pytest.mark.parametrize(
    ("kind", "options", "classes"),
    [
        ("glyphs", {"noise": 0.1}, 4),
        ("graphene", {"num_frames": 2, "size": 128, "silicon_fraction": 0.06}, 3),
        ("lattice", {"num_frames": 2, "size": 128}, 2),
        ("ferroelectric", {"num_frames": 2, "size": 128}, 1),
    ],
)
def test_simulated_data_come_with_their_truth(kind, options, classes):
    config = DataConfig(
        kind=kind, options=options, num_images=150, num_test=60, size=16
    )
    train, test = images_of(config)
    for part, most in ((train, 150), (test, 60)):
        assert 0 < len(part) <= most
        assert part.values.shape[1:3] == (16, 16)
        assert {"shape", "angle", "symmetry"} <= set(part.truth.columns)
        assert len(part.truth) == len(part)
    assert train.truth["shape"].nunique() >= classes
    assert images_of(config)[0] is train  # once for all points of a sweep
    frames = [set(part.table["frame"]) for part in (train, test)]
    assert kind == "glyphs" or not frames[0] & frames[1]


def test_digits_are_read_from_their_folder(tmp_path):
    import gzip

    rng = np.random.default_rng(0)
    for split, number in (("train", 8), ("t10k", 4)):
        images = rng.integers(0, 255, (number, 28, 28), np.uint8)
        for name, values in (("images-idx3", images), ("labels-idx1", images[:, 0, 0])):
            dims = np.array(values.shape, ">i4").tobytes()
            header = bytes([0, 0, 8, values.ndim]) + dims
            with gzip.open(tmp_path / f"{split}-{name}-ubyte.gz", "wb") as file:
                file.write(header + values.tobytes())
    config = DataConfig(
        kind="digits", files=str(tmp_path), options={"spread": 10.0}, size=32
    )
    train, test = images_of(config)
    assert (train.values.shape, test.values.shape) == ((8, 32, 32), (4, 32, 32))
    assert np.degrees(train.truth["angle"]).abs().max() < 60
    with pytest.raises(DataError, match="digits have 28 pixels; got size=16"):
        images_of(dataclasses.replace(config, size=16))
    with pytest.raises(DataError, match="expected a file, found none"):
        images_of(dataclasses.replace(config, files=(str(tmp_path / "no"),)))


def test_what_does_not_go_together_is_said():
    labelled = dataclasses.replace(
        BASE,
        data=dataclasses.replace(DATA, labels=0.5),
        model=dataclasses.replace(BASE.model, num_classes=1),
    )
    with pytest.raises(ValueError, match="num_classes"):
        measure([labelled])
    peer = dataclasses.replace(BASE, program="pyroved")
    with pytest.raises((RunError, ValueError), match=r"peers are not installed|epochs"):
        measure([dataclasses.replace(peer, training=TrainingConfig())])


def test_a_list_of_configs_is_a_sweep_as_well():
    configs = [BASE, dataclasses.replace(BASE, objective=ObjectiveConfig(beta=2.0))]
    points = points_of([*configs, BASE])
    assert [point.config for point in points] == configs
    assert pd.Series([point.id for point in points]).is_unique
