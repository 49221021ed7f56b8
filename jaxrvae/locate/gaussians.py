"""Overlapping Gaussian atoms on a smooth background, all fitted to an image at once.

The model is `image = background(knots) + sum of height g((x, y) - position; sigma)`.
Its derivatives live in small windows, one an atom, and are products of a factor along
x and one along y; a Gauss-Newton step solves the normal equations by conjugate
gradients, which need only products of these windows with images and back.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Array, Float, Int

LEAST_GAIN = 0.01  # of the log posterior, an atom, for another step
TOLERANCE = 0.03  # of the gradient, preconditioned, left by an inner solution
KNOT_DAMPING = 1e-3  # of the normal matrix, against knots that no pixel holds


class Atoms(NamedTuple):
    """Atoms of one image, padded; `present` is 0 in unused places.

    Attributes:
        params: (atom, 4) x, y (pixels), peak height, log of the width sigma (pixels).
    """

    params: Float[Array, "atom 4"]
    present: Float[Array, " atom"]


class Model(NamedTuple):
    """What is fitted.

    Attributes:
        width: Log of the width sigma that the atoms share.
        aspect: Half the log of the ratio of widths along x and y, for all atoms: scans
            drift and probes are astigmatic.
        knots: Heights of the background's knots.
    """

    atoms: Atoms
    width: Float[Array, ""]
    aspect: Float[Array, ""]
    knots: Float[Array, "knot_y knot_x"]


class Scene(NamedTuple):
    """What it is fitted to.

    Attributes:
        image: (row, col), padded.
        weight: One over the variance of each pixel; 0 in the padding.
        basis_y: (row, knot) splines of the background along y; basis_x along x.
        inverse_y: Inverse of basis_y's normal matrix; inverse_x of basis_x's.
        spread: Standard deviation of single atoms' log widths about the shared one.
        expected: What the shared log width is beforehand: mean and standard deviation.
        aspect_spread: The same for the aspect, about 0.
    """

    image: Float[Array, "row col"]
    weight: Float[Array, "row col"]
    basis_y: Float[Array, "row knot_y"]
    basis_x: Float[Array, "col knot_x"]
    inverse_y: Float[Array, "knot_y knot_y"]
    inverse_x: Float[Array, "knot_x knot_x"]
    spread: Float[Array, ""]
    expected: Float[Array, "2"]
    aspect_spread: Float[Array, ""]


class Windows(NamedTuple):
    """Where the atoms' windows lie, and the factors g, u g, u^2 g along each axis.

    u is the distance from the atom's centre in units of its sigma.
    """

    corners: Int[Array, "atom 2"]
    along_x: Float[Array, "atom 3 size"]
    along_y: Float[Array, "atom 3 size"]


class Direction(NamedTuple):
    """A step or a gradient; the fourth of `params` counts from the shared width."""

    params: Float[Array, "atom 4"]
    width: Float[Array, ""]
    aspect: Float[Array, ""]
    knots: Float[Array, "knot_y knot_x"]


_BOTH_WIDTHS = np.array(
    [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1]], np.float32
)  # an atom's width is that along x and along y
_SWAP = np.eye(4, dtype=np.float32)[[0, 1, 3, 2]]  # of height and width
_SCATTER = jax.lax.ScatterDimensionNumbers(
    update_window_dims=(1, 2),
    inserted_window_dims=(),
    scatter_dims_to_operand_dims=(1, 0),
)
_GATHER = jax.lax.GatherDimensionNumbers(
    offset_dims=(1, 2), collapsed_slice_dims=(), start_index_map=(1, 0)
)


def windows(params: Float[Array, "atom 4"], aspect, shape, size: int) -> Windows:
    """Windows of size x size pixels around atoms, moved inwards at the edges."""
    low = jnp.round(params[:, :2]).astype(jnp.int32) - size // 2
    corners = jnp.clip(low, 0, jnp.array([shape[1] - size, shape[0] - size]))

    pixels = corners[:, :, None] + jnp.arange(size, dtype=jnp.float32)
    narrow = jnp.exp(jnp.stack([-aspect, aspect]) - params[:, 3:4])
    u = (pixels - params[:, :2, None]) * narrow[:, :, None]
    g = jnp.exp(-(u**2) / 2)
    along = jnp.stack([g, u * g, u**2 * g], axis=2)
    return Windows(corners, along[:, 0], along[:, 1])


def spread_out(at: Windows, slopes: Float[Array, "atom 5"], step, shape):
    """The image's change for a small step of the atoms: (x, y, height, width x, y)."""
    x, y, height, width_x, width_y = (slopes * step).T[..., None]
    g, ug, uug = at.along_x[:, 0], at.along_x[:, 1], at.along_x[:, 2]
    rows = jnp.stack([height * g + x * ug + width_x * uug, y * g, width_y * g], axis=1)
    change = jnp.einsum("npy,npx->nyx", at.along_y, rows)
    return jax.lax.scatter_add(jnp.zeros(shape), at.corners, change, _SCATTER)


