import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrvae.analysis import hidden_markov
from jaxrvae.analysis.hidden_markov import Chain, draw, expect
from jaxrvae.analysis.jumps import propagate
from jaxrvae.analysis.lanes import lay_out, sort_tracks
from jaxrvae.analysis.state_labels import read_labels

K = 3


def parameters(seed):
    rng = np.random.default_rng(seed)
    step, confusion = rng.dirichlet(np.ones(K), K), rng.dirichlet(np.ones(K), K)
    return step, confusion, rng.dirichlet(np.ones(K))


def as_chain(*several):
    parts = zip(*several, strict=True)
    return Chain(*(jnp.asarray(np.stack(p, axis=-1), jnp.float32) for p in parts))


def laid_out(labels, tracks, frames):
    in_tracks = sort_tracks(np.asarray(tracks), np.asarray(frames))
    evidence, known = read_labels(np.asarray(labels), K)
    rows = in_tracks.rows
    observed, place, lane = lay_out(evidence[rows], known[rows], in_tracks)
    return observed, rows, place, lane


def enumerated(seen, step, confusion, start):
    """Sums over all ways, for labels (-1: not known) at frame after frame."""
    pairs, labelled = np.zeros((K, K)), np.zeros((K, K))
    starts, states, total = np.zeros(K), np.zeros((len(seen), K)), 0.0
    for way in itertools.product(range(K), repeat=len(seen)):
        weight = start[way[0]] * np.prod(
            [step[i, j] for i, j in itertools.pairwise(way)]
        )
        weight *= np.prod(
            [confusion[i, o] for i, o in zip(way, seen, strict=True) if o >= 0]
        )
        total += weight
        starts[way[0]] += weight
        for i, j in itertools.pairwise(way):
            pairs[i, j] += weight
        for t, (i, o) in enumerate(zip(way, seen, strict=True)):
            states[t, i] += weight
            if o >= 0:
                labelled[i, o] += weight
    return (
        np.log(total),
        pairs / total,
        labelled / total,
        starts / total,
        states / total,
    )


# (track, frame, label): a gap, labels that are not known, a track of one row
TABLE = [(7, 0, 0), (7, 1, 2), (7, 3, 1), (2, 4, 1), (2, 5, -1), (2, 6, 0), (9, 2, 2)]
DENSE = [[0, 2, -1, 1], [1, -1, 0], [2]]


def test_sums_over_all_ways():
    tracks, frames, labels = np.array(TABLE).T
    observed, rows, place, lane = laid_out(labels, tracks, frames)
    several = [parameters(seed) for seed in range(3)]
    times, log_likelihood, smoothed = expect(observed, as_chain(*several))
    for c, own in enumerate(several):
        found = [enumerated(seen, *own) for seen in DENSE]
        for value, truth in zip(
            (log_likelihood[c], *(part[..., c] for part in times)),
            (sum(f[i] for f in found) for i in range(4)),
            strict=True,
        ):
            np.testing.assert_allclose(value, truth, rtol=2e-5, atol=2e-6)
        states = {
            (2, 4): found[1][4][0],
            (7, 3): found[0][4][3],
            (9, 2): found[2][4][0],
        }
        for (track, frame), truth in states.items():
            here = (tracks[rows] == track) & (frames[rows] == frame)
            at = int(np.flatnonzero(here)[0])
            mine = np.asarray(smoothed)[place[at], :, c, lane[at]]
            np.testing.assert_allclose(mine, truth, atol=2e-6)


@pytest.mark.slow
def test_draws_come_as_often_as_expected():
    copies = 2000
    table = np.array(TABLE)
    tracks = (table[:, :1] + 10 * np.arange(copies)).T.ravel()
    labels, frames = np.tile(table[:, 2], copies), np.tile(table[:, 1], copies)
    observed, *_ = laid_out(labels, tracks, frames)
    chain = as_chain(parameters(0), parameters(1))
    expected, _, _ = expect(observed, chain)
    found = draw(observed, chain, jax.random.key(0))
    for name, most in (("pairs", 5), ("labelled", 6), ("starts", 3)):
        mean, drawn = (np.asarray(getattr(part, name)) for part in (expected, found))
        # up to `most` correlated events a copy
        error = np.sqrt(most * np.maximum(mean, 1))
        assert (np.abs(drawn - mean) < 5 * error).all(), name
        np.testing.assert_allclose(drawn.sum(), mean.sum(), rtol=1e-4)


