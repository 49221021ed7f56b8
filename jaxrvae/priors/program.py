"""Priors written as NumPyro models: of content, angle, shift and class of one patch.

A model function samples "content" and, if wanted, "angle" (radians), "shift" ((2,)
pixels: dx to the right, dy downwards) and "class". Each may depend on content and class
and on what all patches share: `numpyro.param` sites, which are fitted, and any further
`numpyro.sample` sites, whose posterior is a normal in their unconstrained space, found
with the networks by the same bound (Kucukelbir et al. 2017, arXiv:1603.00788).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from flax import nnx
from jax.scipy.special import logsumexp
from numpyro import handlers
from numpyro.distributions import biject_to, constraints
from numpyro.infer.inspect import get_dependencies

from jaxrvae._typing import Array, Float, PRNGKey
from jaxrvae.geometry.circle import wrap

Function = Callable[[], Any]
Values = dict[str, Array]

CONTENT, ANGLE, SHIFT, CLASS = "content", "angle", "shift", "class"
OWN = (CONTENT, ANGLE, SHIFT, CLASS)  # of every patch; all other sites are shared
FIRST_LOG_STD = -2.0  # of shared sites' posteriors, unconstrained
NUM_STARTS = 16  # draws, whose median starts the shared sites
START, APART = "start", "draw"  # `infer` of a site that starts from one draw instead


class ImproperPrior(ValueError):
    """A site has no density."""


@dataclasses.dataclass(frozen=True)
class Sites:
    """What a model function samples.

    Attributes:
        content_dim: Numbers of the content.
        num_classes: Of the class; 1 where it has no such site.
        free: Of angle and shift, those that it has.
        varying: Of these, those that depend on content or class.
        params, shared: Names of the sites common to all patches.
    """

    content_dim: int
    num_classes: int
    free: tuple[str, ...]
    varying: tuple[str, ...]
    params: tuple[str, ...]
    shared: tuple[str, ...]


def as_function(prior: Any) -> Function:
    """The model function; a distribution is one of the content."""
    if not hasattr(prior, "log_prob"):
        return prior

    def program() -> None:
        numpyro.sample(CONTENT, prior.to_event(len(prior.batch_shape)))

    return program


def study(prior: Any, content_dim: int, num_classes: int = 1) -> Sites:
    """The sites of a prior, checked.

    Args:
        num_classes: Of the model.

    Raises:
        ValueError: With the site, its shape and the one that it should have.
    """
    function = as_function(prior)
    try:
        trace = _traced(function, {}, fill=_improper_zeros)
        improper = [name for name, site in trace.items() if _is_improper(site)]
        if improper:
            raise _improper(improper[0], trace[improper[0]])
        found: Any = get_dependencies(function)["prior_dependencies"]
    except ImproperPrior:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"prior: the model function must run without arguments; got"
            f" {type(error).__name__}: {reason}."
        ) from error
    above: dict[str, set[str]] = {name: set(of) - {name} for name, of in found.items()}
    samples = {name: site for name, site in trace.items() if _is_latent(site)}
    if CONTENT not in samples:
        names = ", ".join(samples) or "none"
        raise ValueError(
            f"prior: the model function has no sample site 'content'; it has {names}."
            f" Add numpyro.sample('content', ...) of shape ({content_dim},)."
        )
    shapes = {CONTENT: (content_dim,), ANGLE: (), SHIFT: (2,), CLASS: ()}
    for name, site in samples.items():
        shape = jnp.shape(site["value"])
        if name in shapes and shape != shapes[name]:
            raise ValueError(
                f"prior: site '{name}' has shape {shape}; it must be {shapes[name]}"
                + (", content_dim numbers." if name == CONTENT else ".")
            )
        discrete = site["fn"].support.is_discrete
        if discrete != (name == CLASS):
            raise ValueError(
                f"prior: site '{name}', shape {shape}, is "
                + ("discrete; only 'class' is summed over." if discrete else "not")
                + ("" if discrete else " discrete; a class is Categorical.")
            )
        others = above.get(name, set()) & set(OWN)
        if name not in OWN and others:
            raise ValueError(
                f"prior: site '{name}' depends on '{min(others)}', so that it would"
                f" differ between patches; only {', '.join(OWN)} do."
            )
    for name, site in trace.items():
        if site["type"] == "sample" and name not in samples:
            raise ValueError(
                f"prior: site '{name}' is observed; a prior is of latents alone."
            )
    for one, other in ((ANGLE, SHIFT), (SHIFT, ANGLE), (CONTENT, ANGLE), (CLASS, ANGLE),
                       (CONTENT, SHIFT), (CLASS, SHIFT)):  # fmt: skip
        if other in above.get(one, set()):
            raise ValueError(
                f"prior: site '{one}' depends on '{other}'. Sample content and class"
                " first; angle and shift may depend on these, not on each other."
            )
    number = 1
    if CLASS in samples:
        number = len(samples[CLASS]["fn"].enumerate_support())
        if num_classes > 1 and number != num_classes:
            raise ValueError(
                f"prior: site 'class' has {number} classes; num_classes={num_classes}."
            )
    elif num_classes > 1:
        number = num_classes
    free = tuple(name for name in (ANGLE, SHIFT) if name in samples)
    return Sites(
        content_dim,
        number,
        free,
        tuple(n for n in free if above.get(n, set()) & {CONTENT, CLASS}),
        tuple(name for name, site in trace.items() if site["type"] == "param"),
        tuple(name for name in samples if name not in OWN),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A model function with values for all that patches share."""

    values: Values
    function: Function = dataclasses.field(metadata={"static": True})
    sites: Sites = dataclasses.field(metadata={"static": True})

    def log_joint(self, content: Float[Array, "*n latent"]) -> Float[Array, "*n cls"]:
        """Log density of content and class."""

        def one(content: Array, chosen: Array) -> Array:
            trace = self._at({CONTENT: content, CLASS: chosen})
            total = _log_prob(trace[CONTENT])
            if CLASS in trace:
                return total + _log_prob(trace[CLASS])
            return total - np.log(self.sites.num_classes)

        flat = content.reshape(-1, content.shape[-1])
        classes = jnp.arange(self.sites.num_classes)
        found = jax.vmap(lambda z: jax.vmap(lambda c: one(z, c))(classes))(flat)
        return found.reshape(*content.shape[:-1], -1)

    def log_prob(self, content: Float[Array, "*n latent"]) -> Float[Array, "*n"]:
        """Log density of the content, whatever the class."""
        return logsumexp(self.log_joint(content), axis=-1)

    def log_share(self, content: Float[Array, "*n latent"]) -> Float[Array, "*n cls"]:
        """Log probabilities of the classes, given the content."""
        return jax.nn.log_softmax(self.log_joint(content), axis=-1)

    def log_angle(
        self, content: Float[Array, "batch latent"], angle: Float[Array, "*m angle"]
    ) -> Float[Array, "batch cls angle"]:
        """Log of 2 pi times the density of the angle, given content and class.

        Args:
            angle: (angle,) the same for all, or (batch, angle).
        """
        angle = jnp.broadcast_to(angle, (len(content), angle.shape[-1]))

        def one(content: Array, chosen: Array, angle: Array) -> Array:
            latents = {CONTENT: content, CLASS: chosen, ANGLE: wrap(angle)}
            return _log_prob(self._at(latents)[ANGLE]) + np.log(2 * np.pi)

        classes = jnp.arange(self.sites.num_classes)
        of_angle = jax.vmap(one, (None, None, 0))
        of_class = jax.vmap(of_angle, (None, 0, None))
        return jax.vmap(of_class, (0, None, 0))(content, classes, angle)

    def log_place(
        self, content: Float[Array, "batch latent"], places: Float[Array, "place 2"]
    ) -> Float[Array, "batch cls place"]:
        """Log of the shift's density over its mean over these places, pixels."""

        def one(content: Array, chosen: Array, shift: Array) -> Array:
            latents = {CONTENT: content, CLASS: chosen, SHIFT: shift}
            return _log_prob(self._at(latents)[SHIFT])

        classes = jnp.arange(self.sites.num_classes)
        of_place = jax.vmap(one, (None, None, 0))
        of_class = jax.vmap(of_place, (None, 0, None))
        height = jax.vmap(of_class, (0, None, None))(content, classes, places)
        mean = logsumexp(height, axis=-1, keepdims=True) - np.log(len(places))
        return height - mean

    def sample(self, key: PRNGKey, number: int) -> Values:
        """Draws of every patch's own sites, by their names."""

        def one(key: PRNGKey) -> Values:
            trace = _traced(self.function, self.values, key)
            return {name: trace[name]["value"] for name in OWN if name in trace}

        return jax.vmap(one)(jax.random.split(key, number))

    def log_shared(self) -> Float[Array, ""]:
        """Log density of the shared sites' values."""
        trace = self._at({})
        total = sum(_log_prob(trace[name]) for name in self.sites.shared)
        return jnp.asarray(total, jnp.float32)

    def _at(self, latents: Values) -> Any:
        return _traced(self.function, self.values | latents)