def gather_in(
    at: Windows, slopes: Float[Array, "atom 5"], image: Float[Array, "row col"]
) -> Float[Array, "atom 5"]:
    """Scalar products of an image with the derivatives: `spread_out`'s transpose."""
    size = at.along_x.shape[-1]
    cut = jax.lax.gather(image, at.corners, _GATHER, slice_sizes=(size, size))
    partly = jnp.einsum("nyx,npx->nyp", cut, at.along_x)
    sums = jnp.einsum("nqy,nyp->nqp", at.along_y, partly)
    picked = (sums[:, 0, 1], sums[:, 1, 0], sums[:, 0, 0], sums[:, 0, 2], sums[:, 2, 0])
    return slopes * jnp.stack(picked, axis=1)


def slopes_of(params: Float[Array, "atom 4"], aspect) -> Float[Array, "atom 5"]:
    """What g, u g and u^2 g are multiplied by in the derivatives."""
    height, narrow = params[:, 2], jnp.exp(-params[:, 3])
    along_x, along_y = (
        height * narrow * jnp.exp(-aspect),
        height * narrow * jnp.exp(aspect),
    )
    return jnp.stack([along_x, along_y, jnp.ones_like(height), height, height], axis=1)


def background(scene: Scene, knots: Float[Array, "knot_y knot_x"]):
    """The smooth background, in every pixel."""
    return scene.basis_y @ knots @ scene.basis_x.T


def residual(scene: Scene, model: Model, at: Windows) -> Float[Array, "row col"]:
    """What the model leaves unexplained."""
    atoms, shape = model.atoms, (scene.image.shape[0], scene.image.shape[1])
    heights = atoms.params[:, 2] * atoms.present
    spots = jnp.einsum("ny,nx,n->nyx", at.along_y[:, 0], at.along_x[:, 0], heights)
    drawn = jax.lax.scatter_add(jnp.zeros(shape), at.corners, spots, _SCATTER)
    return scene.image - drawn - background(scene, model.knots)


def _cost(scene: Scene, model: Model, rest: Float[Array, "row col"]):
    """Minus the log posterior: half of chi squared and of the widths' priors."""
    apart = (model.atoms.params[:, 3] - model.width) / scene.spread
    shared = (model.width - scene.expected[0]) / scene.expected[1]
    prior = jnp.sum(model.atoms.present * apart**2) + shared**2
    prior = prior + (model.aspect / scene.aspect_spread) ** 2
    return (jnp.sum(scene.weight * rest**2) + prior) / 2


def _to_atoms(step: Direction) -> Float[Array, "atom 5"]:
    """A step of the model as one of each atom: x, y, height, widths along x and y."""
    shared = jnp.stack([step.width + step.aspect, step.width - step.aspect])
    return step.params @ _BOTH_WIDTHS + jnp.pad(shared, (3, 0))


