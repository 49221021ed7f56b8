"""From settings and images to a model and its fresh weights."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._typing import Array, Float, ndarray
from jaxrvae.config import ModelConfig
from jaxrvae.config.choices import CHOICES, PROGRAM
from jaxrvae.data.batches import LEAST_SIZE
from jaxrvae.data.known import Known
from jaxrvae.geometry.band import band, informative_frequency, place_ticks
from jaxrvae.geometry.circle import angle_grid
from jaxrvae.geometry.polar import fourier_bessel
from jaxrvae.models.affine import AffineModel
from jaxrvae.models.affine_networks import AffineNetworks, PoseHead
from jaxrvae.models.likelihoods import natural_of
from jaxrvae.models.steerable import (
    SteerableModel,
    SteerableNetworks,
)
from jaxrvae.networks.decoders import ConvDecoder, CoordinateDecoder, DenseDecoder
from jaxrvae.networks.encoders import ContentReader, TurnedCopies
from jaxrvae.networks.pixel_encoders import (
    ConvTrunk,
    DenseTrunk,
    GroupConvolution,
    PixelCopies,
)
from jaxrvae.networks.spectra import SpectrumNetworks
from jaxrvae.priors.content import (
    ContentPrior,
    FlowPrior,
    MixturePrior,
    PseudoPrior,
)
from jaxrvae.priors.pose import AnglePrior, angle_prior, shift_stds

Model = SteerableModel | AffineModel
Networks = SteerableNetworks | AffineNetworks

LEAST_REALS, STEERABLE_REALS = 50, 150  # of a channel: detail against speed
AFFINE_REALS = 220
# Of the image common to all contents, against a weight. At 1 one seed in ten made that
# image in the hidden layer, and its content told the shapes apart less well; logits are
# larger, and at 20 the content of small patches still collapsed.
MEAN_GAIN, NATURAL_MEAN_GAIN = 10.0, 300.0
NUM_ANGLES = 96
READ_BACK = ("turned-back", "moved-back")  # encoders that read content a second time
TURNED = ("turned-copy", *READ_BACK)  # encoders that read polar coefficients
SAMPLE = 500  # images that set the offset and the scale


def build_model(
    config: ModelConfig,
    images: Float[ndarray, "n height width channel"],
    max_frequency: float | None = None,
) -> Model:
    """The model for these images: sizes, basis, offset and scale.

    Args:
        max_frequency: Of the steerable band; None: from the images' noise.
    """
    sample = images[:: max(len(images) // SAMPLE, 1)]
    height, width, channels = (int(size) for size in images.shape[1:])
    shape = (height, width, channels)
    steerable = config.decoder_family == "steerable"
    frequency = band_limit(shape, STEERABLE_REALS if steerable else AFFINE_REALS)
    offset, scale = _standards(sample)
    if steerable:
        if max_frequency is None:  # no waves where there is noise alone
            fewest = band_limit(shape, LEAST_REALS)
            told = informative_frequency(sample - np.asarray(offset))
            max_frequency = max(told, fewest)
        frequency = min(frequency, max_frequency)
    rows, columns = (max(size, LEAST_SIZE) for size in shape[:2])
    basis = fourier_bessel(rows, columns, frequency)
    if steerable:  # so that a mode of the band, not a pixel, has unit spread
        scale = scale * (shape[0] * shape[1] / band(shape, frequency).sum()) ** 0.5
    fixed_noise = config.noise if isinstance(config.noise, float | int) else 0.0
    if steerable and fixed_noise:  # the same in all channels: so is their unit
        scale = jnp.full_like(scale, jnp.sqrt(jnp.square(scale).mean()))
    std_x, std_y = shift_stds(config.shift_prior, config.max_shift)
    longer = max(shape[:2])
    if steerable:
        field = longer * config.max_shift if config.shifted else 0.0
        pixels = longer if config.shift_prior is not None else 0.0
        return SteerableModel(
            basis,
            offset,
            scale,
            shape,
            frequency,
            place_ticks(field, frequency),
            likelihood=config.likelihood_kind,
            num_classes=config.num_classes,
            fixed_noise=float(fixed_noise),
            shift_std=(pixels * std_x, pixels * std_y),
        )
    free_x, free_y = config.shifted, config.shifted and shape[0] > 1
    spline = {"affine-cubic": "cubic", "coordinate": "none"}
    return AffineModel(
        basis,
        offset,
        scale,
        shape,
        config.num_copies,
        (2 * std_x * free_x, 2 * std_y * free_y),  # a signal has no y
        spline.get(config.decoder_family, "bilinear"),
        config.likelihood_kind,
        config.num_classes,
        config.rotated,
        config.scaled,
        config.posterior_family,
        "coefs" if _encoder_family(config, shape) in TURNED else "images",
        float(fixed_noise),
        config.encoder_family == "moved-back",
    )


def _encoder_family(config: ModelConfig, shape: tuple[int, ...]) -> str:
    """The encoder's name; a signal of one row has no turned copies."""
    family = config.encoder_family
    if shape[0] > 1 or family in ("dense", "convolutional"):
        return family
    if config.encoder == "auto":
        return "dense"
    raise ValueError(
        f"encoder={family!r} reads images; got signals of one row. Take"
        " encoder='dense' or 'convolutional'."
    )


