import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrvae.geometry.circle import angle_grid
from jaxrvae.models.pose_query import (
    PoseQuery,
    angle_density,
    draw_angle,
    log_density_of_angle,
)

FAMILIES = ("enumerated", "gaussian", "von_mises", "projected_normal")


def query(family, angle, log_std, logits=0.0):
    shape = (1, len(angle))
    none = jnp.zeros(shape)
    return PoseQuery(
        jnp.broadcast_to(jnp.asarray(logits, jnp.float32), shape),
        none,
        jnp.asarray([angle], jnp.float32),
        jnp.broadcast_to(jnp.asarray(log_std, jnp.float32), shape),
        jnp.zeros((*shape, 2)),
        jnp.zeros((*shape, 2)),
        none,
        none,
        jnp.zeros((1, 2)),
        jnp.zeros((1, 2)),
        jnp.zeros((1, 0)),
        family,
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("log_std", [-6.0, -1.5, 0.3])
def test_density_on_the_grid_sums_to_one(family, log_std):
    angles = jnp.asarray(angle_grid(96), jnp.float32)
    two = family == "enumerated"
    given = query(family, [3.0, -1.0] if two else [3.0], log_std)
    density = np.asarray(jax.jit(angle_density)(given, angles)[0])
    tolerance = 0.02 if two and log_std > 0 else 1e-3  # the copies are not wrapped
    np.testing.assert_allclose(density.sum() * 2 * np.pi / 96, 1.0, atol=tolerance)
    if log_std < 0:  # two wide copies have their top between them
        highest = float(angles[int(density.argmax())])
        assert min(abs(highest - a) for a in (3.0, -1.0)) < 0.05


def test_copies_weigh_in_the_density_as_they_are_likely():
    angles = jnp.asarray(angle_grid(96), jnp.float32)
    given = query("enumerated", [1.0, -2.0], -2.0, jnp.log(jnp.array([0.8, 0.2])))
    density = np.asarray(angle_density(given, angles)[0])
    share = density[np.abs(angle_grid(96) - 1.0) < 0.8].sum() / density.sum()
    np.testing.assert_allclose(share, 0.8, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_draws_follow_the_density_stated(family):
    """Mean of the log density over 4000 draws: minus the entropy, to five errors."""
    given = query(family, [0.5], -1.0)

    @jax.jit
    @jax.vmap
    def draw(key):
        angle = draw_angle(given, key)
        return angle, log_density_of_angle(given, angle)

    angle, height = draw(jax.random.split(jax.random.key(0), 4000))
    wave = np.exp(1j * np.asarray(angle)).mean()
    assert abs(np.angle(wave) - 0.5) < 5 * np.exp(-1.0) / 4000**0.5
    grid = np.linspace(-np.pi, np.pi, 4001)
    each = np.asarray(
        jax.vmap(lambda a: log_density_of_angle(given, a[None, None]))(
            jnp.asarray(grid, jnp.float32)
        )
    ).ravel()
    entropy = -np.trapezoid(np.exp(each) * each, grid)
    error = 5 * np.std(height) / 4000**0.5
    np.testing.assert_allclose(-np.mean(height), entropy, atol=error)


def test_von_mises_and_gaussian_agree_where_they_are_narrow():
    angle = jnp.array([[0.02]])
    expected = stats.norm(0.0, np.exp(-4.0)).logpdf(0.02)
    for family in ("gaussian", "von_mises"):
        found = log_density_of_angle(query(family, [0.0], -4.0), angle)
        np.testing.assert_allclose(found[0, 0], expected, atol=2e-3)


def test_a_wide_gaussian_is_uniform_on_the_circle():
    """On the line its entropy would grow without end, and the bound with it."""
    angle = jnp.array([[2.0]])
    for log_std in (1.0, 2.0):
        found = log_density_of_angle(query("gaussian", [-3.0], log_std), angle)
        np.testing.assert_allclose(found[0, 0], -np.log(2 * np.pi), atol=0.06)


def test_likeliest_copies_keep_what_is_theirs():
    own = query("enumerated", [0.1, 0.2, 0.3], -1.0, [1.0, 3.0, 2.0])
    found = own.likeliest(2)
    np.testing.assert_array_equal(found.logits, [[3.0, 2.0]])
    np.testing.assert_array_equal(found.angle, own.angle[:, 1:])
    assert found.shift.shape == (1, 2, 2)
    np.testing.assert_allclose(jnp.exp(found.log_weights).sum(), 1.0, rtol=1e-6)
    assert own.likeliest(3) is own
