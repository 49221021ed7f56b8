import numpy as np
import pytest

from jaxrvae.analysis.symmetry import (
    angular_power,
    rotational_symmetry,
    symmetry_shares,
)


def pattern(order, turn=0.0, size=41):
    """`order` spots around a bright one."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    image = 5 * np.exp(-(x**2 + y**2) / 18)
    for angle in turn + 2 * np.pi * np.arange(order) / order:
        image += np.exp(
            -((x - 11 * np.cos(angle)) ** 2 + (y - 11 * np.sin(angle)) ** 2) / 8
        )
    return image


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_order_is_found_whatever_the_turn(order, turn):
    assert rotational_symmetry(pattern(order, turn)) == order


def test_one_spot_brighter_ends_the_symmetry():
    image = pattern(3) + 2 * pattern(1)
    assert rotational_symmetry(image) == 1


def test_noise_and_nothing_have_none():
    noise = np.random.default_rng(0).normal(size=(41, 41))
    assert rotational_symmetry(noise) == 1
    assert rotational_symmetry(np.ones((41, 41))) == 1


def test_shares_of_a_pure_wave():
    y, x = np.mgrid[-20:21, -20:21] / 20
    shares = symmetry_shares(np.real((x + 1j * y) ** 4))
    assert shares[4] == pytest.approx(1, abs=1e-2)
    assert shares[2] == pytest.approx(1, abs=1e-2)
    assert shares[3] < 1e-2


def test_power_does_not_change_with_a_quarter_turn():
    image = np.random.default_rng(1).normal(size=(24, 24))
    np.testing.assert_allclose(
        angular_power(image), angular_power(np.rot90(image)), rtol=1e-9
    )
