import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp

from jaxrvae.models.known import (
    class_probabilities,
    join_classes,
    known_numbers,
    of_every_class,
)

LABEL = jnp.array([2, -1, 0])
CONDITION = jnp.array([[0.5], [1.5], [2.5]])
OF_CLASS = jnp.asarray(np.random.default_rng(0).normal(0, 3, (3, 3)), jnp.float32)


def test_nothing_known_is_no_column():
    assert known_numbers({}, 1, 4).shape == (4, 0)


def test_encoder_reads_label_and_condition_and_none_for_the_unknown():
    found = known_numbers({"label": LABEL, "condition": CONDITION}, 3, 3)
    expected = [[0, 0, 1, 0.5], [0, 0, 0, 1.5], [1, 0, 0, 2.5]]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(known_numbers({}, 3, 2), np.zeros((2, 3)))


def test_decoder_gets_every_class_in_turn():
    content = jnp.arange(6.0).reshape(3, 2)
    found = of_every_class({"condition": CONDITION}, 3, content)
    assert found.shape == (3, 3, 6)
    for cls in range(3):
        np.testing.assert_array_equal(found[cls, :, :2], content)
        np.testing.assert_array_equal(found[cls, :, 2:5], np.eye(3)[[cls] * 3])
        np.testing.assert_array_equal(found[cls, :, 5:], CONDITION)
    np.testing.assert_array_equal(of_every_class({}, 1, content)[0], content)


def test_class_is_summed_out_unless_it_is_known():
    total = logsumexp(np.asarray(OF_CLASS, float), axis=0) - np.log(3)
    np.testing.assert_allclose(join_classes({}, OF_CLASS), total, rtol=1e-5)
    found = join_classes({"label": LABEL}, OF_CLASS)
    expected = [OF_CLASS[2, 0] - np.log(3), total[1], OF_CLASS[0, 2] - np.log(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_probabilities_are_bayes_or_certain():
    found = class_probabilities({"label": LABEL}, OF_CLASS)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found[0], [0, 0, 1])
    odds = np.exp(np.asarray(OF_CLASS[:, 1], float))
    np.testing.assert_allclose(found[1], odds / odds.sum(), rtol=1e-4)
