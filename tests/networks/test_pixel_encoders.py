import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import ndimage

from jaxrvae._compile import compile_lightly
from jaxrvae.geometry.grid import pixel_grid
from jaxrvae.geometry.polar import fourier_bessel
from jaxrvae.geometry.resample import bilinear
from jaxrvae.networks.encoders import TurnedCopies
from jaxrvae.networks.pixel_encoders import (
    ConvBlock,
    ConvTrunk,
    DenseTrunk,
    GroupConvolution,
    PixelCopies,
)

SQUARE, OBLONG, SIGNAL = (32, 32, 1), (13, 22, 2), (1, 40, 1)
NAMES = ["dense", "conv", "group"]


def noise(shape, number=3, seed=0):
    draws = np.random.default_rng(seed).standard_normal((number, *shape))
    return jnp.asarray(draws, jnp.float32)


def blobs(size=32, angle=0.0, shift=(0.0, 0.0)):
    """A smooth shape that is like itself at no other angle; unit lengths."""
    grid = np.asarray(pixel_grid(size, size), np.float64) - np.array(shift)
    image = np.zeros((size, size))
    turn = np.exp(1j * angle)
    for height, place in [(1.0, 0.35), (0.7, 0.3j), (0.5, -0.25 + 0.1j)]:
        x, y = np.real(turn * place), np.imag(turn * place)
        square = (grid[..., 0] - x) ** 2 + (grid[..., 1] - y) ** 2
        image += height * np.exp(-square / (2 * 0.15**2))
    return image[None, ..., None].astype(np.float32)


def built(make, *args, **options):
    """The module, its weights made by one compiled program."""
    graphs = []

    @compile_lightly
    def weights():
        graph, params = nnx.split(make(*args, rngs=nnx.Rngs(0), **options), nnx.Param)
        graphs.append(graph)
        return params

    params = weights()
    return nnx.merge(graphs[0], params)


@functools.cache
def trunk_of(name, shape):
    if name == "conv":
        return built(ConvTrunk, shape, 16, width=8)
    return built(DenseTrunk, shape, 16)


@functools.cache
def encoder(name, shape, num_turns):
    """Not to be changed: tests share it."""
    if name == "group":
        return built(GroupConvolution, shape, num_turns, 16, width=8)
    return PixelCopies(trunk_of(name, shape), num_turns, shape)


def run(module, *inputs):
    """The module's result as NumPy arrays, by one compiled program."""
    graph, params = nnx.split(module, nnx.Param)
    program = compile_lightly(lambda params, *x: nnx.merge(graph, params)(*x))
    return np.asarray(program(params, *inputs))


@pytest.mark.parametrize(
    ("name", "shape"), [("dense", SQUARE), ("conv", OBLONG), ("conv", SIGNAL)]
)
def test_trunks_take_every_shape_and_read_every_pixel(name, shape):
    graph, params = nnx.split(trunk_of(name, shape), nnx.Param)

    @compile_lightly
    def units_and_slopes(images):
        units = nnx.merge(graph, params)(images)
        slopes = jax.grad(lambda x: nnx.tanh(nnx.merge(graph, params)(x)).sum())
        return units, slopes(images)

    units, slopes = jax.device_get(units_and_slopes(noise(shape, 2)))
    assert units.shape == (2, 16)
    assert np.abs(units[0] - units[1]).max() > 0.01
    assert (np.abs(slopes) > 0).all()


@pytest.mark.parametrize("num_layers", [1, 3])
def test_dense_trunk_against_numpy(num_layers):
    trunk, images = built(DenseTrunk, (3, 4, 2), 5, num_layers), noise((3, 4, 2))
    expected = np.asarray(images).reshape(3, -1)
    for i, layer in enumerate(trunk.layers):
        expected = np.tanh(expected) if i else expected
        expected = expected @ np.asarray(layer.kernel[...])
    assert len(trunk.layers) == num_layers
    np.testing.assert_allclose(trunk(images), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 9), (1, 8)])
def test_a_block_convolves_each_channel_with_its_own_kernel(shape):
    block = built(ConvBlock, 3, *shape)
    units = noise((*shape, 3), 2)
    kernel = np.asarray(block.kernel[...])
    seen = np.zeros(units.shape, np.float32)
    for n, c in np.ndindex(2, 3):
        image = np.asarray(units[n, ..., c])
        seen[n, ..., c] = ndimage.convolve(image, kernel[..., c], mode="constant")

    @compile_lightly
    def expected(units, seen):
        mixed = block.project(nnx.gelu(block.expand(block.norm(seen))))
        return units + 0.1 * mixed

    np.testing.assert_allclose(run(block, units), expected(units, seen), atol=1e-5)


