"""Frozen settings of the model and its training; plain values that YAML can hold."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from jaxrvae._checks import (
    DataError,
    at_least,
    between,
    existing_file,
    known_keys,
    one_of,
    positive,
    whole,
)

Pose = Literal["rotation", "shift"]
DECODERS = ("auto", "steerable", "affine", "affine-cubic")
ENCODERS = ("auto", "turned-copy")
POSTERIORS = ("auto", "marginal", "enumerated")
LIKELIHOODS = (
    "auto",
    "gaussian",
    "bernoulli",
    "continuous-bernoulli",
    "poisson",
    "poisson-gaussian",
)
PRIORS = (None, "normal", "mixture", "vamp", "flow")

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the model is. The front door, `RVAE`, documents every field."""

    content_dim: int = 2
    pose: Sequence[str] = ("rotation", "shift")  # kept as a tuple
    max_shift: float = 0.1  # share of the field, to either side
    decoder: str = "auto"
    encoder: str = "auto"
    posterior: str = "auto"
    num_turns: int = 8
    num_classes: int = 1
    hidden_dim: int = 128
    likelihood: str = "auto"
    prior: str | None = None  # of the content; None: standard normal
    prior_components: int = 10  # of a mixture, or pseudo-images
    angle_prior: Mapping[str, float] | None = None  # None: uniform
    shift_prior: str | None = None  # None: uniform up to max_shift, or its normal
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "pose", tuple(self.pose))
        whole("content_dim", self.content_dim, 1, "2 makes maps one can look at.")
        whole("num_turns", self.num_turns, 2, "8 suits most images.")
        whole("hidden_dim", self.hidden_dim, 1)
        whole("num_classes", self.num_classes, 1, "1 is no classes.")
        whole("prior_components", self.prior_components, 1)
        whole("seed", self.seed, 0)
        numbers = ("content_dim", "num_turns", "hidden_dim", "seed", "num_classes")
        for name in (*numbers, "prior_components"):
            object.__setattr__(self, name, int(getattr(self, name)))
        for part in self.pose:
            one_of("pose", part, ("rotation", "shift"))
        between("max_shift", self.max_shift, 0.0, 0.5, "It is a share of the field.")
        if "shift" in self.pose:
            positive("max_shift", self.max_shift, 'Or leave "shift" out of pose.')
        one_of("decoder", self.decoder, DECODERS)
        one_of("encoder", self.encoder, ENCODERS)
        one_of("posterior", self.posterior, POSTERIORS)
        one_of("likelihood", self.likelihood, LIKELIHOODS)
        one_of("prior", self.prior, PRIORS)
        if self.prior == "flow" and self.content_dim < 2:
            raise ValueError(
                "prior='flow' bends one content number by another; got content_dim=1."
                " Take content_dim=2 or prior='mixture'."
            )
        one_of("shift_prior", self.shift_prior, (None,))
        self._check_angle_prior()
        self._check_combination()

    def _check_angle_prior(self) -> None:
        if self.angle_prior is None:
            return
        prior = dict(self.angle_prior)
        known_keys("angle_prior", prior, ("loc", "concentration"))
        if set(prior) != {"loc", "concentration"}:
            raise ValueError(
                f"angle_prior must be None or give loc and concentration; got {prior}."
            )
        at_least("angle_prior's concentration", prior["concentration"], 0.0)
        object.__setattr__(self, "angle_prior", prior)

    def _check_combination(self) -> None:
        family, likelihood = self.decoder_family, self.likelihood
        if family == "steerable" and likelihood == "poisson-gaussian":
            raise ValueError(
                "decoder='steerable' has no form for likelihood='poisson-gaussian'."
                " Take decoder='affine', or likelihood='poisson' or 'gaussian'."
            )
        if family == "steerable" and not self.rotated:
            raise ValueError(
                f"decoder='steerable' needs 'rotation' in pose; got pose={self.pose}."
                " Take decoder='affine', or add 'rotation'."
            )
        if self.angle_prior is not None and not self.rotated:
            raise ValueError(
                f"angle_prior needs 'rotation' in pose; got pose={self.pose}."
                " Leave angle_prior out, or add 'rotation'."
            )
        if family == "steerable" and self.shifted and self.max_shift > 0.2:
            raise ValueError(
                f"decoder='steerable' takes max_shift up to 0.2; got {self.max_shift}."
                " Take decoder='affine'."
            )
        fitting = "marginal" if family == "steerable" else "enumerated"
        if self.posterior not in ("auto", fitting):
            raise ValueError(
                f"posterior={self.posterior!r} does not go with the {family} decoder;"
                f" take posterior={fitting!r} or another decoder."
            )

    @property
    def rotated(self) -> bool:
        """Whether the pose has an angle."""
        return "rotation" in self.pose

    @property
    def shifted(self) -> bool:
        """Whether the pose has a shift."""
        return "shift" in self.pose

    @property
    def decoder_family(self) -> str:
        """Steerable, affine or affine-cubic, with auto resolved."""
        if self.decoder != "auto":
            return self.decoder
        far = self.shifted and self.max_shift > 0.2
        fits = self.likelihood_kind == "gaussian" and self.rotated and not far
        return "steerable" if fits else "affine"

    @property
    def likelihood_kind(self) -> str:
        """The likelihood, with auto resolved."""
        return "gaussian" if self.likelihood == "auto" else self.likelihood


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is maximized: with its defaults the bound itself.

    Attributes:
        beta: Weight of the content's KL; 1 is the true bound.
        free_bits: Nats of each content number that cost nothing.
        capacity: Nats that the content's KL is held to, instead of being weighted.
        capacity_weight: Of the distance from there.
        ramp: Share of the training over which beta, or the capacity, rises from 0.
        num_samples: Of the content; above 1 the importance-weighted bound.

    Source: Higgins et al. 2017 (beta); Burgess et al. 2018, arXiv:1804.03599
    (capacity); Kingma et al. 2016, arXiv:1606.04934 (free bits); Burda et al. 2016,
    arXiv:1509.00519 (importance weights).
    """

    beta: float = 1.0
    free_bits: float = 0.0
    capacity: float | None = None
    capacity_weight: float = 30.0
    ramp: float = 0.0
    num_samples: int = 1

    def __post_init__(self) -> None:
        positive("beta", self.beta)
        at_least("free_bits", self.free_bits, 0.0)
        if self.capacity is not None:
            at_least("capacity", self.capacity, 0.0)
        positive("capacity_weight", self.capacity_weight)
        between("ramp", self.ramp, 0.0, 1.0, "It is a share of the training.")
        whole("num_samples", self.num_samples, 1)
        weighted = self.beta != 1.0 or self.free_bits > 0 or self.ramp > 0
        if self.num_samples > 1 and (weighted or self.capacity is not None):
            raise ValueError(
                "num_samples > 1 is a bound of its own and goes with no beta, "
                "free_bits, capacity or ramp. Leave those, or num_samples, out."
            )
        if self.capacity is not None and (self.beta != 1.0 or self.free_bits > 0):
            raise ValueError(
                "capacity takes the place of beta and free_bits. Leave one out."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the model is trained."""

    epochs: int | None = None  # None: enough for 4000 steps, between 8 and 400
    batch_size: int = 100
    learning_rate: float = 2e-3  # the highest; it rises and falls along a cosine
    seed: int = 0
    save_seconds: float = 20.0  # at most so much work is lost to a kill

    def __post_init__(self) -> None:
        if self.epochs is not None:
            whole("epochs", self.epochs, 1)
        whole("batch_size", self.batch_size, 1)
        positive("learning_rate", self.learning_rate)


