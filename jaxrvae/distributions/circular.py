"""The circular distributions as NumPyro's: for models, guides and their KLs.

Angles in radians, counter-clockwise, drawn in [-pi, pi). `rsample` has slopes in every
parameter. `mean` is the direction of the mean of exp(i angle), and `variance` one minus
its length, as of NumPyro's own von Mises distribution.

The KL of any of them from another, or from a uniform distribution round the circle, is
registered: a closed form where there is one, else a sum over angles that lie as close
as the narrower of the two asks for.

Sources: Mardia & Jupp 2000, Directional Statistics, sections 3.4 and 3.5; Trefethen &
Weideman 2014, SIAM Review 56, 385 (such sums converge geometrically).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution, Uniform, constraints
from numpyro.distributions.kl import kl_divergence

from jaxrvae._typing import Array
from jaxrvae.distributions import projected_normal, von_mises, wrapped_normal
from jaxrvae.geometry.circle import wrap

NUM_NODES = 256  # of sums over the circle
_kl: Any = kl_divergence  # a dispatcher by the classes of both
register: Any = _kl.register


class Circular(Distribution):
    """What all of them have in common."""

    @property
    def support(self) -> Any:
        """The circle."""
        return constraints.circular

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws; NumPyro has slopes stopped where it wants none."""
        return self.rsample(key, sample_shape)

    def log_prob(self, value: Any, *args: Any, **kwargs: Any) -> Array:
        """Log density, per radian; the same a turn on."""
        return self._log_density(1.0 * jnp.asarray(value))

    def rsample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws with slopes."""
        raise NotImplementedError

    def _log_density(self, value: Array) -> Array:
        raise NotImplementedError

    @property
    def spread(self) -> Array:
        """About a standard deviation of the peak, at most 1."""
        raise NotImplementedError

    @property
    def direction(self) -> Array:
        """Of the peak."""
        raise NotImplementedError

    @property
    def mean(self) -> Array:
        """Direction of the mean of exp(i angle)."""
        return self.direction

    @property
    def variance(self) -> Array:
        """One minus the length of the mean of exp(i angle)."""
        angles, weights = _nodes(self.direction, self.spread)
        density = jnp.exp(self._log_density(angles))
        return (weights * density * (1 - jnp.cos(angles - self.direction))).sum(0)

    def entropy(self) -> Array:
        """Nats."""
        angles, weights = _nodes(self.direction, self.spread)
        height = self._log_density(angles)
        return -(weights * jnp.exp(height) * height).sum(0)


class VonMises(Circular):
    """Density in proportion to exp(concentration cos(angle - loc)).

    >>> VonMises(0.3, 5.0).rsample(jax.random.key(0), (2,)).shape
    (2,)
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "concentration": constraints.nonnegative,
    }
    reparametrized_params = ["loc", "concentration"]  # noqa: RUF012

    def __init__(
        self, loc: Any, concentration: Any, *, validate_args: bool | None = None
    ):
        self.loc, self.concentration = jnp.broadcast_arrays(
            *_floats(loc, concentration)
        )
        super().__init__(jnp.shape(self.loc), validate_args=validate_args)

    def rsample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws with slopes by implicit reparameterization."""
        shape = sample_shape + self.batch_shape
        loc = jnp.broadcast_to(self.loc, shape)
        return von_mises.rsample(key, loc, jnp.broadcast_to(self.concentration, shape))

    def _log_density(self, value: Array) -> Array:
        return von_mises.log_prob(value, self.loc, self.concentration)

    @property
    def direction(self) -> Array:
        """Of the peak."""
        return wrap(self.loc)

    @property
    def spread(self) -> Array:
        """About a standard deviation of the peak, at most 1."""
        return 1 / jnp.sqrt(1 + self.concentration)

    def entropy(self) -> Array:
        """Nats."""
        return von_mises.entropy(self.concentration)


class WrappedNormal(Circular):
    """N(loc, scale^2), modulo a turn."""

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    reparametrized_params = ["loc", "scale"]  # noqa: RUF012

    def __init__(self, loc: Any, scale: Any, *, validate_args: bool | None = None):
        self.loc, self.scale = jnp.broadcast_arrays(*_floats(loc, scale))
        super().__init__(jnp.shape(self.loc), validate_args=validate_args)

    def rsample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws, with slopes."""
        shape = sample_shape + self.batch_shape
        loc = jnp.broadcast_to(self.loc, shape)
        return wrapped_normal.rsample(key, loc, self.scale)

    def _log_density(self, value: Array) -> Array:
        return wrapped_normal.log_prob(value, self.loc, self.scale)

    @property
    def direction(self) -> Array:
        """Of the peak."""
        return wrap(self.loc)

    @property
    def spread(self) -> Array:
        """About a standard deviation of the peak, at most 1."""
        return jnp.minimum(self.scale, 1.0)

    @property
    def variance(self) -> Array:
        """One minus the length of the mean of exp(i angle)."""
        return -jnp.expm1(-0.5 * jnp.square(self.scale))


