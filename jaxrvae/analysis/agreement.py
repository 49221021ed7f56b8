"""Members of an ensemble laid on one another, and how far they agree on every patch.

Two models of the same images may turn and mirror the content, number the classes
otherwise and start the angle elsewhere, differently for every content. What one member
says is brought to the terms of another by what both said of the images trained on.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxrvae._typing import Array, Complex, Float, Int, ndarray
from jaxrvae.data.containers import Latents

NEIGHBORS = 30  # in content, that share the offset of the angle


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """From one member's terms to the reference's.

    Attributes:
        middle, turn: (d,) and (d, d): (content - middle) @ turn + reference's middle.
        places: (m, d) contents of the reference, of images both have seen.
        offset: (m,) radians there: what the member's angle has more.
        move: (m, 2) pixels there, y up, in the canonical image: what its shift lacks.
        growth: (m,) there: what the logarithm of its scale lacks.
        classes: (c,) the member's class that goes with each of the reference's.
    """

    middle: Float[ndarray, " latent"]
    turn: Float[ndarray, "latent latent"]
    own_middle: Float[ndarray, " latent"]
    places: Float[ndarray, "place latent"]
    offset: Float[ndarray, " place"]
    move: Float[ndarray, "place 2"]
    growth: Float[ndarray, " place"]
    classes: Int[ndarray, " cls"]

    def content(self, member: Latents) -> Float[ndarray, "n latent"]:
        """The member's content in the reference's terms."""
        moved = (member.content - self.middle) @ self.turn + self.own_middle
        return moved.astype(np.float32)

    def angle(self, member: Latents, reference: Latents) -> Float[ndarray, " n"]:
        """The member's angle in the reference's terms, of the turn nearest to its."""
        order = reference.symmetry
        off = member.angle - self.offset[self.nearest(reference)] - reference.angle
        off = _wrap(off * order) / order
        return _wrap(reference.angle + off)

    def shift(self, member: Latents, reference: Latents) -> Float[ndarray, "n 2"]:
        """The member's shift in the reference's terms, pixels."""
        move = self.move[self.nearest(reference)] @ np.array([1.0, 1.0j])
        return _pixels(_upwards(member) + move * np.exp(1j * reference.angle))

    def scale(self, member: Latents, reference: Latents) -> Float[ndarray, " n"]:
        """The member's scale in the reference's terms."""
        return member.scale * np.exp(self.growth[self.nearest(reference)])

    def nearest(self, reference: Latents) -> Int[ndarray, " n"]:
        """The place nearest to each of the reference's contents."""
        from scipy.spatial import KDTree

        return np.asarray(KDTree(self.places).query(reference.content)[1])


def align(member: Latents, reference: Latents) -> Alignment:
    """What takes the member's terms to the reference's, from the same patches.

    Source: Schoenemann 1966, Psychometrika 31, 1 (orthogonal Procrustes); Kuhn 1955,
    Nav. Res. Logist. Q. 2, 83 (assignment).
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial import KDTree

    middle, own_middle = member.content.mean(0), reference.content.mean(0)
    cross = (member.content - middle).T @ (reference.content - own_middle)
    left, _, right = np.linalg.svd(cross)
    both = reference.class_probabilities.T @ member.class_probabilities
    classes = linear_sum_assignment(-both)[1]
    number = min(NEIGHBORS, len(reference))
    tree = KDTree(reference.content)
    _, near = tree.query(reference.content, k=number)
    near = np.reshape(near, (len(reference), number))
    order = reference.symmetry
    wave = np.exp(1j * order * (member.angle - reference.angle))
    alike = order[near] == order[:, None]  # a turn of another order says nothing here
    offset = np.angle((wave[near] * alike).sum(1)) / order
    lacks = (_upwards(reference) - _upwards(member)) * np.exp(-1j * reference.angle)
    move = (lacks[near] * alike).sum(1) / alike.sum(1)
    growth = np.log(reference.scale / member.scale)[near].mean(1)
    return Alignment(
        middle,
        left @ right,
        own_middle,
        reference.content,
        offset,
        np.stack([move.real, move.imag], axis=1),
        growth,
        classes,
    )


def consensus(
    members: Sequence[Latents], alignments: Sequence[Alignment], reference: int
) -> Latents:
    """The reference's latents, with the members' mean pose and classes.

    Their spread is added to the stated errors. `agreement` is the length of the mean
    of the members' angles on the circle (modulo symmetry) times the share that names
    the class agreed on.
    """
    own = members[reference]
    order = own.symmetry
    both = list(zip(members, alignments, strict=True))
    contents = np.stack([a.content(m) for m, a in both])
    angles = np.stack([a.angle(m, own) for m, a in both])
    shifts = np.stack([a.shift(m, own) for m, a in both])
    scales = np.stack([a.scale(m, own) for m, a in both])
    wave = np.exp(1j * order * angles).mean(0)
    length = np.clip(np.abs(wave), 1e-6, 1.0)
    angle = _wrap(own.angle + np.angle(wave * np.exp(-1j * order * own.angle)) / order)
    classes = np.stack([m.class_probabilities[:, a.classes] for m, a in both])
    probabilities = classes.mean(0)
    chosen = probabilities.argmax(1)
    same = (classes.argmax(2) == chosen).mean(0)
    within = np.square(np.stack([m.angle_std for m in members])).mean(0)
    between = -2 * np.log(length) / order**2  # circular variance, small or not
    aligned = [
        dataclasses.replace(
            member,
            content=content,
            angle=turned,
            shift=moved,
            scale=grown,
            class_probabilities=share,
        )
        for member, content, turned, moved, grown, share in zip(
            members, contents, angles, shifts, scales, classes, strict=True
        )
    ]
    modes = own.angle_modes.copy()
    modes[:, 0, 0] = angle
    return dataclasses.replace(
        own,
        content_std=np.hypot(own.content_std, contents.std(0)),
        angle=angle.astype(np.float32),
        angle_std=np.sqrt(within + between).astype(np.float32),
        angle_modes=modes,
        shift=shifts.mean(0).astype(np.float32),
        shift_std=np.hypot(
            np.sqrt(np.square([m.shift_std for m in members]).mean(0)), shifts.std(0)
        ).astype(np.float32),
        scale=np.exp(np.log(scales).mean(0)).astype(np.float32),
        class_probabilities=probabilities,
        members=tuple(aligned),
        agreement=(length * same).astype(np.float32),
    )


def most_agreed(members: Sequence[Latents]) -> int:
    """The member that the others agree with best, over all patches."""
    scores = []
    for i, own in enumerate(members):
        ways = [align(other, own) for other in members]
        agreement = consensus(members, ways, i).agreement
        scores.append(0.0 if agreement is None else float(np.median(agreement)))
    return int(np.argmax(scores))


def _upwards(latents: Latents) -> Complex[ndarray, " n"]:
    """Shifts as complex numbers, x + iy with y up."""
    return latents.shift[:, 0] - 1j * latents.shift[:, 1]


def _pixels(upwards: Complex[ndarray, " n"]) -> Float[ndarray, "n 2"]:
    """The same as x and y, y down."""
    return np.stack([np.real(upwards), -np.imag(upwards)], axis=1)


def _wrap(angle: Array | ndarray) -> ndarray:
    return (np.asarray(angle) + np.pi) % (2 * np.pi) - np.pi
