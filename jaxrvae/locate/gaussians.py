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

from jaxrvae._typing import Array, Float, Int


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
        knots: Heights of the background's knots.
    """

    atoms: Atoms
    width: Float[Array, ""]
    knots: Float[Array, "knot_y knot_x"]


class Scene(NamedTuple):
    """What it is fitted to.

    Attributes:
        image: (row, col), padded.
        weight: One over the variance of each pixel; 0 in the padding.
        basis_y: (row, knot) splines of the background along y; basis_x along x.
        spread: Standard deviation of single atoms' log widths about the shared one.
    """

    image: Float[Array, "row col"]
    weight: Float[Array, "row col"]
    basis_y: Float[Array, "row knot_y"]
    basis_x: Float[Array, "col knot_x"]
    spread: Float[Array, ""]


class Windows(NamedTuple):
    """Where the atoms' windows lie, and the factors g, u g, u^2 g along each axis.

    u is the distance from the atom's centre in units of its sigma.
    """

    corners: Int[Array, "atom 2"]
    along_x: Float[Array, "atom 3 size"]
    along_y: Float[Array, "atom 3 size"]


class Direction(NamedTuple):
    """A step or a gradient: params and knots, and the shared log width.

    The fourth of `params` counts from the shared width.
    """

    params: Float[Array, "atom 4"]
    width: Float[Array, ""]
    knots: Float[Array, "knot_y knot_x"]


_SCATTER = jax.lax.ScatterDimensionNumbers(
    update_window_dims=(1, 2),
    inserted_window_dims=(),
    scatter_dims_to_operand_dims=(1, 0),
)
_GATHER = jax.lax.GatherDimensionNumbers(
    offset_dims=(1, 2), collapsed_slice_dims=(), start_index_map=(1, 0)
)


def windows(params: Float[Array, "atom 4"], shape: tuple[int, int], size: int):
    """Windows of size x size pixels around atoms, moved inwards at the edges."""
    low = jnp.round(params[:, :2]).astype(jnp.int32) - size // 2
    corners = jnp.clip(low, 0, jnp.array([shape[1] - size, shape[0] - size]))

    def factors(axis: int) -> Float[Array, "atom 3 size"]:
        pixels = corners[:, axis, None] + jnp.arange(size)
        u = (pixels - params[:, axis, None]) * jnp.exp(-params[:, 3, None])
        g = jnp.exp(-(u**2) / 2)
        return jnp.stack([g, u * g, u**2 * g], axis=1)

    return Windows(corners, factors(0), factors(1))


def spread_out(
    at: Windows, params: Float[Array, "atom 4"], step, shape: tuple[int, int]
) -> Float[Array, "row col"]:
    """The image's change for a small step of the atoms' parameters."""
    slope = params[:, 2] * jnp.exp(-params[:, 3])
    x, y, height, width = (
        slope * step[:, 0], slope * step[:, 1], step[:, 2], params[:, 2] * step[:, 3],
    )  # fmt: skip
    g, ug, uug = at.along_x[:, 0], at.along_x[:, 1], at.along_x[:, 2]
    x, y, height, width = x[:, None], y[:, None], height[:, None], width[:, None]
    rows = jnp.stack([height * g + x * ug + width * uug, y * g, width * g], axis=1)
    change = jnp.einsum("npy,npx->nyx", at.along_y, rows)
    return jax.lax.scatter_add(jnp.zeros(shape), at.corners, change, _SCATTER)


def gather_in(
    at: Windows, params: Float[Array, "atom 4"], image: Float[Array, "row col"]
) -> Float[Array, "atom 4"]:
    """Scalar products of an image with the derivatives: `spread_out`'s transpose."""
    size = at.along_x.shape[-1]
    cut = jax.lax.gather(image, at.corners, _GATHER, slice_sizes=(size, size))
    partly = jnp.einsum("nyx,npx->nyp", cut, at.along_x)
    sums = jnp.einsum("nqy,nyp->nqp", at.along_y, partly)
    height, slope = params[:, 2], params[:, 2] * jnp.exp(-params[:, 3])
    return jnp.stack(
        [
            slope * sums[:, 0, 1],
            slope * sums[:, 1, 0],
            sums[:, 0, 0],
            height * (sums[:, 0, 2] + sums[:, 2, 0]),
        ],
        axis=1,
    )


def render(atoms: Atoms, shape: tuple[int, int], size: int) -> Float[Array, "row col"]:
    """The image of the atoms alone."""
    at = windows(atoms.params, shape, size)
    heights = jnp.zeros_like(atoms.params).at[:, 2].set(atoms.params[:, 2])
    return spread_out(at, atoms.params, heights * atoms.present[:, None], shape)


def background(scene: Scene, knots: Float[Array, "knot_y knot_x"]):
    """The smooth background, in every pixel."""
    return scene.basis_y @ knots @ scene.basis_x.T


def residual(scene: Scene, model: Model, size: int) -> Float[Array, "row col"]:
    """What the model leaves unexplained."""
    shape = (scene.image.shape[0], scene.image.shape[1])
    fitted = render(model.atoms, shape, size) + background(scene, model.knots)
    return scene.image - fitted


def _cost(scene: Scene, model: Model, rest: Float[Array, "row col"]):
    """Minus the log posterior: half of chi squared and of the widths' prior."""
    apart = (model.atoms.params[:, 3] - model.width) / scene.spread
    prior = jnp.sum(model.atoms.present * apart**2)
    return (jnp.sum(scene.weight * rest**2) + prior) / 2


