"""From images to fitted models: one, or the members of an ensemble in one program."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxrvae._checks import whole
from jaxrvae._typing import Array, ndarray
from jaxrvae.config import ModelConfig, ObjectiveConfig, TrainingConfig, to_mapping
from jaxrvae.data.known import Known
from jaxrvae.data.mapped import is_on_disk, sample_rows
from jaxrvae.models.affine import AffineModel
from jaxrvae.models.fitted import FittedModel, fresh_members, fresh_model
from jaxrvae.objectives.bound import FEW
from jaxrvae.objectives.build import make_loss
from jaxrvae.training.checkpoint import data_fingerprint
from jaxrvae.training.loop import Diverged, Fitted, train
from jaxrvae.training.stream import STREAM_BYTES, Stream

LATER = (
    "parallel",
    "accumulate",
    "precision",
)  # runs begun before there were these go on
SEEN = 4000  # of streamed images, that say how a fresh model begins


@dataclasses.dataclass(frozen=True)
class Trained:
    """Models with their gauges, and how training went.

    Attributes:
        error: Why training stopped early, if it did.
    """

    members: Sequence[FittedModel]
    history: list[dict[str, float]]
    compile_seconds: float
    error: Diverged | None = None


def fit_models(
    config: ModelConfig,
    known: Known,
    given: dict[str, ndarray],
    training: TrainingConfig,
    aim: ObjectiveConfig,
    seeds: int | None = None,
    run_dir: str | Path | None = None,
    progress: bool = True,
) -> Trained:
    """Train from fresh weights, or from the last checkpoint in the run directory.

    Args:
        given: "images", and "label", "condition", "spectrum" where they are known.
        seeds: Members, each with a seed of its own from the config's on; None: one
            model, not an ensemble.

    Raises:
        Diverged: If the first epoch's loss is not finite.
        ValueError: If settings do not go together, or devices do not divide the batch.
        RunError: If the run directory is in use or belongs to something else.
    """
    if known.condition_dim and config.prior_family == "vamp":
        raise ValueError(
            "prior='vamp' has pseudo-images but no conditions for them. "
            "Take prior='mixture', or fit without conditions."
        )
    if seeds is not None:
        whole("seeds", seeds, 1)
    images = given["images"]
    beside = {name: values for name, values in given.items() if name != "images"}
    fingerprint: dict[str, Any] = {
        "model": to_mapping(config),
        "training": to_mapping(training),
    }
    for name in ("save_seconds", "devices", "stream"):  # change nothing that is learned
        del fingerprint["training"][name]
    for name in LATER:
        if fingerprint["training"][name] == getattr(TrainingConfig, name):
            del fingerprint["training"][name]
    if aim != ObjectiveConfig():
        fingerprint["objective"] = to_mapping(aim)
    if seeds is not None:
        fingerprint["seeds"] = seeds
    if run_dir is not None:
        fingerprint["data"] = data_fingerprint(images)
        fingerprint |= {name: data_fingerprint(v) for name, v in beside.items()}
    streamed = streams(training, images)
    some = sample_rows({"images": images}, SEEN)["images"] if streamed else images
    fresh = fresh_model(config, known, some)
    params = fresh.params if seeds is None else fresh_members(fresh, some, seeds)
    if streamed:
        fingerprint["streamed"] = True
        found, expanded = stream_of(fresh, given), False
    else:
        expanded = fresh.is_small(len(images))
        seen = fresh.features(images) | beside
        found = {name: jnp.asarray(values) for name, values in seen.items()}
    aims, settings = (fresh, expanded, aim), (training.precision, len(images))
    many = isinstance(fresh.model, AffineModel) and fresh.model.num_turns > FEW
    error = None
    try:
        fitted = train(
            make_loss(*aims, False, *settings),
            params,
            found,
            training,
            quicker=make_loss(*aims, True, *settings) if many else None,
            members=seeds,
            run_dir=run_dir,
            fingerprint=fingerprint,
            progress=progress,
        )
    except Diverged as stopped:
        if not stopped.fitted.history:
            raise
        fitted, error = stopped.fitted, stopped
    members = [one.settled(given) for one in _members(fresh, fitted, seeds)]
    return Trained(members, fitted.history, fitted.compile_seconds, error)


def streams(training: TrainingConfig, images: ndarray) -> bool:
    """Whether the images are read while training goes on, not all before."""
    if training.stream is not None:
        return training.stream
    return is_on_disk(images) and images.nbytes > STREAM_BYTES


def stream_of(fresh: FittedModel, given: dict[str, ndarray]) -> Stream:
    """The images and what is known of them, as the loss reads them."""

    def prepare(batch: dict[str, Array]) -> dict[str, Array]:
        beside = {name: values for name, values in batch.items() if name != "images"}
        return fresh.model.compress(fresh.projection, batch["images"]) | beside

    return Stream(given, prepare)


def _members(
    fresh: FittedModel, fitted: Fitted, seeds: int | None
) -> list[FittedModel]:
    """The models with the weights that training gave back."""
    if seeds is None:
        return [dataclasses.replace(fresh, params=fitted.params)]
    return [
        dataclasses.replace(
            fresh,
            config=dataclasses.replace(fresh.config, seed=fresh.config.seed + i),
            params=jax.tree.map(lambda leaf, i=i: leaf[i], fitted.params),
        )
        for i in range(seeds)
    ]
