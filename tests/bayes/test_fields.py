import numpy as np
import pytest
from scipy.special import k1

from jaxrvae import DataError
from jaxrvae.bayes import smooth_content
from jaxrvae.bayes.content import Seen
from jaxrvae.bayes.fields import _Field
from jaxrvae.bayes.mesh import ROWS, Blocks, make_mesh


def matern(positions, length):
    """Correlations of the field, of smoothness 1."""
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    scaled = np.maximum(8**0.5 * apart / length, 1e-9)
    return scaled * k1(scaled)


def drawn(rng, number, length, spread, own, side=400.0):
    positions = rng.uniform(0, side, (number, 2))
    field = spread**2 * matern(positions, length) + 1e-9 * np.eye(number)
    smooth = np.linalg.cholesky(field) @ rng.standard_normal(number)
    return positions, smooth, smooth + own * rng.standard_normal(number)


def measured(truth, noise, rng):
    value = truth + noise * rng.standard_normal(len(truth))
    return value, (value[:, None], np.full((len(truth), 1), noise))


def rms(first, second):
    return np.sqrt(np.square(first - second).mean())


@pytest.mark.parametrize("shape", [(17, 11), (9, 26)])
def test_blocks_are_the_dense_algebra(shape):
    """Solutions, determinant, and the variances at places in every square."""
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 1, (60, 2)) * np.array(shape)
    mesh = make_mesh(positions, shape[0] * shape[1], 500)
    precision, half = mesh.precision(5.0 * mesh.spacing)
    dense = precision.toarray()
    np.testing.assert_allclose(half, 0.5 * np.linalg.slogdet(dense)[1], rtol=1e-8)
    inverse = np.linalg.inv(dense)
    np.testing.assert_allclose(np.diag(inverse), 1.0, rtol=1e-6)
    blocks = Blocks(precision, ROWS * mesh.columns)
    assert blocks.half_log_det == pytest.approx(half, rel=1e-8)
    right = rng.standard_normal((mesh.size, 2))
    np.testing.assert_allclose(blocks.solve(right), inverse @ right, rtol=1e-6)
    nodes, weights = mesh.weights(positions)
    assert nodes.min() >= 0
    assert nodes.max() < mesh.size
    np.testing.assert_allclose(weights.sum(1), 1)
    pairs = inverse[nodes[:, :, None], nodes[:, None]]
    expected = np.einsum("np,npq,nq->n", weights, pairs, weights)
    np.testing.assert_allclose(blocks.variances(nodes, weights), expected, rtol=1e-6)


def test_nodes_around_a_position_give_it_back():
    rng = np.random.default_rng(1)
    for sides in ((30.0, 90.0), (90.0, 30.0)):
        positions = rng.uniform(0, 1, (50, 2)) * sides
        mesh = make_mesh(positions, 50, 500)
        row, column = np.divmod(np.arange(mesh.size), mesh.columns)
        place = np.stack([row, column] if mesh.turned else [column, row], axis=1)
        place = place * mesh.spacing + np.array(mesh.corner)
        nodes, weights = mesh.weights(positions)
        found = (place[nodes] * weights[..., None]).sum(1)
        np.testing.assert_allclose(found, positions, atol=1e-9)
        assert mesh.rows >= mesh.columns


def test_a_mesh_has_matern_correlations():
    """At its ends less so."""
    positions = np.indices((20, 20)).reshape(2, -1).T * 1.0
    mesh = make_mesh(positions, 400, 500)
    inverse = np.linalg.inv(mesh.precision(8.0)[0].toarray())
    row, column = np.divmod(np.arange(mesh.size), mesh.columns)
    nodes = np.stack([row, column], axis=1) * mesh.spacing
    inside = ((nodes > 4) & (nodes < 16)).all(1)
    expected = matern(nodes, 8.0)
    assert abs(inverse - expected)[np.ix_(inside, inside)].max() < 0.04
    assert abs(inverse - expected).max() < 0.2  # as if the length were longer there


def test_evidence_is_that_of_the_joint_normal():
    rng = np.random.default_rng(2)
    positions, _, truth = drawn(rng, 80, 40.0, 0.8, 0.2, side=100.0)
    value, _ = measured(truth, 0.5, rng)
    seen = Seen(np.full(80, 4.0), value / 0.25)
    frames = [np.arange(40), np.arange(40, 80)]
    field = _Field(make_mesh(positions, 80, 500), seen, positions, frames)
    nodes, weights = field.mesh.weights(positions)
    place = np.zeros((80, field.mesh.size))
    np.put_along_axis(place, nodes, weights, axis=1)
    found, expected = [], []
    for learned in ([40.0, 0.8, 0.2], [20.0, 0.4, 0.5]):
        found.append(field.nats(np.array(learned)))
        length, spread, own = learned
        inverse = np.linalg.inv(field.mesh.precision(length)[0].toarray())
        frame = np.arange(80) // 40
        prior = spread**2 * place @ inverse @ place.T * (frame[:, None] == frame)
        prior += 1e4 + (own**2 + 0.25) * np.eye(80)
        half = 0.5 * np.linalg.slogdet(prior)[1]
        expected.append(-half - 0.5 * value @ np.linalg.solve(prior, value))
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0], abs=0.01)


