import numpy as np
import pandas as pd
import pytest

from jaxrvae import DataError
from jaxrvae.analysis.clusters import find_classes, find_groups
from jaxrvae.analysis.mixture import merge
from jaxrvae.data.containers import Latents


def latents_of(content):
    content = np.asarray(content, np.float32)
    number = len(content)
    ones = np.ones(number, np.float32)
    return Latents(
        content=content,
        content_std=np.full_like(content, 0.1),
        angle=0 * ones,
        angle_std=0.1 * ones,
        angle_modes=np.ones((number, 1, 2), np.float32),
        shift=np.zeros((number, 2), np.float32),
        shift_std=np.zeros((number, 2), np.float32),
        scale=ones,
        class_probabilities=ones[:, None],
        symmetry=np.ones(number, int),
        table=pd.DataFrame({"frame": np.zeros(number, int)}),
    )


RARE = np.array([0.0, 2.6])


def species(seed=0, number=3000, outliers=0):
    """A cloud with long tails, a blob, a rare blob in the tail, and their numbers."""
    rng = np.random.default_rng(seed)
    owner = rng.choice(3, number, p=[0.7, 0.27, 0.03])
    turn = rng.uniform(0, 2 * np.pi, number)
    cloud = rng.gamma(2.0, 0.3, number)[:, None] * np.c_[np.cos(turn), np.sin(turn)]
    blob = np.array([3.5, 0.0]) + 0.15 * rng.normal(size=(number, 2))
    rare = RARE + 0.06 * rng.normal(size=(number, 2))
    content = np.stack([cloud, blob, rare], 1)[np.arange(number), owner]
    if outliers:
        content[:outliers] = rng.uniform(-12, 12, (outliers, 2))
        owner[:outliers] = -1
    return content, owner


@pytest.fixture(scope="module")
def found():
    content, owner = species()
    return find_classes(latents_of(content)), owner


def test_rare_species_is_a_class_of_its_own(found):
    classes, owner = found
    rare = np.bincount(classes.labels[owner == 2]).argmax()
    assert (classes.labels[owner == 2] == rare).mean() > 0.97
    assert (owner[classes.labels == rare] == 2).mean() > 0.97


def test_cloud_that_is_no_gaussian_is_one_class(found):
    classes, owner = found
    assert len(classes) == 3
    assert classes.table["components"][0] > 1
    assert (classes.labels == owner).mean() > 0.98  # both by population


def test_classes_are_ordered_and_counted(found):
    classes, owner = found
    table = classes.table
    assert table["class"].tolist() == [0, 1, 2]
    assert table["count"].is_monotonic_decreasing
    assert table["count"].sum() == len(owner)
    assert table["count"].tolist() == np.bincount(classes.labels).tolist()
    assert table["share"].sum() == pytest.approx(1)
    assert (
        table["components"].sum()
        == classes.bic["num_components"][classes.bic["chosen"]].item()
    )


def test_groups_have_classes_of_their_own():
    content = np.random.default_rng(5).normal(size=(1000, 2))
    heavy = np.arange(1000) < 30
    groups = find_groups(np.random.default_rng(6).normal(1.5 * heavy, 0.1))
    classes = find_classes(latents_of(content), groups=groups, max_classes=4)
    rare = np.bincount(classes.labels[heavy]).argmax()
    np.testing.assert_array_equal(classes.labels == rare, heavy)


def test_probabilities_are_probabilities(found):
    classes, _ = found
    probabilities = classes.latents.class_probabilities
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    assert "class" in classes.latents.to_dataframe()


def test_typical_content_lies_in_the_class(found):
    classes, _ = found
    typical = classes.table[["content_0", "content_1"]].to_numpy()
    assert np.hypot(*typical[0]) < 0.8
    assert np.hypot(*(typical[2] - RARE)) < 0.1


def test_same_seed_same_classes_and_scale_does_not_matter():
    content, _ = species(1)
    first = find_classes(latents_of(content), max_classes=6)
    again = find_classes(latents_of(content), max_classes=6)
    np.testing.assert_array_equal(
        first.latents.class_probabilities, again.latents.class_probabilities
    )
    moved = find_classes(latents_of(content * [3.0, 0.5] + 7), max_classes=6)
    assert (moved.labels == first.labels).mean() > 0.995


@pytest.mark.slow
def test_many_patches_and_outliers():
    content, owner = species(2, 20_000, outliers=100)
    classes = find_classes(latents_of(content))
    rare = np.bincount(classes.labels[owner == 2]).argmax()
    assert (owner[classes.labels == rare] == 2).mean() > 0.95
    assert (classes.labels[owner == 2] == rare).mean() > 0.95
    assert classes.bic["smallest"][classes.bic["chosen"]].item() >= 5


def test_one_gaussian_is_one_class():
    content = np.random.default_rng(3).normal(size=(2000, 2))
    classes = find_classes(latents_of(content))
    assert len(classes) == 1
    assert classes.bic["chosen"].tolist()[0] or classes.table["components"][0] > 1


def test_number_of_classes_can_be_given():
    content, _ = species(4)
    classes = find_classes(latents_of(content), num_classes=5)
    assert len(classes) == 5
    assert classes.bic["chosen"].tolist() == [False] * 4 + [True]


def test_constant_content_is_one_class():
    classes = find_classes(latents_of(np.ones((100, 2))))
    assert classes.table["count"].tolist() == [100]


def test_merging_none_and_all():
    even = np.full((6, 3), 1 / 3)
    assert merge(even, 0.1)[1] == [[0, 1, 2]]
    assert merge(even, 1.0)[1] == [[0], [1], [2]]
    np.testing.assert_allclose(merge(even, 0.1)[0], 1)


def test_few_patches_are_one_class():
    assert len(find_classes(latents_of([[0.0, 1.0], [1.0, 0.0]]))) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_classes": 0}, ValueError, "num_classes must be >= 1"),
        ({"num_classes": "many"}, ValueError, "'auto' or a whole number; got 'many'"),
        ({"num_classes": 50}, DataError, "at least 250 patches for 50 classes"),
        ({"max_classes": 0}, ValueError, "max_classes must be >= 1"),
        ({"overlap": 2.0}, ValueError, "overlap must lie in"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        find_classes(latents_of(np.zeros((60, 2))), **options)


def test_groups_and_a_number_are_refused():
    with pytest.raises(ValueError, match="not both"):
        find_classes(
            latents_of(np.zeros((60, 2))), groups=np.zeros(60, int), num_classes=2
        )


def test_groups_are_counted_upwards_and_noise_makes_none():
    rng = np.random.default_rng(7)
    values = rng.normal(np.repeat([0.0, 1.6, -0.9], [500, 20, 200]), 0.1)
    expected = np.repeat([1, 2, 0], [500, 20, 200])
    np.testing.assert_array_equal(find_groups(values), expected)
    assert find_groups(rng.normal(size=2000)).max() == 0


def test_content_that_is_not_finite_is_refused():
    content = np.zeros((60, 2))
    content[3, 1] = np.nan
    with pytest.raises(DataError, match="1 of 60 are not"):
        find_classes(latents_of(content))
