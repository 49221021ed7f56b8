import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.landscape import find_free_energy, known_free_energy
from jaxrvae.analysis.paths import find_paths

ENDS = np.array([[[1.0, 0.1], [-1.0, 0.1]]])
BARRIER = 2.25  # of `arc`, from its wells at sin = 1/4


def arc(z):
    """Two wells on a circle; the path between them is its upper half, exactly."""
    radius = jnp.hypot(z[0], z[1]) + 1e-9
    height = z[1] / radius
    return 4 * height**2 + 2 * (1 - height) + 0.5 * ((radius - 1) / 0.15) ** 2


def draw_arc(number, seed=0):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(-np.pi, np.pi, 30 * number)
    radius = 1 + 0.15 * rng.normal(size=angle.shape)
    height = np.sin(angle)
    keep = np.exp(1.75 - 4 * height**2 - 2 * (1 - height)) * radius / 2
    keep = rng.uniform(size=angle.shape) < keep
    points = np.stack([radius * np.cos(angle), radius * height], axis=1)[keep]
    assert len(points) >= number
    return points[:number]


@pytest.fixture(scope="module")
def known():
    return known_free_energy(arc, (-1.8, -1.5), (1.8, 1.8), 96)


@pytest.fixture(scope="module")
def sampled():
    return find_free_energy(draw_arc(20_000), num_bootstraps=20)


def off(points):
    return np.abs(np.hypot(*points.T) - 1)


@pytest.mark.slow
def test_string_lies_on_the_known_path(known):
    found = find_paths(known, np.concatenate([ENDS, ENDS[:, ::-1]]))
    assert found.converged.all()
    assert found.supported.all()
    assert off(found.points[0]).max() < 0.005 * known.spread.mean()
    np.testing.assert_allclose(found.barrier, BARRIER, atol=0.01)
    np.testing.assert_allclose(found.saddle, [[0, 1], [0, 1]], atol=0.01)
    np.testing.assert_allclose(found.points[0, 0], [np.sqrt(15) / 4, 0.25], atol=0.01)
    np.testing.assert_allclose(found.points[1], found.points[0, ::-1], atol=0.01)
    steps = np.linalg.norm(np.diff(found.points[0], axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.02)
    assert np.isnan(found.barrier_std).all()


@pytest.mark.slow
def test_string_from_contents(sampled):
    found = find_paths(sampled, ENDS)
    assert found.converged.all()
    assert found.supported.all()
    # 20 000 contents have some 200 about the saddle: 0.15 / sqrt(200), five times
    assert off(found.points[0]).max() < 0.05
    error = np.abs(found.barrier - BARRIER)
    assert (error < 4 * found.barrier_std).all()
    assert (found.barrier_interval[..., 0] < found.barrier).all()
    assert (found.barrier_interval[..., 1] > found.barrier).all()
    table = found.to_dataframe()
    assert len(table) == 1
    assert table["barrier_forward_std"][0] < 0.1


def test_barriers_differ_by_way():
    tilted = known_free_energy(
        lambda z: 5 * (z[0] ** 2 - 1) ** 2 + 1.0 * z[0] + 4 * z[1] ** 2,
        (-2.0, -1.0),
        (2.0, 1.0),
    )
    found = find_paths(tilted, np.array([[[-1.0, 0.2], [1.0, -0.1]]]))
    axis = np.linspace(-1.6, 1.6, 100_001)
    height = 5 * (axis**2 - 1) ** 2 + axis
    top = height[np.abs(axis) < 0.5].max()
    expected = [top - height[axis < 0].min(), top - height[axis > 0].min()]
    np.testing.assert_allclose(found.barrier[0], expected, atol=0.02)


@pytest.mark.slow
def test_one_and_three_dims():
    line = known_free_energy(lambda z: 4 * (z[0] ** 2 - 1) ** 2, (-2.0,), (2.0,))
    found = find_paths(line, np.array([[[-0.9], [0.8]]]))
    np.testing.assert_allclose(found.barrier[0], 4.0, atol=0.02)
    points = np.concatenate(
        [draw_arc(4000), 0.2 * np.random.default_rng(1).normal(size=(4000, 1))], axis=1
    )
    space = find_free_energy(points, num_bootstraps=2)
    found = find_paths(space, np.append(ENDS, np.zeros((1, 2, 1)), axis=2))
    assert off(found.points[0, :, :2]).max() < 0.15
    assert np.abs(found.points[0, :, 2]).max() < 0.2
    np.testing.assert_allclose(found.barrier, BARRIER, atol=0.8)


def test_ends_in_one_basin_have_no_barrier(known):
    found = find_paths(known, np.array([[[1.0, 0.1], [0.95, 0.3]]]))
    np.testing.assert_allclose(found.barrier, 0.0, atol=1e-3)


def test_a_gap_has_no_barrier_but_a_least_one():
    rng = np.random.default_rng(0)
    places = rng.normal(0, 0.2, (1000, 2))
    places[:500, 0] -= 2
    places[500:, 0] += 2
    gap = find_free_energy(places, num_bootstraps=2)
    found = find_paths(gap, np.array([[[-2.0, 0.0], [2.0, 0.0]]]))
    assert not found.supported[0]
    assert np.isnan(found.barrier).all()
    assert np.isnan(found.energy).any()
    assert (found.barrier_interval[0, :, 0] > 1).all()
    assert np.isinf(found.barrier_interval[0, :, 1]).all()


def test_too_few_steps_are_told(known):
    assert not find_paths(known, ENDS, num_steps=1).converged[0]


def test_refusals(sampled):
    with pytest.raises(ValueError, match=r"\(p, 2, 2\)"):
        find_paths(sampled, ENDS[0])
    with pytest.raises(ValueError, match=r"\(p, 2, 2\)"):
        find_paths(sampled, np.zeros((1, 2, 3)))
    with pytest.raises(DataError, match="finite ends"):
        find_paths(sampled, ENDS * np.nan)
    with pytest.raises(DataError, match="without any"):
        find_paths(sampled, ENDS + 9.0)


def test_ends_above_one_minimum_have_no_barrier():
    known = known_free_energy(
        lambda z: 4 * (z[0] ** 2 - 1) ** 2 + 8 * z[1] ** 2, (-2.0, -2.0), (2.0, 2.0)
    )
    found = find_paths(known, np.array([[[0.8, 0.1], [1.2, -0.1]]]))
    assert np.abs(found.barrier).max() < 0.01
