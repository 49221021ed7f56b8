"""The gauge: what pose zero means for one content against another.

A decoder may turn or move its canonical image as the content changes; the pose then
takes that back and the likelihood is none the wiser. Angles of different contents can
be compared only once this drift is taken out. Along the straight line from content 0
to z, every small change of the canonical image is projected on what a small turn and a
small shift would do to it; these add up to the pose P(z) that the decoder has put into
the image at z. The gauge-fixed canonical image is the one with P(z) taken away: along
the line it never turns nor moves, in the sense of least squares.

Source: Kendall 1984, Bull. London Math. Soc. 16, 81 (horizontal lifts of shapes).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrvae._typing import Array, Float
from jaxrvae.geometry.circle import wrap
from jaxrvae.geometry.pose import rotate

NUM_STEPS = 24
RIDGE = 1e-3  # of the generators' mean square: an image that turns into itself


def drift(
    canonical: Callable[[Float[Array, " latent"]], Array],
    generate: Callable[[Array], Float[Array, "3 number"]],
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
    places = (jnp.arange(NUM_STEPS) + 0.5) / NUM_STEPS
    move = content / NUM_STEPS

    def step(place: Float[Array, ""]) -> Float[Array, "3"]:
        image, change = jax.jvp(canonical, (place * content,), (move,))
        rows = generate(image)
        gram = rows @ rows.T
        size = jnp.diagonal(gram)
        floor = jnp.where(size > 0, RIDGE * size, 1.0)
        return jnp.linalg.solve(gram + jnp.diag(floor), rows @ change)

    def compose(
        pose: tuple[Array, Array], turn: Float[Array, "3"]
    ) -> tuple[tuple[Array, Array], None]:
        angle, shift = pose
        return (angle + turn[0], rotate(shift, turn[0]) + turn[1:]), None

    start = (jnp.zeros(()), jnp.zeros(2))
    pose, _ = jax.lax.scan(compose, start, jax.vmap(step)(places))
    return pose


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
