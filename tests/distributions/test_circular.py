"""Every circular distribution against SciPy, quadrature and finite differences."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.distributions import kl_divergence
from numpyro.infer import SVI, Trace_ELBO
from scipy import integrate, stats

import jaxrvae as jr
from jaxrvae.distributions import ProjectedNormal, Symmetric, VonMises, WrappedNormal
from jaxrvae.geometry.circle import wrap

DRAWS = 40_000
ANGLES = np.linspace(-np.pi, np.pi, 20_001)[:-1]


def von_mises(angle, loc, concentration):
    return stats.vonmises(concentration, loc=loc).pdf(angle)


def wrapped_normal(angle, loc, scale):
    turns = 2 * np.pi * np.arange(-40, 41)
    return stats.norm(loc, scale).pdf(np.asarray(angle)[..., None] + turns).sum(-1)


def projected_normal(angle, x, y):
    """The plane's density, integrated along every ray."""

    def along(theta):
        def density(r):
            off = (r * np.cos(theta) - x) ** 2 + (r * np.sin(theta) - y) ** 2
            return r * np.exp(-0.5 * off) / (2 * np.pi)

        return integrate.quad(density, 0, 12 + np.hypot(x, y))[0]

    return np.vectorize(along)(angle)


def symmetric(density, fold):
    """The sum of the modes of an angle that is `fold` times as narrow."""
    return lambda angle, *own: density(wrap(jnp.asarray(fold * angle)), *own)


# Each: what makes it of its parameters, the density, the parameters.
TABLE = [
    (VonMises, von_mises, (0.4, 0.0)),
    (VonMises, von_mises, (-3.0, 0.7)),
    (VonMises, von_mises, (2.0, 40.0)),
    (WrappedNormal, wrapped_normal, (3.0, 0.1)),
    (WrappedNormal, wrapped_normal, (-1.0, 1.9)),
    (WrappedNormal, wrapped_normal, (0.5, 3.0)),
    (lambda x, y: ProjectedNormal(jnp.stack([x, y])), projected_normal, (0.0, 0.0)),
    (lambda x, y: ProjectedNormal(jnp.stack([x, y])), projected_normal, (-1.5, 0.6)),
    (lambda x, y: ProjectedNormal(jnp.stack([x, y])), projected_normal, (3.0, 2.0)),
    (lambda *own: Symmetric(VonMises(*own), 3), symmetric(von_mises, 3), (0.9, 4.0)),
    (
        lambda *own: Symmetric(WrappedNormal(*own), 2),
        symmetric(wrapped_normal, 2),
        (-2.0, 0.8),
    ),
]
every = pytest.mark.parametrize(("make", "density", "own"), TABLE)


def made(make, own):
    return make(*(jnp.array(value, jnp.float32) for value in own))


def over_circle(values):
    return float(np.mean(values) * 2 * np.pi)


@every
def test_density(make, density, own):
    one = made(make, own)
    angles = np.linspace(-3.1, 3.1, 25)
    expected = density(angles, *own)
    np.testing.assert_allclose(jnp.exp(one.log_prob(angles)), expected, 3e-4, 1e-30)
    turned = one.log_prob(angles + 2 * np.pi)
    np.testing.assert_allclose(turned, one.log_prob(angles), atol=3e-4)


@every
def test_moments_and_entropy(make, density, own):
    one = made(make, own)
    height = np.asarray(one.log_prob(ANGLES), np.float64)
    moment = np.exp(height) * np.exp(1j * ANGLES)
    length = abs(over_circle(moment.real) + 1j * over_circle(moment.imag))
    assert one.variance == pytest.approx(1 - length, abs=2e-5)
    assert one.entropy() == pytest.approx(
        -over_circle(np.exp(height) * height), abs=1e-4
    )
    if length > 0.01:
        direction = np.angle(over_circle(moment.real) + 1j * over_circle(moment.imag))
        assert wrap(one.mean - direction) == pytest.approx(0, abs=1e-4)


@every
def test_draws(make, density, own):
    """Kuiper's statistic, whose origin on the circle does not matter."""
    one = made(make, own)
    draws = np.sort(one.sample(jax.random.key(0), (DRAWS,)))
    assert draws.min() >= -np.pi
    assert draws.max() < np.pi
    share = np.cumsum(np.exp(np.asarray(one.log_prob(ANGLES), np.float64)))
    below = np.interp(draws, ANGLES, share / share[-1])
    rank = np.arange(1, DRAWS + 1) / DRAWS
    kuiper = (rank - below).max() + (below - rank + 1 / DRAWS).max()
    assert kuiper * DRAWS**0.5 < 2.0  # exceeded by one in a hundred


