import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxrvae.models.known import split_guess, with_conditions
from jaxrvae.objectives.guesses import TEACHING, draw_classes, draw_conditions

GUESS = jnp.array([[0.4, -0.5], [1.0, 0.5], [-0.3, 0.2]])  # mean, raw log std
GIVEN = {"condition": jnp.array([[0.7], [jnp.nan], [jnp.nan]])}
LOGITS = jnp.array([[2.0, 0.0, -1.0], [0.0, 0.5, 0.0]])


def test_missing_conditions_are_drawn_and_known_ones_teach():
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = jax.jit(jax.vmap(lambda key: draw_conditions(GIVEN, GUESS, key)))
    found, cost = draw(keys)
    values = np.asarray(found["condition"][..., 0])
    np.testing.assert_array_equal(values[:, 0], np.float32(0.7))
    for i in (1, 2):
        mean, std = float(GUESS[i, 0]), np.exp(float(GUESS[i, 1]) - 1)
        assert abs(values[:, i].mean() - mean) < 5 * std / 4000**0.5
        kl = np.log(1 / std) + (std**2 + mean**2) / 2 - 0.5
        np.testing.assert_allclose(cost[0, i], kl, rtol=1e-4)
    surprise = -stats.norm(0.4, np.exp(-1.5)).logpdf(0.7)
    np.testing.assert_allclose(cost[0, 0], TEACHING * surprise, rtol=1e-4)


def test_read_conditions_are_given_or_guessed():
    features, found = with_conditions(GIVEN, GUESS)
    np.testing.assert_allclose(found["condition"][:, 0], [0.7, 1.0, -0.3], rtol=1e-6)
    np.testing.assert_allclose(
        found["condition_std"][:, 0], [0.0, np.exp(-0.5), np.exp(-0.8)], rtol=1e-5
    )
    assert not np.isnan(features["condition"]).any()
    plain, nothing = with_conditions({}, jnp.zeros((4, 0)))
    assert plain == {}
    assert nothing["condition"].shape == (4, 0)


def test_guess_splits_into_classes_and_conditions():
    logits, mean, log_std = split_guess(jnp.arange(14.0).reshape(2, 7), 2)
    assert logits.shape == (2, 3)
    np.testing.assert_array_equal(mean, [[3.0, 4.0], [10.0, 11.0]])
    assert log_std.shape == (2, 2)


def test_classes_are_drawn_as_likely_as_stated():
    keys = jax.random.split(jax.random.key(0), 4000)
    none = jnp.zeros(())
    drawn, cost = jax.jit(
        jax.vmap(lambda key: draw_classes({}, LOGITS, 0.3, none, key))
    )(keys)
    np.testing.assert_allclose(drawn.sum(-1), 1.0, rtol=1e-5)
    expected = np.asarray(jax.nn.softmax(LOGITS))
    for i in range(2):
        often = np.bincount(np.asarray(drawn[:, i].argmax(-1)), minlength=3) / 4000
        spread = np.sqrt(expected[i] * (1 - expected[i]) / 4000)
        assert (np.abs(often - expected[i]) < 5 * spread).all()
    kl = (expected * np.log(3 * expected)).sum(-1)
    np.testing.assert_allclose(cost[0], kl, rtol=1e-4)


def test_known_class_is_taken_and_taught():
    given = {"label": jnp.array([1, -1])}
    drawn, cost = draw_classes(given, LOGITS, 0.3, jnp.ones(()), jax.random.key(0))
    np.testing.assert_array_equal(drawn[0], [0.0, 1.0, 0.0])
    expected = np.log(3) - TEACHING * float(jax.nn.log_softmax(LOGITS[0])[1])
    np.testing.assert_allclose(cost[0], expected, rtol=1e-5)
