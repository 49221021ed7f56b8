"""Does the model know what it does not know: calibration, prediction, surprise."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxrvae._checks import DataError, whole
from jaxrvae._typing import Array, Float, PRNGKey, ndarray
from jaxrvae.bayes.chains import Chains
from jaxrvae.bayes.given import Given, given
from jaxrvae.bayes.nuts import sample_posterior
from jaxrvae.data.mapped import sample_rows
from jaxrvae.geometry.circle import wrap
from jaxrvae.geometry.grid import shift_to_pixel, shift_to_unit
from jaxrvae.models.apply import draw_prior
from jaxrvae.models.fitted import FittedModel
from jaxrvae.models.gauge import fix_gauge
from jaxrvae.priors.content import is_program

NUM_BINS = 10
WIDTHS = (0.0, 1.0, 2.0, 4.0)  # pixels: of what may be in a patch that should not be
LEAST_SPREAD = 0.1  # of what is left at a pixel, by the mean over all pixels
MOST = 5000  # patches of a reference
TAIL = 0.1  # of the reference, that tells how fast larger values grow rare
RANKED = 50  # draws, thinned, that a truth is ranked among


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Truths among draws from the posteriors of images that were made from them.

    Attributes:
        ranks: Of every site, (n,) shares of the draws below the truth, in [0, 1].
        inside: Of every site, (n,) whether the central 95 % of the draws hold it.
        chains: The draws.
    """

    ranks: dict[str, ndarray]
    inside: dict[str, ndarray]
    chains: Chains

    def table(self) -> pd.DataFrame:
        """A row a site: coverage of 95 % intervals, chi-square's p of even ranks."""
        from scipy.stats import chisquare

        rows = []
        for name, ranks in self.ranks.items():
            counts, _ = np.histogram(ranks, NUM_BINS, (0.0, 1.0))
            rows.append(
                {
                    "site": name,
                    "patches": len(ranks),
                    "inside 95 %": float(self.inside[name].mean()),
                    "p of even ranks": float(chisquare(counts).pvalue),
                }
            )
        return pd.DataFrame(rows)


