"""The inner operations beside their alternatives: milliseconds, and how exact they are.

    python -m benchmarks.kernels          # three minutes, alone on the machine

`turn`: 256 images of 48 x 48, each turned by an angle of its own (`matrix`: 32 images
by eight fixed angles); the slope is that of the squared distance to other images.
`error`: relative, inside the disc, against images of 0.15 cycles a pixel and less whose
turned copies are known; `slope error`: against the exact one of the same lookup.
`correlate`: harmonics at 49 places of 100 images to all angles. `copies`: a layer's
units for eight turned copies of 900 images. The least of the repeats, alternatives in
turns. `used`: what the package does.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.scipy.ndimage import map_coordinates

from benchmarks._report import RESULTS, facts, table, write
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.geometry.polar import PolarBasis, fourier_bessel, turn
from jaxrvae.geometry.resample import bilinear
from jaxrvae.networks.encoders import TurnedCopies

SIDE, BATCH, TURNS, MARGIN = 48, 256, 8, 12
FREQUENCY = 0.15  # cycles a pixel
GRID = pixel_grid(SIDE, SIDE)
Images = jax.Array


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints the table and writes kernels.json and kernels.md."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    rows = [
        *turns(options.repeats),
        *correlations(options.repeats),
        *copies(options.repeats),
    ]
    device = jax.devices()[0]
    described = facts() | {"device": f"{device.platform} {device.device_kind}"}
    text = (__doc__ or "").partition("\n")[2].strip()
    path = write(options.out, "kernels", rows, described, text)
    print(table(rows), f"Written: {path}", sep="\n\n")


def points(angle: jax.Array) -> jax.Array:
    """Where the pixels of an image turned by the angle are looked up, unit lengths."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return GRID @ jnp.array([[cos, -sin], [sin, cos]])


def looked_up(images: Images, angles: jax.Array) -> Images:
    """Four gathers of single numbers; backward four scatters."""

    def one(image: jax.Array, angle: jax.Array) -> jax.Array:
        return bilinear(image[..., None], points(angle))[..., 0]

    return jax.vmap(one)(images, angles)


def mapped(images: Images, angles: jax.Array) -> Images:
    """JAX's own lookup."""

    def one(image: jax.Array, angle: jax.Array) -> jax.Array:
        place = points(angle) * SIDE / 2 + (SIDE - 1) / 2 * np.array([1, 1])
        row = (SIDE - 1) - place[..., 1]
        return map_coordinates(image, [row, place[..., 0]], order=1)

    return jax.vmap(one)(images, angles)


@jax.custom_vjp
def turned_back(images: Images, angles: jax.Array) -> Images:
    """The lookup, whose slope is taken by turning the cotangent back: no scatter."""
    return looked_up(images, angles)


turned_back.defvjp(
    lambda images, angles: (looked_up(images, angles), angles),
    lambda angles, slope: (looked_up(slope, -angles), jnp.zeros_like(angles)),
)


def sheared(images: Images, angles: jax.Array) -> Images:
    """Quarter turns, then three shears, each by phases of the rows' Fourier series.

    Source: Unser, Thevenaz & Yaroslavsky 1995, IEEE Trans. Image Process. 4, 1371.
    """
    quarter = jnp.round(angles / (np.pi / 2))
    rest = angles - quarter * np.pi / 2
    pad = ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))
    choices = [jnp.rot90(images, k, (1, 2)) for k in range(4)]
    which = quarter.astype(int)[:, None, None] % 4
    padded = jnp.pad(jnp.select([which == k for k in range(4)], choices), pad)
    number = SIDE + 2 * MARGIN
    waves = 2j * np.pi * np.fft.rfftfreq(number)
    away = np.arange(number) - (number - 1) / 2

    def shear(images: Images, amount: jax.Array) -> Images:
        phase = jnp.exp(-amount[:, None, None] * away[:, None] * waves)
        series = jnp.fft.rfft(images, axis=-1) * phase
        return jnp.fft.irfft(series, number, axis=-1)

    half, full = jnp.tan(rest / 2), -jnp.sin(rest)
    images = shear(padded, half).swapaxes(1, 2)
    images = shear(shear(images, full).swapaxes(1, 2), half)
    return images[:, MARGIN:-MARGIN, MARGIN:-MARGIN]


