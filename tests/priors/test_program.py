import re

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from flax import nnx
from scipy import stats

from jaxrvae.config import ModelConfig, from_mapping, to_mapping
from jaxrvae.config.choices import described
from jaxrvae.distributions import VonMises
from jaxrvae.models.build import check_program
from jaxrvae.priors.named import horseshoe, stick_breaking
from jaxrvae.priors.program import ProgramPrior, as_function, study

CONTENT = jnp.array([[0.3, -1.0], [2.0, 0.5], [-0.7, 0.1]])
MEANS = jnp.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
SHARES = np.array([0.5, 0.3, 0.2])


def mixture():
    which = numpyro.sample("class", dist.Categorical(jnp.array(SHARES)))
    content = numpyro.sample("content", dist.Normal(MEANS[which], 0.7).to_event(1))
    numpyro.sample("angle", VonMises(content[0] + which, 3.0))
    numpyro.sample("shift", dist.Normal(jnp.zeros(2), 1.5).to_event(1))


def scaled():
    spread = numpyro.sample("spread", dist.HalfNormal(2.0))
    level = numpyro.param("level", 0.3, constraint=dist.constraints.positive)
    numpyro.sample("content", dist.Normal(level * jnp.ones(2), spread).to_event(1))


def normal():
    numpyro.sample("content", dist.Normal(jnp.zeros(2), 1.0).to_event(1))


def made(prior, content_dim=2):
    sites = study(prior, content_dim)
    return ProgramPrior(as_function(prior), sites, rngs=nnx.Rngs(0))


def test_sites_of_a_function():
    sites = study(mixture, 2)
    assert sites.num_classes == 3
    assert sites.free == ("angle", "shift")
    assert sites.varying == ("angle",)
    sites = study(scaled, 2)
    assert (sites.params, sites.shared) == (("level",), ("spread",))


def test_densities_are_those_of_scipy():
    program = made(mixture).at_medians()
    each = [stats.norm(mean, 0.7).logpdf(CONTENT).sum(1) for mean in np.asarray(MEANS)]
    joint = np.stack(each, axis=1) + np.log(SHARES)
    np.testing.assert_allclose(program.log_joint(CONTENT), joint, atol=1e-4)
    whole = np.logaddexp.reduce(joint, axis=1)
    np.testing.assert_allclose(program.log_prob(CONTENT), whole, atol=1e-4)
    share = program.log_share(CONTENT)
    np.testing.assert_allclose(share, joint - whole[:, None], atol=1e-4)
    angles = jnp.linspace(-3, 3, 5)
    found = program.log_angle(CONTENT, angles)
    for i, j in np.ndindex(3, 3):
        law = stats.vonmises(3.0, loc=float(CONTENT[i, 0]) + j)
        expected = law.logpdf(angles) + np.log(2 * np.pi)
        np.testing.assert_allclose(found[i, j], expected, atol=1e-4)
    places = jnp.array([[0.0, 0.0], [1.0, -2.0], [3.0, 0.0]])
    height = np.exp(-0.5 * np.square(places).sum(1) / 1.5**2)
    expected = np.log(height / height.mean())
    np.testing.assert_allclose(program.log_place(CONTENT, places)[1, 2], expected, 1e-4)


def test_a_distribution_is_one_of_the_content():
    program = made(dist.Normal(jnp.zeros(2), jnp.array([1.0, 3.0]))).at_medians()
    expected = stats.norm(0, [1, 3]).logpdf(CONTENT).sum(1)
    np.testing.assert_allclose(program.log_prob(CONTENT), expected, atol=1e-5)
    draws = program.sample(jax.random.key(0), 4000)["content"]
    np.testing.assert_allclose(draws.std(0), [1.0, 3.0], rtol=0.05)


def test_draws_hold_together():
    drawn = made(mixture).at_medians().sample(jax.random.key(1), 3000)
    share = np.bincount(drawn["class"], minlength=3) / 3000
    np.testing.assert_allclose(share, SHARES, atol=0.03)
    for which in range(3):
        mean = drawn["content"][drawn["class"] == which].mean(0)
        np.testing.assert_allclose(mean, MEANS[which], atol=0.1)
    off = jnp.cos(drawn["angle"] - drawn["content"][:, 0] - drawn["class"])
    length = 1 - float(VonMises(0.0, 3.0).variance)
    assert off.mean() == pytest.approx(length, abs=0.02)


def test_shared_entries_start_at_a_median_or_apart():
    together = np.asarray(made(horseshoe(6), 6).means["each"])
    assert np.ptp(together) < 2  # medians of 16 logarithms, whose std is 1.6
    middles = np.asarray(made(stick_breaking(2)).means["middles"])
    assert middles.std() > 1.0  # 24 draws of Normal(0, 2); a median of 16 has .6


