"""Overlapping Gaussian atoms on a smooth background, all fitted to an image at once.

The model is `image = background(knots) + sum of a g((x, y) - position; width)`. A
Gauss-Newton step needs the gradient, taken exactly from windows of the residual, and
the normal matrix: its blocks are the second derivatives of the closed-form overlap of
two Gaussians, kept for each atom's nearest neighbours. Conjugate gradients solve it.
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
        image: (row, col), padded; weight 0 in the padding.
        basis_y: (row, knot) splines of the background along y; basis_x along x.
        noise: Standard deviation of a pixel.
        spread: Standard deviation of single atoms' log widths about the shared one.
    """

    image: Float[Array, "row col"]
    weight: Float[Array, "row col"]
    basis_y: Float[Array, "row knot_y"]
    basis_x: Float[Array, "col knot_x"]
    noise: Float[Array, ""]
    spread: Float[Array, ""]


def overlap(first: Float[Array, "4"], second: Float[Array, "4"]) -> Float[Array, ""]:
    """The integral of the product of two Gaussian atoms."""
    gap = first[:2] - second[:2]
    one, two = jnp.exp(2 * first[3]), jnp.exp(2 * second[3])
    total = one + two
    area = 2 * jnp.pi * one * two / total
    return first[2] * second[2] * area * jnp.exp(-jnp.sum(gap**2) / (2 * total))


def block(first: Float[Array, "4"], second: Float[Array, "4"]) -> Float[Array, "4 4"]:
    """Scalar products of two atoms' derivatives: a block of the normal matrix."""
    return jax.jacfwd(jax.grad(overlap), argnums=1)(first, second)


def _profile(params: Float[Array, "4"], corner: Int[Array, "2"], size: int):
    """Factors gx, gy of an atom in its window, and the offsets u, v in sigmas."""
    sigma = jnp.exp(params[3])
    steps = jnp.arange(size)
    u = (corner[0] + steps - params[0]) / sigma
    v = (corner[1] + steps - params[1]) / sigma
    return jnp.exp(-(u**2) / 2), jnp.exp(-(v**2) / 2), u, v


def _project(window: Float[Array, "size size"], params: Float[Array, "4"], corner):
    """Scalar products of a window with an atom's derivatives, [row, col]."""
    gx, gy, u, v = _profile(params, corner, window.shape[0])
    sigma, height = jnp.exp(params[3]), params[2]
    along_x = window @ jnp.stack([gx, u * gx, u**2 * gx], axis=1)  # (row, 3)
    sums = jnp.stack([gy, v * gy, v**2 * gy]) @ along_x  # [power of v, power of u]
    return jnp.stack(
        [
            height / sigma * sums[0, 1],
            height / sigma * sums[1, 0],
            sums[0, 0],
            height * (sums[0, 2] + sums[2, 0]),
        ]
    )


def _corners(params: Float[Array, "atom 4"], shape: tuple[int, int], size: int):
    low = jnp.round(params[:, :2]).astype(jnp.int32) - size // 2
    return jnp.clip(low, 0, jnp.array([shape[1] - size, shape[0] - size]))


def render(atoms: Atoms, shape: tuple[int, int], size: int) -> Float[Array, "row col"]:
    """The image of the atoms alone, each within a window of size x size pixels."""
    corners = _corners(atoms.params, shape, size)
    gx, gy, _, _ = jax.vmap(partial(_profile, size=size))(atoms.params, corners)
    heights = atoms.params[:, 2] * atoms.present
    windows = heights[:, None, None] * gy[:, :, None] * gx[:, None, :]
    numbers = jax.lax.ScatterDimensionNumbers(
        update_window_dims=(1, 2),
        inserted_window_dims=(),
        scatter_dims_to_operand_dims=(1, 0),
    )
    return jax.lax.scatter_add(jnp.zeros(shape), corners, windows, numbers)


def background(scene: Scene, knots: Float[Array, "knot_y knot_x"]):
    """The smooth background, in every pixel."""
    return scene.basis_y @ knots @ scene.basis_x.T


def residual(scene: Scene, model: Model, size: int) -> Float[Array, "row col"]:
    """What the model leaves unexplained; 0 in the padding."""
    shape = (scene.image.shape[0], scene.image.shape[1])
    fitted = render(model.atoms, shape, size) + background(scene, model.knots)
    return (scene.image - fitted) * scene.weight


def _cost(scene: Scene, model: Model, rest: Float[Array, "row col"]):
    """Half the sum of squares, with the widths' prior in units of the noise."""
    apart = model.atoms.params[:, 3] - model.width
    prior = jnp.sum(model.atoms.present * apart**2) / scene.spread**2
    return (jnp.sum(rest**2) + scene.noise**2 * prior) / 2


class Direction(NamedTuple):
    """A step, or a gradient: widths are counted from the shared one."""

    params: Float[Array, "atom 4"]
    width: Float[Array, ""]
    knots: Float[Array, "knot_y knot_x"]


def _gradient(scene: Scene, model: Model, rest, size: int) -> Direction:
    """Downhill."""
    atoms = model.atoms
    shape = (scene.image.shape[0], scene.image.shape[1])
    corners = _corners(atoms.params, shape, size)

    def one(corner, params):
        window = jax.lax.dynamic_slice(rest, (corner[1], corner[0]), (size, size))
        return _project(window, params, corner)

    down = jax.vmap(one)(corners, atoms.params) * atoms.present[:, None]
    pull = (model.width - atoms.params[:, 3]) * atoms.present / scene.spread**2
    return Direction(
        params=down.at[:, 3].add(scene.noise**2 * pull),
        width=down[:, 3].sum(),
        knots=scene.basis_y.T @ rest @ scene.basis_x,
    )