class ProgramPrior(nnx.Module):
    """What training finds of a model function: params, and shared sites' posterior."""

    def __init__(self, function: Function, sites: Sites, *, rngs: nnx.Rngs):
        self.function, self.sites = function, sites
        start = _traced(function, {}, rngs.params())
        more = [_traced(function, {}, rngs.params()) for _ in range(NUM_STARTS - 1)]
        self.params = nnx.Dict()
        for name in sites.params:
            back = _constrain(start[name]).inv
            self.params[name] = nnx.Param(1.0 * back(start[name]["value"]))
        self.means, self.log_stds = nnx.Dict(), nnx.Dict()
        for name in sites.shared:
            back = _constrain(start[name]).inv
            traces = (start,) if _starts_apart(start[name]) else (start, *more)
            draws = [back(trace[name]["value"]) for trace in traces]
            mean = jnp.median(jnp.stack(draws), axis=0)
            self.means[name] = nnx.Param(mean)
            self.log_stds[name] = nnx.Param(jnp.full(mean.shape, FIRST_LOG_STD))

    def at_medians(self) -> Program:
        """The function with the shared sites at their posteriors' medians."""
        return self._with({name: self.means[name][...] for name in self.sites.shared})[
            0
        ]

    def drawn(self, key: PRNGKey) -> tuple[Program, Float[Array, ""]]:
        """With shared sites drawn; and an estimate of their divergence, nats."""
        free, entropy = {}, jnp.zeros(())
        for name in self.sites.shared:
            key, own = jax.random.split(key)
            mean, log_std = self.means[name][...], self.log_stds[name][...]
            normal = jax.random.normal(own, mean.shape)
            free[name] = mean + jnp.exp(log_std) * normal
            entropy += (log_std + 0.5 * np.log(2 * np.pi * np.e)).sum()
        program, log_volume = self._with(free)
        if not self.sites.shared:
            return program, jnp.zeros(())
        return program, -entropy - program.log_shared() - log_volume

    def _with(self, free: Values) -> tuple[Program, Float[Array, ""]]:
        """From unconstrained values; and the log volume that constraining takes up."""
        values: Values = {}
        trace = _traced(self.function, {})
        for name in self.sites.params:
            values[name] = _constrain(trace[name])(self.params[name][...])
        log_volume = jnp.zeros(())
        for name in self.sites.shared:  # in the order sampled: supports may depend
            to = _constrain(_traced(self.function, values)[name])
            values[name] = to(free[name])
            log_volume += to.log_abs_det_jacobian(free[name], values[name]).sum()
        return Program(values, self.function, self.sites), log_volume


