"""Priors that patches share: angles of a grain, along a track; classes of neighbours.

Each takes what the patches alone say, on a grid, and gives what they say together. The
sums over all that is hidden are exact on the grid (trees and chains), so that nothing
has to be tuned or to converge; how strongly patches hold together is learned.
"""

from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from jaxrvae._checks import DataError, one_of
from jaxrvae._typing import Array, Float, Int, ndarray
from jaxrvae.bayes.drifting import drawn_back
from jaxrvae.bayes.tables import AngleTable
from jaxrvae.distributions import von_mises, wrapped_normal
from jaxrvae.geometry.circle import wrap

# Concentrations of a grain's angles about their mean, each as likely before.
CONCENTRATIONS = np.geomspace(0.3, 3e3, 25)
STEPS = np.geomspace(0.003, 2.0, 24)  # radians of a random walk in a frame's time
MOST_FRAMES = 50  # between two patches of a track: beyond, as if it were so many
FLOOR = -60.0  # of log probabilities: beyond, a float's digits end
LEAST_MOVE, LEAST_SEEN = -40.0, -23.0  # so that their products have digits too


def pool_angles(table: AngleTable, groups: Any) -> tuple[AngleTable, AngleTable]:
    """Angles of patches that are alike within groups, as those of a grain.

    In a group the angles are von Mises about a mean; mean (uniform) and concentration
    (log-uniform over `CONCENTRATIONS`) are the group's own, and summed over.

    Args:
        table: As `angle_table` gives it, with the structures' symmetry.
        groups: (n,) labels.

    Returns:
        The patches' angles given all of their group, and the groups' mean angles, in
        the order of `np.unique(groups)`.

    Raises:
        DataError: If the labels are not one for each patch.
    """
    groups = np.asarray(groups)
    _one_each("groups", groups, len(table))
    _, index = np.unique(groups, return_inverse=True)
    number = index.max() + 1
    angles = table.angles * table.symmetry  # a whole turn
    kernels = _kernels(angles)
    found = np.empty(table.log_prob.shape)
    means = np.empty((number, len(angles)))
    for group in range(number):
        rows = np.flatnonzero(index == group)
        size = 1 << int(np.ceil(np.log2(max(len(rows), 4))))  # few sizes are compiled
        filled = np.zeros((size, len(angles)))
        filled[: len(rows)] = table.log_prob[rows]
        counted = np.arange(size) < len(rows)
        own, mean = _pool(jnp.asarray(filled), jnp.asarray(counted), kernels)
        found[rows], means[group] = np.asarray(own)[: len(rows)], mean
    return (
        AngleTable(table.angles, found, table.symmetry),
        AngleTable(table.angles, means, table.symmetry),
    )


def _kernels(angles: ndarray) -> Float[Array, "concentration mean angle"]:
    """Log probabilities of a turned angle's cells, about every mean."""
    apart = jnp.asarray(wrap(jnp.asarray(angles[None] - angles[:, None])))
    logs = [von_mises.log_prob(apart, 0.0, float(k)) for k in CONCENTRATIONS]
    kernels = jnp.maximum(jnp.stack(logs), FLOOR)
    return kernels - logsumexp(kernels, axis=-1, keepdims=True)


@jax.jit
def _pool(
    table: Float[Array, "n angle"],
    counted: Any,
    kernels: Float[Array, "concentration mean angle"],
) -> tuple[Float[Array, "n angle"], Float[Array, " angle"]]:
    own = jnp.exp(table)

    def seen(kernel: Float[Array, "mean angle"]) -> Float[Array, "n mean"]:
        return jnp.log(own @ jnp.exp(kernel).T + 1e-38)

    each = jax.lax.map(seen, kernels)  # (concentration, n, mean)
    whole = jnp.where(counted[:, None], each, 0.0).sum(1)  # (concentration, mean)
    weight = jax.nn.softmax(whole.ravel()).reshape(whole.shape)

    def given(inputs: tuple[Array, Array, Array]) -> Float[Array, "n angle"]:
        kernel, weight, each = inputs
        return own * ((weight * jnp.exp(-each)) @ jnp.exp(kernel))

    found = jax.lax.map(given, (kernels, weight, each)).sum(0)
    found = jnp.log(found + 1e-38)
    mean = jnp.log(weight.sum(0) + 1e-38)
    return found - logsumexp(found, axis=-1, keepdims=True), mean


@overload
def follow_angles(
    table: AngleTable, track: Any, frame: Any, process: Literal["walk"] = ...
) -> tuple[AngleTable, float]: ...


@overload
def follow_angles(
    table: AngleTable, track: Any, frame: Any, process: Literal["ornstein-uhlenbeck"]
) -> tuple[AngleTable, tuple[float, float]]: ...