def _at(basis: Float[Array, "pixel knot"], places: Float[Array, " atom"]):
    """The background's splines at the atoms, between pixels by linear interpolation."""
    low = jnp.clip(jnp.floor(places).astype(jnp.int32), 0, len(basis) - 2)
    share = jnp.clip(places - low, 0, 1)[:, None]
    return basis[low] * (1 - share) + basis[low + 1] * share


def _step(scene: Scene, model: Model, down, index, linked, damping, num_inner):
    """The damped Gauss-Newton step, by preconditioned conjugate gradients."""
    params, present = model.atoms.params, model.atoms.present
    pairs = jax.vmap(lambda a, others: jax.vmap(lambda b: block(a, b))(others))
    coupled = pairs(params, params[index]) * linked[..., None, None]
    own = jax.vmap(block)(params, params) * present[:, None, None]
    own = own + jnp.eye(4) * (1 - present)[:, None, None]
    stiff = scene.noise**2 / scene.spread**2
    damped = own * (1 + damping * jnp.eye(4)) + stiff * jnp.diag(jnp.eye(4)[3])
    at_y, at_x = _at(scene.basis_y, params[:, 1]), _at(scene.basis_x, params[:, 0])
    area = 2 * jnp.pi * jnp.exp(2 * params[:, 3]) * present
    mass = jnp.stack([0 * area, 0 * area, area, 2 * params[:, 2] * area], axis=1)
    gram_y = scene.basis_y.T @ (scene.weight.max(1)[:, None] * scene.basis_y)
    gram_x = scene.basis_x.T @ (scene.weight.max(0)[:, None] * scene.basis_x)
    ridge = 1e-4
    gram_y = gram_y + ridge * jnp.trace(gram_y) / len(gram_y) * jnp.eye(len(gram_y))
    gram_x = gram_x + ridge * jnp.trace(gram_x) / len(gram_x) * jnp.eye(len(gram_x))

    def matvec(step: Direction) -> Direction:
        moved = step.params.at[:, 3].add(step.width * present)
        out = jnp.einsum("npq,nq->np", own, moved)
        out = out + jnp.einsum("nkpq,nkq->np", coupled, moved[index])
        lifted = jnp.einsum("nk,kl,nl->n", at_y, step.knots, at_x)
        out = out + mass * lifted[:, None]
        pushed = jnp.einsum("nk,n,nl->kl", at_y, jnp.sum(mass * moved, 1), at_x)
        extra = jnp.einsum("npq,nq->np", damped - own, step.params)
        return Direction(
            params=out + extra,
            width=out[:, 3].sum() * 1.0 + 1e-3 * step.width,
            knots=gram_y @ step.knots @ gram_x + pushed,
        )

    inverse = jnp.linalg.inv(damped)
    inverse_y, inverse_x = jnp.linalg.inv(gram_y), jnp.linalg.inv(gram_x)
    width_scale = jnp.sum(own[:, 3, 3] * present) + 1e-6

    def precondition(down: Direction) -> Direction:
        return Direction(
            params=jnp.einsum("npq,nq->np", inverse, down.params),
            width=down.width / width_scale,
            knots=inverse_y @ down.knots @ inverse_x,
        )

    step, _ = jax.scipy.sparse.linalg.cg(
        matvec, down, maxiter=num_inner, tol=1e-3, M=precondition
    )
    return step


def _moved(model: Model, step: Direction) -> Model:
    """The model after a step, kept to sizes for which the linearisation holds."""
    params, present = model.atoms.params, model.atoms.present[:, None]
    sigma = jnp.exp(params[:, 3:4])
    shift = jnp.clip(step.params[:, :2], -0.5 * sigma, 0.5 * sigma)
    width = jnp.clip(step.width, -0.3, 0.3)
    apart = params[:, 3:4] - model.width + jnp.clip(step.params[:, 3:4], -0.3, 0.3)
    new = jnp.concatenate(
        [
            params[:, :2] + shift,
            params[:, 2:3] + step.params[:, 2:3],
            model.width + width + apart,
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
    index: Int[Array, "atom k"],
    linked: Float[Array, "atom k"],
    *,
    size: int,
    num_steps: int = 8,
    num_inner: int = 24,
) -> tuple[Model, Float[Array, "row col"]]:
    """The model after damped Gauss-Newton steps, and its residual.

    Args:
        scene: The image and what is known of it.
        model: Where to start.
        index: The nearest other atoms of each.
        linked: 1 where they are there, 0 in the padding.
        size: Side of an atom's window in pixels, odd.
        num_steps: Gauss-Newton steps (Levenberg's damping; worse ones are undone).
        num_inner: Conjugate gradient steps in each.
    """

    def body(_, carry):
        model, rest, cost, damping = carry
        down = _gradient(scene, model, rest, size)
        tried = _moved(
            model, _step(scene, model, down, index, linked, damping, num_inner)
        )
        left = residual(scene, tried, size)
        new = _cost(scene, tried, left)
        better = new < cost
        model = jax.tree.map(lambda a, b: jnp.where(better, a, b), tried, model)
        rest = jnp.where(better, left, rest)
        damping = jnp.where(better, damping / 5, damping * 5)
        return model, rest, jnp.where(better, new, cost), jnp.clip(damping, 1e-4, 1e4)

    rest = residual(scene, model, size)
    carry = (model, rest, _cost(scene, model, rest), jnp.asarray(0.01))
    model, rest, _, _ = jax.lax.fori_loop(0, num_steps, body, carry)
    return model, rest
