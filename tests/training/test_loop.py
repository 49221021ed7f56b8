import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae._checks import RunError
from jaxrvae.config import TrainingConfig
from jaxrvae.training.loop import LEAST_STEPS, Diverged, plan, train

TARGETS = jnp.asarray(np.random.default_rng(0).normal(3.0, 1.0, (64, 2)), jnp.float32)
START = {"mean": jnp.zeros(2)}


def loss(params, batch, progress, key):
    draw = 0.1 * jax.random.normal(key, (2,))
    value = jnp.square(batch["x"] - params["mean"] - draw).sum(1).mean()
    return value, {"part": 2 * value, "progress": progress}


def config(**options):
    options = {"epochs": 6, "batch_size": 16, "learning_rate": 0.1} | options
    return TrainingConfig(**options)


def fitted(settings=None, loss=loss, **options):
    settings = settings or config()
    return train(loss, START, {"x": TARGETS}, settings, progress=False, **options)


def assert_same(first, second):
    np.testing.assert_array_equal(first.params["mean"], second.params["mean"])
    plain = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in part.history]
        for part in (first, second)
    ]
    assert plain[0] == plain[1]


@pytest.fixture(scope="module")
def whole():
    return fitted()


def test_training_finds_the_mean():
    found = fitted(config(epochs=60)).params["mean"]
    # the draws of 16 from 64 leave an error of about 1 / sqrt(16)
    np.testing.assert_allclose(found, TARGETS.mean(0), atol=0.5)


def test_history_has_a_row_an_epoch(whole):
    assert [row["epoch"] for row in whole.history] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in whole.history] == [4, 8, 12, 16, 20, 24]
    for row in whole.history:
        assert set(row) == {"epoch", "step", "loss", "part", "progress", "seconds"}
        assert row["part"] == pytest.approx(2 * row["loss"], rel=1e-5)
        # four steps an epoch; a step's share is that before it
        before = (row["epoch"] - 1 + 1.5 / 4) / 6
        assert row["progress"] == pytest.approx(before, rel=1e-5)
    assert whole.compile_seconds > 0


def test_same_seed_same_numbers_other_seed_others(whole):
    assert_same(fitted(), whole)
    other = fitted(config(seed=1))
    assert not np.array_equal(other.params["mean"], whole.params["mean"])


def test_loss_is_traced_once_for_all_epochs():
    fitted(config(epochs=20), loss=chex.assert_max_traces(loss, n=1))


@pytest.mark.parametrize(
    ("number", "settings", "expected"),
    [
        (64, {"epochs": 3}, (3, 4, 16)),
        (70, {"epochs": 3}, (3, 4, 16)),  # what is left over waits for another epoch
        (5, {"epochs": 3}, (3, 1, 5)),
        (1600, {"epochs": None}, (LEAST_STEPS // 100, 100, 16)),
        (16, {"epochs": None}, (400, 1, 16)),
        (16_000_000, {"epochs": None}, (8, 1_000_000, 16)),
    ],
)
def test_plan_of_epochs_steps_and_batches(number, settings, expected):
    assert plan(config(**settings), number) == expected


def test_run_directory_changes_no_number(whole, tmp_path):
    saved = fitted(config(save_seconds=0.0), run_dir=tmp_path / "run")
    assert_same(saved, whole)
    again = fitted(run_dir=tmp_path / "run")  # nothing is left to do
    assert_same(again, whole)


def test_a_stopped_run_goes_on_where_it_was(whole, tmp_path):
    class StoppedError(Exception):
        pass

    def stop_after(epochs):
        rows = 0

        def stderr_write(text):
            nonlocal rows
            rows += text.startswith("epoch")
            if rows == epochs:
                raise StoppedError

        return stderr_write

    settings = config(save_seconds=0.0)
    for epochs in (2, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stderr.write", stop_after(epochs))
            with pytest.raises(StoppedError):
                train(loss, START, {"x": TARGETS}, settings, run_dir=tmp_path / "run")
    assert_same(fitted(settings, run_dir=tmp_path / "run"), whole)


def test_long_runs_take_the_quicker_loss_between(monkeypatch, tmp_path):
    def quicker(params, batch, progress, key):
        value, parts = loss(params, batch, progress, key)
        return value, parts | {"part": 0 * value}

    def is_quicker(found):
        return [row["part"] == 0 for row in found.history]

    settings = config(epochs=10)
    assert not any(is_quicker(fitted(settings, quicker=quicker)))  # a short one
    monkeypatch.setattr("jaxrvae.training.loop.LONG", 40)
    whole = fitted(settings, quicker=quicker)
    assert is_quicker(whole) == [False] + 8 * [True] + [False]
    assert_same(fitted(settings, quicker=quicker, run_dir=tmp_path / "run"), whole)


def breaks_beyond(level):
    """A loss that is no number once the mean has passed the level."""

    def breaking(params, batch, progress, key):
        value, parts = loss(params, batch, progress, key)
        broken = jnp.where(params["mean"].max() > level, jnp.nan, value)
        return broken, parts

    return breaking


@pytest.mark.parametrize("batch_size", [16, 64])  # four steps an epoch, and one
def test_divergence_keeps_the_last_state_whose_loss_is_finite(tmp_path, batch_size):
    breaking = breaks_beyond(0.55)
    settings = config(epochs=40, batch_size=batch_size, save_seconds=0.0)
    with pytest.raises(Diverged, match="finite in epoch") as caught:
        fitted(settings, loss=breaking, run_dir=tmp_path / "run")
    good = caught.value.fitted
    assert good.history
    assert 0 < float(good.params["mean"].max()) <= 0.55
    assert f"the model of epoch {len(good.history)} is kept" in str(caught.value)
    assert str(tmp_path / "run") in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(Diverged) as again:  # from the checkpoint: the same end
        fitted(settings, loss=breaking, run_dir=tmp_path / "run")
    np.testing.assert_array_equal(
        again.value.fitted.params["mean"], good.params["mean"]
    )


def test_divergence_at_once_keeps_nothing():
    with pytest.raises(Diverged, match="nothing is kept") as caught:
        fitted(loss=breaks_beyond(-1.0))
    assert caught.value.fitted.history == []


def test_progress_writes_about_ten_plain_lines(capsys):
    train(loss, START, {"x": TARGETS}, config(epochs=40))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[-1].startswith("epoch 40/40: loss ")


def test_a_device_that_fails_is_told_in_one_line_and_nothing_is_lost(tmp_path, whole):
    steps, fails = [], [13]  # of four an epoch

    def count(key):
        steps.append(key)
        if len(steps) in fails:
            raise OSError("the device fell off the bus")
        return np.float32(0)

    def failing(params, batch, progress, key):
        number = jax.random.key_data(key)[0]
        nothing = jax.pure_callback(count, jax.ShapeDtypeStruct((), "float32"), number)
        value, parts = loss(params, batch, progress, key)
        return value + jax.lax.stop_gradient(nothing), parts

    every = config(save_seconds=0.0, accumulate=1)
    with pytest.raises(RunError, match=r"epoch 4 failed.*fell off.*it goes on") as told:
        fitted(every, failing, run_dir=tmp_path)
    assert "\n" not in str(told.value)
    assert str(tmp_path) in str(told.value)
    fails.clear()
    assert_same(fitted(every, failing, run_dir=tmp_path), whole)
    steps, fails = [], [1]
    with pytest.raises(RunError, match=r"epoch 1 failed.*run_dir=\.\.\."):
        fitted(every, failing)
