"""Content as a smooth field over positions, and what each patch has of its own.

In every frame a content number is a level, a Matern field over the positions, and a
part of the patch's own that neighbours do not share. How far the field reaches, how
strong it is and how strong the rest is, are learned from all frames; given these the
field is that of its frame alone. It is laid on a mesh as fine as patches are apart:
fields that reach less far than two patches are not told from what is their own.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from jaxrvae._checks import DataError
from jaxrvae._typing import Float, Number, ndarray
from jaxrvae.bayes.content import (
    FIRST_STEP,
    LEAST,
    MOST,
    Seen,
    Shared,
    most_likely,
    one_each,
    seen_alone,
    shared_means,
)
from jaxrvae.bayes.mesh import ROWS, Blocks, Mesh, make_mesh

LEAST_PATCHES = 10
LEARNED = 12_000  # patches, of frames evenly apart, that spreads are learned from
COARSE, FINE = 1_500, 16_384  # nodes: where the search starts, and at most
RESOLVED = 6.0  # of its spacings: a length that a mesh is fine enough for
NEAREST, FARTHEST = 1.0, 4.0  # of lengths, in the mesh's spacings and longest sides


@dataclasses.dataclass(frozen=True, eq=False)
class FieldContent:
    """Contents given their neighbours.

    Attributes:
        content, content_std: (n, d).
        field, field_std: (n, d) of the level and the smooth part alone.
        length: (d,) distance at which the field's correlation has fallen to 0.14, in
            the unit of the positions.
        field_spread, own_spread: (d,) standard deviations of the field about its
            level, and of what each patch has of its own.
        level: (d,).
        nats: (d,) log evidence of the frames learned from, but for a constant.
    """

    content: ndarray
    content_std: ndarray
    field: ndarray
    field_std: ndarray
    length: ndarray
    field_spread: ndarray
    own_spread: ndarray
    level: ndarray
    nats: ndarray


def smooth_content(
    latents: Any, positions: Any, frame: Any = None, prior_std: Number = 1.0
) -> FieldContent:
    """Contents that vary smoothly over a frame, as strain, polarization or thickness.

    Costs seconds for 10,000 patches a frame, and memory that is bounded: beyond 16,384
    nodes a frame the mesh is coarser than the patches are apart.

    Args:
        latents: Of `encode`; or content and content_std, (n, d) each.
        positions: (n, 2), pixels or nm.
        frame: (n,), where there are several; None: all of one.
        prior_std: As `pool_content` takes it.

    Raises:
        DataError: If the arrays do not go together, positions are not finite or all the
            same, or patches are fewer than 10.
    """
    seen = seen_alone(latents, prior_std)
    places = _checked(positions, len(seen))
    frame = np.zeros(len(seen), int) if frame is None else frame
    _, index = np.unique(one_each("frame", frame, len(seen)), return_inverse=True)
    order = np.argsort(index, kind="stable")
    frames = np.split(order, np.cumsum(np.bincount(index))[:-1])
    numbers = range(seen.precision.shape[1])
    with threadpool_limits(1, user_api="blas"):  # blocks so small wait for threads
        parts = [_smoothed(seen.of((..., i)), places, frames) for i in numbers]
    arrays = zip(*parts, strict=True)
    stacked = [np.stack(part, axis=-1) for part in arrays]
    return FieldContent(*stacked)


def _checked(positions: Any, number: int) -> Float[ndarray, "n 2"]:
    positions = np.asarray(positions, np.float64)
    if positions.shape != (number, 2):
        raise DataError(
            f"positions must be ({number}, 2), one for each patch; got"
            f" {positions.shape}."
        )
    if number < LEAST_PATCHES:
        raise DataError(
            f"a field is learned from {LEAST_PATCHES} patches at least; got {number}."
        )
    bad = ~np.isfinite(positions).all(1)
    if bad.any():
        raise DataError(
            f"positions must be finite; that of patch {np.flatnonzero(bad)[0]} is not."
            " Leave such patches out."
        )
    if not np.ptp(positions, axis=0).max() > 0:
        raise DataError("positions are all the same: a field needs places apart.")
    return positions


def _smoothed(
    seen: Seen, positions: Float[ndarray, "n 2"], frames: Sequence[ndarray]
) -> tuple[Any, ...]:
    """The fields of `FieldContent` for one content number, in their order."""
    most = max(len(rows) for rows in frames)
    step = int(np.ceil(len(frames) * most / max(LEARNED, most)))
    field = _Field(make_mesh(positions, most, COARSE), seen, positions, frames[::step])
    learned = field.learned()
    too_coarse = most > COARSE and learned[0] < RESOLVED * field.mesh.spacing
    field = dataclasses.replace(field, mesh=make_mesh(positions, most, FINE))
    if too_coarse:
        learned = field.learned(learned)
    nats = field.nats(learned)
    shared, each = dataclasses.replace(field, frames=frames).solved(learned, True)
    mean, variance = np.empty(len(seen)), np.empty(len(seen))
    for rows, one in zip(frames, each, strict=True):
        rest = 1 - one.of_ones
        mean[rows] = one.of_seen + shared.level * rest
        variance[rows] = one.variance + shared.variance[0] * rest**2
    content, std = seen.given_shared(mean, variance, learned[2])
    spreads = learned[0], learned[1], learned[2]
    return content, std, mean, np.sqrt(variance), *spreads, shared.level, nats


@dataclasses.dataclass(frozen=True, eq=False)
class _Frame:
    """One frame's field, given all but its level.

    Attributes:
        of_seen, of_ones: What is seen, smoothed, and what the level would be.
        variance: At the positions, where it is wanted.
    """

    of_seen: ndarray
    of_ones: ndarray
    variance: ndarray
    nats: float


@dataclasses.dataclass(frozen=True, eq=False)
class _Field:
    """One content number over frames; learned are length, spread and own spread."""

    mesh: Mesh
    seen: Seen
    positions: ndarray
    frames: Sequence[ndarray]

    def learned(self, start: Float[ndarray, "3"] | None = None) -> Float[ndarray, "3"]:
        """Those of most evidence, from there or from a few."""
        mesh, side = self.mesh, self.mesh.rows * self.mesh.spacing
        near, far = NEAREST * mesh.spacing, FARTHEST * side
        starts = [
            (length, spread, own)
            for length in np.geomspace(3 * mesh.spacing, side, 4)
            for spread in (0.2, 1.0)
            for own in (0.05, 0.5)
        ]
        if start is not None:
            starts = [(float(start[0]), float(start[1]), float(start[2]))]
        spreads = LEAST, MOST
        first = FIRST_STEP if start is None else FIRST_STEP / 3
        return most_likely(self.nats, starts, [(near, far), spreads, spreads], first)

    def nats(self, learned: Float[ndarray, "3"]) -> float:
        """Log evidence."""
        shared, each = self.solved(learned)
        rows = np.concatenate(self.frames)
        own = self.seen.of(rows).nats_of_own(learned[2])
        return own + shared.nats + sum(one.nats for one in each)

    def solved(
        self, learned: Float[ndarray, "3"], variances: bool = False
    ) -> tuple[Shared, list[_Frame]]:
        """Level, and the frames' fields but for it."""
        length, spread, own = learned
        precision, nats = self.mesh.precision(float(length))
        nats -= self.mesh.size * float(np.log(spread))
        seen = self.seen.of_shared(own)
        rest = np.zeros(2)
        each = []
        for rows in self.frames:
            part = seen.of(rows)
            one = self._frame(part, rows, (precision / spread**2, nats), variances)
            rest += (
                part.precision @ (1 - one.of_ones),
                (part.weighted.sum() - part.precision @ one.of_seen),
            )
            each.append(one)
        total = Seen(np.maximum(rest[:1], 0.0), rest[1:])
        return shared_means(total, 0.0), each

    def _frame(
        self, seen: Seen, rows: ndarray, prior: tuple[Any, float], variances: bool
    ) -> _Frame:
        from scipy import sparse

        precision, nats = prior
        nodes, weights = self.mesh.weights(self.positions[rows])
        place = np.repeat(np.arange(len(rows)), 4)
        spread = sparse.csr_matrix(
            (weights.ravel(), (place, nodes.ravel())), (len(rows), self.mesh.size)
        )
        precision = precision + spread.T @ sparse.diags(seen.precision) @ spread
        blocks = Blocks(precision.tocsr(), ROWS * self.mesh.columns)
        right = spread.T @ np.stack([seen.weighted, seen.precision], axis=1)
        solved = blocks.solve(right)
        nats += 0.5 * float(right[:, 0] @ solved[:, 0]) - blocks.half_log_det
        of_seen, of_ones = (spread @ solved).T
        variance = blocks.variances(nodes, weights) if variances else np.zeros(0)
        return _Frame(of_seen, of_ones, variance, nats)
