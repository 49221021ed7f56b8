"""The gauge: what pose zero means for one content against another.

A decoder may turn or move its canonical image as the content changes; the pose then
takes that back and the likelihood is none the wiser. Angles of different contents can
be compared only once this drift is taken out. Anchors, contents that stand for all that
were trained on, have poses of their own, found by laying their images on one another
(`models/anchors.py`). From the nearest anchor along the straight line to z, every small
change of the canonical image is projected on what a small turn and a small shift would
do to it; these add up to the pose P(z) that the decoder has put into the image at z.
The gauge-fixed canonical image is the one with P(z) taken away.

Source: Kendall 1984, Bull. London Math. Soc. 16, 81 (horizontal lifts of shapes);
Blanes et al. 2009, Phys. Rep. 470, 151 (Magnus' expansion on Gauss's nodes, 5.5).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float
from jaxrvae.geometry.circle import wrap
from jaxrvae.geometry.pose import rotate

NUM_ANCHORS = 64
NUM_NODES = 3  # of the line: on fitted models closer than 8 even steps
RIDGE = 1e-3  # of the generators' mean square: an image that turns into itself


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Gauge:
    """Anchors, and the poses at which the gauge-fixed image appears in theirs.

    Attributes:
        angle: Radians.
        shift: Unit lengths, y up.
        weight: Of each number of the content in what is near: large for classes, so
            that an anchor is of the content's own class wherever there is one.
    """

    content: Float[Array, "anchor latent"]
    angle: Float[Array, " anchor"]
    shift: Float[Array, "anchor 2"]
    weight: Float[Array, " latent"]


def no_anchors(content_dim: int) -> Gauge:
    """The gauge before there are any: the decoder's own at content 0."""
    number = NUM_ANCHORS
    return Gauge(
        jnp.zeros((number, content_dim)),
        jnp.zeros(number),
        jnp.zeros((number, 2)),
        jnp.ones(content_dim),
    )


def drift(
    canonical: Callable[[Float[Array, " latent"]], Array],
    generate: Callable[[Array], Float[Array, "3 number"]],
    gauge: Gauge,
    content: Float[Array, " latent"],
) -> tuple[Float[Array, ""], Float[Array, "2"]]:
    """The angle and the shift that the decoder has put into the image at the content.

    Args:
        canonical: Content to the canonical image, as any vector.
        generate: That vector to its derivatives by angle and shift, at pose zero; rows
            of zeros for what the pose does not hold.

    Returns:
        The angle (radians) and the shift (units of `generate`) at which the gauge-fixed
        image appears in the canonical one.
    """
    apart = jnp.square(gauge.content - content) @ gauge.weight
    nearest = jnp.argmin(apart)
    start = gauge.content[nearest]
    nodes, weights = np.polynomial.legendre.leggauss(NUM_NODES)
    places = jnp.asarray((1 + nodes) / 2, jnp.float32)
    move = content - start

    def speed(place: Float[Array, ""]) -> Float[Array, "3"]:
        image, change = jax.jvp(canonical, (start + place * move,), (move,))
        rows = generate(image)
        gram = (rows[:, None] * rows).sum(-1)
        size = jnp.diagonal(gram)
        floor = jnp.where(size > 0, RIDGE * size, 1.0)
        return _solve(gram + jnp.diag(floor), (rows * change).sum(-1))

    speeds = jax.vmap(speed)(places)
    mean = jnp.asarray(weights / 2, jnp.float32) @ speeds
    # Turns and moves do not commute: what comes later is done to what came before.
    later = np.sqrt(15) / 36 * (speeds[-1] - speeds[0])
    first = gauge.angle[nearest], gauge.shift[nearest]
    return compose(_done(mean + _bracket(later, mean)), first)


def _solve(matrix: Float[Array, "3 3"], target: Float[Array, "3"]) -> Float[Array, "3"]:
    """Cholesky's method, written out: a library's call a matrix takes far longer."""
    (p, u, v), (_, q, w), (_, _, r) = matrix
    x, y, z = target
    first, second = u / p, v / p
    q, w, r = q - first * u, w - first * v, r - second * v
    y, z = y - first * x, z - second * x
    third = (z - w / q * y) / (r - w / q * w)
    middle = (y - w * third) / q
    return jnp.stack([(x - u * middle - v * third) / p, middle, third])


def _bracket(second: Float[Array, "3"], first: Float[Array, "3"]) -> Float[Array, "3"]:
    """By how much it matters which of two small poses (angle, shift) comes first."""
    shift = second[0] * _quarter(first[1:]) - first[0] * _quarter(second[1:])
    return jnp.concatenate([jnp.zeros(1), shift])


def _done(speed: Float[Array, "3"]) -> tuple[Float[Array, ""], Float[Array, "2"]]:
    """The pose that a steady turn and move make in a unit of time."""
    angle, along = speed[0], speed[1:]
    half = jnp.sin(angle / 2) * jnp.sinc(angle / (2 * np.pi))
    return angle, jnp.sinc(angle / np.pi) * along + half * _quarter(along)


def _quarter(vector: Float[Array, "2"]) -> Float[Array, "2"]:
    return jnp.stack([-vector[1], vector[0]])


def compose(
    second: tuple[Array, Array], first: tuple[Array, Array]
) -> tuple[Array, Array]:
    """One pose (angle, shift), then another."""
    return first[0] + second[0], rotate(first[1], second[0]) + second[1]


def fix_gauge(
    angle: Float[Array, "*modes"],
    shift: Float[Array, "batch 2"],
    hidden: tuple[Float[Array, " batch"], Float[Array, "batch 2"]],
) -> tuple[Float[Array, "*modes"], Float[Array, "batch 2"]]:
    """Poses of the gauge-fixed images from poses of the canonical ones, of one mode.

    Args:
        shift: Unit lengths, y up; that of the first mode.
        hidden: As `drift` gives it.
    """
    first = angle.reshape(len(angle), -1)[:, 0]
    extra = hidden[0].reshape(-1, *[1] * (angle.ndim - 1))
    return wrap(angle + extra), shift + jax.vmap(rotate)(hidden[1], first)


def unfix_gauge(
    angle: Float[Array, " batch"],
    shift: Float[Array, "batch 2"],
    scale: Float[Array, " batch"],
    hidden: tuple[Float[Array, " batch"], Float[Array, "batch 2"]],
) -> tuple[Float[Array, " batch"], Float[Array, "batch 2"]]:
    """Poses of the canonical images from poses of the gauge-fixed ones."""
    own = angle - hidden[0]
    return own, shift - scale[:, None] * jax.vmap(rotate)(hidden[1], own)
