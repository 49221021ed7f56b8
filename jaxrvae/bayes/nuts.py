"""NUTS over content, angle and shift of single patches, the decoder being fixed.

Chains start from contents drawn by importance from the encoder's posterior and the
prior, at the modes of the angle there, in coordinates in which the peak they start on
is a standard normal, as far as its curvature tells. After every transition a chain may
jump: to another mode of the angle, which moves by the difference of the two, or from
one chain's first peak to another's, content and all. Metropolis' rule accepts or not,
so that the time spent in the modes is in proportion to their weights.

Sources: Hoffman & Gelman 2014, J. Mach. Learn. Res. 15, 1593 (NUTS); Tierney 1994, Ann.
Stat. 22, 1701 (mixtures and cycles of kernels); Vehtari et al. 2021, Bayesian Anal. 16,
667 (R-hat, effective sample size).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._checks import whole
from jaxrvae._typing import Array, Float, PRNGKey, ndarray
from jaxrvae.bayes.chains import Chains
from jaxrvae.bayes.given import given
from jaxrvae.bayes.peaks import Patch, Peak, cross, find_peak
from jaxrvae.geometry.circle import wrap
from jaxrvae.geometry.grid import shift_to_pixel, shift_to_unit
from jaxrvae.models.gauge import fix_gauge
from jaxrvae.models.marginal import explain
from jaxrvae.models.modes import NUM_MODES, angle_modes
from jaxrvae.models.pose_prior import grid_log_prior
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.models.surface import highest
from jaxrvae.priors.content import (
    at_medians,
    log_normal,
    log_prior,
    sample_prior,
)

CHUNK = 32  # patches at a time
LEAST_SHARE = 1e-3  # of a mode that a chain starts in
NUM_CANDIDATES = 64  # contents that chains' starts are drawn from
WIDER = 1.5  # than the encoder's posterior
ACCEPT = 0.9
EVERY = 2  # transitions between the draws that are kept
DEPTH = 4  # of NUTS' trees: in whitened coordinates eight steps go round


def sample_posterior(
    model: Any,
    patches: Any,
    num_draws: int = 500,
    num_chains: int = 4,
    num_warmup: int = 150,
    seed: int = 0,
) -> Chains:
    """Draws of content, angle and shift of every patch, by NUTS.

    Args:
        model: A fitted RVAE with the steerable decoder and Gaussian noise.
        num_warmup: Draws before, in which the step is adapted, and which are dropped.
    """
    own = given(model, patches, "sample_posterior")
    for name, value in (("num_draws", num_draws), ("num_chains", num_chains)):
        whole(name, value, 1)
    whole("num_warmup", num_warmup, 1)
    size = min(CHUNK, len(own.images))
    sizes = num_chains, num_warmup, num_draws
    found: dict[str, list[ndarray]] = {}
    for rows, images in own.chunks(size):
        keys = jax.random.split(jax.random.key(seed + rows.start), size)
        part = _chains(*own.parts, images, own.angle_priors, keys, sizes)
        for name, values in part.items():
            kept = np.asarray(values)[: rows.stop - rows.start]
            found.setdefault(name, []).append(kept)
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return Chains(**joined)


@jax.jit(static_argnums=(1, 8))
def _chains(
    model: SteerableModel,
    graph: Any,
    params: Any,
    projection: dict[str, Array],
    gauge: Any,
    images: Float[Array, "batch height width channel"],
    angle_priors: Any,
    keys: Array,
    sizes: tuple[int, int, int],
) -> dict[str, Array]:
    networks: Any = nnx.merge(graph, params)
    features = model.expand(projection, model.compress(projection, images))
    query = model.query(networks, features, fine=True)
    std = jnp.exp(query.content_log_std)
    prior = at_medians(networks.prior)
    angles = jnp.asarray(model.angles(), jnp.float32)
    surface = model.prior_surface(angle_priors[0])

    def explained(content: Array) -> tuple[Array, Array]:
        """Log p(image | content), and the harmonics over the pose."""
        density = grid_log_prior(model, prior, angle_priors[0], content)
        own = features, model.canonical(networks, content), density
        nats = explain(model, networks, projection, *own)
        return nats, model.harmonics(networks, projection, *own)

    def peaked(content: Array) -> tuple[Array, Array, Array]:
        """Modes of the angle, their weights, and the poses of their tops."""
        harmonics = explained(content)[1]
        grid = model.correlations(harmonics)
        share = jax.nn.softmax(grid.reshape(len(grid), -1), axis=-1)
        by_angle = share.reshape(grid.shape).sum(1)
        modes, weights, peaks = jax.vmap(angle_modes, (0, None))(by_angle, angles)
        place = jnp.argmax(jnp.take_along_axis(grid, peaks[:, None], 2), axis=1)

        def top(angle: Array, place: Array) -> Array:
            return highest(model, harmonics, jnp.nan_to_num(angle), place)

        tops = jax.vmap(top, 1, 1)(modes, place)
        return jnp.where(jnp.isnan(modes), jnp.nan, tops[..., 0]), weights, tops

    drawn, best = _starts(
        (query.content, std), prior, lambda z: explained(z)[0], keys[0], sizes[0]
    )
    modes, weights, tops = peaked(best)
    _, shares, own = jax.lax.map(peaked, drawn)
    each = jax.tree.map(lambda v: v.swapaxes(0, 1), (drawn, shares, own))

    def one(coefs: Array, std: Array, each: Any, both: Any, key: PRNGKey) -> Any:
        patch = Patch(model, networks, prior, coefs, surface, angle_priors[0])
        return _sample(patch, each, std, both, key, sizes)

    both = weights, tops
    found = jax.vmap(one)(features["coefs"], std, each, both, keys)
    content, angle, place = (found.pop(n) for n in ("content", "angle", "place"))
    ticks = np.array(model.ticks)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 0.0
    moved = shift_to_unit(ticks[0] + step * place, model.shape)
    hidden = jax.lax.map(
        lambda z: model.drift(networks, projection, gauge, z),
        content.reshape(len(content), -1, content.shape[-1]),
    )
    turn, move = hidden
    flat_angle, flat_shift = fix_gauge(
        angle.ravel(), moved.reshape(-1, 2), (turn.ravel(), move.reshape(-1, 2))
    )
    own = model.drift(networks, projection, gauge, best)[0]
    return found | {
        "content": content,
        "angle": flat_angle.reshape(angle.shape),
        "shift": shift_to_pixel(flat_shift, model.shape).reshape(*angle.shape, 2),
        "modes": wrap(modes + own[:, None]),
        "grid_weights": weights,
    }


def _sample(
    patch: Patch,
    each: tuple[Array, Array, Array],
    std: Float[Array, " latent"],
    modes: tuple[Float[Array, " mode"], Float[Array, "mode 3"]],
    key: PRNGKey,
    sizes: tuple[int, int, int],
) -> dict[str, Array]:
    """All chains of one patch.

    Args:
        each: Of every chain the content to start from, and the weights and tops of the
            modes there.
        modes: Weights and tops of those that chains jump between.
    """
    from numpyro.infer import NUTS

    num_chains, num_warmup, num_draws = sizes
    weights, tops = modes
    usable = (weights > LEAST_SHARE).at[0].set(True)
    size = 3 if len(patch.model.ticks) > 1 else 1
    peaks = tops[:, :size]

    def nearest(latents: Array) -> Array:
        apart = jnp.abs(wrap(patch.split(latents)[1] - tops[:, 0]))
        return jnp.argmin(jnp.where(usable, apart, jnp.inf))

    def turn(latents: Array, key: PRNGKey) -> tuple[Array, Array]:
        """The angle moved to another mode's; whether it is nearest to that."""
        here = nearest(latents)
        there = jax.random.choice(key, NUM_MODES, p=usable / usable.sum())
        moved = latents.at[-size:].add(peaks[there] - peaks[here])
        return moved, nearest(moved) == there

    def begin(number: Array, each: Any) -> Peak:
        content, shares, own = each
        order = jnp.argsort(-shares)  # the first so many chains are in different modes
        start = order[number % jnp.maximum((shares > LEAST_SHARE).sum(), 1)]
        spread = jnp.concatenate([std, jnp.full(size, 1.0).at[0].set(0.05)])
        start = jnp.concatenate([content, own[start, :size]])
        return find_peak(patch, start, spread)

    begun = jax.vmap(begin)(jnp.arange(num_chains), each)

    def chain(own: Peak, key: PRNGKey) -> dict[str, Array]:
        middle, root, back = own.middle, own.root, own.back

        def potential(u: Array) -> Array:
            return -patch.log_density(middle + root @ u)

        def jump(state: Any, key: PRNGKey) -> Any:
            kind, choose, decide = jax.random.split(key, 3)
            latents = middle + root @ state.z
            turned, to_mode = turn(latents, choose)
            crossed, wider, returns = cross(begun, len(std), latents, choose)
            is_turn = jax.random.bernoulli(kind)
            moved = jnp.where(is_turn, turned, crossed)
            u = back @ (moved - middle)
            energy, slope = jax.value_and_grad(potential)(u)
            gain = state.potential_energy - energy + jnp.where(is_turn, 0.0, wider)
            taken = jnp.log(jax.random.uniform(decide)) < gain
            taken &= jnp.where(is_turn, to_mode, returns)
            new = state._replace(z=u, potential_energy=energy, z_grad=slope)
            return jax.lax.cond(taken, lambda: new, lambda: state)

        kernel = NUTS(
            potential_fn=potential,
            step_size=0.6,
            adapt_mass_matrix=False,
            max_tree_depth=DEPTH,
            target_accept_prob=ACCEPT,
        )
        keys = jax.random.split(key, 1 + num_warmup + num_draws)
        zero = jnp.zeros_like(middle)
        state = kernel.init(keys[0], num_warmup, zero, (), {})

        def move(state: Any, key: PRNGKey) -> tuple[Any, tuple[Array, Array]]:
            state = jump(kernel.sample(state, (), {}), key)
            return state, (state.accept_prob, state.diverging)

        def step(state: Any, key: PRNGKey) -> tuple[Any, dict[str, Array]]:
            pairs = jax.lax.scan(move, state, jax.random.split(key, EVERY))
            state, (accepted, divergent) = pairs
            latents = middle + root @ state.z
            return state, {
                "latents": latents,
                "mode": nearest(latents),
                "log_density": -state.potential_energy,
                "divergent": divergent.sum(),
                "accepted": accepted.mean(),
            }

        _, found = jax.lax.scan(step, state, keys[1:])
        return {name: values[num_warmup:] for name, values in found.items()}

    found = jax.vmap(chain)(begun, jax.random.split(key, num_chains))
    latents = found.pop("latents")
    content, angle, place = patch.split(latents)
    place = patch.folded(jnp.broadcast_to(place, (*angle.shape, 2)))
    found |= {"content": content, "angle": angle, "place": place}
    found["divergent"] = found["divergent"].sum(-1)
    found["accepted"] = found["accepted"].mean(-1)
    return found