def test_a_missing_frame_is_two_steps_at_once():
    rates = np.array([[-0.3, 0.2, 0.1], [0.1, -0.2, 0.1], [0.4, 0.1, -0.5]])
    _, confusion, start = parameters(3)
    every, *_ = laid_out([0, 1, 2], [0, 0, 0], [0, 2, 3])
    one = as_chain((propagate(rates), confusion, start))
    _, found, _ = expect(every, one)
    alpha = start * confusion[:, 0]
    for lag, label in ((2, 1), (1, 2)):
        alpha = (alpha @ propagate(rates, lag)) * confusion[:, label]
    np.testing.assert_allclose(found[0], np.log(alpha.sum()), rtol=1e-5)


def test_soft_evidence_is_a_mixture_of_labels():
    """Sums over labels, weighted by their evidence, of what each would tell."""
    rng = np.random.default_rng(6)
    own, soft = parameters(4), rng.uniform(size=(3, K))
    in_tracks = sort_tracks(np.zeros(3, int), np.arange(3))
    observed, *_ = lay_out(soft.astype(np.float32), np.ones(3, bool), in_tracks)
    times, log_likelihood, _ = expect(observed, as_chain(own))
    total, pairs, labelled = 0.0, 0.0, 0.0
    for labels in itertools.product(range(K), repeat=3):
        found = enumerated(labels, *own)
        weight = np.exp(found[0]) * np.prod(soft[range(3), labels])
        total += weight
        pairs, labelled = pairs + weight * found[1], labelled + weight * found[2]
    np.testing.assert_allclose(log_likelihood[0], np.log(total), rtol=1e-5)
    np.testing.assert_allclose(times.pairs[..., 0], pairs / total, rtol=1e-4)
    np.testing.assert_allclose(times.labelled[..., 0], labelled / total, rtol=1e-4)
    many = jnp.tile(observed.evidence, (1, 1, 500))
    parts = [jnp.tile(part, (1, 500)) for part in observed[1:]]
    number = float(parts[1].sum()) / 3
    drawn = draw(
        observed._replace(evidence=many, first=parts[0], real=parts[1], known=parts[2]),
        as_chain(own), jax.random.key(1), soft=True,
    )  # fmt: skip
    error = 5 * np.sqrt(3 * number)
    assert np.abs(drawn.labelled[..., 0] - number * labelled / total).max() < error
    assert np.abs(drawn.pairs[..., 0] - number * pairs / total).max() < error


@pytest.mark.slow
def test_sums_of_many_states_are_the_same(monkeypatch):
    tracks, frames, labels = np.array(TABLE).T
    observed, *_ = laid_out(labels, tracks, frames)
    chain = as_chain(parameters(0), parameters(1))
    written = expect(observed, chain), draw(observed, chain, jax.random.key(3))
    monkeypatch.setattr(hidden_markov, "MOST_WRITTEN", 1)
    jax.clear_caches()
    summed = expect(observed, chain), draw(observed, chain, jax.random.key(3))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), written, summed
    )


def test_long_tracks_do_not_underflow():
    number = 20_000
    labels = np.random.default_rng(0).integers(0, K, number)
    observed, *_ = laid_out(labels, np.zeros(number, int), np.arange(number))
    times, log_likelihood, smoothed = expect(observed, as_chain(parameters(5)))
    assert np.isfinite(log_likelihood).all()
    np.testing.assert_allclose(times.pairs.sum(), number - 1, rtol=1e-3)
    np.testing.assert_allclose(smoothed[:number].sum(1), 1, atol=1e-4)


@pytest.mark.parametrize("order", [[1, 2, 0], [2, 1, 0]])
def test_states_may_be_numbered_otherwise(order):
    tracks, frames, labels = np.array(TABLE).T
    order = np.array(order)
    step, confusion, start = parameters(2)
    back = np.argsort(order)
    again = np.where(labels >= 0, back[labels], -1)
    turned = (step[order][:, order], confusion[order][:, order], start[order])
    times, total, _ = expect(
        laid_out(labels, tracks, frames)[0], as_chain((step, confusion, start))
    )
    others, same, _ = expect(laid_out(again, tracks, frames)[0], as_chain(turned))
    np.testing.assert_allclose(same, total, rtol=1e-5)
    np.testing.assert_allclose(others.pairs, times.pairs[order][:, order], atol=1e-5)
