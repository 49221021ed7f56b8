"""The gauge: what pose zero means for one content against another.

A decoder may turn or move its canonical image as the content changes; the pose then
takes that back and the likelihood is none the wiser. Angles of different contents can
be compared only once this drift is taken out. Anchors, contents that stand for all that
were trained on, have poses of their own, found by laying their images on one another
(`models/anchors.py`). From the nearest anchor along the straight line to z, every small
change of the canonical image is projected on what a small turn and a small shift would
do to it; these add up to the pose P(z) that the decoder has put into the image at z.
The gauge-fixed canonical image is the one with P(z) taken away.

Source: Kendall 1984, Bull. London Math. Soc. 16, 81 (horizontal lifts of shapes).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrvae._typing import Array, Float
from jaxrvae.geometry.circle import wrap
from jaxrvae.geometry.pose import rotate

NUM_ANCHORS = 64
NUM_STEPS = 8
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
    places = (jnp.arange(NUM_STEPS) + 0.5) / NUM_STEPS
    move = (content - start) / NUM_STEPS

    def step(place: Float[Array, ""]) -> Float[Array, "3"]:
        image, change = jax.jvp(
            canonical, (start + place * (content - start),), (move,)
        )
        rows = generate(image)
        gram = rows @ rows.T
        size = jnp.diagonal(gram)
        floor = jnp.where(size > 0, RIDGE * size, 1.0)
        return jnp.linalg.solve(gram + jnp.diag(floor), rows @ change)

    def onward(
        pose: tuple[Array, Array], turn: Float[Array, "3"]
    ) -> tuple[tuple[Array, Array], None]:
        return compose((turn[0], turn[1:]), pose), None

    first = gauge.angle[nearest], gauge.shift[nearest]
    pose, _ = jax.lax.scan(onward, first, jax.vmap(step)(places))
    return pose


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