def _starts(
    posterior: tuple[Float[Array, "batch latent"], Float[Array, "batch latent"]],
    prior: Any,
    explained: Any,
    key: PRNGKey,
    num_chains: int,
) -> tuple[Float[Array, "chain batch latent"], Float[Array, "batch latent"]]:
    """Contents drawn in proportion to the posterior, as candidates tell; the best one.

    Half of the candidates are the encoder's, made wider, and half the prior's.
    """
    mean, std = posterior
    near_key, far_key, key = jax.random.split(key, 3)
    number = NUM_CANDIDATES // 2
    shape = (number, *mean.shape)
    near = mean + WIDER * std * jax.random.normal(near_key, shape)
    near = near.at[0].set(mean)
    far = sample_prior(prior, number, mean.shape[1], lambda x: (x, x), far_key)
    far = jnp.broadcast_to(far[:, None], shape)
    content = jnp.concatenate([near, far])
    log_p = log_prior(prior, content, lambda x: (x, x))
    log_q = log_normal(content, mean, jnp.log(WIDER * std))
    nats = jax.lax.map(explained, content) + log_p
    weight = jax.nn.softmax(nats - jnp.logaddexp(log_q, log_p), axis=0)
    # One from every of as many equal parts of the weight.
    level = (jnp.arange(num_chains) + jax.random.uniform(key)) / num_chains
    below = jnp.cumsum(weight, axis=0)
    index = (below[None] < level[:, None, None]).sum(1)
    index = jnp.minimum(index, NUM_CANDIDATES - 1)
    chosen = jnp.take_along_axis(content, index[..., None], axis=0)
    best = jnp.argmax(nats, axis=0)
    return chosen, jnp.take_along_axis(content, best[None, :, None], axis=0)[0]