@every
def test_slope_of_draws(make, density, own):
    """Of E cos(angle - .8), against its central difference, by quadrature."""

    def mean(*own):
        heights = density(ANGLES[::20], *own)
        return over_circle(heights * np.cos(ANGLES[::20] - 0.8))

    def drawn(own):
        draws = make(*own).rsample(jax.random.key(1), (DRAWS,))
        return jnp.cos(draws - 0.8)

    if own[1] == 0.0:  # no slope below
        own = (own[0], 0.02)
    start = jnp.array(own, jnp.float32)
    slopes = jax.jacfwd(drawn)(start)
    for i, slope in enumerate(slopes.T):
        step = np.zeros(2)
        step[i] = 0.02 * (own[i] if own[i] > 0.1 else 1)
        step[i] = min(step[i], 0.01) if own[i] == 0.02 else step[i]
        difference = mean(*(own + step)) - mean(*(own - step))
        expected = difference / (2 * step[i])
        noise = float(slope.std()) / DRAWS**0.5
        assert slope.mean() == pytest.approx(expected, abs=4 * noise + 1e-3)


@every
@pytest.mark.parametrize(
    "other",
    [
        VonMises(0.1, 2.0),
        Symmetric(WrappedNormal(0.2, 0.9), 3),
        dist.Uniform(-np.pi, np.pi),
    ],
    ids=["von_mises", "threefold", "uniform"],
)
def test_divergence(make, density, own, other):
    one = made(make, own)
    height = np.asarray(one.log_prob(ANGLES), np.float64)
    against = np.asarray(other.log_prob(jnp.asarray(ANGLES, jnp.float32)), np.float64)
    expected = over_circle(np.exp(height) * (height - against))
    assert kl_divergence(one, other) == pytest.approx(expected, rel=2e-4, abs=2e-4)


def test_divergence_of_itself_is_none_even_where_narrow():
    for one in (VonMises(1.0, 1e5), WrappedNormal(3.0, 1e-3)):
        assert kl_divergence(one, one) == pytest.approx(0, abs=1e-3)
        uniform = np.log(2 * np.pi) - 0.5 * np.log(2 * np.pi * np.e * one.variance * 2)
        assert kl_divergence(one, dist.Uniform(-np.pi, np.pi)) == pytest.approx(
            uniform, abs=1e-2
        )
    assert kl_divergence(VonMises(0.0, 1.0), dist.Uniform(-1.0, 1.0)) == jnp.inf


def test_batches_expand_and_cross_a_compiler():
    one = VonMises(jnp.zeros((3, 1)), jnp.ones(2))
    assert one.batch_shape == (3, 2)
    assert one.sample(jax.random.key(0), (5,)).shape == (5, 3, 2)
    many = Symmetric(VonMises(0.0, 3.0), 4).expand([6]).to_event(1)
    assert many.log_prob(jnp.zeros(6)).shape == ()
    through = jax.jit(lambda d: d)(Symmetric(WrappedNormal(0.3, 0.2), 5))
    assert through.fold == 5
    assert through.base.scale == pytest.approx(0.2)
    kl = kl_divergence(VonMises(jnp.zeros(4), 2.0), VonMises(0.0, 1.0))
    assert kl.shape == (4,)


def test_numpyro_finds_direction_and_concentration():
    """By SVI with an unknown both of which the guide learns through its draws."""
    seen = VonMises(1.2, 6.0).sample(jax.random.key(2), (300,))

    def model():
        loc = numpyro.sample("loc", VonMises(0.0, 0.1))
        spread = numpyro.param("spread", 1.0, constraint=dist.constraints.positive)
        numpyro.sample("seen", VonMises(loc, spread), obs=seen)

    def guide():
        concentration = numpyro.param("k", 1.0, constraint=dist.constraints.positive)
        numpyro.sample("loc", VonMises(numpyro.param("at", 0.0), concentration))

    svi = SVI(model, guide, numpyro.optim.Adam(0.05), Trace_ELBO(20))
    found = svi.run(jax.random.key(0), 1500, progress_bar=False).params
    assert found["at"] == pytest.approx(1.2, abs=0.1)
    assert found["spread"] == pytest.approx(6.0, abs=1.5)
    mean, length = float(found["at"]), 1 - VonMises(0.0, found["spread"]).variance
    # Posterior of the direction: about 300 * 6 * (I1 / I0) (seen along it).
    expected = 300 * float(found["spread"]) * float(jnp.cos(seen - mean).mean())
    assert length > 0.8
    assert found["k"] == pytest.approx(expected, rel=0.4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ProjectedNormal(jnp.zeros(3)), "(..., 2)"),
        (lambda: Symmetric(dist.Normal(), 3), "jaxrvae.distributions"),
        (lambda: Symmetric(VonMises(0.0, 1.0), 0), "whole number"),
        (lambda: VonMises(0.0, -1.0, validate_args=True), "concentration"),
    ],
)
def test_bad_parameters(make, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        make()


def test_front_door():
    assert jr.distributions.VonMises is VonMises
