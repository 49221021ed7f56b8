import gzip
import types

import numpy as np
import pandas as pd
import pytest

from benchmarks import mnist


@pytest.fixture
def folder(tmp_path):
    """Twenty bars, five brighter at their right ends, as the idx files have digits."""
    images = np.zeros((20, 28, 28), np.uint8)
    images[:, 13:15, 6:22] = 150
    images[:, 12:16, 18:22] = 250
    labels = np.arange(20, dtype=np.uint8) % 10
    for split in ("train", "t10k"):
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            size = np.array(values.shape, ">i4").tobytes()
            head = bytes([0, 0, 8, values.ndim])
            path = tmp_path / f"{split}-{name}-ubyte.gz"
            path.write_bytes(gzip.compress(head + size + values.tobytes()))
    return tmp_path


def test_digits_are_turned_counter_clockwise_and_shifted_in_pixels(folder):
    images, truth = mnist.digits(folder, "train", {"pad": 10, "shift": 0.1})
    assert images.shape == (20, 48, 48)
    assert images.min() >= 0
    assert images.max() <= 1
    row, column = np.mgrid[:48, :48] - 23.5
    weight = images / images.sum((1, 2), keepdims=True)
    center = np.stack([(weight * column).sum((1, 2)), (weight * row).sum((1, 2))], 1)
    away = center - truth[["shift_x", "shift_y"]].to_numpy()
    angle = np.arctan2(-away[:, 1], away[:, 0])
    apart = np.angle(np.exp(1j * (angle - truth["angle"])))
    inside = np.abs(truth[["shift_x", "shift_y"]]).max(axis=1) < 10
    assert np.abs(apart[inside]).max() < 0.05


def test_turns_of_the_same_digits_differ_by_their_seed(folder):
    images, truth = mnist.digits(folder, "t10k", {"digits": (1, 2), "spread": 45.0})
    again, other = mnist.digits(
        folder, "t10k", {"digits": (1, 2), "spread": 45.0}, turn_seed=2
    )
    assert truth["shape"].tolist() == other["shape"].tolist() == [1, 2, 1, 2]
    assert images.shape == (4, 28, 28)
    assert not np.allclose(images, again)


def test_one_constant_is_removed_from_the_angles():
    error = np.radians([100.0, 104.0, 96.0, -80.0])
    assert mnist.near_share(error) == 0.75


def test_a_second_turn_is_followed_across_the_cut():
    found, made = np.radians([350.0, -20.0, 90.0]), np.radians([-15.0, 345.0, 10.0])
    assert mnist.followed(found, made) == pytest.approx(2 / 3)


@pytest.mark.slow  # imports scikit-learn
def test_mixtures_vote_under_matched_names():
    rng = np.random.default_rng(0)
    shape = np.repeat([6, 9, 2], 60)
    content = np.eye(10)[shape] * 8 + rng.normal(size=(180, 10))
    found = mnist.sorted_into_classes(content, content, shape)
    assert found["vote"] > 0.95
    assert found["6 as 9"] < 0.05


@pytest.mark.slow  # imports scikit-learn
def test_a_slant_that_the_content_tells_is_no_error_of_the_angle():
    rng = np.random.default_rng(0)
    truth = pd.DataFrame(
        {"shape": np.arange(400) % 2, "angle": rng.uniform(-3, 3, 400)}
    )
    slant = rng.uniform(-1, 1, 400)
    found = types.SimpleNamespace(
        content=slant[:, None], angle=truth["angle"].to_numpy() + slant
    )
    error = found.angle - truth["angle"].to_numpy()
    assert mnist.near_share(error) < 0.4
    assert mnist.unslanted(found, truth, found, truth) > 0.99


def test_rows_of_an_earlier_run_stay_until_they_are_run_again(tmp_path):
    path = tmp_path / "mnist.json"
    assert mnist.merged(path, [{"row": "turned"}]) == [{"row": "turned"}]
    path.write_text('{"rows": [{"row": "clusters"}, {"row": "turned", "bound": 9}]}')
    found = mnist.merged(path, [{"row": "turned", "bound": 1}])
    assert found == [{"row": "turned", "bound": 1}, {"row": "clusters"}]