def test_posterior_of_what_is_shared():
    """From contents themselves: the spread's posterior is known by quadrature."""
    seen = 1.3 * jax.random.normal(jax.random.key(3), (30, 2))
    prior = made(scaled)
    graph, params = nnx.split(prior, nnx.Param)

    def step(params, key):
        def loss(params):
            program, divergence = nnx.merge(graph, params).drawn(key)
            return divergence - program.log_prob(seen).sum()

        slope = jax.grad(loss)(params)
        moved = jax.tree.map(
            lambda p, g: p - 3e-3 * jnp.clip(g, -20, 20), params, slope
        )
        return moved, moved

    keys = jax.random.split(jax.random.key(0), 3000)
    passed = jax.jit(lambda p: jax.lax.scan(step, p, keys)[1])(params)
    params = jax.tree.map(lambda v: v[1000:].mean(0), passed)
    found = nnx.merge(graph, params)
    mean, std = found.means["spread"][...], jnp.exp(found.log_stds["spread"][...])
    level = float(jnp.exp(found.params["level"][...]))
    grid = np.linspace(-0.5, 1, 3001)  # of the log of the spread
    height = stats.halfnorm(scale=2).logpdf(np.exp(grid)) + grid
    for value in np.asarray(seen).ravel():
        height += stats.norm(level, np.exp(grid)).logpdf(value)
    weight = np.exp(height - height.max())
    weight /= weight.sum()
    exact = (weight * grid).sum()
    assert mean == pytest.approx(exact, abs=0.05)
    exact_std = ((weight * (grid - exact) ** 2).sum()) ** 0.5
    assert std == pytest.approx(exact_std, rel=0.3)


def wrong_name():
    numpyro.sample("z", dist.Normal(jnp.zeros(2), 1.0).to_event(1))


def improper():
    normal()
    numpyro.sample("angle", dist.ImproperUniform(dist.constraints.real, (), ()))


def own_noise():
    content = numpyro.sample("content", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
    numpyro.sample("more", dist.Normal(content[0], 1.0))


def turned_content():
    angle = numpyro.sample("angle", VonMises(0.0, 1.0))
    numpyro.sample("content", dist.Normal(angle * jnp.ones(2), 1.0).to_event(1))


def second_class():
    normal()
    numpyro.sample("phase", dist.Categorical(jnp.ones(2) / 2))


def observed():
    normal()
    numpyro.sample("seen", dist.Normal(0.0, 1.0), obs=1.0)


def continuous_class():
    normal()
    numpyro.sample("class", dist.Normal(0.0, 1.0))


def flat_shift():
    normal()
    numpyro.sample("shift", dist.Normal(0.0, 1.0))


@pytest.mark.parametrize(
    ("prior", "num_classes", "words"),
    [
        (wrong_name, 1, "no sample site 'content'; it has z. Add numpyro.sample('con"),
        (lambda size: None, 1, "must run without arguments; got TypeError"),
        (dist.Normal(0.0, jnp.ones(3)), 1, "'content' has shape (3,); it must be (2,)"),
        (improper, 1, "'angle' of shape () is improper"),
        (own_noise, 1, "'more' depends on 'content'"),
        (turned_content, 1, "'content' depends on 'angle'"),
        (second_class, 1, "'phase', shape (), is discrete; only 'class' is summed"),
        (observed, 1, "'seen' is observed"),
        (continuous_class, 1, "'class', shape (), is not discrete"),
        (flat_shift, 1, "'shift' has shape (); it must be (2,)"),
        (mixture, 4, "'class' has 3 classes; num_classes=4"),
    ],
)
def test_bad_functions(prior, num_classes, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        study(prior, 2, num_classes)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pose": ("shift",), "decoder": "affine"}, "'angle' needs 'rotation' in pose"),
        ({"angle_prior": {"std": 1.0}}, "'angle' beside a angle_prior"),
        ({"decoder": "affine"}, "'shift' is read by decoder='steerable'"),
        ({"likelihood": "poisson", "decoder": "steerable"}, "likelihood='gaussian'"),
    ],
)
def test_what_does_not_go_together(settings, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        check_program(ModelConfig(prior=mixture, **settings))


def test_files_name_the_function():
    plain = to_mapping(ModelConfig(prior=mixture))["prior"]
    assert plain == described(mixture)
    assert plain["of"].startswith(f"{__name__}.mixture:")
    with pytest.raises(ValueError, match="Hand it in"):
        from_mapping(ModelConfig, {"prior": plain})
    assert described(normal) != described(scaled)
    assert described(dist.Normal(0.0, 1.0)) != described(dist.Normal(0.0, 2.0))
