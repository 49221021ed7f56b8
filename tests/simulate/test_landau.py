import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.simulate.landau import COERCIVE_FIELD, Landscape, evolve, free_energy

pytestmark = pytest.mark.slow  # each compiles a program of its own
WIDTH = 3.0  # of walls, pixels
STEP = 0.05  # relaxation times: small, so that theory in continuous time holds


def flat(side=64, components=1, stiffness=1.0):
    shape = (components, side, side)
    return Landscape(jnp.full(shape, stiffness), jnp.zeros(shape[1:]))


def run(start, bias, landscape, temperature=0.0, step=STEP, num_steps=20, seed=0):
    key = jax.random.key(seed)
    bias = jnp.asarray(bias, jnp.float32)
    states = evolve(start, bias, landscape, WIDTH, temperature, step, num_steps, key)
    return np.asarray(states)


def stripe(side=64, half_width=16.0):
    """Up within a vertical stripe, down elsewhere."""
    x = jnp.arange(side) - side / 2
    profile = jnp.tanh((half_width - jnp.abs(x)) / WIDTH)
    return jnp.broadcast_to(profile, (1, side, side))


def up_area(states):
    """Pixels, to a fraction of one: walls are odd about their zero."""
    return ((states[:, 0] + 1) / 2).sum((1, 2))


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_energy_falls_without_noise(components, bias):
    start = 0.3 * jax.random.normal(jax.random.key(1), (components, 64, 64))
    field = 0.1 * jax.random.normal(jax.random.key(2), (64, 64))
    landscape = flat(components=components)._replace(field=field)
    states = run(start, np.full(20, bias), landscape, step=0.5, num_steps=1)
    energies = [
        float(free_energy(state, landscape, bias, WIDTH))
        for state in [start, *map(jnp.asarray, states)]
    ]
    rounding = 1e-6 * np.abs(energies[1:])
    assert (np.diff(energies) < rounding).all()
    assert energies[-1] < energies[0]


@pytest.mark.parametrize("component", [0, 1, 2])
def test_evolution_goes_down_the_gradient_of_the_energy(component):
    waves = np.random.default_rng(0).normal(size=(3, 4, 4))
    y, x = 2 * np.pi * np.mgrid[:32, :32] / 32
    start = sum(
        waves[:, i, j, None, None] * np.cos(i * x + j * y)
        for i in range(4)
        for j in range(4)
    )
    start = jnp.asarray(0.1 * start, jnp.float32)
    landscape = flat(32, 3)._replace(field=jnp.asarray(0.1 * np.cos(x), jnp.float32))
    slope = jax.grad(free_energy)(start, landscape, 0.2, WIDTH)
    after = run(start, [0.2], landscape, step=1e-3, num_steps=1)[0]
    moved = (after - np.asarray(start)) / 1e-3
    expected = -np.asarray(slope)[component]
    np.testing.assert_allclose(
        moved[component], expected, atol=0.02 * np.abs(expected).max()
    )


def test_flat_wall_moves_at_the_speed_of_theory():
    bias = 0.3 * COERCIVE_FIELD
    low, middle, high = np.sort(np.roots([-1, 0, 1, bias]).real)
    speed = WIDTH / 2 * (low + high - 2 * middle)  # sqrt(kappa / 2), kappa = WIDTH^2/2
    states = run(stripe(), np.full(12, bias), flat())
    front = (states[:, 0] > 0).sum(2).mean(1)  # whole pixels; so count over many
    area = ((states[:, 0] - low) / (high - low)).sum((1, 2)) / 64
    grown = np.diff(area)[4:]  # one relaxation time a frame; two walls
    np.testing.assert_allclose(grown, 2 * abs(speed), rtol=0.03)
    assert front[-1] > front[0]


def test_circle_shrinks_by_its_curvature():
    y, x = np.mgrid[:96, :96] - 48.0
    disc = np.tanh((25 - np.hypot(x, y)) / WIDTH)
    states = run(jnp.asarray(disc[None], jnp.float32), np.zeros(20), flat(96))
    rate = np.diff(up_area(states))[4:]
    np.testing.assert_allclose(rate, -np.pi * WIDTH**2, rtol=0.05)  # -2 pi kappa


def test_wall_stops_where_the_double_well_is_weak():
    x = np.arange(64)
    line = np.exp(-((np.abs(x - 32) - 22) ** 2) / (2 * 3.0**2))  # at 10 and 54
    pinned = flat()._replace(stiffness=jnp.asarray(1 - 0.8 * line, jnp.float32))
    pinned = pinned._replace(
        stiffness=jnp.broadcast_to(pinned.stiffness, (1, 64, 64)).astype(jnp.float32)
    )
    bias = np.full(100, 0.1 * COERCIVE_FIELD)
    free_states = run(stripe(), bias, flat(), step=0.25)
    held_states = run(stripe(), bias, pinned, step=0.25)
    assert (free_states[-1] > 0).all()  # it has swept the whole film
    width = (held_states[:, 0] > 0).sum(2).mean(1)
    assert 30 < width[-1] < 50
    assert width[-1] == width[-20]


def test_thermal_noise_has_the_variance_of_the_linear_theory():
    side, temperature, step = 128, 1e-4, 0.2
    states = run(jnp.ones((1, side, side)), np.zeros(60), flat(side), temperature, step)
    k2 = sum(
        np.square(k)
        for k in np.meshgrid(*[2 * np.pi * np.fft.fftfreq(side)] * 2, indexing="ij")
    )
    kept = (1 + step * WIDTH**2 / 2 * k2) ** 2 - (1 - 2 * step) ** 2
    expected = (2 * temperature * step / kept).mean()
    late = states[10:, 0]
    independent = late.size / (2 * np.pi * WIDTH**2 * 2)  # one a correlation area
    error = 5 * np.sqrt(2 / independent)
    assert late.var() == pytest.approx(expected, rel=error + 0.01)


def test_same_key_same_noise():
    start = jnp.ones((1, 40, 40))  # not a multiple of a word's 32 bits
    first, again, other = (
        run(start, [0.0], flat(40), 0.01, seed=seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_in_plane_domains_stand_head_to_tail():
    """Bound charge costs: a stripe polarized along itself beats one head to head."""
    y, x = np.mgrid[:64, :64] - 32.0
    inside = np.tanh(np.sin(2 * np.pi * y / 64) * 5)
    zero = np.zeros_like(inside)
    along = jnp.asarray(np.stack([zero, inside, zero]), jnp.float32)
    across = jnp.asarray(np.stack([zero, zero, inside]), jnp.float32)
    energies = [
        float(free_energy(layers, flat(components=3), 0.0, WIDTH))
        for layers in (along, across)
    ]
    assert energies[0] < energies[1]