def _traced(
    function: Function, values: Values, key: PRNGKey | None = None, fill: Any = None
) -> Any:
    key = jax.random.key(0) if key is None else key
    inner = handlers.seed(function, key)
    if fill is not None:
        inner = handlers.substitute(inner, substitute_fn=fill)
    return handlers.trace(handlers.substitute(inner, data=values)).get_trace()


def _log_prob(site: Any) -> Array:
    return site["fn"].log_prob(site["value"]).sum()


def _is_latent(site: Any) -> bool:
    return site["type"] == "sample" and not site["is_observed"]


def _starts_apart(site: Any) -> bool:
    """Whether its entries would not part company from one common start."""
    return site["infer"].get(START) == APART


def _is_improper(site: Any) -> bool:
    distribution = site.get("fn")
    while hasattr(distribution, "base_dist"):
        distribution = distribution.base_dist
    return type(distribution).__name__ == "ImproperUniform"


def _improper_zeros(site: Any) -> Array | None:
    """A value for what cannot be drawn, so that the rest is seen."""
    return jnp.zeros(site["fn"].shape()) if _is_improper(site) else None


def _improper(name: str, site: Any) -> ImproperPrior:
    return ImproperPrior(
        f"prior: site '{name}' of shape {jnp.shape(site['value'])} is improper: it has"
        " no density to draw from. Take a wide Normal instead."
    )


def _constrain(site: Any) -> Any:
    """The map from unconstrained values."""
    if site["type"] == "param":
        return biject_to(site["kwargs"].get("constraint", constraints.real))
    return biject_to(site["fn"].support)
