import dataclasses

import numpy as np
import pytest

from jaxrvae.analysis.checks import check, information, share_told
from jaxrvae.config import ModelConfig

NUMBER, BOTH = 400, ModelConfig()
RNG = np.random.default_rng(0)
WHITE = RNG.standard_normal((20, 24, 24, 1))


@pytest.fixture
def good(latents):
    content = RNG.standard_normal((NUMBER, 2))
    angle = RNG.uniform(-np.pi, np.pi, NUMBER)
    found = latents(content, angle, np.zeros(NUMBER, int))
    return dataclasses.replace(found, shift=RNG.normal(0, 1, (NUMBER, 2)))


def test_nothing_to_say_of_a_good_model(good):
    assert check(good, WHITE, BOTH) == []


def test_idle_numbers_and_collapse(good):
    idle = dataclasses.replace(
        good,
        content=good.content * [1.0, 0.0],
        content_std=np.tile([0.1, 1.0], (NUMBER, 1)),
    )
    (line,) = check(idle, WHITE, BOTH)
    assert "number 1 says less" in line
    assert "content_dim=1" in line
    nothing = dataclasses.replace(
        good, content=0 * good.content, content_std=1 + 0 * good.content
    )
    assert "posterior collapse" in check(nothing, WHITE, BOTH)[0]


def test_content_that_carries_angle_or_shift(good):
    angle = np.arctan2(good.content[:, 1], good.content[:, 0])
    carried = dataclasses.replace(good, angle=angle)
    assert "content carries the angle" in check(carried, WHITE, BOTH)[0]
    assert check(carried, WHITE, ModelConfig(pose=("shift",))) == []
    moved = dataclasses.replace(good, shift=2 * good.content)
    assert "content carries the shift" in check(moved, WHITE, BOTH)[0]
    grown = dataclasses.replace(good, scale=np.exp(0.1 * good.content[:, 0]))
    scaled = ModelConfig(pose=("rotation", "scale"))
    assert "content carries the scale" in check(grown, WHITE, scaled)[0]
    assert check(grown, WHITE, BOTH) == []


def test_angles_that_nothing_tells(good):
    vague = dataclasses.replace(good, angle_std=np.full(NUMBER, 1.0))
    assert "100 % of the patches is uncertain" in check(vague, WHITE, BOTH)[0]


def test_residual_with_structure(good):
    rows = np.mgrid[:24, :24][0][None, :, :, None] / 24
    colored = WHITE + 3 * np.sin(2 * np.pi * rows)
    assert "what the model leaves is not noise" in check(good, colored, BOTH)[0]


def test_share_told_is_that_of_a_known_relation():
    """A target of which content tells 80 %: R^2 of 10 neighbours is a little less."""
    content = RNG.standard_normal((4000, 1))
    target = np.sqrt(0.8) * content + np.sqrt(0.2) * RNG.standard_normal((4000, 1))
    np.testing.assert_allclose(share_told(content, target), 0.8, atol=0.03)
    assert share_told(content, RNG.standard_normal((4000, 1))) < 0.05
    np.testing.assert_allclose(information(0.75), np.log(2), rtol=1e-6)