class ProjectedNormal(Circular):
    """The direction of a point N(concentration, 1) in the plane.

    Args:
        concentration: (*batch, 2) mean of the point: x, y.
    """

    arg_constraints = {"concentration": constraints.real_vector}  # noqa: RUF012
    reparametrized_params = ["concentration"]  # noqa: RUF012

    def __init__(self, concentration: Any, *, validate_args: bool | None = None):
        (self.concentration,) = _floats(concentration)
        shape = jnp.shape(self.concentration)
        if shape[-1:] != (2,):
            raise ValueError(
                f"concentration must be (..., 2), the point's mean; got {shape}."
            )
        super().__init__(shape[:-1], validate_args=validate_args)

    def rsample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws with slopes by implicit reparameterization."""
        shape = sample_shape + jnp.shape(self.concentration)
        return projected_normal.rsample(
            key, jnp.broadcast_to(self.concentration, shape)
        )

    def _log_density(self, value: Array) -> Array:
        return projected_normal.log_prob(value, self.concentration)

    @property
    def direction(self) -> Array:
        """Of the peak."""
        return jnp.arctan2(self.concentration[..., 1], self.concentration[..., 0])

    @property
    def spread(self) -> Array:
        """About a standard deviation of the peak, at most 1."""
        return 1 / jnp.sqrt(1 + jnp.square(self.concentration).sum(-1))


class Symmetric(Circular):
    """An n-fold symmetric mixture: `fold` times the angle is distributed as `base`.

    So there are `fold` equal modes for each of the base, a turn of 2 pi / fold apart,
    one of them at the base's own direction over `fold`; a VonMises base of
    concentration k gives exp(k cos(fold angle - loc)).
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    pytree_data_fields = ("base",)
    pytree_aux_fields = ("fold",)

    def __init__(self, base: Any, fold: Any, *, validate_args: bool | None = None):
        if not isinstance(base, Circular):
            raise ValueError(
                f"base must be one of jaxrvae.distributions; got {base!r}. Take"
                " VonMises(loc, concentration)."
            )
        if int(fold) != fold or fold < 1:
            raise ValueError(f"fold must be a whole number from 1 on; got {fold!r}.")
        self.base, self.fold = base, int(fold)
        super().__init__(base.batch_shape, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:
        """The mode is drawn, the angle in it has slopes."""
        return True

    def rsample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws; slopes hold the mode."""
        mode_key, key = jax.random.split(key)
        angle = self.base.rsample(key, sample_shape)
        mode = jax.random.randint(mode_key, angle.shape, 0, self.fold)
        return wrap((angle + 2 * jnp.pi * mode) / self.fold)

    def _log_density(self, value: Array) -> Array:
        return self.base._log_density(wrap(self.fold * value))

    @property
    def direction(self) -> Array:
        """Of one of the peaks."""
        return self.base.direction / self.fold

    @property
    def variance(self) -> Array:
        """One minus the length of the mean of exp(i angle), which has none."""
        none = jnp.ones(self.batch_shape)
        return none if self.fold > 1 else self.base.variance

    def entropy(self) -> Array:
        """Nats: that of the base, as the modes are `fold` times as narrow and many."""
        return self.base.entropy()


def _floats(*values: Any) -> list[Array]:
    return [1.0 * jnp.asarray(value) for value in values]


def _nodes(direction: Array, spread: Array) -> tuple[Array, Array]:
    """(node, *n) angles round the circle, close to the direction; and their weights.

    An even grid u goes over into `2 atan(spread tan(u / 2))`: dense at the direction by
    1 / spread, and smooth and periodic, as a sum over an even grid asks for.
    """
    even = (2 * np.arange(NUM_NODES) + 1) * np.pi / NUM_NODES - np.pi
    even = even.reshape(-1, *(1,) * jnp.ndim(direction))
    offset = 2 * jnp.arctan(spread * np.tan(even / 2))
    cos, sin = np.cos(even / 2), np.sin(even / 2)
    slope = spread / (cos**2 + jnp.square(spread) * sin**2)
    return wrap(jnp.asarray(direction + offset)), 2 * np.pi / NUM_NODES * slope


@register(Circular, Circular)
def _kl_by_sum(p: Circular, q: Circular) -> Array:
    """By a sum over the circle, dense at p: where q is far narrower it is huge."""
    angles, weights = _nodes(p.direction, p.spread)
    height = p._log_density(angles)
    return (weights * jnp.exp(height) * (height - q._log_density(angles))).sum(0)


@register(VonMises, VonMises)
def _kl_von_mises(p: VonMises, q: VonMises) -> Array:
    """In closed form."""
    return von_mises.kl_von_mises(p.loc, p.concentration, q.loc, q.concentration)


@register(Symmetric, Circular)
def _kl_symmetric(p: Symmetric, q: Circular) -> Array:
    """By a sum dense at one peak, the same at all others if q is as symmetric."""
    if isinstance(q, Symmetric) and q.fold == p.fold:
        return _kl(p.base, q.base)
    total = jnp.zeros(())
    angles, weights = _nodes(p.base.direction, p.base.spread)
    density = jnp.exp(p.base._log_density(angles))
    for mode in range(p.fold):
        own = q._log_density(wrap((angles + 2 * jnp.pi * mode) / p.fold))
        total += (weights * density * own).sum(0) / p.fold
    return -p.entropy() - total


@register(Circular, Uniform)
def _kl_uniform(p: Circular, q: Uniform) -> Array:
    """Infinite where the uniform distribution leaves angles out."""
    width = jnp.asarray(q.high) - jnp.asarray(q.low)
    divergence = jnp.log(width) - p.entropy()
    return jnp.where(width > 2 * math.pi - 1e-4, divergence, jnp.inf)