def calibrate(
    model: Any, num_patches: int = 512, num_draws: int = 200, seed: int = 0
) -> Calibration:
    """Simulation-based calibration of content, angle and shift.

    Contents and poses are drawn from the prior and images from the model; if NUTS and
    what it is started from are right, truths rank evenly among the draws. Angles are
    ranked from the point opposite to the posterior's highest mode.

    Args:
        model: A fitted RVAE with the steerable decoder and Gaussian noise.

    Source: Talts et al. 2018, arXiv:1804.06788.
    """
    whole("num_patches", num_patches, 2 * NUM_BINS)
    found = prior_predictive(model, num_patches, seed)
    chains = sample_posterior(model, found["images"], num_draws, seed=seed)
    number = chains.angle.shape[1] * num_draws
    thin = max(number // RANKED, 1)
    turn = wrap(jnp.asarray(chains.angle - chains.modes[:, :1, None]))
    true_turn = wrap(jnp.asarray(found["angle"] - chains.modes[:, 0]))
    sites = {"angle": (np.asarray(turn), np.asarray(true_turn))}
    for axis, name in enumerate(("shift_x", "shift_y")):
        if found["shift"][:, axis].any():
            sites[name] = chains.shift[..., axis], found["shift"][:, axis]
    for i in range(found["content"].shape[1]):
        sites[f"content_{i}"] = chains.content[..., i], found["content"][:, i]
    ranks, inside = {}, {}
    for name, (draws, truth) in sites.items():
        flat = draws.reshape(len(draws), -1)
        few = flat[:, thin // 2 :: thin]
        below = (few < truth[:, None]).sum(1)
        # One of the places between the draws, evened out over its width.
        jitter = np.random.default_rng(seed).random(len(below))
        ranks[name] = (below + jitter) / (few.shape[1] + 1)
        low, high = np.quantile(flat, [0.025, 0.975], axis=1)
        inside[name] = (low <= truth) & (truth <= high)
    return Calibration(ranks, inside, chains)


def prior_predictive(model: Any, number: int, seed: int = 0) -> dict[str, ndarray]:
    """What the model makes before it has seen a patch: images with noise, and latents.

    Args:
        model: A fitted RVAE with the steerable decoder and Gaussian noise.

    Returns:
        "images" (n, row, col, channel) with noise, "clean" without, "content", "angle"
        (radians) and "shift" (pixels), as `encode` would report them.
    """
    whole("number", number, 1)
    fitted = model if isinstance(model, FittedModel) else model.fitted
    blank = np.zeros((1, *fitted.model.shape), np.float32)
    own = given(fitted, blank, "prior_predictive")
    key = jax.random.key(seed)
    content, angle, shift = _drawn(own, number, key)
    inputs = np.asarray(content, np.float32)
    raw = _raw_poses(own, inputs, angle, shift)
    clean = fitted.decode(inputs, raw["angle"], raw["shift"], 1.0)
    noise = noise_std(fitted)
    normal = jax.random.normal(jax.random.fold_in(key, 1), clean.shape)
    images = clean + noise * np.asarray(normal)
    found = {"images": images, "clean": clean, "content": inputs}
    return found | raw


def _drawn(own: Given, number: int, key: PRNGKey) -> tuple[Array, ndarray, ndarray]:
    """Content, the decoder's own angle, and place in pixels."""
    model, prior = own.model, own.prior
    sites = prior.sample(key, number) if is_program(prior) else {}
    angle_key, place_key = jax.random.split(jax.random.fold_in(key, 2))
    content = sites.get("content")
    if content is None:
        parts = model, own.fitted.graph, own.fitted.params
        content_dim = own.fitted.config.content_dim
        # Its draws are the same every time: taken in another order by every key.
        many = draw_prior(*parts, 20 * number, content_dim)
        content = jax.random.permutation(key, many)[:number]
    angle = sites.get("angle")
    if angle is None:
        angle = own.angle_priors[1].sample(angle_key, (number,))
    shift = sites.get("shift")
    if shift is None:
        reach = max(model.ticks)
        flat = jax.random.uniform(place_key, (number, 2), minval=-reach, maxval=reach)
        normal = jax.random.truncated_normal(
            place_key,
            -reach / (np.array(model.shift_std) + 1e-9),
            reach / (np.array(model.shift_std) + 1e-9),
            (number, 2),
        )
        normal *= np.array(model.shift_std)
        shift = normal if max(model.shift_std) else flat
    return content, np.asarray(angle), np.asarray(shift)


def _raw_poses(
    own: Given, content: ndarray, angle: ndarray, shift: ndarray
) -> dict[str, ndarray]:
    """Angle and shift as reported, of the decoder's own."""
    model, projection, gauge = own.model, own.fitted.projection, own.fitted.gauge
    hidden = model.drift(own.networks, projection, gauge, jnp.asarray(content))
    unit = shift_to_unit(jnp.asarray(shift, jnp.float32), model.shape)
    turned, moved = fix_gauge(jnp.asarray(angle, jnp.float32), unit, hidden)
    pixels = shift_to_pixel(moved, model.shape)
    return {"angle": np.asarray(turned), "shift": np.asarray(pixels)}


def noise_std(fitted: FittedModel) -> Float[ndarray, " channel"]:
    """Of a pixel, in the images' units."""
    own = Given(fitted, np.empty(0))
    return np.asarray(own.model.noise(own.networks) * own.model.scale)


def predictive(
    model: Any, patches: Any, num_draws: int = 20, seed: int = 0
) -> Float[ndarray, "n draw row column channel"]:
    """Images that the model would expect in the place of these, noise and all.

    Contents are drawn from the encoder's posterior; poses are those of the best mode.
    """
    own = given(model, patches, "predictive")
    whole("num_draws", num_draws, 1)
    fitted = own.fitted
    found = fitted.encode({"images": own.images})
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(num_draws):
        normal = rng.standard_normal(found["content"].shape).astype(np.float32)
        content = found["content"] + found["content_std"] * normal
        clean = fitted.decode(content, found["angle"], found["shift"], found["scale"])
        noise = noise_std(fitted) * rng.standard_normal(clean.shape)
        draws.append((clean + noise).astype(np.float32))
    return np.stack(draws, axis=1)


def surprise(model: Any, patches: Any, reference: Any) -> Float[ndarray, " n"]:
    """How badly the model explains each patch, next to patches that it was made for.

    What is left of a patch once it is reconstructed is averaged over spots of several
    sizes. Pixel by pixel it is compared with what is left of the reference there, for a
    model misses more in some places (a patch's rim) than in others. The pixel furthest
    out, and the root mean square over all, are looked up in the upper tail of the
    reference's: minus the log of the share of them that lie further out, where they are
    fewest. Large where there is something in a patch that the model has not seen:
    contamination, a new defect.

    Args:
        model: Any fitted RVAE without conditions.
        reference: Patches to compare with, such as those fitted on, some thirty or
            more (of over 5,000 a sample is taken); a few strange ones do no harm.

    Returns:
        -log p, nats: 4.6 where one in a hundred of the reference is further out. It is
        the largest of eight (four sizes, pixel and mean), so that more of the usual
        patches than that reach it; below 2.3, which a tenth do, only its order counts.
    """
    fitted = model if isinstance(model, FittedModel) else model.fitted
    if fitted.known.condition_dim:
        raise ValueError("surprise needs a model without conditions.")
    usual = sample_rows({"images": fitted.images_of(reference)}, MOST)["images"]
    if len(usual) < 8:
        raise DataError(f"reference must hold 8 patches at least; got {len(usual)}.")
    left, others = (_left_over(fitted, v) for v in (fitted.images_of(patches), usual))
    found = [_rarity(*_heights(left, others, width)) for width in WIDTHS]
    return np.max(found, axis=0)


def _left_over(
    fitted: FittedModel, images: Float[ndarray, "n row column channel"]
) -> Float[ndarray, "n row column channel"]:
    """The images less their reconstructions."""
    found = fitted.encode({"images": images})
    label = found["class_probabilities"].argmax(1)
    inputs = fitted.known.inputs(found["content"], label, None)
    made = fitted.decode(inputs, found["angle"], found["shift"], found["scale"])
    return images - made


def _heights(
    left: Float[ndarray, "n row column channel"],
    usual: Float[ndarray, "m row column channel"],
    width: float,
) -> tuple[Float[ndarray, "n kind"], Float[ndarray, "m kind"]]:
    """Logs of the largest pixel and of the root mean square, by what is usual there."""
    from scipy.ndimage import gaussian_filter

    both = [gaussian_filter(v, (0, width, width, 0)) for v in (left, usual)]
    low, middle, high = np.quantile(both[1], [0.25, 0.5, 0.75], axis=0)
    spread = (high - low) / 1.349
    spread = np.maximum(spread, LEAST_SPREAD * spread.mean() + 1e-12)
    found = []
    for values in both:
        out = abs(values - middle) / spread
        kinds = out.max((1, 2, 3)), np.sqrt(np.square(out).mean((1, 2, 3)))
        found.append(np.log(np.maximum(np.stack(kinds, axis=1), 1e-12)))
    return found[0], found[1]


def _rarity(
    values: Float[ndarray, "n kind"], usual: Float[ndarray, "m kind"]
) -> Float[ndarray, " n"]:
    """Minus the log of the share of the usual that is larger, for the rarest kind.

    The tail, the last tenth, is taken to be a power's: exponential in the logs.

    Source: Hill 1975, Ann. Stat. 3, 1163.
    """
    start = np.quantile(usual, 1 - TAIL, axis=0)
    beyond = np.maximum(usual - start, 0.0).sum(0) / np.maximum(
        (usual > start).sum(0), 1
    )
    return ((values - start) / np.maximum(beyond, 1e-12) - np.log(TAIL)).max(1)
