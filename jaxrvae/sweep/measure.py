"""Points of a sweep, trained and scored; those that share shapes by one program."""

import dataclasses
import json
import resource
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxrvae._checks import RunError
from jaxrvae.config import RunConfig
from jaxrvae.config.dotted import nested_mapping
from jaxrvae.config.study import StudyConfig
from jaxrvae.data.batches import as_images, check_images
from jaxrvae.data.containers import Patches
from jaxrvae.data.known import learn_known
from jaxrvae.estimator import RVAE
from jaxrvae.sweep.axes import canonical
from jaxrvae.sweep.data import images_of
from jaxrvae.sweep.scores import study_scores
from jaxrvae.training.fit import Settings, Trained, fit_models

Metrics = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a point.

    Attributes:
        metrics: By name; empty where it failed.
        history: Rows of the training, as JSON holds them.
        seconds: Of its own; of members, a share of what they took together.
        compile_seconds: Likewise.
        memory_gb: The process's most so far.
        error: Why it failed, in one line.
    """

    metrics: Metrics
    history: list[dict[str, float]]
    seconds: float
    compile_seconds: float = 0.0
    memory_gb: float = 0.0
    error: str | None = None


def program_key(config: Any) -> str:
    """What points have in common that are trained by one program."""
    if not isinstance(config, StudyConfig) or config.program != "jaxrvae":
        return canonical(config)
    shared = {"data": nested_mapping(config.data), **settings_of(config).shared}
    return json.dumps(shared, sort_keys=True, default=str)


def settings_of(config: StudyConfig) -> Settings:
    """A study's settings as training takes them: it draws with the model's seed."""
    training = dataclasses.replace(config.training, seed=config.model.seed)
    return Settings(config.model, config.objective, training)


def measure(configs: Sequence[Any], progress: bool = False) -> list[Outcome]:
    """Train and score points that have one program in common.

    Args:
        configs: Studies, or one config that measures itself (`measure(progress)`), or
            one of a whole run.

    Raises:
        ValueError, RunError: What stops all of them.
    """
    first = configs[0]
    if isinstance(first, StudyConfig) and first.program == "jaxrvae":
        return _measure_studies(configs, progress)
    start, outcomes = time.perf_counter(), []
    for config in configs:
        metrics = _measured_alone(config, progress)
        seconds, start = time.perf_counter() - start, time.perf_counter()
        outcomes.append(Outcome(metrics, [], seconds, memory_gb=peak_memory()))
    return outcomes


def told(patches: Patches, share: float) -> dict[str, Any]:
    """The labels that training is given, of so many of the patches."""
    if not share:
        return {}
    assert patches.truth is not None, "StudyConfig's data have a truth"
    label = patches.truth["shape"].to_numpy(np.int64)
    known = np.arange(len(label)) % round(1 / share) == 0
    return {"labels": np.where(known, label, -1)}


def peak_memory() -> float:
    """GB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _measure_studies(configs: Sequence[StudyConfig], progress: bool) -> list[Outcome]:
    """Members of one program, each scored by itself."""
    start = time.perf_counter()
    data = configs[0].data
    train, test = images_of(data)
    if data.labels and (train.truth is None or "shape" not in train.truth):
        raise ValueError(f"labels={data.labels}, but {data.kind!r} has no classes.")
    trained, given = _trained(configs, train, progress)
    shared = (time.perf_counter() - start) / len(configs)
    outcomes = []
    for place, config in enumerate(configs):
        begun = time.perf_counter()
        history = _history(trained, place)
        metrics, error = {}, _failure(history)
        if error is None:
            model = RVAE(**vars(config.model))
            model.keep([trained.members[place]], False, given)
            metrics = study_scores(model, train, test, data.labels)
        own = shared + time.perf_counter() - begun
        compiled = trained.compile_seconds / len(configs)
        outcomes.append(Outcome(metrics, history, own, compiled, peak_memory(), error))
    return outcomes


def _trained(
    configs: Sequence[StudyConfig], train: Patches, progress: bool
) -> tuple[Trained, dict[str, Any]]:
    """All of them by one program, and what they were trained on."""
    first = configs[0]
    images = as_images(train)
    check_images(images, first.model.likelihood_kind, first.model.rotated)
    known = learn_known(first.model.num_classes, None, len(images), None)
    beside = told(train, first.data.labels)
    labels = known.arrays(beside.get("labels"), None, len(images))
    given = {"images": images} | labels
    settings: Any = [settings_of(config) for config in configs]
    if len(configs) == 1:
        settings = settings[0]
    trained = fit_models(settings, known, given, None, progress, tolerant=True)
    if trained.error is not None and len(configs) == 1:
        raise trained.error
    return trained, given


def _history(trained: Trained, place: int) -> list[dict[str, float]]:
    """Rows of one member; what is not its own is left out."""
    losses = trained.member_losses
    if losses is None:
        return trained.history
    rows = zip(trained.history, losses[:, place], strict=True)
    return [
        {"epoch": row["epoch"], "step": row["step"], "loss": float(loss)}
        for row, loss in rows
    ]


def _failure(history: list[dict[str, float]]) -> str | None:
    losses = np.array([row["loss"] for row in history])
    if np.isfinite(losses).all():
        return None
    epoch = int(history[int(np.argmin(np.isfinite(losses)))]["epoch"])
    return f"the loss stopped being finite in epoch {epoch}. Lower the learning_rate."


def _measured_alone(config: Any, progress: bool) -> Metrics:
    if isinstance(config, StudyConfig):
        return _measured_peer(config)
    if isinstance(config, RunConfig):
        return _measured_run(config, progress)
    return {name: float(v) for name, v in config.measure(progress).items()}


def _measured_run(config: RunConfig, progress: bool) -> Metrics:
    """Figures of a whole run, whose files go where the config says."""
    from jaxrvae.pipeline import run

    result = run(config, progress=progress)
    history: pd.DataFrame = result.model.history
    return {
        "loss, nats per image": float(history["loss"].iloc[-1]),
        "patches": float(len(result.latents.content)),
        "classes": float(len(np.unique(result.classes.labels))),
    }


def _measured_peer(config: StudyConfig) -> Metrics:
    """The same study by another program; its runner comes with a checkout."""
    import importlib

    try:
        peers: Any = importlib.import_module("benchmarks.peers.study")
    except ModuleNotFoundError as error:
        raise RunError(
            f"program={config.program!r} needs a checkout of the project: run from"
            " its folder."
        ) from error
    return peers.measure(config, *images_of(config.data))