def check_program(config: ModelConfig) -> None:
    """Raises ValueError where a NumPyro model does not go with the other options."""
    if config.prior_family != PROGRAM:
        return
    from jaxrvae.priors.program import study

    sites = study(config.prior, config.content_dim, config.num_classes)
    pose = {"angle": "rotation", "shift": "shift"}
    for site in sites.free:
        if pose[site] not in config.pose:
            raise ValueError(
                f"prior: site '{site}' needs '{pose[site]}' in pose;"
                f" got pose={config.pose}."
            )
        if getattr(config, f"{site}_prior") is not None:
            raise ValueError(
                f"prior has a site '{site}' beside a {site}_prior: leave one out."
            )
    steerable = config.decoder_family == "steerable"
    if "shift" in sites.free and not steerable:
        raise ValueError(
            f"prior: site 'shift' is read by decoder='steerable'; got"
            f" {config.decoder_family!r}. Take shift_prior, a normal."
        )
    if steerable and sites.varying and config.likelihood_kind != "gaussian":
        raise ValueError(
            f"prior: site '{sites.varying[0]}' depends on content or class, which needs"
            f" likelihood='gaussian'; got {config.likelihood_kind!r}."
        )
    if config.gumbel:
        raise ValueError(
            "prior is a NumPyro model, whose classes are summed over; got"
            " classes='gumbel'. Leave classes out."
        )


def aligner(model: Model) -> SteerableModel:
    """A steerable model in whose basis the model's images can be laid on each other."""
    if isinstance(model, SteerableModel):
        return model
    frequency = band_limit(model.shape, AFFINE_REALS)
    field = max(model.shape[:2]) * max(model.shift_std)
    return SteerableModel(
        model.basis,
        model.offset,
        model.scale,
        model.shape,
        frequency,
        place_ticks(field, frequency),
    )


def angle_log_prior(config: ModelConfig) -> Float[Array, " angle"]:
    """Of the grid's angles: log density times 2 pi."""
    return on_grid(angle_prior(config.angle_prior))


def on_grid(prior: AnglePrior) -> Float[Array, " angle"]:
    """Of the grid's angles: log density times 2 pi."""
    return prior.log_density(jnp.asarray(angle_grid(NUM_ANGLES), jnp.float32))


def band_limit(shape: tuple[int, ...], num_reals: int) -> float:
    """Cycles per pixel at which the disc's basis has about so many coefficients."""
    across = max(min(shape[:2]), LEAST_SIZE)  # a signal's basis is never read
    return float(min(num_reals**0.5 / (np.pi * across / 2), 0.5))


