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

LEAST_GAIN = 1.0  # of the log posterior, for another step
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
        spread: Standard deviation of single atoms' log widths about the shared one.
        expected: What the shared log width is beforehand: mean and standard deviation.
        aspect_spread: The same for the aspect, about 0.
    """

    image: Float[Array, "row col"]
    weight: Float[Array, "row col"]
    basis_y: Float[Array, "row knot_y"]
    basis_x: Float[Array, "col knot_x"]
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

    def factors(axis: int, narrower: Float[Array, ""]) -> Float[Array, "atom 3 size"]:
        pixels = corners[:, axis, None] + jnp.arange(size)
        u = (pixels - params[:, axis, None]) * jnp.exp(narrower - params[:, 3, None])
        g = jnp.exp(-(u**2) / 2)
        return jnp.stack([g, u * g, u**2 * g], axis=1)

    return Windows(corners, factors(0, -aspect), factors(1, aspect))


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


def render(model: Model, shape: tuple[int, int], size: int) -> Float[Array, "row col"]:
    """The image of the atoms alone."""
    atoms = model.atoms
    at = windows(atoms.params, model.aspect, shape, size)
    heights = atoms.params[:, 2] * atoms.present
    step = jnp.zeros((len(heights), 5)).at[:, 2].set(heights)
    return spread_out(at, jnp.ones_like(step), step, shape)


def background(scene: Scene, knots: Float[Array, "knot_y knot_x"]):
    """The smooth background, in every pixel."""
    return scene.basis_y @ knots @ scene.basis_x.T


def residual(scene: Scene, model: Model, size: int) -> Float[Array, "row col"]:
    """What the model leaves unexplained."""
    shape = (scene.image.shape[0], scene.image.shape[1])
    fitted = render(model, shape, size) + background(scene, model.knots)
    return scene.image - fitted


def _cost(scene: Scene, model: Model, rest: Float[Array, "row col"]):
    """Minus the log posterior: half of chi squared and of the widths' priors."""
    apart = (model.atoms.params[:, 3] - model.width) / scene.spread
    shared = (model.width - scene.expected[0]) / scene.expected[1]
    prior = jnp.sum(model.atoms.present * apart**2) + shared**2
    prior = prior + (model.aspect / scene.aspect_spread) ** 2
    return (jnp.sum(scene.weight * rest**2) + prior) / 2


def _to_atoms(step: Direction) -> Float[Array, "atom 5"]:
    """A step of the model as one of each atom: x, y, height, widths along x and y."""
    width = step.params[:, 3] + step.width
    widths = jnp.stack([width + step.aspect, width - step.aspect], axis=1)
    return jnp.concatenate([step.params[:, :3], widths], axis=1)


def _from_atoms(down: Float[Array, "atom 5"], knots) -> Direction:
    """The transpose: a gradient by atoms as one of the model."""
    both = down[:, 3] + down[:, 4]
    return Direction(
        params=jnp.concatenate([down[:, :3], both[:, None]], axis=1),
        width=both.sum(),
        aspect=(down[:, 3] - down[:, 4]).sum(),
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
    own, own_inverse = _own_blocks(params, typical, 1 / scene.spread**2, damping)
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

    gram_y = scene.basis_y.T @ scene.basis_y
    gram_x = scene.basis_x.T @ scene.basis_x
    inverse_y = jnp.linalg.inv(gram_y + 1e-2 * jnp.eye(len(gram_y)))
    inverse_x = jnp.linalg.inv(gram_x + 1e-2 * jnp.eye(len(gram_x)))
    all_widths = jnp.sum(own[:, 3] * model.atoms.present)

    def precondition(down: Direction) -> Direction:
        scaled = jnp.einsum("npq,nq->np", own_inverse, down.params)
        return Direction(
            params=jnp.where(present > 0, scaled, down.params),
            width=down.width / (all_widths + 1 / scene.expected[1] ** 2),
            aspect=down.aspect / (all_widths / 2 + 1 / scene.aspect_spread**2),
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
        aspect=model.aspect + jnp.clip(step.aspect, -0.1, 0.1),
        knots=model.knots + step.knots,
    )


@partial(jax.jit, static_argnames=("size", "num_steps", "num_inner"))
def fit(
    scene: Scene,
    model: Model,
    *,
    size: int,
    num_steps: int = 12,
    num_inner: int = 8,
) -> tuple[Model, Float[Array, "row col"]]:
    """The model after damped Gauss-Newton steps, and its residual.

    Args:
        scene: The image and what is known of it.
        model: Where to start.
        size: Side of an atom's window in pixels, odd.
        num_steps: Gauss-Newton steps at most; the last one is that which gains next to
            nothing. Steps that lose are undone and damped more (Levenberg).
        num_inner: Conjugate gradient steps in each, at most.
    """
    shape = (scene.image.shape[0], scene.image.shape[1])

    def body(carry):
        model, rest, cost, damping, _, count = carry
        at = windows(model.atoms.params, model.aspect, shape, size)
        down = _downhill(scene, model, at, rest)
        tried = _moved(model, _step(scene, model, at, down, damping, num_inner))
        left = residual(scene, tried, size)
        new = _cost(scene, tried, left)
        better = new < cost
        model = jax.tree.map(lambda a, b: jnp.where(better, a, b), tried, model)
        rest = jnp.where(better, left, rest)
        done = better & (cost - new < LEAST_GAIN)
        damping = jnp.clip(jnp.where(better, damping / 5, damping * 5), 1e-4, 1e4)
        return model, rest, jnp.where(better, new, cost), damping, done, count + 1

    def unfinished(carry):
        return ~carry[4] & (carry[5] < num_steps)

    rest = residual(scene, model, size)
    cost = _cost(scene, model, rest)
    start = (model, rest, cost, jnp.asarray(0.01), jnp.asarray(False), jnp.asarray(0))
    model, rest, *_ = jax.lax.while_loop(unfinished, body, start)
    return model, rest * (scene.weight > 0)
