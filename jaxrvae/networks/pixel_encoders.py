"""Encoders that read pixels: hidden units of turned copies of standardized images."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxrvae._checks import whole
from jaxrvae._compile import compile_lightly
from jaxrvae._typing import Array, Float, Int, ndarray
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.geometry.polar import fourier_bessel, turn
from jaxrvae.geometry.pose import rotate
from jaxrvae.geometry.resample import bilinear

Shape = tuple[int, int, int]  # rows, columns, channels

LARGE = 96  # pixels along the longer side, from which the stem's stride is 4
STAGES = (1, 2)  # residual blocks on the fine grid, and on the coarse one
REACH = 3  # of the depthwise kernels, to each side
EXPANSION = 4  # of the channels inside a residual block
LAYER_SCALE = 0.1  # of a fresh block's word beside what it adds to
HEAD_DIM = 8  # channels in which the coarse grid is read, at most
HEAD_GRID = 12  # cells along each side in which it is read, at most

MAX_PLACES = 24  # along each side, where the stride is not given
FINE = 16  # pixels along the longer side, up to which that stride is 1
FINEST = 24  # pixels across a disc; where there are twice as many, they are binned
MAX_FREQUENCY = 0.25  # of kernels, cycles per pixel ...
MAX_CYCLES = 6.0  # ... and across the whole disc


class DenseTrunk(nnx.Module):
    """All pixels through dense layers."""

    def __init__(
        self, shape: Shape, hidden_dim: int, num_layers: int = 2, *, rngs: nnx.Rngs
    ):
        whole("num_layers", num_layers, 1)
        dims = (math.prod(shape), *[hidden_dim] * num_layers)
        self.layers = nnx.List(
            nnx.Linear(*pair, rngs=rngs) for pair in zip(dims, dims[1:], strict=False)
        )

    def __call__(
        self, images: Float[Array, "batch height width channel"]
    ) -> Float[Array, "batch hidden"]:
        """Units before their activation."""
        units = self.layers[0](images.reshape(images.shape[0], -1))
        for layer in list(self.layers)[1:]:
            units = layer(nnx.tanh(units))
        return units


class ConvBlock(nnx.Module):
    """A residual block: every channel's surroundings, then all channels of a place.

    Source: Liu et al. 2022 (ConvNeXt), arXiv:2201.03545, figure 4; normalized over an
    image's places and channels together, so that a place keeps its brightness.
    """

    def __init__(self, channels: int, rows: int, columns: int, *, rngs: nnx.Rngs):
        kernel = (*(2 * REACH + 1 if n > 1 else 1 for n in (rows, columns)), channels)
        scale = (kernel[0] * kernel[1]) ** -0.5
        self.kernel = nnx.Param(scale * jax.random.normal(rngs.params(), kernel))
        self.norm = nnx.GroupNorm(channels, num_groups=1, rngs=rngs)
        self.expand = nnx.Linear(channels, EXPANSION * channels, rngs=rngs)
        self.project = nnx.Linear(EXPANSION * channels, channels, rngs=rngs)
        self.scale = nnx.Param(jnp.full(channels, LAYER_SCALE))

    def __call__(
        self, units: Float[Array, "batch height width channel"]
    ) -> Float[Array, "batch height width channel"]:
        """The units and what their surroundings add to them."""
        seen = self.norm(_depthwise(units, self.kernel[...]))
        return units + self.scale[...] * self.project(nnx.gelu(self.expand(seen)))


class ConvTrunk(nnx.Module):
    """Residual convolutions on two grids, the second of half as many places a side.

    The coarse grid is then read cell by cell, in few channels: where something lies
    stays readable, which an average over places would lose.

    Args:
        width: Channels of the first grid; the second has twice as many.
    """

    def __init__(
        self, shape: Shape, hidden_dim: int, *, rngs: nnx.Rngs, width: int = 32
    ):
        *sides, channels = shape
        self.strides = 4 if max(sides) >= LARGE else 2, 2
        self.merges, self.blocks = nnx.List(), nnx.List()
        for stage, stride in enumerate(self.strides):
            inputs = channels * math.prod(stride for side in sides if side > 1)
            channels, sides = width * 2**stage, [-(-side // stride) for side in sides]
            self.merges.append(nnx.Linear(inputs, channels, rngs=rngs))
            blocks = [
                ConvBlock(channels, *sides, rngs=rngs) for _ in range(STAGES[stage])
            ]
            self.blocks.append(nnx.List(blocks))
        self.head = nnx.Linear(channels, HEAD_DIM, rngs=rngs)
        cells = math.prod(min(side, HEAD_GRID) for side in sides)
        self.out = nnx.Linear(cells * HEAD_DIM, hidden_dim, rngs=rngs)

    def __call__(
        self, images: Float[Array, "batch height width channel"]
    ) -> Float[Array, "batch hidden"]:
        """Units before their activation."""
        units = images
        for stride, merge, blocks in zip(
            self.strides, self.merges, self.blocks, strict=True
        ):
            units = merge(_tiles(units, stride))
            for block in blocks:
                units = block(units)
        down, across = (_averaging(size) for size in units.shape[1:3])
        cells = jnp.einsum("ri,sj,nijc->nrsc", down, across, self.head(units))
        return self.out(nnx.gelu(cells).reshape(images.shape[0], -1))


class PixelCopies(nnx.Module):
    """Hidden units of K turned copies of an image, all read by one trunk.

    Copy j is the image turned by -2 pi j / K about its centre, as `TurnedCopies` has
    it. Quarter turns of square images (half turns of any) are exact; others are looked
    up bilinearly, with zeros outside.

    Args:
        num_turns: K; 1 gives the image as it is.
    """

    def __init__(self, trunk: DenseTrunk | ConvTrunk, num_turns: int, shape: Shape):
        _check_turns(num_turns, shape)
        self.trunk, self.num_turns, self.shape = trunk, num_turns, shape

    def __call__(
        self, images: Float[Array, "batch height width channel"]
    ) -> Float[Array, "turn batch hidden"]:
        """Units before their activation."""
        copies = self.turned(images)
        units = self.trunk(copies.reshape(-1, *self.shape))
        return units.reshape(self.num_turns, images.shape[0], -1)

    def turned(
        self, images: Float[Array, "batch height width channel"]
    ) -> Float[Array, "turn batch height width channel"]:
        """The copies themselves."""
        quarters = 1 if self.shape[0] == self.shape[1] else 2  # in an exact turn
        looked_up, copies = {0: images}, []
        for j in range(self.num_turns):
            exact, rest = divmod(4 * j, quarters * self.num_turns)
            if rest not in looked_up:
                angle = np.pi / 2 * rest / self.num_turns
                looked_up[rest] = _turned_back(images, angle)
            copies.append(jnp.rot90(looked_up[rest], -quarters * exact, (1, 2)))
        return jnp.stack(copies)


class GroupConvolution(nnx.Module):
    """Hidden units of K turns of an image, by kernels that turn instead of it.

    Every kernel lives on a disc, in a Fourier-Bessel basis, so that its turn by
    2 pi k / K is a phase. At every place of a grid the disc's coefficients are taken
    once, by fixed filters; all kernels at all turns are then one product. In every turn
    attention picks the place: the units hold its features, the place in the turned
    image's own frame (unit lengths) and the logarithm of the attention's sum, by which
    turns can be told apart. Turns come in the order of `TurnedCopies`' copies.

    The stride sets the cost. Large images are binned where kernels see no difference.

    Args:
        kernel_size: The disc's diameter, pixels, by default the longer side; kernels
            fade towards its edge.
        width: Kernels, and channels of a place.
        stride: Pixels between places; by default 1 up to 16 pixels a side, 2 up to
            48, then such that there are at most 24 places a side.

    Source: Nasiri & Bepler 2022 (TARGET-VAE), arXiv:2210.12918; steerable kernels as in
    Weiler & Cesa 2019, arXiv:1911.08251.
    """

    def __init__(
        self,
        shape: Shape,
        num_turns: int,
        hidden_dim: int,
        *,
        rngs: nnx.Rngs,
        kernel_size: int | None = None,
        width: int = 32,
        stride: int | None = None,
    ):
        _check_turns(num_turns, shape)
        longer, self.num_turns = max(shape[:2]), num_turns
        size = longer if kernel_size is None else kernel_size
        binning = math.gcd(max(size // FINEST, 1), *(n for n in shape[:2] if n > 1))
        if stride is None:
            steps = -(-longer // (MAX_PLACES * binning))
            stride = 1 if longer <= FINE else max(2, steps * binning)
        whole("stride", stride, 1)
        whole("kernel_size", size, stride, "Places must not lie further apart.")
        self.binning = math.gcd(binning, stride)
        self.sides = tuple(max(n // self.binning, 1) for n in shape[:2])
        self.step, self.diameter = stride // self.binning, size // self.binning
        orders, _ = _disc_functions(self.diameter, *self.taps)
        size = (width, shape[2], 2 * len(orders))
        scale = (shape[2] * len(orders)) ** -0.5
        self.weight = nnx.Param(scale * jax.random.normal(rngs.params(), size))
        self.bias = nnx.Param(jnp.zeros(width))
        self.mix = nnx.Linear(width, width, rngs=rngs)
        self.score = nnx.Linear(width, 1, rngs=rngs)
        self.out = nnx.Linear(width + 3, hidden_dim, rngs=rngs)

    @property
    def num_places(self) -> tuple[int, int]:
        """Of the grid: down, across."""
        return -(-self.sides[0] // self.step), -(-self.sides[1] // self.step)

    @property
    def taps(self) -> tuple[int, int]:
        """Of the filters: down, across. Such that the grid is centred on the image."""
        size, step = self.diameter, self.step
        down, across = (
            1 if side == 1 else size + (size + side - (places - 1) * step) % 2
            for side, places in zip(self.sides, self.num_places, strict=True)
        )
        return down, across

    def __call__(
        self, images: Float[Array, "batch height width channel"]
    ) -> Float[Array, "turn batch hidden"]:
        """Units before their activation."""
        features, place, energy = self.attend(images)
        return self.out(jnp.concatenate([features, place, energy[..., None]], axis=-1))

    def attend(
        self, images: Float[Array, "batch height width channel"]
    ) -> tuple[
        Float[Array, "turn batch feature"],
        Float[Array, "turn batch 2"],
        Float[Array, "turn batch"],
    ]:
        """Of every turn: features, their place, and the log of the attention's mean.

        The place is in unit lengths, in the frame of the image turned by -2 pi k / K.
        """
        orders, _ = _disc_functions(self.diameter, *self.taps)
        angles = 2 * jnp.pi * jnp.arange(self.num_turns) / self.num_turns
        kernels = jax.vmap(
            lambda angle: turn(
                self.weight[...],
                jnp.array(orders),
                jnp.broadcast_to(angle, self.weight[...].shape[:2]),
            )
        )(angles)
        kept, points = self._places()
        units = jnp.einsum("npcr,kfcr->npkf", self.coefs(images)[:, kept], kernels)
        units = nnx.gelu(self.mix(nnx.gelu(units + self.bias[...])))
        scores = self.score(units)[..., 0]
        weights = jax.nn.softmax(scores, axis=1)
        features = jnp.einsum("npk,npkf->knf", weights, units)
        place = jnp.einsum("npk,px->knx", weights, points[kept])
        place = jax.vmap(rotate)(place, -angles)
        energy = jax.nn.logsumexp(scores, axis=1) - np.log(len(kept))
        return features, place, energy.T

    def coefs(
        self, images: Float[Array, "batch height width channel"]
    ) -> Float[Array, "batch place channel reals"]:
        """Polar coefficients of the disc about every place, zeros outside the image."""
        channels, step = images.shape[-1], self.step
        _, filters = _disc_functions(self.diameter, *self.taps)
        sizes = zip(self.sides, self.num_places, self.taps, strict=True)
        frame = [(((n - 1) * step + taps - side) // 2,) * 2 for side, n, taps in sizes]
        binned = _tiles(images, self.binning)
        binned = binned.reshape(*binned.shape[:3], -1, channels).mean(-2)
        planes = binned.transpose(0, 3, 1, 2).reshape(-1, *self.sides, 1)
        framed = jnp.pad(planes, ((0, 0), *frame, (0, 0)))
        # The frame folded into the convolution would make wide filters 20 times slower.
        framed, filters = jax.lax.optimization_barrier((framed, filters[:, :, None]))
        layout = ("NHWC", "HWIO", "NHWC")
        found = jax.lax.conv_general_dilated(
            framed, filters, (step, step), "VALID", dimension_numbers=layout
        )
        return found.reshape(len(images), channels, -1, filters.shape[-1]).swapaxes(
            1, 2
        )

    def _places(self) -> tuple[Int[ndarray, " kept"], Float[ndarray, "place 2"]]:
        """Where the places lie, unit lengths, and which of them are attended to.

        Not those in a square's corners, which no other turn of the image has.
        """
        unit = self.step * max(self.num_places) / max(self.sides)
        points = unit * _grid(*self.num_places).reshape(-1, 2)
        radius = np.linalg.norm(points, axis=-1)
        return np.flatnonzero(radius <= max(1.0, radius.min())), points


def _check_turns(num_turns: int, shape: Shape) -> None:
    whole("num_turns", num_turns, 1)
    if num_turns > 1 and min(shape[:2]) == 1:
        raise ValueError(
            f"a signal of shape {shape} has no angle: expected num_turns=1, got"
            f" {num_turns}. Give 1, or patches of two or more rows and columns."
        )


def _turned_back(
    images: Float[Array, "batch height width channel"], angle: float
) -> Float[Array, "batch height width channel"]:
    """Images turned clockwise about their centre."""
    batch, height, width, channels = images.shape
    points = rotate(jnp.asarray(_grid(height, width)), jnp.asarray(angle, jnp.float32))
    stacked = jnp.moveaxis(images, 0, 2).reshape(height, width, -1)
    found = bilinear(stacked, points)
    return jnp.moveaxis(found.reshape(height, width, batch, channels), 2, 0)


def _tiles(
    images: Float[Array, "batch height width channel"], stride: int
) -> Float[Array, "batch rows columns tile"]:
    """Square tiles side by side, each as one place; zeros complete those at the rim."""
    batch, *sides, channels = images.shape
    tile = [stride if side > 1 else 1 for side in sides]
    number = [-(-side // size) for side, size in zip(sides, tile, strict=True)]
    lack = [n * size - s for n, size, s in zip(number, tile, sides, strict=True)]
    frame = ((0, 0), *((part // 2, part - part // 2) for part in lack), (0, 0))
    split = jnp.pad(images, frame).reshape(
        batch, number[0], tile[0], number[1], tile[1], channels
    )
    return split.swapaxes(2, 3).reshape(batch, *number, -1)


def _depthwise(
    units: Float[Array, "batch height width channel"],
    kernel: Float[Array, "rows columns channel"],
) -> Float[Array, "batch height width channel"]:
    """Every channel convolved with a kernel of its own, zeros outside.

    By Fourier transforms: on a CPU five times faster than grouped convolutions, or
    more. What wraps around falls on the margin that is cut away.
    """
    sides, taps = units.shape[1:3], kernel.shape[:2]
    lengths = [
        max(side + size // 2, size) for side, size in zip(sides, taps, strict=True)
    ]
    spectrum = jnp.fft.rfft2(units.astype(jnp.float32), lengths, axes=(1, 2))
    spectrum *= jnp.fft.rfft2(kernel.astype(jnp.float32), lengths, axes=(0, 1))
    found = jnp.fft.irfft2(spectrum, lengths, axes=(1, 2)).astype(units.dtype)
    down, across = (
        slice(size // 2, size // 2 + side)
        for size, side in zip(taps, sides, strict=True)
    )
    return found[:, down, across]


def _averaging(size: int) -> Float[ndarray, "cell {size}"]:
    """Means over cells of equal length, of which there are at most `HEAD_GRID`."""
    cells = min(size, HEAD_GRID)
    edges = np.linspace(0, size, cells + 1)
    pixels = np.arange(size)
    upper = np.minimum(edges[1:, None], pixels + 1)
    lower = np.maximum(edges[:-1, None], pixels)
    overlap = np.maximum(upper - lower, 0.0)
    return (overlap * cells / size).astype(np.float32)


@functools.cache
def _grid(height: int, width: int) -> Float[ndarray, "{height} {width} 2"]:
    """Unit coordinates of the pixels, as a constant of the program being traced."""
    with jax.ensure_compile_time_eval():
        compiled = compile_lightly(pixel_grid, static_argnums=(0, 1))
        return np.asarray(compiled(height, width))


@functools.cache
def _disc_functions(
    diameter: int, rows: int, columns: int
) -> tuple[tuple[int, ...], Float[ndarray, "{rows} {columns} reals"]]:
    """Angular orders of a disc's polar functions, and filters that take coefficients.

    Scaled so that an image of unit mean square has coefficients of unit mean square.
    """
    cutoff = min(MAX_FREQUENCY, MAX_CYCLES / diameter)
    with jax.ensure_compile_time_eval():
        basis = fourier_bessel(diameter, diameter, cutoff)
        points = max(rows, columns) / diameter * _grid(rows, columns)
        values = np.asarray(compile_lightly(basis.evaluate)(jnp.asarray(points)))
    radius = np.linalg.norm(points, axis=-1) / basis.radius
    # With a sharp edge, which pixels fall inside depends on how the image lies.
    values = values * np.maximum(1 - radius**4, 0.0)[..., None] ** 2
    size = np.linalg.norm(values) * np.count_nonzero(radius < 1) ** 0.5
    return basis.orders, (basis.num_reals / size * values).astype(np.float32)