def test_conv_trunk_tells_where_a_bar_lies():
    """A linear map of the units gives the row, whatever the column."""
    trunk = trunk_of("conv", OBLONG)
    images = np.zeros((64, *OBLONG), np.float32)
    for i, (row, column) in enumerate(np.ndindex(8, 8)):
        images[i, row + 1 : row + 4, column + 3 : column + 11] = 1.0
    rows = np.repeat(np.arange(8.0), 8)
    units = np.asarray(run(trunk, jnp.asarray(images)), np.float64)
    design = np.column_stack([units, np.ones(64)])
    left = rows - design @ np.linalg.lstsq(design, rows)[0]
    assert left.var() < 0.1 * rows.var()


@pytest.mark.parametrize(
    ("name", "num_turns"),
    [("dense", 1), ("dense", 6), ("dense", 8), ("group", 8)],
)
def test_exact_turns_permute_the_copies(name, num_turns):
    """Quarter turns of square images, as far as they are turns by whole copies."""
    module, images = encoder(name, SQUARE, num_turns), noise(SQUARE)
    turns = [np.rot90(images, times, (1, 2)) for times in range(3)]
    found = run(module, jnp.asarray(np.concatenate(turns)))
    units, quarter, half = np.split(found, 3, axis=1)
    assert units.shape == (num_turns, 3, 16)
    if num_turns % 2 == 0:
        expected = np.roll(units, num_turns // 2, axis=0)
        np.testing.assert_allclose(half, expected, atol=2e-5)
    if num_turns % 4 == 0:
        expected = np.roll(units, num_turns // 4, axis=0)
        np.testing.assert_allclose(quarter, expected, atol=2e-5)
    assert np.abs(quarter - units).max() > 0.01


@pytest.mark.parametrize("name", ["dense", "group"])
def test_half_turns_of_any_image_permute_the_copies(name):
    module, images = encoder(name, OBLONG, 2), noise(OBLONG)
    both = np.concatenate([images, np.rot90(images, 2, (1, 2))])
    units, turned = np.split(run(module, jnp.asarray(both)), 2, axis=1)
    np.testing.assert_allclose(turned, units[::-1], atol=2e-5)
    assert np.abs(turned - units).max() > 0.01


@pytest.mark.parametrize(
    ("name", "num_turns"), [("dense", 6), ("dense", 8), ("group", 8)]
)
def test_other_turns_of_a_smooth_image_nearly_permute_them(name, num_turns):
    """A turn counter-clockwise by one copy moves every copy one place on."""
    module = encoder(name, SQUARE, num_turns)
    images = np.concatenate([blobs(), blobs(angle=2 * np.pi / num_turns)])
    units = run(module, jnp.asarray(images))
    before, after = units[:, 0], units[:, 1]
    error = np.abs(after - np.roll(before, 1, axis=0)).max()
    assert error < 0.05 * np.abs(after - before).max()


def test_copies_come_in_the_order_of_those_of_polar_coefficients():
    """The same linear map of the pixels, written both ways, gives the same units."""
    size, num_turns = 32, 8
    basis = fourier_bessel(size, size, 0.25)
    values = np.asarray(compile_lightly(basis.evaluate)(pixel_grid(size, size)))
    values = values.reshape(size**2, -1)
    polar = built(TurnedCopies, basis.orders, num_turns, 5)
    trunk = built(DenseTrunk, (size, size, 1), 5, 1)
    real, imag = np.split(polar.weight[...], 2)  # `TurnedCopies` multiplies
    kernel = values @ np.concatenate([real, -imag])
    trunk.layers[0].kernel[...] = jnp.asarray(kernel)
    expected = run(polar, jnp.asarray(blobs().reshape(1, -1) @ values))
    copies = PixelCopies(trunk, num_turns, (size, size, 1))
    found = run(copies, jnp.asarray(blobs()))
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=0.03 * largest)
    assert np.abs(expected - np.roll(expected, 1, axis=0)).max() > 0.3 * largest


@pytest.mark.parametrize("num_turns", [3, 8])
def test_copies_against_looking_up_every_one(num_turns):
    shape = (12, 15, 2)
    copies = PixelCopies(built(DenseTrunk, shape, 1), num_turns, shape)
    image = noise(shape, 1)
    found = compile_lightly(copies.turned)(image)
    assert found.shape == (num_turns, 1, *shape)
    grid = np.asarray(pixel_grid(*shape[:2])) @ np.array([1.0, 1.0j])
    seen = grid * np.exp(2j * np.pi * np.arange(num_turns) / num_turns)[:, None, None]
    points = jnp.asarray(np.stack([seen.real, seen.imag], -1), jnp.float32)
    expected = compile_lightly(bilinear)(image[0], points)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)


