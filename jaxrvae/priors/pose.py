"""Priors of the pose: of the angle, with a symmetry if wanted, and of the shift."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxrvae._typing import Array, Float, Number, PRNGKey
from jaxrvae.config.pose_priors import checked_angle_prior, checked_shift_prior
from jaxrvae.distributions import von_mises, wrapped_normal
from jaxrvae.geometry.circle import wrap

WIDEST = 20.0  # radians: a wrapped normal is uniform to far more than a float's digits


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class AnglePrior:
    """A density of the angle with `fold` equal modes, a turn of 2 pi / fold apart.

    Attributes:
        loc: Radians, of one of the modes.
        concentration: Von Mises: k in exp(k cos(fold (angle - loc))), 0 is uniform.
            Normal: 1 / std^2 of each mode.
        fold: The number of modes.
        kind: Of density; the normal one is wrapped round the circle.
    """

    loc: Float[Array, "*prior"]  # scalars; more only on the way through vmap
    concentration: Float[Array, "*prior"]
    fold: int = dataclasses.field(default=1, metadata={"static": True})
    kind: Literal["von_mises", "normal"] = dataclasses.field(
        default="von_mises", metadata={"static": True}
    )

    def log_density(self, angle: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """Log of 2 pi times the density: 0 everywhere where it is uniform.

        Source: Mardia & Jupp 2000, Directional Statistics, sections 3.5.4 (von Mises)
        and 3.5.7 (wrapped normal).
        """
        turned = self.fold * (angle - self.loc)
        if self.kind == "normal":
            return wrapped_normal.log_ratio_to_uniform(
                wrap(turned), self.fold * self._std
            )
        return von_mises.log_ratio_to_uniform(turned, 0.0, self.concentration)

    def sample(self, key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "*n"]:
        """Angles in [-pi, pi)."""
        mode_key, key = jax.random.split(key)
        mode = jax.random.randint(mode_key, shape, 0, self.fold).astype(float)
        if self.kind == "normal":
            offset = self._std * jax.random.normal(key, shape)
        else:
            concentration = jnp.broadcast_to(self.concentration, shape)
            offset = von_mises.rsample(key, 0.0, concentration) / self.fold
        return wrap(self.loc + offset + 2 * jnp.pi / self.fold * mode)

    @property
    def _std(self) -> Float[Array, "*prior"]:
        return 1 / jnp.sqrt(self.concentration)


def angle_prior(settings: Mapping[str, Any] | None) -> AnglePrior:
    """The prior that settings describe; None is uniform.

    Args:
        settings: Either `concentration` (von Mises) or `std` in radians (normal), and
            if wanted `loc` in radians (0) and `fold`, the number of modes (1).

    >>> prior = angle_prior({"loc": 0.3, "std": 0.1, "fold": 2})
    >>> modes = jnp.array([0.3, 0.3 + jnp.pi, 0.3 + jnp.pi / 2])
    >>> [round(float(height), 2) for height in prior.log_density(modes)]
    [2.53, 2.53, -120.15]
    """
    prior = checked_angle_prior(settings)
    if prior is None:
        return AnglePrior(jnp.zeros(()), jnp.zeros(()))
    kind, concentration = "von_mises", prior.get("concentration")
    if concentration is None:
        kind, concentration = "normal", 1 / min(prior["std"], WIDEST) ** 2
    return AnglePrior(
        jnp.array(math.remainder(prior.get("loc", 0.0), 2 * math.pi), float),
        jnp.array(concentration, float),
        int(prior.get("fold", 1)),
        kind,
    )


def shift_stds(
    setting: Mapping[str, Any] | None, max_shift: Number
) -> tuple[float, float]:
    """Standard deviations of the shift's normal prior along x and y.

    Args:
        setting: `std`, for both or as [x, y]; 0 along one of them is no shift that
            way. None is half of `max_shift` along both.
        max_shift: Like the standard deviations a share of the field.

    >>> shift_stds(None, 0.1), shift_stds({"std": [0.05, 0]}, 0.1)
    ((0.05, 0.05), (0.05, 0.0))
    """
    prior = checked_shift_prior(setting)
    if prior is None:
        return max_shift / 2, max_shift / 2
    std = prior["std"]
    return (std[0], std[1]) if isinstance(std, list) else (std, std)