def follow_angles(
    table: AngleTable, track: Any, frame: Any, process: str = "walk"
) -> tuple[AngleTable, float | tuple[float, float]]:
    """Angles along tracks: a random walk on the circle, or one that is drawn back.

    From one frame to the next that a track is seen in, a walk's angle moves by a
    wrapped normal whose variance grows with the frames between. The standard deviation
    of a step is one for all tracks, log-uniform over `STEPS`, and summed over. By an
    Ornstein-Uhlenbeck process it is drawn back to the track's own mean, uniform on the
    circle and summed over; its spread about the mean and the time in which it forgets
    are one for all tracks, log-uniform over `STDS` and `TIMES` of `drifting`. It costs
    as much as tens of walks.

    Args:
        table: As `angle_table` gives it.
        track, frame: (n,) of every patch; a track has one patch a frame.
        process: "walk" or "ornstein-uhlenbeck".

    Returns:
        The patches' angles given all of their track; and the walk's mean step,
        radians, or the standard deviation about tracks' means, radians, and the time
        in frames.

    Raises:
        DataError: If they are not one for each patch, or a track has two in a frame.

    Source: Rabiner 1989, Proc. IEEE 77, 257 (forward and backward sums).
    """
    one_of("process", process, ("walk", "ornstein-uhlenbeck"))
    track, frame = np.asarray(track), np.asarray(frame)
    _one_each("track", track, len(table))
    _one_each("frame", frame, len(table))
    rows, gaps = _laid_out(track, frame)
    turned = table.angles * table.symmetry
    log_prob = np.concatenate([table.log_prob, np.zeros((1, len(turned)))])
    log_prob -= log_prob.max(-1, keepdims=True)
    laid = np.maximum(log_prob, LEAST_SEEN)[rows]  # the last row: nothing seen
    if process == "walk":
        mixed, step = _walked(laid, gaps, turned, table.symmetry)
        learned = step
    else:
        mixed, std, time = drawn_back(laid, gaps)
        learned = std / table.symmetry, time
    own = np.empty(table.log_prob.shape)
    seen = rows < len(table)
    own[rows[seen]] = np.log(mixed[seen] + 1e-300)
    own -= np.logaddexp.reduce(own, axis=1, keepdims=True)
    return AngleTable(table.angles, own, table.symmetry), learned


def _walked(
    laid: Float[ndarray, "track step angle"],
    gaps: Int[ndarray, "track step"],
    turned: Float[ndarray, " angle"],
    symmetry: int,
) -> tuple[Float[ndarray, "track step angle"], float]:
    """Probabilities of the angles, and the mean step."""
    apart = jnp.asarray(wrap(jnp.asarray(turned[None] - turned[:, None])), jnp.float32)
    own, number = jnp.asarray(laid, jnp.float32), int(gaps.max())

    def smoothed(step: Array) -> tuple[Array, Array]:
        return _smoothed(own, jnp.asarray(gaps), apart, step * symmetry, number)

    evidence, found = jax.lax.map(smoothed, jnp.asarray(STEPS, jnp.float32))
    weight = np.asarray(jax.nn.softmax(evidence))
    mixed = np.einsum("s,stfa->tfa", weight, np.exp(np.asarray(found, np.float64)))
    return mixed, float(weight @ STEPS)


def _laid_out(
    track: ndarray, frame: ndarray
) -> tuple[Int[ndarray, "track step"], Int[ndarray, "track step"]]:
    """Rows of every track in the order of frames, filled up by n; frames since."""
    order = np.lexsort((frame, track))
    _, start, length = np.unique(track[order], return_index=True, return_counts=True)
    rows = np.full((len(start), length.max()), len(track))
    gaps = np.ones(rows.shape, int)
    for i, (first, number) in enumerate(zip(start, length, strict=True)):
        own = order[first : first + number]
        between = np.diff(frame[own])
        if (between <= 0).any():
            again = frame[own][1:][between <= 0][0]
            raise DataError(
                f"track {track[own[0]]} has two patches in frame {again}; link the"
                " positions again, or drop one."
            )
        rows[i, :number] = own
        gaps[i, 1:number] = np.minimum(between, MOST_FRAMES)
    return rows, gaps


def _smoothed(
    laid: Float[Array, "track step angle"],
    gaps: Int[Array, "track step"],
    apart: Float[Array, "angle angle"],
    step: Float[Array, ""],
    number: int,
) -> tuple[Float[Array, ""], Float[Array, "track step angle"]]:
    """Log evidence, and the angles' log probabilities, for this size of step."""
    size = jnp.sqrt(jnp.arange(1, number + 1, dtype=jnp.float32)) * step
    logs = jax.vmap(lambda s: wrapped_normal.log_ratio_to_uniform(apart, s))(size)
    moves = jax.nn.softmax(jnp.maximum(logs, LEAST_MOVE), axis=-1)  # by gap
    seen = jnp.exp(laid)

    def forward(alpha: Array, inputs: tuple[Array, Array]) -> tuple[Array, Any]:
        seen, gap = inputs
        ahead = jnp.einsum("ta,tab->tb", alpha, moves[gap - 1]) * seen
        total = ahead.sum(-1, keepdims=True) + 1e-30
        return ahead / total, (ahead / total, jnp.log(total[:, 0]))

    def backward(beta: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        seen, gap = inputs
        behind = jnp.einsum("tab,tb->ta", moves[gap - 1], beta * seen)
        behind /= behind.sum(-1, keepdims=True) + 1e-30
        return behind, behind

    start = jnp.full((len(laid), laid.shape[-1]), 1 / laid.shape[-1])
    both = seen.swapaxes(0, 1), gaps.T
    _, (alphas, logs) = jax.lax.scan(forward, start, both)
    after = both[0][1:], both[1][1:]
    _, betas = jax.lax.scan(backward, jnp.ones_like(start), after, reverse=True)
    betas = jnp.concatenate([betas, jnp.ones_like(start)[None]])
    found = jnp.log(alphas * betas + 1e-30).swapaxes(0, 1)
    return logs.sum(), found - logsumexp(found, axis=-1, keepdims=True)


def _one_each(name: str, values: ndarray, number: int) -> None:
    if values.shape != (number,):
        raise DataError(
            f"{name} must be one for each of the {number} patches; got shape"
            f" {values.shape}."
        )
