import dataclasses

import numpy as np
import pytest

from jaxrvae.analysis.agreement import align, consensus, most_agreed

NUMBER = 300


def wrap(angle):
    return (angle + np.pi) % (2 * np.pi) - np.pi


@pytest.fixture
def reference(latents):
    rng = np.random.default_rng(0)
    content = rng.standard_normal((NUMBER, 2))
    angle, cls = rng.uniform(-np.pi, np.pi, NUMBER), rng.integers(0, 3, NUMBER)
    return latents(content, angle, cls)


@pytest.fixture
def seen_otherwise(latents):
    def seen(reference, symmetry=1, noise=0.0):
        """The same, mirrored and turned, classes renamed, angles from elsewhere."""
        turn, rng = np.array([[0.6, 0.8], [0.8, -0.6]]), np.random.default_rng(1)
        offset = 1.0 + 0.5 * reference.content[:, 0]
        noise = noise * rng.standard_normal(NUMBER)
        cls = np.array([2, 0, 1])[reference.class_probabilities.argmax(1)]
        angle = wrap(reference.angle + offset + noise)
        return latents(reference.content @ turn + 3.0, angle, cls, symmetry=symmetry)

    return seen


def test_alignment_undoes_mirror_names_and_zeros(reference, seen_otherwise):
    other = seen_otherwise(reference)
    way = align(other, reference)
    np.testing.assert_allclose(way.content(other), reference.content, atol=1e-4)
    off = wrap(way.angle(other, reference) - reference.angle)
    # the offset is a mean over 30 neighbours, of a slope of 0.5 a unit of content
    assert np.median(np.abs(off)) < 0.05
    found = consensus([reference, other], [align(reference, reference), way], 0)
    np.testing.assert_array_equal(
        found.class_probabilities, reference.class_probabilities
    )
    assert np.median(found.agreement) > 0.99
    assert len(found.members) == 2
    assert "agreement" in found.to_dataframe()


def test_angles_agree_modulo_the_symmetry(reference, latents):
    twofold = latents(
        reference.content,
        reference.angle,
        reference.class_probabilities.argmax(1),
        symmetry=2,
    )
    rng = np.random.default_rng(2)
    flipped = wrap(twofold.angle + np.pi * rng.integers(0, 2, NUMBER))
    other = latents(
        twofold.content, flipped, twofold.class_probabilities.argmax(1), symmetry=2
    )
    ways = [align(twofold, twofold), align(other, twofold)]
    found = consensus([twofold, other], ways, 0)
    assert found.agreement.min() > 0.999
    np.testing.assert_allclose(found.angle, twofold.angle, atol=1e-3)


def test_a_member_that_strays_is_not_the_reference(reference, seen_otherwise):
    noisy = seen_otherwise(reference, noise=1.0)
    members = [noisy, reference, seen_otherwise(reference, noise=0.02)]
    assert most_agreed(members) in (1, 2)


def test_spread_of_the_members_is_in_the_error(reference, seen_otherwise):
    other = seen_otherwise(reference, noise=0.3)
    ways = [align(reference, reference), align(other, reference)]
    found = consensus([reference, other], ways, 0)
    assert np.median(found.angle_std) > np.median(reference.angle_std) * 1.5
    assert found.angle_std.min() >= 0.05 - 1e-6


def test_shifts_and_scales_are_brought_to_the_terms_of_the_reference(reference):
    """The member's canonical image lies 2 pixels to the right, and is small."""
    rng = np.random.default_rng(3)
    shift = rng.normal(0, 3, (NUMBER, 2))
    own = dataclasses.replace(reference, shift=shift, scale=np.full(NUMBER, 1.1))
    x, y = 2 * np.cos(own.angle), -2 * np.sin(own.angle)  # y is down
    noise = 0.2 * rng.standard_normal((NUMBER, 2))
    moved = shift - np.stack([x, y], axis=1) + noise
    other = dataclasses.replace(own, shift=moved, scale=np.full(NUMBER, 0.9))
    ways = [align(own, own), align(other, own)]
    np.testing.assert_allclose(ways[1].scale(other, own), 1.1, rtol=1e-6)
    found = consensus([own, other], ways, 0)
    # half of the noise, and what 30 neighbours leave of its mean
    off = np.std(found.shift - shift - noise / 2)
    assert off < 0.2 / np.sqrt(30)
    assert np.median(found.shift_std) > np.median(own.shift_std)
