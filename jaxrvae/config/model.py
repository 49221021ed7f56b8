"""What the model is."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxrvae._checks import between, number, one_of, positive, whole
from jaxrvae.config.choices import (
    Choice,
    checked,
    name_of,
    setting,
)
from jaxrvae.config.pose_priors import SHARE, checked_angle_prior, checked_shift_prior

POSE = ("rotation", "shift", "scale")
ENCODED = ("gaussian", "von_mises", "projected_normal")  # the angle has one mode
STEERABLE = ("auto", "gaussian", "bernoulli", "continuous-bernoulli", "poisson")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the model is. The front door, `RVAE`, documents every field."""

    content_dim: int = 2
    pose: Sequence[str] = ("rotation", "shift")  # kept as a tuple
    max_shift: float = 0.1  # share of the field, to either side
    decoder: Choice = "auto"
    encoder: Choice = "auto"
    posterior: Choice = "auto"
    num_turns: int = 8
    num_classes: int = 1
    hidden_dim: int = 128
    likelihood: Choice = "auto"
    prior: Choice = None  # of the content; None: standard normal
    angle_prior: Mapping[str, Any] | None = None  # None: uniform
    shift_prior: Mapping[str, Any] | None = None  # None: from max_shift
    seed: int = 0

    def __post_init__(self) -> None:
        keep = object.__setattr__
        keep(self, "pose", _checked_pose(self.pose))
        whole("content_dim", self.content_dim, 1, "2 makes maps one can look at.")
        whole("num_turns", self.num_turns, 2, "8 suits most images.")
        whole("hidden_dim", self.hidden_dim, 1)
        whole("num_classes", self.num_classes, 1, "1 is no classes.")
        whole("seed", self.seed, 0)
        for name in ("content_dim", "num_turns", "hidden_dim", "num_classes", "seed"):
            keep(self, name, int(getattr(self, name)))
        keep(self, "max_shift", number("max_shift", self.max_shift, SHARE))
        between("max_shift", self.max_shift, 0.0, 0.5, SHARE)
        if "shift" in self.pose:
            positive("max_shift", self.max_shift, 'Or leave "shift" out of pose.')
        for name in ("decoder", "encoder", "posterior", "likelihood", "prior"):
            keep(self, name, checked(name, getattr(self, name)))
        keep(self, "angle_prior", checked_angle_prior(self.angle_prior))
        keep(self, "shift_prior", checked_shift_prior(self.shift_prior))
        self._check_parts()
        if self.decoder_family == "steerable":
            self._check_steerable()
        else:
            self._check_posed()

    def _check_parts(self) -> None:
        if self.prior_family == "flow" and self.content_dim < 2:
            raise ValueError(
                "prior='flow' bends one content number by another; got content_dim=1."
                " Take content_dim=2 or prior='mixture'."
            )
        for prior, part, has in (
            ("angle_prior", "rotation", self.rotated),
            ("shift_prior", "shift", self.shifted),
        ):
            if getattr(self, prior) is not None and not has:
                raise ValueError(
                    f"{prior} needs '{part}' in pose; got pose={self.pose}."
                    f" Leave {prior} out, or add '{part}'."
                )
        if self.gumbel and self.num_classes == 1:
            raise ValueError(
                "posterior with classes='gumbel' needs classes; got num_classes=1."
                " Raise num_classes, or leave classes out."
            )

    def _not_steerable(self) -> tuple[str, str] | None:
        """The first option that the steerable decoder does not go with; a way out."""
        prior, encoder = self.shift_prior, name_of(self.encoder)
        posterior = name_of(self.posterior)
        if self.likelihood_kind not in STEERABLE:
            way = "likelihood='poisson' or 'gaussian'"
            return f"likelihood={self.likelihood_kind!r}", way
        if self.noise == "per-pixel":
            return "noise='per-pixel'", "noise='learned'"
        if not self.rotated:
            return f"pose={self.pose}, it needs 'rotation'", "add 'rotation'"
        if self.scaled:
            return "'scale' in pose", "leave 'scale' out"
        if self.shifted and self.max_shift > 0.2:
            return f"max_shift={self.max_shift}, it takes up to 0.2", "max_shift=0.2"
        if prior is not None and 0.0 in np.atleast_1d(prior["std"]):
            return "a shift_prior of 0 along an axis", "a small std"
        if encoder not in ("auto", "turned-copy"):
            return f"encoder={encoder!r}", "encoder='turned-copy'"
        if posterior not in ("auto", "marginal"):
            return f"posterior={posterior!r}", "posterior='marginal'"
        return None

    def _check_steerable(self) -> None:
        found = self._not_steerable()
        if found is not None:
            raise ValueError(
                f"decoder='steerable' does not go with {found[0]}."
                f" Take decoder='affine', or {found[1]}."
            )

    def _check_posed(self) -> None:
        posterior, encoder = name_of(self.posterior), name_of(self.encoder)
        family = self.decoder_family
        if posterior == "marginal":
            cause, way = f"decoder={family!r}", "decoder='steerable'"
            if self.decoder == "auto":
                cause, way = self._not_steerable() or (cause, way)
            raise ValueError(
                f"posterior='marginal' is of the steerable decoder, which does not go"
                f" with {cause}. Take posterior='enumerated', or {way}."
            )
        if posterior in ("von_mises", "projected_normal") and not self.rotated:
            raise ValueError(
                f"posterior={posterior!r} is of an angle; got pose={self.pose}."
                " Take posterior='gaussian', or add 'rotation'."
            )
        copies = "group-convolution", "turned-back", "moved-back"
        if encoder in copies and self.num_copies == 1:
            raise ValueError(
                f"encoder={encoder!r} reads turned copies; got"
                f" posterior={posterior!r}, pose={self.pose}. Take"
                " encoder='convolutional', or posterior='enumerated' with 'rotation'."
            )
        if encoder == "moved-back" and self.prior_family == "vamp":
            raise ValueError(
                "encoder='moved-back' reads pixels, prior='vamp' has none of its"
                " pseudo-images. Take prior='mixture', or encoder='turned-back'."
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
    def scaled(self) -> bool:
        """Whether the pose has a scale."""
        return "scale" in self.pose

    @property
    def gumbel(self) -> bool:
        """Whether classes are sampled, not summed over, in training."""
        return setting("posterior", self.posterior, "classes") == "gumbel"

    @property
    def noise(self) -> float | str | None:
        """Learned, per-pixel, or a standard deviation in the images' units."""
        return setting("likelihood", self.likelihood, "noise")

    @property
    def num_copies(self) -> int:
        """Turned copies that the encoder reads."""
        one = not self.rotated or name_of(self.posterior) in ENCODED
        return 1 if one else self.num_turns

    @property
    def decoder_family(self) -> str:
        """The decoder's name, with auto resolved."""
        if self.decoder != "auto":
            return name_of(self.decoder)
        fits = self.likelihood_kind == "gaussian" and self._not_steerable() is None
        return "steerable" if fits else "affine"

    @property
    def encoder_family(self) -> str:
        """The encoder's name, with auto resolved."""
        if self.encoder != "auto":
            return name_of(self.encoder)
        return "dense" if self.posterior_family in ENCODED else "turned-copy"

    @property
    def posterior_family(self) -> str:
        """The posterior's name, with auto resolved."""
        name = name_of(self.posterior)
        if name != "auto":
            return name
        return "marginal" if self.decoder_family == "steerable" else "enumerated"

    @property
    def likelihood_kind(self) -> str:
        """The likelihood, with auto resolved."""
        name = name_of(self.likelihood)
        return "gaussian" if name == "auto" else name

    @property
    def prior_family(self) -> str | None:
        """The content prior's name; None is the standard normal."""
        name = name_of(self.prior)
        return None if name == "normal" else name

    def setting(self, option: str, name: str) -> Any:
        """A setting of the decoder, encoder, posterior, likelihood or prior."""
        meant = {
            "decoder": self.decoder_family,
            "encoder": self.encoder_family,
            "posterior": self.posterior_family,
            "likelihood": self.likelihood_kind,
            "prior": self.prior_family,
        }
        return setting(option, getattr(self, option), name, meant[option])


def _checked_pose(pose: object) -> tuple[str, ...]:
    """Names of `POSE`, each once at most."""
    if isinstance(pose, str) or not isinstance(pose, Sequence):
        named = [part for part in POSE if isinstance(pose, str) and part in pose]
        raise ValueError(
            f"pose must be a tuple of names; got {pose!r}. Take {tuple(named)!r}."
        )
    for part in pose:
        one_of("pose", part, POSE)
    if len(set(pose)) < len(pose):
        raise ValueError(f"pose must name each part once; got {pose!r}.")
    return tuple(pose)
