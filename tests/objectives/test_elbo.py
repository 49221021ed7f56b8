import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from jaxrvae.objectives.elbo import kl_normal

MEANS = jnp.array([0.0, 1.3, -2.0, 0.4])
LOG_STDS = jnp.array([0.0, -1.0, 0.7, -4.0])


@pytest.mark.parametrize("prior_std", [1.0, 0.25, 3.0])
def test_kl_against_numpyro(prior_std, strict_numerics):
    found = kl_normal(MEANS, LOG_STDS, prior_std)
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        expected = dist.kl_divergence(
            dist.Normal(MEANS, jnp.exp(LOG_STDS)), dist.Normal(0.0, prior_std)
        )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_kl_against_sampling():
    number = 20_000
    mean, std, prior_std = 0.7, 0.4, 1.5
    draws = mean + std * np.random.default_rng(0).standard_normal(number)
    ratios = stats.norm(mean, std).logpdf(draws) - stats.norm(0, prior_std).logpdf(
        draws
    )
    found = kl_normal(jnp.array(mean), jnp.log(std), prior_std)
    standard_error = float(ratios.std()) / number**0.5
    assert abs(float(found) - float(ratios.mean())) < 5 * standard_error


def test_kl_is_zero_at_the_prior_alone():
    prior_std = 0.3
    assert abs(float(kl_normal(jnp.array(0.0), jnp.log(prior_std), prior_std))) < 1e-6
    assert (np.asarray(kl_normal(MEANS[1:], LOG_STDS[1:], prior_std)) > 0.1).all()
