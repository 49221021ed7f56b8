"""Images as the fit takes them: binned, padded to few sizes, with a background."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np

from jaxrvae._typing import Float, Number
from jaxrvae.locate.gaussians import Atoms, Model, Scene, background, fit

REACH = 3.4  # sigmas from an atom's centre to the edge of its window
BINNED_WIDTH = 2.0  # sigma in pixels below which binning would lose detail
BACKGROUND_SHARE = 5.0  # knots of the background stand this many neighbours apart
WIDTH_SHARE = 0.32  # expected sigma over the distance of neighbours
WIDTH_SPREAD = 0.05  # standard deviation of its log, for the atoms' shared width
ATOM_SPREAD = 0.1  # the same for single atoms about the shared width
ASPECT_SPREAD = 0.1


@dataclasses.dataclass(frozen=True, eq=False)
class Canvas:
    """An image binned to the fit's resolution and padded to few sizes.

    Attributes:
        noise: Standard deviation of the white noise in a canvas pixel.
        bin: Image pixels along a side of a canvas pixel.
        shape: (row, col) of the canvas that hold data.
        size: Side of an atom's window, canvas pixels.
        sigma: Expected width of an atom, canvas pixels.
    """

    scene: Scene
    noise: float
    bin: int
    shape: tuple[int, int]
    size: int
    sigma: float

    def to_image(self, xy: np.ndarray) -> np.ndarray:
        """Pixel positions on the canvas as those of the image."""
        return xy * self.bin + (self.bin - 1) / 2

    def from_image(self, xy: np.ndarray) -> np.ndarray:
        """Pixel positions of the image as those on the canvas."""
        return (xy - (self.bin - 1) / 2) / self.bin

    def flat(self, level: Number) -> Model:
        """A model without atoms on a flat background."""
        knots = (self.scene.basis_y.shape[1], self.scene.basis_x.shape[1])
        return Model(
            atoms=Atoms(jnp.zeros((0, 4)), jnp.zeros(0)),
            width=self.scene.expected[0],
            aspect=jnp.zeros(()),
            knots=jnp.full(knots, level, jnp.float32),
        )

    def fit(
        self, model: Model, params: np.ndarray, num_steps: int = 40, num_inner: int = 8
    ) -> "Fitted":
        """The model with these atoms, (n, 4), fitted."""
        whole, present = padded(params)
        start = model._replace(atoms=Atoms(jnp.asarray(whole), jnp.asarray(present)))
        model, rest = fit(
            self.scene, start, size=self.size, num_steps=num_steps, num_inner=num_inner
        )
        rows, columns = self.shape
        rest = np.asarray(rest)[:rows, :columns]
        level = np.asarray(background(self.scene, model.knots))[:rows, :columns]
        image = np.asarray(self.scene.image)[:rows, :columns]
        return Fitted(
            model=model,
            params=np.asarray(model.atoms.params)[: len(params)],
            residual=rest,
            atoms_image=image - rest - level,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted model, its atoms (n, 4), and images on the canvas."""

    model: Model
    params: np.ndarray
    residual: np.ndarray
    atoms_image: np.ndarray


def make_canvas(
    image: Float[np.ndarray, "row col"], noise: Number, spacing: Number
) -> Canvas:
    """The canvas of an image: binned to two to four pixels a sigma.

    Args:
        image: Raw pixels.
        noise: Standard deviation of a pixel.
        spacing: Distance of neighbouring atoms, pixels.
    """
    sigma = WIDTH_SHARE * spacing
    step = max(1, int(sigma / BINNED_WIDTH))
    whole = np.pad(image, [(0, -side % step) for side in image.shape], mode="edge")
    rows, columns = whole.shape[0] // step, whole.shape[1] // step
    small = whole.reshape(rows, step, columns, step).mean(axis=(1, 3))
    size = 2 * bucket(REACH * sigma / step, (5, 7, 9, 11, 13, 16, 20, 25, 32, 40)) + 1
    sides = [
        bucket(max(side, size), (64, 96, 128, 192, 256, 384, 512))
        for side in (rows, columns)
    ]
    values, weight = np.zeros(sides, np.float32), np.zeros(sides, np.float32)
    values[:rows, :columns] = small
    weight[:rows, :columns] = (step / noise) ** 2
    apart = BACKGROUND_SHARE * spacing / step
    basis_y, inverse_y = splines(sides[0], rows, apart)
    basis_x, inverse_x = splines(sides[1], columns, apart)
    scene = Scene(
        image=jnp.asarray(values),
        weight=jnp.asarray(weight),
        basis_y=jnp.asarray(basis_y),
        basis_x=jnp.asarray(basis_x),
        inverse_y=jnp.asarray(inverse_y),
        inverse_x=jnp.asarray(inverse_x),
        spread=jnp.asarray(ATOM_SPREAD, jnp.float32),
        expected=jnp.asarray([math.log(sigma / step), WIDTH_SPREAD], jnp.float32),
        aspect_spread=jnp.asarray(ASPECT_SPREAD, jnp.float32),
    )
    return Canvas(scene, noise / step, step, (rows, columns), size, sigma / step)


