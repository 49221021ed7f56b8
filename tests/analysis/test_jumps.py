import numpy as np
import pytest

from jaxrvae.analysis.jumps import (
    GammaPrior,
    draw_jumps,
    draw_rates,
    expected_jumps,
    propagate,
    redraw,
    stationary_shares,
)

RATES = np.array([[-0.5, 0.3, 0.2], [0.1, -0.1, 0.0], [0.7, 0.4, -1.1]])
PAIRS = np.array([[500, 40, 7], [30, 900, 2], [60, 50, 80]])


def test_times_add_up():
    np.testing.assert_allclose(
        propagate(RATES, 2.0), propagate(RATES) @ propagate(RATES), atol=1e-12
    )
    shares = stationary_shares(RATES)
    np.testing.assert_allclose(shares @ RATES, 0, atol=1e-12)
    np.testing.assert_allclose(shares.sum(), 1)


def test_expected_jumps_are_those_of_many_small_steps():
    number = 4000
    small = propagate(RATES, 1 / number)
    powers = [np.eye(3)]
    for _ in range(number):
        powers.append(powers[-1] @ small)
    jumps, dwell = np.zeros((3, 3)), np.zeros(3)
    weights = PAIRS / powers[-1]
    for n in range(number):
        before, after = powers[n], powers[number - 1 - n]
        jumps += (before.T @ weights @ after.T) * small
    dwell = np.diag(jumps) + (jumps.sum(1) - np.diag(jumps)) / 2
    np.fill_diagonal(jumps, 0)
    found, times = expected_jumps(RATES, PAIRS.astype(float))
    np.testing.assert_allclose(found, jumps, rtol=2e-3, atol=5e-3)  # two in a step
    np.testing.assert_allclose(times, dwell / number, rtol=2e-3)
    np.testing.assert_allclose(times.sum(), PAIRS.sum())


def test_gradient_of_the_likelihood_is_jumps_less_what_the_dwell_expects():
    def log_likelihood(rates):
        return (PAIRS * np.log(propagate(rates))).sum()

    jumps, dwell = expected_jumps(RATES, PAIRS.astype(float))
    for i, j in [(0, 1), (2, 0), (2, 1)]:
        move = np.zeros((3, 3))
        move[i, j], move[i, i] = 1e-5, -1e-5
        slope = (log_likelihood(RATES + move) - log_likelihood(RATES - move)) / 2e-5
        np.testing.assert_allclose(
            slope, jumps[i, j] / RATES[i, j] - dwell[i], rtol=1e-5
        )


@pytest.mark.parametrize("bound", [1.5, 6.0])
def test_drawn_jumps_come_as_often_as_expected(bound):
    rng = np.random.default_rng(0)
    number = 2000
    many = np.broadcast_to(PAIRS, (number, 3, 3))
    jumps, stays = draw_jumps(np.broadcast_to(RATES, many.shape), bound, many, rng)
    expected, dwell = expected_jumps(RATES, PAIRS.astype(float))
    error = jumps.std(0) / np.sqrt(number)
    assert (np.abs(jumps.mean(0) - expected) <= 5 * error).all()
    # in a given dwell time come events of rate bound, less the rate out
    events = (bound + np.diag(RATES)) * dwell
    assert (np.abs(stays.mean(0) - events) < 5 * stays.std(0) / np.sqrt(number)).all()
    balance = jumps.sum(2) - jumps.sum(1)
    assert (balance == PAIRS.sum(1) - PAIRS.sum(0)).all()


def test_drawn_rates_have_the_moments_of_their_density():
    rng = np.random.default_rng(1)
    bound, before = 3.0, 0.5
    jumps = np.array([[0, 4, 0], [9, 0, 2], [0, 0, 0]])
    stays = np.array([20, 300, 0])
    allowed = np.array([[0, 1, 1], [1, 0, 1], [1, 0, 0]], bool)
    number = 20_000
    rates = draw_rates(
        np.tile(jumps, (number, 1, 1)), np.tile(stays, (number, 1)), bound, allowed,
        before, rng,
    )  # fmt: skip
    np.testing.assert_allclose(rates.sum(2), 0, atol=1e-12)
    assert (rates[:, ~allowed & ~np.eye(3, dtype=bool)] == 0).all()
    share = (np.arange(200_000) + 0.5) / 200_000
    for i in range(3):
        shape = (jumps[i] + before)[allowed[i]].sum()
        log_density = (shape - 1) * np.log(share) + stays[i] * np.log1p(-share)
        density = np.exp(log_density - log_density.max())
        mean = bound * (share * density).sum() / density.sum()
        out = -rates[:, i, i]
        assert abs(out.mean() - mean) < 5 * out.std() / np.sqrt(number)
    parts = (jumps[1] + before)[[0, 2]]
    share = rates[:, 1, 0] / -rates[:, 1, 1]
    assert abs(share.mean() - parts[0] / parts.sum()) < 5 * share.std() / number**0.5


def test_without_data_the_prior_is_drawn():
    """Of a state that is never seen."""
    from scipy.stats import gamma

    rng, prior, bound, k = np.random.default_rng(5), GammaPrior(), 10.0, 8
    allowed = ~np.eye(k, dtype=bool)
    rates, kept = np.tile((allowed - 7 * np.eye(k)) / 4, (200, 1, 1)), []
    for sweep in range(60):
        rates, _ = redraw(rates, bound, np.zeros_like(rates, int), allowed, prior, rng)
        if sweep >= 10 and sweep % 5 == 0:
            kept.append(-np.diagonal(rates, axis1=1, axis2=2))
    out = np.concatenate(kept).ravel()
    total = gamma(7 * prior.shape, scale=1 / prior.time)  # a sum of seven
    below = np.mean(out < total.median())
    assert abs(below - 0.5 / total.cdf(bound)) < 5 * np.sqrt(0.25 / len(out))


@pytest.mark.slow
def test_rates_are_drawn_from_their_posterior():
    """Rates drawn of the prior, then pairs: their ranks among draws are uniform."""
    rng = np.random.default_rng(2)
    prior, bound, k, tries, thin = GammaPrior(), 6.0, 3, 200, 5
    allowed = ~np.eye(k, dtype=bool)
    truth = rng.gamma(prior.shape, 1 / prior.time, (tries, k, k)) * allowed
    truth *= np.minimum(1, 5 / truth.sum(-1))[..., None]  # 1 in 150
    truth -= truth.sum(-1)[..., None] * np.eye(k)
    pairs = rng.multinomial(60, propagate(truth))
    rates, ranks = truth, np.zeros((tries, k, k))
    for sweep in range(20 + 49 * thin):
        rates, _ = redraw(rates, bound, pairs, allowed, prior, rng)
        if sweep >= 20 and sweep % thin == 0:
            ranks += rates < truth
    assert ranks.max() <= 49
    for i, j in zip(*np.nonzero(allowed), strict=True):
        seen = np.histogram(ranks[:, i, j], 5, (-0.5, 49.5))[0]
        assert np.square(seen - tries / 5).sum() / (tries / 5) < 25, (
            seen
        )  # chi2, 4 degrees: 5e-5
