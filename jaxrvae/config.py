"""Frozen settings of the model and its training; plain values that YAML can hold."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from jaxrvae._checks import at_least, between, known_keys, one_of, positive

Pose = Literal["rotation", "shift"]
DECODERS = ("auto", "steerable", "affine", "affine-cubic")
ENCODERS = ("auto", "turned-copy")
POSTERIORS = ("auto", "marginal", "enumerated")
LIKELIHOODS = ("auto", "gaussian", "bernoulli")

Config = TypeVar("Config")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the model is. The front door, `RVAE`, documents every field."""

    content_dim: int = 2
    pose: tuple[str, ...] = ("rotation", "shift")
    max_shift: float = 0.1  # share of the field, to either side
    decoder: str = "auto"
    encoder: str = "auto"
    posterior: str = "auto"
    num_turns: int = 8
    num_classes: int = 1
    hidden_dim: int = 128
    likelihood: str = "auto"
    prior: str | None = None  # of the content; None: standard normal
    angle_prior: Mapping[str, float] | None = None  # None: uniform
    shift_prior: str | None = None  # None: uniform up to max_shift, or its normal
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "pose", tuple(self.pose))
        at_least("content_dim", self.content_dim, 1, "2 makes maps one can look at.")
        at_least("num_turns", self.num_turns, 2, "8 suits most images.")
        at_least("hidden_dim", self.hidden_dim, 1)
        for part in self.pose:
            one_of("pose", part, ("rotation", "shift"))
        if "rotation" not in self.pose:
            raise ValueError(
                f"pose must hold 'rotation'; got {self.pose}. "
                'Take ("rotation",) or ("rotation", "shift").'
            )
        between("max_shift", self.max_shift, 0.0, 0.5, "It is a share of the field.")
        if "shift" in self.pose:
            positive("max_shift", self.max_shift, 'Or leave "shift" out of pose.')
        one_of("decoder", self.decoder, DECODERS)
        one_of("encoder", self.encoder, ENCODERS)
        one_of("posterior", self.posterior, POSTERIORS)
        one_of("likelihood", self.likelihood, LIKELIHOODS)
        one_of("num_classes", self.num_classes, (1,), "See jr.find_classes.")
        one_of("prior", self.prior, (None, "normal"))
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
        if family == "steerable" and likelihood == "bernoulli":
            raise ValueError(
                "decoder='steerable' needs a Gaussian likelihood; got likelihood="
                "'bernoulli'. Take decoder='affine' or likelihood='gaussian'."
            )
        if family == "steerable" and "shift" in self.pose and self.max_shift > 0.2:
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
    def shifted(self) -> bool:
        """Whether the pose has a shift."""
        return "shift" in self.pose

    @property
    def decoder_family(self) -> str:
        """Steerable, affine or affine-cubic, with auto resolved."""
        if self.decoder != "auto":
            return self.decoder
        far = self.shifted and self.max_shift > 0.2
        return "affine" if far or self.likelihood == "bernoulli" else "steerable"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the model is trained."""

    epochs: int | None = None  # None: enough for 1200 steps, between 8 and 400
    batch_size: int = 100
    learning_rate: float = 2e-3  # the highest; it rises and falls along a cosine
    seed: int = 0
    save_seconds: float = 20.0  # at most so much work is lost to a kill

    def __post_init__(self) -> None:
        if self.epochs is not None:
            at_least("epochs", self.epochs, 1)
        at_least("batch_size", self.batch_size, 1)
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
