import numpy as np
import pytest

from jaxrvae.data.known import Known, learn_known

CONDITIONS = np.array([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]])


def test_conditions_are_standardized_as_those_fitted_with():
    known = learn_known(1, CONDITIONS, 3)
    assert known.condition_dim == 2
    found = known.arrays(None, CONDITIONS, 3)["condition"]
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(0), [1, 0], atol=1e-6)  # the second is flat
    other = known.arrays(None, CONDITIONS[:1], 1)["condition"]
    np.testing.assert_allclose(other, found[:1])


def test_one_number_a_patch_may_come_flat():
    known = learn_known(1, [1.0, 2.0, 3.0], 3)
    assert known.arrays(None, [1.0, 2.0], 2)["condition"].shape == (2, 1)


def test_inputs_hold_content_class_and_condition():
    known, content = learn_known(3, CONDITIONS, 3), np.ones((2, 4))
    found = known.inputs(content, [2, 0], [3.0, 5.0])
    expected = [[1, 1, 1, 1, 0, 0, 1, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(known.inputs(content, None, None)[1], found[1])
    np.testing.assert_array_equal(Known().inputs(content, None, None), content)


def test_nothing_known_is_nothing_to_read():
    assert Known().arrays(None, None, 5) == {}
    label = Known(2).arrays([0, -1], None, 2)["label"]
    assert label.dtype == np.int32


@pytest.mark.parametrize("number", [0, 1])
def test_conditions_must_be_those_fitted_with(number):
    given = None if number == 0 else np.zeros((3, 1))
    with pytest.raises(ValueError, match=f"with 2 conditions an image; got {number}"):
        learn_known(1, CONDITIONS, 3).arrays(None, given, 3)


@pytest.mark.parametrize(
    ("spectra", "message"),
    [
        (np.zeros((2, 4)), r"must be \(3, values\); got \(2, 4\)"),
        (np.zeros(3), r"must be \(3, values\)"),
        (np.full((3, 4), np.nan), "must be finite"),
    ],
)
def test_spectra_that_do_not_fit_are_refused(spectra, message):
    with pytest.raises(ValueError, match=message):
        learn_known(1, None, 3, spectra)


def test_spectra_go_there_and_back():
    with pytest.raises(ValueError, match="fitted without spectra"):
        Known().need_spectra()
    spectra = np.random.default_rng(0).normal(5, 2, (6, 4)).astype(np.float32)
    known = learn_known(1, None, 6, spectra)
    standard = known.standard_spectra(spectra, 6)
    np.testing.assert_allclose(standard.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(known.recorded_spectra(standard), spectra, rtol=1e-5)


def test_conditions_may_be_missing_where_they_were_when_fitted():
    known = learn_known(1, [1.0, np.nan, 3.0], 3)
    assert known.inferred
    found = known.arrays(None, None, 2)["condition"]
    assert np.isnan(found).all()
    mean, std = known.recorded_conditions(np.array([[0.0]]), np.array([[1.0]]))
    np.testing.assert_allclose([mean[0, 0], std[0, 0]], [2.0, 1.0], rtol=1e-6)
    with pytest.raises(ValueError, match="cannot infer those"):
        learn_known(1, [1.0, 2.0, 3.0], 3).arrays(None, [np.nan, 1.0, 1.0], 3)


CLASSES_AND_NUMBERS = Known(3, (0.0, 1.0), (1.0, 2.0))


@pytest.mark.parametrize(
    ("known", "label", "condition", "message"),
    [
        (CLASSES_AND_NUMBERS, -1, None, "labels must lie in 0 ... 2; got -1"),
        (CLASSES_AND_NUMBERS, 3, None, "labels must lie in 0 ... 2"),
        (CLASSES_AND_NUMBERS, 1.0, None, "whole numbers"),
        (CLASSES_AND_NUMBERS, np.zeros(5, int), None, "labels must be 4 whole"),
        (CLASSES_AND_NUMBERS, 1, np.zeros(3), "condition must be 2 numbers"),
        (CLASSES_AND_NUMBERS, 1, np.array([0.0, np.nan]), "must be finite"),
        (Known(), 1, None, "no classes"),
        (Known(), None, 0.5, "fitted without conditions"),
    ],
)
def test_what_the_decoder_cannot_take_is_refused(known, label, condition, message):
    with pytest.raises(ValueError, match=message):
        known.inputs(np.zeros((4, 2)), label, condition)
