"""From images to fitted models: one, or the members of an ensemble in one program."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._checks import whole
from jaxrvae._typing import Array, ndarray
from jaxrvae.config import ModelConfig, ObjectiveConfig, TrainingConfig, to_mapping
from jaxrvae.data.known import Known
from jaxrvae.data.mapped import is_on_disk, sample_rows
from jaxrvae.models.affine import AffineModel
from jaxrvae.models.fitted import FittedModel, fresh_members, fresh_model
from jaxrvae.objectives.bound import FEW
from jaxrvae.objectives.build import make_loss
from jaxrvae.priors.pose import angle_prior
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
class Settings:
    """What a model is, what it maximizes and how it is trained."""

    model: ModelConfig
    objective: ObjectiveConfig
    training: TrainingConfig

    def with_seed(self, seed: int) -> "Settings":
        """The same of another seed."""
        return dataclasses.replace(
            self,
            model=dataclasses.replace(self.model, seed=seed),
            training=dataclasses.replace(self.training, seed=seed),
        )

    def ensemble(self, number: int) -> list["Settings"]:
        """So many of seeds from its own on."""
        whole("seeds", number, 1)
        return [self.with_seed(self.model.seed + i) for i in range(number)]

    @property
    def shared(self) -> dict[str, Any]:
        """What members of one program have in common, as plain values.

        They may differ in the seed, the learning rate, beta and the numbers of the
        angle's prior.
        """
        parts = {"model": self.model, "objective": self.objective}
        parts |= {"training": self.training}
        found = {name: to_mapping(part) for name, part in parts.items()}
        for group, name in (
            ("model", "seed"),
            ("training", "seed"),
            ("training", "learning_rate"),
            ("objective", "beta"),
        ):
            del found[group][name]
        prior = self.model.angle_prior or {}
        found["model"]["angle_prior"] = ["std" in prior, prior.get("fold", 1)]
        return found


@dataclasses.dataclass(frozen=True)
class Trained:
    """Models with their gauges, and how training went.

    Attributes:
        history: Of members means over them.
        member_losses: (epoch, member), of members.
        error: Why training stopped early, if it did.
    """

    members: Sequence[FittedModel]
    history: list[dict[str, float]]
    compile_seconds: float
    member_losses: ndarray | None = None
    error: Diverged | None = None


def fit_models(
    settings: Settings | Sequence[Settings],
    known: Known,
    given: dict[str, ndarray],
    run_dir: str | Path | None = None,
    progress: bool = True,
    tolerant: bool = False,
) -> Trained:
    """Train from fresh weights, or from the last checkpoint in the run directory.

    Args:
        settings: Of one model; or of the members of one program, which have all but
            what `Settings.shared` leaves out in common.
        given: "images", and "label", "condition", "spectrum" where they are known.
        tolerant: Whether members whose loss stops being finite leave the others going.

    Raises:
        Diverged: If the first epoch's loss is not finite.
        ValueError: If settings do not go together, or devices do not divide the batch.
        RunError: If the run directory is in use or belongs to something else.
    """
    several = None if isinstance(settings, Settings) else list(settings)
    first = settings if isinstance(settings, Settings) else settings[0]
    config, training, aim = first.model, first.training, first.objective
    if known.condition_dim and config.prior_family == "vamp":
        raise ValueError(
            "prior='vamp' has pseudo-images but no conditions for them. "
            "Take prior='mixture', or fit without conditions."
        )
    images = given["images"]
    beside = {name: values for name, values in given.items() if name != "images"}
    fingerprint = _fingerprint(first, several)
    if run_dir is not None:
        fingerprint["data"] = data_fingerprint(images)
        fingerprint |= {name: data_fingerprint(v) for name, v in beside.items()}
    streamed = streams(training, images)
    some = sample_rows({"images": images}, SEEN)["images"] if streamed else images
    fresh = fresh_model(config, known, some)
    params, knobs = fresh.params, None
    if several is not None:
        seeds = np.array([one.model.seed for one in several])
        params = fresh_members(fresh, some, seeds)
        knobs = _knobs(several, tolerant)
    if streamed:
        fingerprint["streamed"] = True
        found, expanded = stream_of(fresh, given), False
    else:
        expanded = fresh.is_small(len(images))
        seen = fresh.features(images) | beside
        found = {name: jnp.asarray(values) for name, values in seen.items()}
    aims, how = (fresh, expanded, aim), (training.precision, len(images))
    many = isinstance(fresh.model, AffineModel) and fresh.model.num_turns > FEW
    error = None
    try:
        fitted = train(
            make_loss(*aims, False, *how),
            params,
            found,
            training,
            quicker=make_loss(*aims, True, *how) if many else None,
            members=None if several is None else len(several),
            knobs=knobs,
            run_dir=run_dir,
            fingerprint=fingerprint,
            progress=progress,
        )
    except Diverged as stopped:
        if not stopped.fitted.history:
            raise
        fitted, error = stopped.fitted, stopped
    members, history, losses = _members(fresh, fitted, several), fitted.history, None
    good = np.ones(len(members), bool)
    if several is not None:
        losses = np.array([row["loss"] for row in history])
        good = np.all(np.isfinite(losses), axis=0)
    members = [
        one.settled(given) if own else one
        for one, own in zip(members, good.tolist(), strict=True)
    ]
    if several is not None:
        history = [{k: float(np.mean(v)) for k, v in row.items()} for row in history]
    return Trained(members, history, fitted.compile_seconds, losses, error)


def _fingerprint(first: Settings, several: list[Settings] | None) -> dict[str, Any]:
    """What must agree for a run to be taken up where it stopped."""
    training = to_mapping(first.training)
    for name in ("save_seconds", "devices", "stream"):  # change nothing that is learned
        del training[name]
    for name in LATER:
        if training[name] == getattr(TrainingConfig, name):
            del training[name]
    found: dict[str, Any] = {"model": to_mapping(first.model), "training": training}
    if first.objective != ObjectiveConfig():
        found["objective"] = to_mapping(first.objective)
    if several is not None:
        found["seeds"] = len(several)
        if several != first.ensemble(len(several)):
            found["members"] = [_fingerprint(one, None) for one in several]
    return found


def _knobs(members: list[Settings], tolerant: bool) -> dict[str, Any] | None:
    """What the members differ in, along first axes; None: in their seeds alone."""
    first, found = members[0], {}
    rates = np.array([one.training.learning_rate for one in members], np.float32)
    if len(set(rates)) > 1:
        found["rate"] = rates / np.float32(first.training.learning_rate)
    if len({one.objective.beta for one in members}) > 1:
        found["beta"] = np.array([one.objective.beta for one in members], np.float32)
    if any(one.model.angle_prior != first.model.angle_prior for one in members):
        priors = [angle_prior(one.model.angle_prior) for one in members]
        found["angle_loc"] = jnp.stack([prior.loc for prior in priors])
        concentrations = [prior.concentration for prior in priors]
        found["angle_concentration"] = jnp.stack(concentrations)
    if not found and not tolerant:
        return None
    return {"seed": np.array([one.training.seed for one in members])} | found


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
    fresh: FittedModel, fitted: Fitted, several: list[Settings] | None
) -> list[FittedModel]:
    """The models with the weights that training gave back."""
    if several is None:
        return [dataclasses.replace(fresh, params=fitted.params)]
    return [
        dataclasses.replace(
            fresh,
            config=one.model,
            params=jax.tree.map(lambda leaf, i=i: leaf[i], fitted.params),
        )
        for i, one in enumerate(several)
    ]
