"""What looks wrong with a fitted model, in words."""

import numpy as np

from jaxrvae._typing import Float, ndarray
from jaxrvae.config import ModelConfig
from jaxrvae.data.containers import Latents
from jaxrvae.models.fitted import FittedModel

LEAST_NATS = 0.1  # that a content number must say of a patch
CARRIED = 0.5  # share of the pose's variance that content tells: a coincidence is less
COLORED = 3.0  # power of the residual's coarse part over its share in white noise
VAGUE = np.deg2rad(30.0)
NEIGHBORS = 10
BIN = 4  # pixels, of the coarse part


def check(
    latents: Latents,
    residual: Float[ndarray, "n height width channel"],
    config: ModelConfig,
) -> list[str]:
    """A line for each thing that looks wrong; none if nothing does.

    Args:
        latents: Of patches such as were trained on, 200 or more for a safe word.
        residual: The patches less what the model makes of them.
    """
    found = _of_content(latents) + _of_residual(residual)
    if config.rotated:
        found += _of_angle(latents)
    size = np.log(latents.scale)[:, None]
    for has, part, values, advice in (
        (config.shifted, "shift", latents.shift, "raise max_shift if shifts reach it,"),
        (config.scaled, "scale", size, "leave 'scale' out of pose if all are alike,"),
    ):
        told = share_told(latents.content, values) if has and np.ptp(values) else 0.0
        if told > CARRIED:
            found.append(
                f"content carries the {part}: it tells {100 * told:.0f} % of its"
                f" variance ({information(told):.1f} nats). Centre the patches better,"
                f" {advice} or train longer."
            )
    return found


def unexplained(
    fitted: FittedModel, latents: Latents, given: dict[str, ndarray]
) -> Float[ndarray, "n height width channel"]:
    """The images less what the model makes of them.

    Args:
        given: "images", and "condition", standardized, where the model is given such.
    """
    label = latents.class_probabilities.argmax(1)
    inputs = fitted.known.inputs(latents.content, label, latents.condition)
    if latents.condition is None and "condition" in given:
        inputs[:, -fitted.known.condition_dim :] = given["condition"]
    pose = latents.angle, latents.shift, latents.scale
    return given["images"] - fitted.decode(inputs, *pose)


def share_told(
    content: Float[ndarray, "n latent"], target: Float[ndarray, "n number"]
) -> float:
    """Share of the target's variance that the nearest others in content tell."""
    from scipy.spatial import KDTree

    number = min(NEIGHBORS + 1, len(content))
    near = np.asarray(KDTree(content).query(content, k=number)[1])
    told = target[near[:, 1:]].mean(1)
    left = np.square(target - told).sum() * (number - 1) / number  # the mean's own
    return float(max(1 - left / np.square(target - target.mean(0)).sum(), 0.0))


def information(share: float) -> float:
    """Nats that jointly Gaussian numbers tell of each other, of so much variance."""
    return -0.5 * float(np.log(max(1 - share, 1e-6)))


def _of_content(latents: Latents) -> list[str]:
    variance = np.square(latents.content_std)
    nats = 0.5 * (np.square(latents.content) + variance - 1 - np.log(variance))
    idle = np.flatnonzero(nats.mean(0) < LEAST_NATS)
    number = latents.content.shape[1]
    if len(idle) == number:
        return [
            "the content says nothing (posterior collapse): all patches get the same."
            " Lower objective's beta, let it rise (ramp), or train longer."
        ]
    if len(idle):
        which = ", ".join(str(i) for i in idle)
        return [
            f"too many content dims: of {number}, number {which} says less than"
            f" {LEAST_NATS} nats a patch. Take content_dim={number - len(idle)}."
        ]
    return []


def _of_angle(latents: Latents) -> list[str]:
    found = []
    phase = latents.symmetry * latents.angle
    wave = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    told = share_told(latents.content, wave)
    if told > CARRIED:
        found.append(
            f"content carries the angle: it tells {100 * told:.0f} % of its variance"
            f" ({information(told):.1f} nats). Right if structures of a kind all lie"
            " the same way; else raise num_turns, or train longer."
        )
    vague = float((latents.angle_std * latents.symmetry > VAGUE).mean())
    if vague > 0.2:
        found.append(
            f"the angle of {100 * vague:.0f} % of the patches is uncertain by more than"
            " 30 degrees: they are round, or the noise hides how they lie."
        )
    return found


def _of_residual(residual: Float[ndarray, "n height width channel"]) -> list[str]:
    _, height, width, _ = residual.shape
    size = min(BIN, height), min(BIN, width)
    rows, columns = height // size[0], width // size[1]
    cut = residual[:, : rows * size[0], : columns * size[1]]
    split = cut.reshape(len(cut), rows, size[0], columns, size[1], -1)
    coarse = np.square(split.mean((2, 4))).mean() * size[0] * size[1]
    ratio = float(coarse / max(np.square(cut).mean(), 1e-12))
    if ratio < COLORED:
        return []
    return [
        f"what the model leaves is not noise: its coarse part is {ratio:.1f} times that"
        " of white noise. Too few content dims, or too little training; or the noise of"
        " the images is correlated."
    ]
