"""The model's passes over images, compiled once each and run in chunks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._compile import compile_lightly
from jaxrvae._typing import Array, Int, ndarray
from jaxrvae.config import ModelConfig
from jaxrvae.data.known import Known
from jaxrvae.data.mapped import let_go
from jaxrvae.models.affine_posterior import affine_posterior
from jaxrvae.models.build import Model, build_networks
from jaxrvae.models.gauge import Gauge, unfix_gauge
from jaxrvae.models.steerable import SteerableModel
from jaxrvae.models.steerable_posterior import steerable_posterior
from jaxrvae.priors.content import Encode, sample_prior

CHUNK = 256  # images at a time outside training: bounds the memory
SMALL_CHUNK = 16  # where there are no more: at most two sizes are ever compiled


def fresh_networks(
    model: Model,
    config: ModelConfig,
    images: ndarray,
    known: Known,
    seeds: Int[ndarray, " member"] | None = None,
) -> tuple[Any, Any]:
    """The networks' graph and fresh weights, made by one compiled program.

    Args:
        seeds: Of the members of an ensemble, whose weights stand along a first axis;
            None: the config's, of one model.
    """
    graphs = []

    def weights(seed: Any) -> Any:
        rngs = nnx.Rngs(jax.random.key(seed))
        networks = build_networks(model, config, images, known, rngs)
        graph, params = nnx.split(networks, nnx.Param)
        graphs.append(graph)
        return params

    if seeds is not None:
        params = compile_lightly(jax.vmap(weights))(jnp.asarray(seeds))
    else:
        params = compile_lightly(lambda: weights(config.seed))()
    return graphs[0], params


@compile_lightly
def project(model: Model) -> dict[str, Array]:
    """The model's maps from pixels to what it reads, as arrays."""
    return model.projection()


@jax.jit(static_argnums=3)
def features(
    model: Model,
    projection: dict[str, Array],
    images: Array,
    expanded: bool,
) -> dict[str, Array]:
    """What the model reads of the images: in full, or the least it can be made from."""
    found = model.compress(projection, images)
    return model.expand(projection, found) if expanded else found


@jax.jit(static_argnums=1)
def encode(
    model: Model,
    graph: Any,
    params: Any,
    projection: dict[str, Array],
    gauge: Gauge,
    given: dict[str, Array],
    log_prior: Array,
) -> dict[str, Array]:
    """The posterior of content and pose, as `Latents` holds it.

    Args:
        given: "images", and "label" and "condition" where they are known.
    """
    networks: Any = nnx.merge(graph, params)
    images, known = given["images"], {k: v for k, v in given.items() if k != "images"}
    found = model.expand(projection, model.compress(projection, images)) | known
    if isinstance(model, SteerableModel):
        read = steerable_posterior
        return read(model, networks, projection, gauge, found, log_prior)
    return affine_posterior(model, networks, projection, gauge, found, log_prior)


@jax.jit(static_argnums=1)
def decode(
    model: Model,
    graph: Any,
    params: Any,
    projection: dict[str, Array],
    gauge: Gauge,
    both: Array,
) -> Array:
    """Images in recorded units.

    Args:
        both: (n, input + 4) content and what is known beside it, then angle, shift
            (unit lengths, y up), scale.
    """
    networks: Any = nnx.merge(graph, params)
    content, poses = both[:, :-4], both[:, -4:]
    hidden = model.drift(networks, projection, gauge, content)
    angle, shift = unfix_gauge(poses[:, 0], poses[:, 1:3], poses[:, 3], hidden)
    return _posed(model, networks, content, angle, shift, poses[:, 3])


@jax.jit(static_argnums=0)
def decode_spectra(graph: Any, params: Any, inputs: Array) -> dict[str, Array]:
    """Standardized spectra of contents and what is known beside them."""
    networks: Any = nnx.merge(graph, params)
    return {"spectra": networks.spectrum.decoder(inputs)}


@jax.jit(static_argnums=0)
def encode_spectra(graph: Any, params: Any, spectra: Array) -> dict[str, Array]:
    """The posterior of the content, from standardized spectra."""
    networks: Any = nnx.merge(graph, params)
    mean, log_std = networks.spectrum.encode(spectra)
    return {"content": mean, "content_std": jnp.exp(log_std)}


@compile_lightly(static_argnums=1)
def canonical_images(model: Model, graph: Any, params: Any, content: Array) -> Array:
    """Images in recorded units at the decoder's own pose zero."""
    networks: Any = nnx.merge(graph, params)
    none = jnp.zeros((len(content), 3))
    return _posed(model, networks, content, none[:, 0], none[:, 1:], none[:, 0] + 1)


def _posed(
    model: Model,
    networks: Any,
    content: Array,
    angle: Array,
    shift: Array,
    scale: Array,
) -> Array:
    if not isinstance(model, SteerableModel):
        return model.seen(networks, content, angle, shift, scale)
    canonical = model.canonical(networks, content)
    return model.recorded(
        networks, jax.vmap(model.render)(canonical, angle, shift, scale)
    )


@compile_lightly(static_argnums=(1, 3, 4))
def draw_prior(
    model: Model, graph: Any, params: Any, num_samples: int, content_dim: int
) -> Array:
    """Contents drawn from their prior; the same ones every time."""
    networks: Any = nnx.merge(graph, params)

    key = jax.random.key(0)
    encode = pseudo_encoder(model, networks)
    return sample_prior(networks.prior, num_samples, content_dim, encode, key)


def pseudo_encoder(model: Model, networks: Any) -> Encode:
    """What the encoder reads to the content's posterior, nothing else being known."""

    def encode(pseudo: Array) -> tuple[Array, Array]:
        query = model.query(networks, {model.reads: pseudo})
        return query.content, query.content_log_std

    return encode


def in_chunks(
    function: Callable[[Any], dict[str, Array]], given: Any
) -> dict[str, ndarray]:
    """The function's arrays for all images, a fixed number at a time.

    Args:
        given: An array with the images along its first axis, or a mapping of such.
    """
    number = len(jax.tree.leaves(given)[0])
    chunk = SMALL_CHUNK if number <= SMALL_CHUNK else CHUNK
    found: list[dict[str, ndarray]] = []
    for start in range(0, number, chunk):
        short = max(start + chunk - number, 0)

        def cut(values: ndarray, start: int = start, short: int = short) -> Array:
            part = values[start : start + chunk]
            if short:
                part = np.concatenate([part, np.repeat(part[-1:], short, axis=0)])
            part = jnp.asarray(part)
            let_go(values)
            return part

        values = function(jax.tree.map(cut, given))
        found.append(
            {name: np.asarray(v)[: chunk - short] for name, v in values.items()}
        )
    return {name: np.concatenate([f[name] for f in found]) for name in found[0]}
