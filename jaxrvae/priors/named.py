"""Structured priors of the content, as NumPyro model functions.

`jr.RVAE(prior="horseshoe")` and `prior="stick-breaking"` take them by name.
"""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from jaxrvae._typing import Array, Float
from jaxrvae.priors.program import APART, START, Function

LEAST_SPREAD = 0.1  # of a class's contents: it must not collapse on one image


def horseshoe(content_dim: int) -> Function:
    """Normal contents whose scales are most of them near none, and few of them large.

    Source: Carvalho, Polson & Scott 2010, Biometrika 97, 465.
    """

    def program() -> None:
        sample: Any = numpyro.sample
        overall = sample("overall", dist.HalfCauchy(1.0))
        each = dist.HalfCauchy(jnp.ones(content_dim)).to_event(1)
        scale = overall * sample("each", each)
        numpyro.sample("content", dist.Normal(0.0, scale).to_event(1))

    return program


def stick_breaking(content_dim: int, components: int = 12) -> Function:
    """A mixture of normals of which no more are used than the contents ask for.

    Their weights are broken off a stick one after another, Beta(1, strength) of what is
    left; the strength is inferred. The class is summed over.

    Args:
        components: At most.

    Source: Ishwaran & James 2001, J. Am. Stat. Assoc. 96, 161.
    """

    def program() -> None:
        sample: Any = numpyro.sample
        strength = sample("strength", dist.Gamma(1.0, 1.0))
        ones = jnp.ones(components - 1)
        parts = sample("parts", dist.Beta(ones, strength * ones).to_event(1))
        shape = (components, content_dim)
        wide = dist.Normal(jnp.zeros(shape), 2.0).to_event(2)
        middles = sample("middles", wide, infer={START: APART})
        narrow = dist.Gamma(2.0 * jnp.ones(shape), 4.0).to_event(2)
        spreads = LEAST_SPREAD + sample("spreads", narrow)
        weights: Any = broken(parts)
        chosen = sample("class", dist.Categorical(probs=weights))
        law = dist.Normal(middles[chosen], spreads[chosen]).to_event(1)
        numpyro.sample("content", law)

    return program


def broken(parts: Float[Array, " less"]) -> Float[Array, " component"]:
    """Weights of the components, from the share of the rest that each one breaks off.

    >>> broken(jnp.array([0.5, 0.5])).tolist()
    [0.5, 0.25, 0.25]
    """
    left = jnp.concatenate([jnp.ones(1), jnp.cumprod(1 - parts)])
    return left * jnp.concatenate([parts, jnp.ones(1)])