def from_mapping(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """The config with these values; unknown keys raise and suggest the nearest."""
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    known_keys(kind.__name__, values, names)
    return kind(**values)


def to_mapping(config: Any) -> dict[str, Any]:
    """The config as plain values, for YAML and JSON."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class InputConfig:
    """Where the movie comes from: files, or a simulation."""

    files: str | Sequence[str] = ()  # or folders, patterns, as jr.read takes them
    simulate: str | None = None  # "graphene"; then no files
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    channel: int | str | None = None
    pixel_size: float | None = None  # nm, instead of what the files say
    seed: int = 0  # of the simulation

    def __post_init__(self) -> None:
        files = (self.files,) if isinstance(self.files, str) else self.files
        object.__setattr__(self, "files", tuple(str(path) for path in files))
        one_of("simulate", self.simulate, (None, "graphene"))
        if bool(self.files) == (self.simulate is not None):
            raise ValueError(
                "input needs either files or simulate='graphene'; got "
                f"{'both' if self.files else 'neither'}. Leave one of them."
            )
        if self.pixel_size is not None:
            positive("pixel_size", self.pixel_size, "It is in nm per pixel.")
        object.__setattr__(self, "options", dict(self.options))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LocateConfig:
    """How atoms are found. `jr.find_atoms` documents every field."""

    spacing: float | None = None  # nm; None: from the images
    false_share: float = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """What is cut around every atom."""

    size: int | str = "auto"  # pixels; auto: 48, or those of the window
    window: float | str | None = "auto"  # nm; None: the frames' own pixels
    normalize: Literal["frame", "patch"] | None = "frame"

    def __post_init__(self) -> None:
        if self.size != "auto":
            whole("size", self.size, 8, "Or 'auto'.")
        if isinstance(self.window, str):
            one_of("window", self.window, ("auto",), "Or nm.")
        elif self.window is not None:
            positive("window", self.window, "It is in nm.")
        elif self.size == "auto":
            raise ValueError("window=None needs the size in pixels; got size='auto'.")
        one_of("normalize", self.normalize, ("frame", "patch", None))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassConfig:
    """How patches are sorted. `jr.find_classes` documents the fields below the first.

    `brightness`: sort by the central atom's brightness before the content, so that a
    rare heavy element is not lost among the many surroundings of a common one.
    """

    brightness: bool = True
    num_classes: int | Literal["auto"] = "auto"
    max_classes: int = 20
    overlap: float = 0.1
    seed: int = 0


CENTRED = ModelConfig(pose=("rotation",), num_turns=12)  # patches that atoms centre


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The whole way from images to a report."""

    input: InputConfig
    locate: LocateConfig = dataclasses.field(default_factory=LocateConfig)
    patches: PatchConfig = dataclasses.field(default_factory=PatchConfig)
    model: ModelConfig = CENTRED
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    classes: ClassConfig = dataclasses.field(default_factory=ClassConfig)
    out: str = "runs/latest"


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """A run's settings from nested mappings; what is left out keeps its default.

    >>> run_config({"input": {"files": "a.tif"}, "model": {"seed": 3}}).model.seed
    3
    """
    blank = RunConfig(input=InputConfig(simulate="graphene"))
    base = {
        field.name: getattr(blank, field.name)
        for field in dataclasses.fields(blank)
        if field.name != "input"
    }
    known_keys("run", values, ["input", *base])
    if "input" not in values:
        raise ValueError("run needs input: {files: [...]} or {simulate: graphene}.")
    if not isinstance(values["input"], Mapping):
        raise ValueError(f"input must hold files or simulate; got {values['input']!r}.")
    known_keys(
        "input", values["input"], [f.name for f in dataclasses.fields(InputConfig)]
    )
    groups: dict[str, Any] = {"input": InputConfig(**values["input"])}
    for name, default in base.items():
        given = values.get(name)
        if name == "out" or given is None:
            groups[name] = default if given is None else str(given)
            continue
        names = [field.name for field in dataclasses.fields(default)]
        if not isinstance(given, Mapping):
            raise ValueError(
                f"{name} must hold settings such as {names[0]}; got {given!r}."
            )
        known_keys(name, given, names)
        groups[name] = dataclasses.replace(default, **given)
    return RunConfig(**groups)


def run_mapping(config: RunConfig) -> dict[str, Any]:
    """The settings as nested plain values; `run_config` takes them back."""
    return {
        field.name: value if isinstance(value, str) else to_mapping(value)
        for field in dataclasses.fields(config)
        if (value := getattr(config, field.name)) is not None
    }


def as_run_config(config: RunConfig | Mapping[str, Any] | str | Path) -> RunConfig:
    """A run's settings from any of the forms that `run` takes."""
    if isinstance(config, RunConfig):
        return config
    if isinstance(config, Mapping):
        return run_config(config)
    return run_config(read_yaml(config))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        DataError: There is no such file, or it is not YAML with a mapping.
    """
    import yaml

    path = existing_file(path)
    try:
        values = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected YAML; got {' '.join(str(error).split())[:160]}."
            " Mend the file, or start from a run's config.yaml."
        ) from error
    if not isinstance(values, dict):
        raise DataError(
            f"{path}: expected groups such as input: and model:; got"
            f" {type(values).__name__}. Start from a run's config.yaml."
        )
    return values