def _from_atoms(down: Float[Array, "atom 5"], knots) -> Direction:
    """The transpose: a gradient by atoms as one of the model."""
    total = down.sum(axis=0)
    return Direction(
        params=down @ _BOTH_WIDTHS.T,
        width=total[3] + total[4],
        aspect=total[3] - total[4],
        knots=knots,
    )


def _downhill(scene: Scene, model: Model, at: Windows, rest) -> Direction:
    atoms, weighted = model.atoms, scene.weight * rest
    inner = gather_in(at, slopes_of(atoms.params, model.aspect), weighted)
    knots = scene.basis_y.T @ weighted @ scene.basis_x
    down = _from_atoms(inner * atoms.present[:, None], knots)
    pull = (model.width - atoms.params[:, 3]) * atoms.present / scene.spread**2
    shared = (model.width - scene.expected[0]) / scene.expected[1] ** 2
    return down._replace(
        params=down.params.at[:, 3].add(pull),
        width=down.width - shared,
        aspect=down.aspect - model.aspect / scene.aspect_spread**2,
    )


def _step(scene: Scene, model: Model, at: Windows, down, damping, num_inner):
    """The damped Gauss-Newton step, by preconditioned conjugate gradients."""
    params, present = model.atoms.params, model.atoms.present[:, None]
    shape = (scene.image.shape[0], scene.image.shape[1])
    slopes = slopes_of(params, model.aspect)
    typical = jnp.sum(scene.weight) / jnp.sum(scene.weight > 0)
    own, inverse, partner = _own_blocks(params, typical, 1 / scene.spread**2, damping)
    stiffness = jnp.array([0.0, 0.0, 0.0, 1.0]) / scene.spread**2

    def matvec(step: Direction) -> Direction:
        change = spread_out(at, slopes, _to_atoms(step) * present, shape)
        weighted = scene.weight * (change + background(scene, step.knots))
        inner = gather_in(at, slopes, weighted) * present
        out = _from_atoms(inner, scene.basis_y.T @ weighted @ scene.basis_x)
        extra = (stiffness + damping * own) * step.params
        return Direction(
            params=out.params + extra * present + step.params * (1 - present),
            width=out.width + step.width / scene.expected[1] ** 2,
            aspect=out.aspect + step.aspect / scene.aspect_spread**2,
            knots=out.knots + KNOT_DAMPING * typical * step.knots,
        )

    all_widths = jnp.sum(own[:, 3] * model.atoms.present)

    def precondition(down: Direction) -> Direction:
        scaled = inverse * down.params + partner * (down.params @ _SWAP)
        return Direction(
            params=jnp.where(present > 0, scaled, down.params),
            width=down.width / (all_widths + 1 / scene.expected[1] ** 2),
            aspect=down.aspect / (all_widths / 2 + 1 / scene.aspect_spread**2),
            knots=scene.inverse_y @ down.knots @ scene.inverse_x / typical,
        )

    return _conjugate_gradients(matvec, precondition, down, num_inner)


def _conjugate_gradients(matvec, precondition, down: Direction, num_inner):
    """Steps towards the solution, from zero, until little is left of the gradient."""

    def dot(a: Direction, b: Direction) -> Float[Array, ""]:
        parts = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
        return parts.params + parts.width + parts.aspect + parts.knots

    def add(a: Direction, share, b: Direction) -> Direction:
        return jax.tree.map(lambda x, y: x + share * y, a, b)

    def body(carry):
        step, left, along, gain, count = carry
        product = matvec(along)
        share = gain / jnp.maximum(dot(along, product), 1e-30)
        left = add(left, -share, product)
        towards = precondition(left)
        new_gain = dot(left, towards)
        turned = add(towards, new_gain / jnp.maximum(gain, 1e-30), along)
        return add(step, share, along), left, turned, new_gain, count + 1

    towards = precondition(down)
    first = dot(down, towards)

    def unfinished(carry):
        return (carry[3] > TOLERANCE**2 * first) & (carry[4] < num_inner)

    zero = jax.tree.map(jnp.zeros_like, down)
    start = (zero, down, towards, first, jnp.asarray(0))
    return jax.lax.while_loop(unfinished, body, start)[0]


