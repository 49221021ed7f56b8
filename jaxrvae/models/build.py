"""From settings and images to a model and its fresh weights."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float, ndarray
from jaxrvae.config import ModelConfig
from jaxrvae.geometry.band import band
from jaxrvae.geometry.circle import angle_grid
from jaxrvae.geometry.polar import fourier_bessel
from jaxrvae.models.affine import AffineModel, AffineNetworks
from jaxrvae.models.likelihoods import natural_of
from jaxrvae.models.steerable import (
    SteerableModel,
    SteerableNetworks,
    place_ticks,
)
from jaxrvae.priors.content import (
    ContentPrior,
    FlowPrior,
    MixturePrior,
    PseudoPrior,
)

Model = SteerableModel | AffineModel
Networks = SteerableNetworks | AffineNetworks

STEERABLE_REALS = 150  # real coefficients of a channel: detail against speed
AFFINE_REALS = 220
# Of the image common to all contents, against a weight. At 1 one seed in ten made that
# image in the hidden layer, and its content told the shapes apart less well; logits are
# larger, and at 20 the content of small patches still collapsed.
MEAN_GAIN, NATURAL_MEAN_GAIN = 10.0, 300.0
NUM_ANGLES = 96
SAMPLE = 500  # images that set the offset and the scale


def build_model(
    config: ModelConfig, images: Float[ndarray, "n height width channel"]
) -> Model:
    """The model for these images: sizes, basis, offset and scale."""
    sample = images[:: max(len(images) // SAMPLE, 1)]
    height, width, channels = (int(size) for size in images.shape[1:])
    shape = (height, width, channels)
    steerable = config.decoder_family == "steerable"
    frequency = band_limit(shape, STEERABLE_REALS if steerable else AFFINE_REALS)
    basis = fourier_bessel(shape[0], shape[1], frequency)
    offset, scale = _standards(sample)
    if steerable:  # so that a mode of the band, not a pixel, has unit spread
        scale = scale * (shape[0] * shape[1] / band(shape, frequency).sum()) ** 0.5
    field = max(shape[:2]) * config.max_shift if config.shifted else 0.0
    if steerable:
        return SteerableModel(
            basis,
            offset,
            scale,
            shape,
            frequency,
            place_ticks(field, frequency),
            likelihood=config.likelihood_kind,
            num_classes=config.num_classes,
        )
    return AffineModel(
        basis,
        offset,
        scale,
        shape,
        config.num_turns if config.rotated else 1,
        config.max_shift if config.shifted else 0.0,
        "cubic" if config.decoder_family == "affine-cubic" else "bilinear",
        config.likelihood_kind,
        config.num_classes,
        config.rotated,
    )


def aligner(model: Model) -> SteerableModel:
    """A steerable model in whose basis the model's images can be laid on each other."""
    if isinstance(model, SteerableModel):
        return model
    frequency = band_limit(model.shape, AFFINE_REALS)
    field = max(model.shape[:2]) * model.shift_std
    return SteerableModel(
        model.basis,
        model.offset,
        model.scale,
        model.shape,
        frequency,
        place_ticks(field, frequency),
    )


def angle_log_prior(config: ModelConfig) -> Float[ndarray, " angle"]:
    """Of the grid's angles: log density times 2 pi."""
    from scipy.special import ive

    angles, prior = angle_grid(NUM_ANGLES), config.angle_prior
    if prior is None:
        return np.zeros(NUM_ANGLES, np.float32)
    height = prior["concentration"] * np.cos(angles - prior["loc"])
    normal = np.log(ive(0, prior["concentration"])) + prior["concentration"]
    return (height - normal).astype(np.float32)


def band_limit(shape: tuple[int, ...], num_reals: int) -> float:
    """Cycles per pixel at which the disc's basis has about so many coefficients."""
    return float(min(num_reals**0.5 / (np.pi * min(shape[:2]) / 2), 0.5))


def build_networks(
    model: Model,
    config: ModelConfig,
    images: Float[ndarray, "n height width channel"],
    condition_dim: int = 0,
) -> Networks:
    """Fresh weights; the noise starts at the images' own spread."""
    rngs, kind = nnx.Rngs(config.seed), config.likelihood_kind
    turns = config.num_turns if config.rotated else 1
    known_dim = (config.num_classes if config.num_classes > 1 else 0) + condition_dim
    sizes = (config.content_dim, turns, config.hidden_dim, known_dim)
    background = None
    if kind != "gaussian":
        background = jnp.asarray(natural_of(kind, _edge(images).mean(0)), jnp.float32)
    if isinstance(model, SteerableModel):
        gain = 1.0 if kind == "gaussian" else NATURAL_MEAN_GAIN
        own = (*sizes, gain, background)
        networks = SteerableNetworks(model.orders, *own, rngs=rngs)
    else:
        gain = MEAN_GAIN if kind == "gaussian" else NATURAL_MEAN_GAIN
        own = (*sizes, gain, background)
        networks = AffineNetworks(model.orders, model.shape, *own, rngs=rngs)
    networks.prior = nnx.data(_prior(model, config, images, rngs))
    return networks


def _prior(
    model: Model,
    config: ModelConfig,
    images: Float[ndarray, "n height width channel"],
    rngs: nnx.Rngs,
) -> ContentPrior:
    """Of the content, fresh; None for the standard normal."""
    number = config.prior_components
    if config.prior == "mixture":
        return MixturePrior(config.content_dim, number, rngs=rngs)
    if config.prior == "flow":
        return FlowPrior(config.content_dim, config.hidden_dim, rngs=rngs)
    if config.prior == "vamp":
        chosen = np.linspace(0, len(images) - 1, number).astype(int)
        projection = model.projection()
        found = model.compress(projection, jnp.asarray(images[chosen]))
        return PseudoPrior(model.expand(projection, found)["coefs"])
    return None


def _standards(
    sample: Float[ndarray, "n height width channel"],
) -> tuple[Float[Array, " channel"], Float[Array, " channel"]]:
    """Offset: the median along the patches' edges. Scale: the spread around it."""
    offset = np.median(_edge(sample), axis=0)
    scale = np.sqrt(np.square(sample - offset).mean((0, 1, 2)))
    scale = np.where(scale > 0, scale, 1.0)  # a channel that is constant
    return jnp.asarray(offset, jnp.float32), jnp.asarray(scale, jnp.float32)


def _edge(
    images: Float[ndarray, "n height width channel"],
) -> Float[ndarray, "pixel channel"]:
    """All pixels along the four sides."""
    channels = images.shape[-1]
    sides = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    return np.concatenate([side.reshape(-1, channels) for side in sides])