def test_kernels_of_the_group_are_turned_copies_of_one():
    """With one place amid the image, the group reads what `TurnedCopies` would."""
    shape, orders = (9, 9, 2), fourier_bessel(9, 9, 0.25).orders
    group = built(GroupConvolution, shape, 6, 4, kernel_size=9, stride=9)
    assert (group.num_places, group.taps) == ((1, 1), (9, 9))
    polar = built(TurnedCopies, orders * 2, 6, 32)
    weight = np.array(group.weight[...]).reshape(32, 2, 2, -1)  # kernel, channel, part
    weight[:, :, 1] *= -1  # conjugate: `TurnedCopies` multiplies
    weight = weight.transpose(2, 1, 3, 0).reshape(-1, 32)
    polar.weight[...] = jnp.asarray(weight)

    @compile_lightly
    def expected(images):
        coefs = group.coefs(images).reshape(3, 2, 2, -1)
        units = nnx.gelu(polar(coefs.swapaxes(1, 2).reshape(3, -1)))
        features = nnx.gelu(group.mix(units))
        return features, jnp.zeros((6, 3, 2)), group.score(features)[..., 0]

    images = noise(shape)
    found = compile_lightly(group.attend)(images)
    for first, second in zip(found, expected(images), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_the_attended_place_follows_the_image():
    """By as much as the image moves, in every copy's own frame."""
    group = built(GroupConvolution, SQUARE, 8, 4, kernel_size=9, stride=1)
    # Nearly all attention to one place, which is not on the ground.
    group.score.kernel[...] = 300.0 * jnp.abs(group.score.kernel[...])
    moved = (4.0 + 2.0j) / 16  # right and up, 4 and 2 pixels
    images = np.concatenate([blobs(), blobs(shift=(moved.real, moved.imag))])
    _, place, energy = compile_lightly(group.attend)(jnp.asarray(images))
    step = np.asarray(place[:, 1] - place[:, 0]) @ np.array([1.0, 1.0j])
    expected = moved * np.exp(-2j * np.pi * np.arange(8) / 8)
    np.testing.assert_allclose(step, expected, atol=0.02)
    np.testing.assert_allclose(energy[:, 0], energy[:, 1], rtol=0.01)


def test_places_are_centred_and_few():
    group = built(GroupConvolution, (50, 22, 1), 4, 4, width=2, kernel_size=5)
    assert (group.step, group.num_places, group.taps) == (3, (17, 8), (6, 5))
    kept, points = group._places()
    assert len(points) == 17 * 8
    np.testing.assert_allclose(points[kept].mean(0), 0.0, atol=1e-6)
    assert np.linalg.norm(points[kept], axis=-1).max() <= 1.0


def test_large_images_are_binned_to_what_the_kernels_see():
    small = built(GroupConvolution, (24, 20, 1), 1, 4, width=2, stride=6)
    large = built(GroupConvolution, (48, 40, 1), 1, 4, width=2, stride=12)
    assert (small.binning, large.binning) == (1, 2)
    images = np.asarray(noise((24, 20, 1)))
    expected = run(small, jnp.asarray(images))
    images = images.repeat(2, axis=1).repeat(2, axis=2)
    images[:, ::2] += 0.5  # evens out
    images[:, 1::2] -= 0.5
    np.testing.assert_allclose(run(large, jnp.asarray(images)), expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_and_reach_every_weight(name):
    graph, params = nnx.split(encoder(name, OBLONG, 2), nnx.Param)

    @compile_lightly
    @jax.grad
    def gradient(params, images):
        return jnp.square(nnx.tanh(nnx.merge(graph, params)(images)) - 0.5).sum()

    grads = jax.tree.leaves(gradient(params, noise(OBLONG)))
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in grads)
    grads = jax.tree.leaves(gradient(params, 0 * noise(OBLONG)))  # an even image
    assert all(np.isfinite(leaf).all() for leaf in grads)


@pytest.mark.parametrize("name", NAMES)
def test_modules_keep_parameters_and_nothing_else(name):
    module = encoder(name, OBLONG, 2)
    graph, _, rest = nnx.split(module, nnx.Param, ...)
    assert not rest
    assert hash(graph) == hash(nnx.split(module)[0])  # fit to be compiled for


def test_an_ensemble_is_one_vmap():
    graph, params = nnx.split(encoder("group", OBLONG, 2), nnx.Param)
    pair = jax.tree.map(lambda x: np.stack([0.5 * np.asarray(x), x]), params)
    images = np.asarray(noise((2, *OBLONG)))  # of each member its own

    @compile_lightly
    def each(pair):
        return jax.vmap(lambda p, x: nnx.merge(graph, p)(x))(
            pair, jnp.asarray(images[:2])
        )

    alone = run(nnx.merge(graph, params), jnp.asarray(images[1]))
    np.testing.assert_allclose(each(pair)[1], alone, atol=1e-4)


def test_a_signal_has_no_angle():
    for name in NAMES:
        with pytest.raises(ValueError, match="num_turns=1"):
            encoder(name, SIGNAL, 4)
    assert run(encoder("group", SIGNAL, 1), noise(SIGNAL)).shape == (1, 3, 16)


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="kernel_size"):
        built(GroupConvolution, SQUARE, 4, 4, kernel_size=2, stride=4)
    with pytest.raises(ValueError, match="num_layers"):
        built(DenseTrunk, SQUARE, 4, 0)