def padded(params: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atoms filled up to one of few numbers, and 1 where they are there."""
    num = len(params)
    total = bucket(num, (64, 96, 128, 192, 256, 384, 512, 768, 1024))
    whole = np.tile(np.array([8.0, 8.0, 0.0, 0.0], np.float32), (total, 1))
    whole[:num] = params
    return whole, (np.arange(total) < num).astype(np.float32)


def bucket(size: Number, steps: tuple[int, ...]) -> int:
    """The first of the steps that is as large, beyond the last its multiples.

    >>> bucket(70, (64, 96)), bucket(100, (64, 96))
    (96, 192)
    """
    for step in steps:
        if size <= step:
            return step
    return steps[-1] * math.ceil(size / steps[-1])


def splines(length: int, used: int, apart: Number) -> tuple[np.ndarray, np.ndarray]:
    """Cubic B-splines (pixel, knot) over the used pixels, at most `apart` apart.

    Beside them the inverse of their normal matrix (knot, knot).
    """
    num = bucket(math.ceil(used / apart) + 3, (5, 8, 12, 16, 24, 32, 48, 64))
    places = (np.arange(length) + 0.5) / used * (num - 3) + 1
    u = np.abs(places[:, None] - np.arange(num))
    near = 2 / 3 - u**2 + u**3 / 2
    far = np.clip(2 - u, 0, None) ** 3 / 6
    inside = (np.arange(length) < used)[:, None]
    basis = np.where(u < 1, near, far) * inside
    inverse = np.linalg.inv(basis.T @ basis + 1e-2 * np.eye(num))
    return basis.astype(np.float32), inverse.astype(np.float32)


def maxima(
    image: Float[np.ndarray, "row col"],
    distance: Number = 1.0,
    least: Number | None = None,
) -> np.ndarray:
    """(n, 2) x, y of maxima above `least`, refined by a parabola along each axis.

    A maximum is the highest pixel of the square that reaches `distance` to all sides;
    of equals so near to each other the first one.
    """
    from scipy.ndimage import maximum_filter
    from scipy.spatial import KDTree

    reach = max(1, int(distance))
    top = image == maximum_filter(image, 2 * reach + 1, mode="nearest")
    top &= image > (image.min() if least is None else least)
    found = np.argwhere(top)
    equal = KDTree(found).query_pairs(reach, p=np.inf, output_type="ndarray")
    found = np.delete(found, _later(equal), axis=0)
    rows, columns = found.T
    x = columns + _vertex(image, rows, columns, 1)
    y = rows + _vertex(image, rows, columns, 0)
    return np.stack([x, y], axis=1)


def _later(pairs: np.ndarray) -> list[int]:
    """Those to leave out, going through the pairs from the first, so that none is left.

    >>> _later(np.array([[0, 1], [1, 2], [2, 3]]))
    [1, 3]
    """
    gone: set[int] = set()
    for first, second in sorted(map(tuple, np.sort(pairs, axis=1).tolist())):
        if first not in gone:
            gone.add(second)
    return sorted(gone)


def _vertex(
    image: np.ndarray, rows: np.ndarray, columns: np.ndarray, axis: int
) -> np.ndarray:
    """Where a parabola through a maximum and its two neighbours is highest."""
    place = [rows, columns]
    before, after = list(place), list(place)
    before[axis] = np.maximum(place[axis] - 1, 0)
    after[axis] = np.minimum(place[axis] + 1, image.shape[axis] - 1)
    low, mid, high = image[tuple(before)], image[tuple(place)], image[tuple(after)]
    bend = low - 2 * mid + high
    inside = (before[axis] < place[axis]) & (after[axis] > place[axis]) & (bend < 0)
    shift = (low - high) / (2 * np.where(inside, bend, 1.0))
    return np.where(inside, np.clip(shift, -0.5, 0.5), 0.0)


def value_at(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """The image in the pixels nearest to positions."""
    last = np.array([image.shape[1] - 1, image.shape[0] - 1])
    columns, rows = np.clip(np.rint(xy).astype(int), 0, last).T
    return image[rows, columns]
