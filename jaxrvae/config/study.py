"""A model trained on images whose truth is known, and held against it, as settings."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jaxrvae._checks import between, known_keys, one_of, positive, whole
from jaxrvae.config.model import ModelConfig
from jaxrvae.config.training import ObjectiveConfig, TrainingConfig

DATA = ("glyphs", "digits", "graphene", "lattice", "ferroelectric", "files")
PROGRAMS = ("jaxrvae", "pyroved", "atomai")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The images of a study: patches to train on, and others to score.

    Attributes:
        kind: Simulated ("glyphs", or patches around the true atoms or wall points of a
            movie), "digits" (MNIST's idx files, turned here) or "files" (patches around
            the atoms found).
        options: Of the simulation, as `jr.simulate` takes them; of digits `spread`
            (degrees, of a normal; uniform without) and `shift` (share of the field).
        files: A folder of digits; images, folders or patterns of "files".
        num_images: That are trained on, at most.
        num_test: That are scored, at most.
        size: Pixels along a patch.
        window: nm of a patch's side; None: the frames' own pixels.
        labels: Share of the training images whose class is told.
        seed: Of the simulation. Images to score are of other frames or another seed.
    """

    kind: Literal["glyphs", "digits", "graphene", "lattice", "ferroelectric", "files"]
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    files: str | Sequence[str] = ()
    num_images: int = 2000
    num_test: int = 1000
    size: int = 32
    window: float | None = None
    labels: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("kind", self.kind, DATA)
        for name in ("num_images", "num_test"):
            whole(name, getattr(self, name), 1)
        whole("size", self.size, 8, "It is in pixels.")
        if self.window is not None:
            positive("window", self.window, "It is in nm.")
        between("labels", self.labels, 0.0, 1.0, "It is a share.")
        files = (self.files,) if isinstance(self.files, str) else tuple(self.files)
        object.__setattr__(self, "files", files)
        object.__setattr__(self, "options", dict(self.options))
        if bool(files) != (self.kind in ("digits", "files")):
            raise ValueError(
                f"kind={self.kind!r} {'takes no' if files else 'needs'} files;"
                f" got files={files!r}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """One model on one set of images.

    Attributes:
        program: That trains: ours, or a peer in an environment of its own.
    """

    data: DataConfig
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    objective: ObjectiveConfig = dataclasses.field(default_factory=ObjectiveConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    program: Literal["jaxrvae", "pyroved", "atomai"] = "jaxrvae"

    def __post_init__(self) -> None:
        one_of("program", self.program, PROGRAMS)


def study_config(values: Mapping[str, Any]) -> StudyConfig:
    """A study from nested mappings, as YAML holds; what is left out is the default.

    >>> study_config({"data": {"kind": "glyphs"}, "model": {"seed": 3}}).model.seed
    3
    """
    kinds = {
        "data": DataConfig,
        "model": ModelConfig,
        "objective": ObjectiveConfig,
        "training": TrainingConfig,
    }
    known_keys("study", values, [*kinds, "program"])
    if not isinstance(values.get("data"), Mapping):
        raise ValueError("a study needs data: {kind: glyphs}, or another.")
    groups: dict[str, Any] = {}
    for name, kind in kinds.items():
        own = values.get(name) or {}
        if not isinstance(own, Mapping):
            raise ValueError(f"{name} must be a mapping of settings; got {own!r}.")
        known_keys(name, own, [field.name for field in dataclasses.fields(kind)])
        groups[name] = kind(**own)
    return StudyConfig(**groups, program=values.get("program", "jaxrvae"))