def _downhill(scene: Scene, model: Model, at: Windows, rest) -> Direction:
    atoms = model.atoms
    weighted = scene.weight * rest
    down = gather_in(at, atoms.params, weighted) * atoms.present[:, None]
    pull = (model.width - atoms.params[:, 3]) * atoms.present / scene.spread**2
    return Direction(
        params=down.at[:, 3].add(pull),
        width=down[:, 3].sum(),
        knots=scene.basis_y.T @ weighted @ scene.basis_x,
    )


def _step(scene: Scene, model: Model, at: Windows, down, damping, num_inner):
    """The damped Gauss-Newton step, by preconditioned conjugate gradients."""
    params, present = model.atoms.params, model.atoms.present[:, None]
    shape = (scene.image.shape[0], scene.image.shape[1])
    typical = jnp.sum(scene.weight) / jnp.sum(scene.weight > 0)
    own, own_inverse = _own_blocks(params, typical, 1 / scene.spread**2, damping)
    stiffness = jnp.array([0.0, 0.0, 0.0, 1.0]) / scene.spread**2
    knot_damping = 1e-3 * typical

    def matvec(step: Direction) -> Direction:
        moved = (step.params.at[:, 3].add(step.width)) * present
        change = spread_out(at, params, moved, shape) + background(scene, step.knots)
        weighted = scene.weight * change
        out = gather_in(at, params, weighted) * present
        extra = (stiffness + damping * own) * step.params
        return Direction(
            params=out + extra * present + step.params * (1 - present),
            width=out[:, 3].sum() * 1.0,
            knots=scene.basis_y.T @ weighted @ scene.basis_x
            + knot_damping * step.knots,
        )

    gram_y = scene.basis_y.T @ scene.basis_y
    gram_x = scene.basis_x.T @ scene.basis_x
    inverse_y = jnp.linalg.inv(gram_y + 1e-2 * jnp.eye(len(gram_y)))
    inverse_x = jnp.linalg.inv(gram_x + 1e-2 * jnp.eye(len(gram_x)))
    width_scale = jnp.sum(own[:, 3] * model.atoms.present) + 1.0

    def precondition(down: Direction) -> Direction:
        scaled = jnp.einsum("npq,nq->np", own_inverse, down.params)
        return Direction(
            params=jnp.where(present > 0, scaled, down.params),
            width=down.width / width_scale,
            knots=inverse_y @ down.knots @ inverse_x / typical,
        )

    step, _ = jax.scipy.sparse.linalg.cg(
        matvec, down, maxiter=num_inner, tol=1e-3, M=precondition
    )
    return step


def _own_blocks(params, weight, stiffness, damping):
    """An atom's own normal matrix: its diagonal, and the inverse of it damped.

    Integrals of Gaussians over the plane; only height and width are coupled.
    """
    height, area = params[:, 2], jnp.pi * jnp.exp(2 * params[:, 3]) * weight
    place = jnp.pi / 2 * height**2 * weight + 1e-12
    diagonal = jnp.stack([place, place, area, 2 * height**2 * area], axis=1)
    damped = diagonal * (1 + damping)
    a, b, d = damped[:, 2], height * area, damped[:, 3] + stiffness
    determinant = a * d - b**2
    inverse = jnp.zeros((len(params), 4, 4))
    inverse = inverse.at[:, 0, 0].set(1 / damped[:, 0])
    inverse = inverse.at[:, 1, 1].set(1 / damped[:, 1])
    inverse = inverse.at[:, 2, 2].set(d / determinant)
    inverse = inverse.at[:, 3, 3].set(a / determinant)
    inverse = inverse.at[:, 2, 3].set(-b / determinant)
    return diagonal, inverse.at[:, 3, 2].set(-b / determinant)


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
        knots=model.knots + step.knots,
    )


@partial(jax.jit, static_argnames=("size", "num_steps", "num_inner"))
def fit(
    scene: Scene,
    model: Model,
    *,
    size: int,
    num_steps: int = 8,
    num_inner: int = 16,
) -> tuple[Model, Float[Array, "row col"], Float[Array, " num_steps"]]:
    """The model after damped Gauss-Newton steps, its residual, and chi squared's course.

    Args:
        scene: The image and what is known of it.
        model: Where to start.
        size: Side of an atom's window in pixels, odd.
        num_steps: Gauss-Newton steps (Levenberg's damping; worse ones are undone).
        num_inner: Conjugate gradient steps in each, at most.
    """
    shape = (scene.image.shape[0], scene.image.shape[1])

    def body(carry, _):
        model, rest, cost, damping = carry
        at = windows(model.atoms.params, shape, size)
        down = _downhill(scene, model, at, rest)
        tried = _moved(model, _step(scene, model, at, down, damping, num_inner))
        left = residual(scene, tried, size)
        new = _cost(scene, tried, left)
        better = new < cost
        model = jax.tree.map(lambda a, b: jnp.where(better, a, b), tried, model)
        rest = jnp.where(better, left, rest)
        cost = jnp.where(better, new, cost)
        damping = jnp.clip(jnp.where(better, damping / 5, damping * 5), 1e-4, 1e4)
        return (model, rest, cost, damping), cost

    rest = residual(scene, model, size)
    carry = (model, rest, _cost(scene, model, rest), jnp.asarray(0.01))
    (model, rest, _, _), course = jax.lax.scan(body, carry, length=num_steps)
    return model, rest * (scene.weight > 0), course