def build_networks(
    model: Model,
    config: ModelConfig,
    images: Float[ndarray, "n height width channel"],
    known: Known,
    rngs: nnx.Rngs,
) -> Networks:
    """Fresh weights; the noise starts at the images' own spread.

    Args:
        known: What is known of the images beside their pixels.
    """
    kind = config.likelihood_kind
    background = jnp.zeros(model.shape[2])
    guess_dim = config.num_classes if config.gumbel else 0
    guess_dim += 2 * known.condition_dim if known.inferred else 0
    if kind != "gaussian":
        background = jnp.asarray(natural_of(kind, _edge(images).mean(0)), jnp.float32)
    if isinstance(model, SteerableModel):
        networks = SteerableNetworks(
            model.orders,
            config.content_dim,
            config.num_turns,
            config.hidden_dim,
            known.dim,
            1.0 if kind == "gaussian" else NATURAL_MEAN_GAIN,
            None if kind == "gaussian" else background,
            guess_dim,
            rngs=rngs,
        )
    else:
        networks = AffineNetworks(
            _copies(model, config, rngs),
            PoseHead(
                config.hidden_dim,
                known.dim,
                config.content_dim,
                config.scaled,
                rngs=rngs,
            ),
            _decoder(model, config, known.dim, rngs),
            background,
            model.shape if config.noise == "per-pixel" else (),
            nnx.Linear(config.hidden_dim, guess_dim, rngs=rngs) if guess_dim else None,
        )
        if config.encoder_family in READ_BACK:
            units = config.setting("encoder", "units") or config.hidden_dim
            size = 2 * len(model.orders)
            size = int(np.prod(model.shape)) if model.moved_back else size
            reader = ContentReader(
                size + known.dim, units, config.content_dim, rngs=rngs
            )
            networks.reader = nnx.data(reader)
    if known.num_energies:
        sizes = known.num_energies, config.content_dim, known.dim
        beside = SpectrumNetworks(*sizes, config.hidden_dim, rngs=rngs)
        networks.spectrum = nnx.data(beside)
    networks.prior = nnx.data(_prior(model, config, images, rngs))
    return networks


def _copies(model: AffineModel, config: ModelConfig, rngs: nnx.Rngs) -> Any:
    """What the encoder reads to the units of every copy."""
    shape, hidden_dim = model.shape, config.hidden_dim
    family = _encoder_family(config, shape)
    if family in TURNED:
        return TurnedCopies(model.orders, model.num_turns, hidden_dim, rngs=rngs)
    if family == "group-convolution":
        width = config.setting("encoder", "width")
        own = shape, model.num_turns, hidden_dim
        return GroupConvolution(*own, width=width, rngs=rngs)
    if family == "dense":
        layers = (
            config.setting("encoder", "layers") or CHOICES["encoder"]["dense"]["layers"]
        )
        trunk = DenseTrunk(shape, hidden_dim, layers, rngs=rngs)
    else:
        width = config.setting("encoder", "width")
        trunk = ConvTrunk(shape, hidden_dim, width=width, rngs=rngs)
    return PixelCopies(trunk, model.num_turns, shape)


def _decoder(
    model: AffineModel, config: ModelConfig, known_dim: int, rngs: nnx.Rngs
) -> Any:
    """Content, and what is known, to pixels; or with points to values there."""
    gain = MEAN_GAIN if config.likelihood_kind == "gaussian" else NATURAL_MEAN_GAIN
    sizes = config.content_dim + known_dim, config.hidden_dim
    family = config.decoder_family
    if family == "coordinate":
        return CoordinateDecoder(
            *sizes,
            model.shape[2],
            num_layers=config.setting("decoder", "layers"),
            num_features=config.setting("decoder", "features"),
            skip=config.setting("decoder", "skip"),
            rngs=rngs,
        )
    if family == "convolutional":
        width = config.setting("decoder", "width")
        return ConvDecoder(*sizes, model.shape, gain, width=width, rngs=rngs)
    units = config.setting("decoder", "units") or config.hidden_dim
    return DenseDecoder(
        sizes[0],
        units,
        int(np.prod(model.shape)),
        gain,
        config.setting("decoder", "activation"),
        rngs=rngs,
    )


def _prior(
    model: Model,
    config: ModelConfig,
    images: Float[ndarray, "n height width channel"],
    rngs: nnx.Rngs,
) -> ContentPrior:
    """Of the content, fresh; None for the standard normal."""
    family, number = config.prior_family, config.setting("prior", "components")
    if family == "mixture":
        return MixturePrior(config.content_dim, number, rngs=rngs)
    if family == "flow":
        return FlowPrior(config.content_dim, config.hidden_dim, rngs=rngs)
    if family == "vamp":
        chosen = np.linspace(0, len(images) - 1, number).astype(int)
        projection = model.projection()
        found = model.compress(projection, jnp.asarray(images[chosen]))
        return PseudoPrior(model.expand(projection, found)[model.reads])
    if family in (PROGRAM, "horseshoe", "stick-breaking"):
        from jaxrvae.priors import named
        from jaxrvae.priors.program import ProgramPrior, as_function, study

        prior = config.prior
        if family == "horseshoe":
            prior = named.horseshoe(config.content_dim)
        elif family == "stick-breaking":
            prior = named.stick_breaking(config.content_dim, number)
        classes = config.num_classes if family == PROGRAM else 1
        sites = study(prior, config.content_dim, classes)
        return ProgramPrior(as_function(prior), sites, rngs=rngs)
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