def _own_blocks(params, weight, stiffness, damping):
    """An atom's own normal matrix: its diagonal, and the inverse of it damped.

    Integrals of Gaussians over the plane. Only height and width are coupled: the
    inverse is given by its diagonal and, beside it, its element for the partner.
    """
    height, area = params[:, 2], jnp.pi * jnp.exp(2 * params[:, 3]) * weight
    place = jnp.pi / 2 * height**2 * weight + 1e-12
    diagonal = jnp.stack([place, place, area, 2 * height**2 * area], axis=1)
    damped = diagonal * (1 + damping)
    a, b, d = damped[:, 2], height * area, damped[:, 3] + stiffness
    determinant = a * d - b**2
    inverse = jnp.stack(
        [1 / damped[:, 0], 1 / damped[:, 1], d / determinant, a / determinant], axis=1
    )
    partner = jnp.array([0.0, 0.0, 1.0, 1.0]) * (-b / determinant)[:, None]
    return diagonal, inverse, partner


def _moved(model: Model, step: Direction) -> Model:
    """The model after a step, kept to sizes for which the linearisation holds."""
    params, present = model.atoms.params, model.atoms.present[:, None]
    sigma = jnp.exp(params[:, 3:4])
    shift = jnp.clip(step.params[:, :2], -0.5 * sigma, 0.5 * sigma)
    width = jnp.clip(step.width, -0.3, 0.3)
    single = jnp.clip(step.params[:, 3:4], -0.2, 0.2)
    new = jnp.concatenate(
        [
            params[:, :2] + shift,
            params[:, 2:3] + step.params[:, 2:3],
            params[:, 3:4] + width + single,
        ],
        axis=1,
    )
    return Model(
        atoms=model.atoms._replace(params=jnp.where(present > 0, new, params)),
        width=model.width + width,
        aspect=model.aspect + jnp.clip(step.aspect, -0.1, 0.1),
        knots=model.knots + step.knots,
    )


@partial(jax.jit, static_argnames=("size",))
def fit(
    scene: Scene,
    model: Model,
    *,
    size: int,
    num_steps: int | Int[Array, ""] = 40,
    num_inner: int | Int[Array, ""] = 8,
) -> tuple[Model, Float[Array, "row col"]]:
    """The model after damped Gauss-Newton steps, and its residual.

    Args:
        scene: The image and what is known of it.
        model: Where to start.
        size: Side of an atom's window in pixels, odd.
        num_steps: Gauss-Newton steps at most; the last one is that which gains next to
            nothing. Steps that lose are undone and damped more (Levenberg).
        num_inner: Conjugate gradient steps in the first at most; one more in each
            next: far from the end, exact solutions are not worth their cost.
    """
    shape = (scene.image.shape[0], scene.image.shape[1])
    little = jnp.maximum(1.0, LEAST_GAIN * jnp.sum(model.atoms.present))

    def evaluated(model: Model):
        at = windows(model.atoms.params, model.aspect, shape, size)
        left = residual(scene, model, at)
        return model, at, left, _cost(scene, model, left)

    def body(carry):
        best, damping, _, count = carry
        model, at, rest, old = best
        down = _downhill(scene, model, at, rest)
        step = _step(scene, model, at, down, damping, num_inner + count)
        tried = evaluated(_moved(model, step))
        better = tried[3] < old
        done = better & (old - tried[3] < little)
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), tried, best)
        damping = jnp.clip(jnp.where(better, damping / 5, damping * 5), 1e-4, 1e4)
        return best, damping, done, count + 1

    def unfinished(carry):
        return ~carry[2] & (carry[3] < num_steps)

    start = (evaluated(model), jnp.asarray(0.05), jnp.asarray(False), jnp.asarray(0))
    (model, _, rest, _), *_ = jax.lax.while_loop(unfinished, body, start)
    return model, rest * (scene.weight > 0)
