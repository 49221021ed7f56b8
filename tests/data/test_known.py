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