@pytest.mark.slow
def test_a_field_is_learned_and_smoothing_near_the_best():
    rng = np.random.default_rng(3)
    positions, smooth, truth = drawn(rng, 1000, 80.0, 0.8, 0.3)
    value, both = measured(truth, 0.6, rng)
    found = smooth_content(both, positions, prior_std=np.inf)
    assert found.length[0] == pytest.approx(80, rel=0.35)
    assert found.field_spread[0] == pytest.approx(0.8, rel=0.3)
    assert found.own_spread[0] == pytest.approx(0.3, abs=0.1)
    prior = 0.64 * matern(positions, 80.0) + 0.09 * np.eye(1000)
    gain = prior @ np.linalg.inv(prior + 0.36 * np.eye(1000))
    ideal = rms(gain @ value, truth)  # all being known
    assert rms(found.content[:, 0], truth) < 1.03 * ideal
    assert ideal < 0.65 * 0.6
    inside = abs(found.content[:, 0] - truth) < 1.96 * found.content_std[:, 0]
    assert 0.92 < inside.mean() < 0.98
    inside = abs(found.field[:, 0] - smooth) < 1.96 * found.field_std[:, 0]
    assert 0.88 < inside.mean() <= 1.0
    # The dense posterior at what was learned, with a level as good as flat.
    learned = found.length[0], found.field_spread[0], found.own_spread[0]
    prior = learned[1] ** 2 * matern(positions, learned[0]) + 1e4
    prior += learned[2] ** 2 * np.eye(1000)
    gain = prior @ np.linalg.inv(prior + 0.36 * np.eye(1000))
    std = np.sqrt(np.diag(prior - gain @ prior))
    assert rms(found.content[:, 0], gain @ value) < 0.15 * std.mean()
    np.testing.assert_allclose(found.content_std[:, 0], std, rtol=0.1)


def test_frames_are_apart_but_learn_together():
    """Two frames in any order; what is seen in one moves the other's level alone."""
    rng = np.random.default_rng(4)
    parts = [drawn(rng, 120, 60.0, 0.7, 0.1, side=180.0) for _ in range(2)]
    positions = np.concatenate([part[0] for part in parts])
    truth = np.concatenate([part[2] for part in parts])
    frame = np.repeat([3, 8], 120)
    value, (content, std) = measured(truth, 0.5, rng)
    mixed = rng.permutation(240)
    own = content[mixed], std[mixed]
    found = smooth_content(own, positions[mixed], frame[mixed], prior_std=np.inf)
    assert rms(found.content[:, 0], truth[mixed]) < 0.75 * rms(value, truth)
    rows = [np.flatnonzero(frame == k) for k in (3, 8)]
    mesh, learned = make_mesh(positions, 120, 500), np.array([60.0, 0.7, 0.1])
    seen = []
    for values in (value, np.where(frame == 8, value[::-1], value)):
        field = _Field(mesh, Seen(np.full(240, 4.0), 4 * values), positions, rows)
        seen.append(field.solved(learned)[1])
    np.testing.assert_array_equal(seen[0][0].of_seen, seen[1][0].of_seen)
    assert rms(seen[0][1].of_seen, seen[1][1].of_seen) > 0.1


@pytest.mark.slow
def test_twelve_thousand_atoms():
    rng = np.random.default_rng(5)
    positions = rng.uniform(0, 1000, (12_000, 2))
    truth = np.sin(positions[:, 0] / 60) * np.cos(positions[:, 1] / 90)
    value, both = measured(truth, 1.0, rng)
    found = smooth_content(both, positions, prior_std=np.inf)
    assert rms(found.field[:, 0], truth) < 0.15 * rms(value, truth)
    assert (abs(found.field[:, 0] - truth) < 1.96 * found.field_std[:, 0]).mean() > 0.9


def test_contents_that_neighbours_do_not_share_are_left_as_they_are():
    rng = np.random.default_rng(6)
    positions = rng.uniform(0, 400, (400, 2))
    truth = rng.standard_normal(400)
    value, both = measured(truth, 0.5, rng)
    found = smooth_content(both, positions, prior_std=np.inf)
    assert rms(found.content[:, 0], truth) < 1.03 * rms(value / 1.25, truth)
    assert found.own_spread[0] > 0.7


def test_bad_positions():
    both = np.zeros((12, 1)), np.full((12, 1), 0.5)
    places = np.arange(24.0).reshape(12, 2)
    with pytest.raises(DataError, match=r"positions must be \(12, 2\)"):
        smooth_content(both, places[:3])
    with pytest.raises(DataError, match="that of patch 1 is not"):
        smooth_content(both, np.where(places == 3, np.nan, places))
    with pytest.raises(DataError, match="all the same"):
        smooth_content(both, np.ones((12, 2)))
    with pytest.raises(DataError, match="10 patches at least; got 3"):
        smooth_content((both[0][:3], both[1][:3]), places[:3])
    with pytest.raises(DataError, match="frame must be one for each of the 12"):
        smooth_content(both, places, [0, 1])


def test_positions_on_a_line():
    both = np.zeros((12, 1)), np.full((12, 1), 0.5)
    line = np.stack([np.arange(12.0), np.zeros(12)], axis=1)
    assert np.isfinite(smooth_content(both, line).content_std).all()
