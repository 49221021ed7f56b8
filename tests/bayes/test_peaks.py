import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.diagnostics import effective_sample_size
from scipy.special import logsumexp

from jaxrvae.bayes.nuts import _sample
from jaxrvae.bayes.peaks import Patch
from jaxrvae.models.modes import NUM_MODES

ANGLES = 0.0, 2.0  # of the peaks
SIZES = 4, 50, 1000  # chains, warm-up, draws


class TwoPeaks(Patch):
    """One content and an angle: two peaks, six apart, the wider one tilted."""

    model = types.SimpleNamespace(ticks=np.zeros(1))

    def __init__(self):
        pass

    def log_density(self, latents):
        content, angle = latents
        narrow = -0.5 * ((content + 3) / 0.25) ** 2 + 40 * (jnp.cos(angle) - 1)
        off = angle - ANGLES[1] - 0.2 * (content - 3)
        wide = -0.5 * ((content - 3) / 0.8) ** 2 + 15 * (jnp.cos(off) - 1)
        return jnp.logaddexp(narrow, wide - 0.7)


def exact_weight():
    """Of the narrow peak, by quadrature."""
    content = np.linspace(-8, 8, 1601)
    angle = np.linspace(-np.pi, np.pi, 720, endpoint=False)
    grid = jnp.stack(jnp.meshgrid(content, angle, indexing="ij"))
    nats = np.asarray(TwoPeaks().log_density(grid), np.float64)
    return np.exp(logsumexp(nats[content < 0]) - logsumexp(nats))


@pytest.mark.slow
def test_jumps_weigh_peaks_of_contents_that_no_turn_connects():
    """Two of the chains start on either peak, whose weights are not a half."""
    patch = TwoPeaks()
    for content, angle in ((-3.0, ANGLES[1]), (3.0, ANGLES[0])):
        assert patch.log_density(jnp.array([content, angle])) < -20
    drawn = jnp.array([[-3.0], [3.0], [-3.0], [3.0]])
    first = jnp.eye(NUM_MODES)[jnp.array([0, 1, 0, 1])]
    tops = jnp.zeros((NUM_MODES, 3)).at[:2, 0].set(jnp.array(ANGLES))
    each = drawn, first, jnp.broadcast_to(tops, (4, *tops.shape))
    modes = first[:2].mean(0), tops
    run = jax.jit(lambda key: _sample(patch, each, jnp.ones(1), modes, key, SIZES))
    narrow = np.asarray(run(jax.random.key(0))["content"])[..., 0] < 0
    number = effective_sample_size(narrow.astype(float))
    assert number > 200
    weight = exact_weight()
    error = (weight * (1 - weight) / number) ** 0.5
    assert 0.2 < weight < 0.35
    assert abs(narrow.mean() - weight) < 5 * error