def by_matrix(images: Images, _: jax.Array) -> Images:
    """Fixed angles: shared products for a quarter, and quarter turns of those."""
    angles = 2 * np.pi / TURNS * np.arange(TURNS // 4)
    unit = np.eye(SIDE * SIDE, dtype=np.float32).reshape(-1, SIDE, SIDE)
    made = [looked_up(jnp.asarray(unit), jnp.full(len(unit), a)) for a in angles]
    matrices = jnp.stack([one.reshape(len(unit), -1) for one in made])
    flat = images[: BATCH // TURNS].reshape(-1, SIDE * SIDE)
    own = (flat @ matrices).reshape(-1, SIDE, SIDE)
    return jnp.concatenate([jnp.rot90(own, k, (1, 2)) for k in range(4)])


def turns(repeats: int) -> list[dict[str, Any]]:
    """The rows of `turn`."""
    basis = fourier_bessel(SIDE, SIDE, FREQUENCY)
    values = basis.evaluate(GRID).reshape(SIDE * SIDE, -1)
    orders = jnp.array(basis.orders)
    keys = jax.random.split(jax.random.key(0), 3)
    coefs = jax.random.normal(keys[0], (BATCH, values.shape[1]))
    angles = jax.random.uniform(keys[1], (BATCH,), minval=-np.pi, maxval=np.pi)
    others = jax.random.normal(keys[2], (BATCH, SIDE, SIDE))

    def rendered(coefs: jax.Array) -> Images:
        return (coefs @ values.T).reshape(-1, SIDE, SIDE)

    images, truth = rendered(coefs), rendered(turn(coefs, orders, angles))
    inside = np.hypot(*np.moveaxis(np.asarray(GRID), -1, 0)) < 0.9

    def phases(coefs: jax.Array, angles: jax.Array) -> Images:
        return rendered(turn(coefs, orders, angles))

    ways: dict[str, tuple[Callable[..., Images], jax.Array, bool]] = {
        "lookup, four gathers": (looked_up, images, True),
        "lookup, map_coordinates": (mapped, images, False),
        "lookup, slope by turning back": (turned_back, images, False),
        "three shears by FFT": (sheared, images, False),
        "matrix and quarter turns, fixed angles": (by_matrix, images, False),
        "polar basis: phases, one product": (phases, coefs, True),
    }
    programs = {}
    for name, (way, given, _) in ways.items():

        def slope(
            given: jax.Array, angles: jax.Array, way: Callable[..., Images] = way
        ) -> jax.Array:
            def loss(given: jax.Array) -> jax.Array:
                return 0.5 * jnp.square(way(given, angles) - others).sum()

            return jax.grad(loss)(given)

        programs[name] = (jax.jit(way), jax.jit(slope), (given, angles))
    seconds = in_turns(programs, repeats)
    exact = programs["lookup, four gathers"][1](images, angles)
    rows = []
    for name, (way, given, used) in ways.items():
        error = way(given, angles) - truth
        found = float(jnp.linalg.norm(error * inside) / jnp.linalg.norm(truth * inside))
        row: dict[str, Any] = {"what": "turn", "way": name, "used": used}
        row |= seconds[name] | {"error": None if way is by_matrix else found}
        if way is turned_back:
            off = programs[name][1](images, angles) - exact
            row["slope error"] = float(jnp.linalg.norm(off) / jnp.linalg.norm(exact))
        rows.append(row)
    return rows


def correlations(repeats: int) -> list[dict[str, Any]]:
    """The rows of `correlate`."""
    rows = []
    for side in (48, 128):
        highest = max(fourier_bessel(side, side, FREQUENCY).orders) + 1
        angles = max(96, 4 * highest)
        phase = np.arange(highest)[:, None] * 2 * np.pi / angles * np.arange(angles)
        waves = np.concatenate([np.cos(phase), np.sin(phase)]).astype(np.float32)
        values = jax.random.normal(jax.random.key(0), (100, 49, 2 * highest))

        def product(values: jax.Array, waves: Any = waves) -> jax.Array:
            return values @ waves

        def series(values: jax.Array, angles: int = angles) -> jax.Array:
            cos, sin = jnp.split(values, 2, axis=-1)
            doubled = cos.at[..., 0].multiply(2.0)
            return jnp.fft.irfft((doubled - 1j * sin) / 2, angles) * angles

        programs = {}
        for name, way in {"product": product, "FFT": series}.items():
            slope = jax.grad(lambda x, way=way: jnp.square(way(x)).sum())
            programs[name] = (jax.jit(way), jax.jit(slope), (values,))
        off = jnp.abs(product(values) - series(values)).max()
        assert off < 1e-3, "one correlation, computed in two ways"
        for name, found in in_turns(programs, repeats).items():
            words = f"{name}, {highest} orders, {angles} angles"
            row = {"what": "correlate", "way": words, "used": name == "product"}
            rows.append(row | found)
    return rows


def copies(repeats: int) -> list[dict[str, Any]]:
    """The rows of `copies`."""
    basis: PolarBasis = fourier_bessel(SIDE, SIDE, FREQUENCY)
    layer = TurnedCopies(basis.orders, TURNS, 128, rngs=nnx.Rngs(0))
    graph, params = nnx.split(layer)
    coefs = jax.random.normal(jax.random.key(0), (900, 2 * basis.num_coefs))
    orders = jnp.array(basis.orders)

    def folded(params: Any, coefs: jax.Array) -> jax.Array:
        return nnx.merge(graph, params)(coefs)

    def plain(params: Any, coefs: jax.Array) -> jax.Array:
        own = nnx.merge(graph, params)
        angles = -2 * np.pi / TURNS * jnp.arange(TURNS)
        turned = jax.vmap(lambda a: turn(coefs, orders, jnp.full(len(coefs), a)))
        real, imag = jnp.split(own.weight[...], 2)
        return turned(angles) @ jnp.concatenate([real, -imag]) + own.bias[...]

    programs = {}
    for name, way in {"folded by order": folded, "turned, then a layer": plain}.items():
        slope = jax.grad(lambda p, c, way=way: jnp.square(way(p, c)).sum())
        programs[name] = (jax.jit(way), jax.jit(slope), (params, coefs))
    off = jnp.abs(folded(params, coefs) - plain(params, coefs)).max()
    assert off < 1e-3, f"one layer, computed in two ways, {off} apart"
    return [
        {"what": "copies", "way": name, "used": name.startswith("folded")} | found
        for name, found in in_turns(programs, repeats).items()
    ]


def in_turns(programs: dict[str, Any], repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each, forward and with its slope, the least of all turns."""
    found: dict[str, dict[str, float]] = {name: {} for name in programs}
    for turn_number in range(repeats + 1):  # the first compiles
        for name, (way, slope, given) in programs.items():
            for column, program in (("forward, ms", way), ("and back, ms", slope)):
                start = time.perf_counter()
                jax.block_until_ready(program(*given))
                spent = 1e3 * (time.perf_counter() - start)
                if turn_number:
                    least = found[name].get(column, spent)
                    found[name][column] = min(least, spent)
    return found


if __name__ == "__main__":
    main()
