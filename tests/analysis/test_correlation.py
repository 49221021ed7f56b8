import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from jaxrvae._checks import DataError
from jaxrvae.analysis.correlation import correlation_of, time_series


def smooth(sigma, seed=0, side=256):
    noise = np.random.default_rng(seed).normal(size=(side, side))
    return ndimage.gaussian_filter(noise, sigma, mode="wrap")


@pytest.mark.parametrize("sigma", [3.0, 5.0])
def test_smoothed_noise_has_the_known_length(sigma):
    """White noise through a Gaussian: exp(-r^2 / 4 sigma^2), 1/e at 2 sigma."""
    lengths = [correlation_of(smooth(sigma, s), 0.5).length for s in range(6)]
    error = np.std(lengths, ddof=1) / np.sqrt(6)
    assert abs(np.mean(lengths) - sigma) < 5 * error + 0.02 * sigma


def test_slow_sum_over_pairs_agrees():
    field = np.random.default_rng(0).normal(size=(6, 7))
    field[2, 3] = np.nan
    found = correlation_of(field)
    place = np.argwhere(np.isfinite(field))
    off = field[tuple(place.T)] - np.nanmean(field)
    ring = np.rint(np.linalg.norm(place[:, None] - place, axis=-1))
    for r in range(4):
        value = (off[:, None] * off)[ring == r].mean() / np.square(off).mean()
        assert found.value[r] == pytest.approx(value)


def test_angles_count_modulo_their_symmetry():
    turns = np.random.default_rng(0).integers(0, 3, (32, 32)) * 2 * np.pi / 3
    assert np.isinf(correlation_of(0.4 + turns, symmetry=3).length)
    assert correlation_of(0.4 + turns, symmetry=1).length < 1


def test_gaps_leave_the_length():
    field = smooth(4.0)
    holes = np.where(np.random.default_rng(1).random(field.shape) < 0.3, np.nan, field)
    whole, gappy = correlation_of(field).length, correlation_of(holes).length
    assert gappy == pytest.approx(whole, rel=0.03)


def test_a_constant_field_is_refused():
    with pytest.raises(DataError, match="changes"):
        correlation_of(np.full((8, 8), 3.0))


def test_errors_cover_the_spread_of_frames():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(200, 16)).repeat(25)
    table = pd.DataFrame({"frame": np.arange(200).repeat(400), "a": shared})
    table["region"] = np.tile(np.arange(16).repeat(25), 200)
    series = time_series(table, ["a"], "region")
    # 16 regions of variance 1: an error of 1/4 a frame
    assert series["a"].std() == pytest.approx(0.25, abs=5 * 0.25 / np.sqrt(400))
    mean = series["a_error"].mean()
    assert mean == pytest.approx(0.25, abs=5 * 0.25 / np.sqrt(30 * 200) + 0.01)


def test_regions_of_a_frame_stand_in_for_groups():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(size=(400, 3)), columns=["x", "y", "a"])
    series = time_series(table.assign(frame=3), ["a"])
    assert series["frame"].tolist() == [3]
    assert 0 < series["a_error"][0] < 0.05
    with pytest.raises(DataError, match="'x'"):
        time_series(table.drop(columns="x").assign(frame=3), ["a"])
