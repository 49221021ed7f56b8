"""Contents' posteriors made better patch by patch, from where the encoder puts them.

The encoder reads every patch by one rule, and is never quite as good as a posterior
that is fitted to the patch alone. A few natural gradient steps of the patch's own bound
close that gap: in a normal's mean and log standard deviation they are Newton's, as far
as the posterior is normal. The pose is integrated out, as in training.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._checks import whole
from jaxrvae._typing import Array, Float, PRNGKey, ndarray
from jaxrvae.bayes.given import given
from jaxrvae.models.apply import pseudo_encoder
from jaxrvae.models.marginal import explain
from jaxrvae.models.pose_prior import grid_log_prior
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.priors.content import at_medians, log_prior

CHUNK = 32  # patches at a time
NUM_JUDGES, NUM_DRAWS = 4, 8  # sets of draws that tell who is better off; of each
FARTHEST, WIDEST = 1.0, 0.5  # a step: of the mean, in its std; of the log std
SHORTER = 0.4  # a step that does not help


@dataclasses.dataclass(frozen=True, eq=False)
class RefinedContent:
    """Posteriors of the content, fitted to each patch.

    Attributes:
        content, content_std: (n, d); they go where `(content, content_std)` is taken.
        gained: (n,) nats that the patch's bound has risen by, estimated by draws that
            had no part in it; with their error, so that single ones may be below 0.
    """

    content: ndarray
    content_std: ndarray
    gained: ndarray


def refine(
    model: Any,
    patches: Any,
    num_steps: int = 8,
    num_samples: int = 8,
    seed: int = 0,
) -> RefinedContent:
    """Contents and standard deviations by steps up each patch's own bound.

    A patch that other draws do not say is better off, by more than their standard
    error, stays as `encode` has it.

    Args:
        model: A fitted RVAE with the steerable decoder and Gaussian noise.
        num_steps: Each costs a gradient at every sample.
        num_samples: Of the content, the same ones in all steps.

    Source: Kim et al. 2018, arXiv:1802.02550 (semi-amortized inference); Amari 1998,
    Neural Comput. 10, 251 (natural gradients).
    """
    own = given(model, patches, "refine")
    whole("num_steps", num_steps, 1)
    whole("num_samples", num_samples, 2)
    size = min(CHUNK, len(own.images))
    found: dict[str, list[ndarray]] = {}
    for rows, images in own.chunks(size):
        key = jax.random.key(seed + rows.start)
        sizes = num_steps, num_samples
        part = _refined(*own.parts[:4], images, own.angle_priors[0], key, sizes)
        for name, values in part.items():
            kept = np.asarray(values)[: rows.stop - rows.start]
            found.setdefault(name, []).append(kept)
    return RefinedContent(**{name: np.concatenate(v) for name, v in found.items()})


@jax.jit(static_argnums=(1, 7))
def _refined(
    model: SteerableModel,
    graph: Any,
    params: Any,
    projection: dict[str, Array],
    images: Float[Array, "batch height width channel"],
    angle_prior: Float[Array, " angle"],
    key: PRNGKey,
    sizes: tuple[int, int],
) -> dict[str, Array]:
    networks: Any = nnx.merge(graph, params)
    features = model.expand(projection, model.compress(projection, images))
    query = model.query(networks, features, fine=True)
    begin = jnp.stack([query.content, query.content_log_std])
    prior = at_medians(networks.prior)
    encode = pseudo_encoder(model, networks)

    def explained(content: Float[Array, "batch latent"]) -> Float[Array, " batch"]:
        """Log of p(image, content), the pose integrated out."""
        density = grid_log_prior(model, prior, angle_prior, content)
        canonical = model.canonical(networks, content)
        nats = explain(model, networks, projection, features, canonical, density)
        return nats + log_prior(prior, content, encode)

    return _better(explained, begin, key, sizes)


def _better(
    explained: Any,
    begin: Float[Array, "2 batch latent"],
    key: PRNGKey,
    sizes: tuple[int, int],
) -> dict[str, Array]:
    """Means and log standard deviations that raise the bound, where any do.

    Args:
        explained: Log of p(image, content) of contents, one a patch.
        sizes: Of `refine`: steps, and samples.
    """
    num_steps, num_samples = sizes
    climb_key, judge_key = jax.random.split(key)

    def bound(posterior: Array, normals: Array) -> Float[Array, " batch"]:
        """But for a constant."""
        mean, log_std = posterior
        one = jax.checkpoint(lambda normal: explained(mean + jnp.exp(log_std) * normal))
        return jax.lax.map(one, normals).mean(0) + log_std.sum(-1)

    normals = _even_normals(climb_key, num_samples, begin[0])
    normals = (normals - normals.mean(0)) / normals.std(0)  # else widths are misjudged
    end = _climbed(lambda posterior: bound(posterior, normals), begin, num_steps)

    def gain(key: PRNGKey) -> Float[Array, " batch"]:
        normals = _even_normals(key, NUM_DRAWS, begin[0])
        both = jax.lax.map(lambda one: bound(one, normals), jnp.stack([begin, end]))
        return both[1] - both[0]

    gains = jax.lax.map(gain, jax.random.split(judge_key, 2 * NUM_JUDGES))
    judged, told = gains[:NUM_JUDGES], gains[NUM_JUDGES:]
    error = judged.std(0, ddof=1) / NUM_JUDGES**0.5
    better = judged.mean(0) > error
    kept = jnp.where(better[:, None], end, begin)
    gained = jnp.where(better, told.mean(0), 0.0)
    return {"content": kept[0], "content_std": jnp.exp(kept[1]), "gained": gained}


def _even_normals(
    key: PRNGKey, number: int, like: Float[Array, "batch latent"]
) -> Float[Array, "sample batch latent"]:
    """Normal numbers, one from each of as many equally likely ranges."""
    order_key, place_key = jax.random.split(key)
    shape = (number, *like.shape)
    ranges = jnp.broadcast_to(jnp.arange(number)[:, None, None], shape)
    ranges = jax.random.permutation(order_key, ranges, independent=True)
    share = (ranges + jax.random.uniform(place_key, shape)) / number
    return jax.scipy.special.ndtri(jnp.clip(share, 1e-6, 1 - 1e-6))


def _climbed(
    bound: Any, begin: Float[Array, "2 batch latent"], num_steps: int
) -> Float[Array, "2 batch latent"]:
    """Means and log standard deviations after so many steps, each patch at its own.

    A step is kept if the patch's bound is higher after it; else the next one from the
    same place is shorter.
    """

    def valued(posterior: Array) -> tuple[Array, Array]:
        value, back = jax.vjp(bound, posterior)
        return value, back(jnp.ones_like(value))[0]

    def moved(posterior: Array, slope: Array, rate: Array) -> Array:
        std = jnp.exp(posterior[1])
        mean = jnp.clip(std * slope[0], -FARTHEST, FARTHEST) * std
        log_std = jnp.clip(slope[1] / 2, -WIDEST, WIDEST)
        return posterior + rate[:, None] * jnp.stack([mean, log_std])

    def step(state: Any, _: None) -> tuple[Any, None]:
        posterior, value, slope, rate = state
        there = moved(posterior, slope, rate)
        found, new = valued(there)
        higher = found > value
        kept = higher[:, None]
        rate = jnp.where(higher, jnp.minimum(rate / SHORTER, 1.0), SHORTER * rate)
        return (
            jnp.where(kept, there, posterior),
            jnp.where(higher, found, value),
            jnp.where(kept, new, slope),
            rate,
        ), None

    number = begin.shape[1]  # the first step, of no slope, is where the others begin
    start = begin, jnp.full(number, -jnp.inf), jnp.zeros_like(begin), jnp.ones(number)
    (posterior, *_), _ = jax.lax.scan(step, start, None, length=1 + num_steps)
    return posterior
