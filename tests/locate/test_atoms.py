import dataclasses
import weakref

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from jaxrvae import DataError
from jaxrvae.data.containers import Frame, Frames
from jaxrvae.data.read import read
from jaxrvae.locate.atoms import find_atoms
from jaxrvae.simulate.graphene import Scan, Sheet, simulate_graphene

COLUMNS = ["frame", "x", "y", "intensity", "sigma", "confidence"]


def graphene(seed=0, sheet=None, **scan):
    scan = Scan(**({"num_frames": 1, "size": 128, "snr": 5.0} | scan))
    return simulate_graphene(seed, sheet or Sheet(), scan)


def compare(found, truth, size, reach=4.5, edge=3.0):
    """Share found, share false and RMS error along an axis, away from the edges."""

    def inner(table):
        xy = table[["x", "y"]].to_numpy()
        return ((xy > edge) & (xy < size - 1 - edge)).all(axis=1)

    distance = cdist(found[["x", "y"]], truth[["x", "y"]])
    first, second = linear_sum_assignment(np.where(distance < reach, distance, 1e6))
    near = distance[first, second] < reach
    first, second = first[near], second[near]
    wrong = np.setdiff1d(np.flatnonzero(inner(found)), first)
    kept = inner(truth)[second]
    rms = np.sqrt(np.mean(distance[first, second][kept] ** 2) / 2)
    return kept.sum() / inner(truth).sum(), len(wrong) / inner(found).sum(), rms


@pytest.mark.slow
def test_bright_graphene_is_found_whole():
    movie = graphene(num_frames=2, sheet=Sheet(num_grains=2))
    found, truth = find_atoms(movie), movie.truth["atoms"]
    assert found.columns.tolist() == COLUMNS
    assert found["frame"].unique().tolist() == [0, 1]
    for number in (0, 1):
        here = found[found["frame"] == number]
        share, false, rms = compare(here, truth[truth["frame"] == number], 128)
        assert share > 0.99
        assert false < 0.01
        assert rms < 2 * movie.truth["noise"]["position_bound"]["C"]


@pytest.mark.slow
def test_faint_graphene():
    """A carbon atom's peak stands 1.5 times the noise of a pixel above the background.

    The full-size figures, with the joint bound, are those of benchmarks/atoms.py; over
    about 250 sites the share found, 98 %, has a standard error of 0.9 %.
    """
    sheet = Sheet(num_grains=2, silicon_fraction=0.03)
    movie = graphene(seed=3, snr=1.5, size=176, sheet=sheet)
    share, false, rms = compare(find_atoms(movie), movie.truth["atoms"], 176)
    assert share > 0.98 - 3 * 0.009
    assert false < 0.02 + 3 * 0.009
    assert rms < 2 * 0.72  # the joint Cramer-Rao bound, pixels


def test_heights_and_widths_are_those_drawn():
    movie = graphene(snr=12.0)
    found, noise = find_atoms(movie), movie.truth["noise"]
    truth = movie.truth["atoms"]
    nearest = KDTree(found[["x", "y"]]).query(truth[["x", "y"]])[1]
    inside = ((truth[["x", "y"]] > 8) & (truth[["x", "y"]] < 119)).all(axis=1)
    for element in ("C", "Si"):
        chosen = nearest[inside & (truth["element"] == element)]
        heights = found["intensity"].to_numpy()[chosen]
        assert np.median(heights) == pytest.approx(noise["peak"][element], rel=0.1)
    assert found["sigma"].median() == pytest.approx(noise["sigma"], rel=0.05)


def test_neighbours_of_a_bright_atom_are_not_lost_in_its_tails():
    movie = graphene(seed=2, sheet=Sheet(silicon_fraction=0.04))
    truth = movie.truth["atoms"]
    beside = truth[truth["site"] == "next to Si"]
    inner = beside[(beside[["x", "y"]] > 4).all(axis=1)]
    inner = inner[(inner[["x", "y"]] < 123).all(axis=1)]
    distance = KDTree(find_atoms(movie)[["x", "y"]]).query(inner[["x", "y"]])[0]
    assert len(inner) > 15
    assert (distance < 2.0).mean() > 0.95


@pytest.mark.slow
def test_frames_of_different_magnification():
    fine = graphene(seed=0, size=192, pixel_size=0.0078125)[0]
    coarse = graphene(seed=1)[0]
    movie = Frames(
        (
            Frame(fine.values, fine.pixel_size, "fine", 5),
            Frame(coarse.values, coarse.pixel_size, "coarse", 2),
        )
    )
    found = find_atoms(movie)
    for number, frame in ((5, movie[0]), (2, movie[1])):
        xy = found.loc[found["frame"] == number, ["x", "y"]].to_numpy()
        nearest = KDTree(xy).query(xy, k=2)[0][:, 1] * frame.pixel_size
        assert np.median(nearest) == pytest.approx(0.142, rel=0.05)


def test_scale_is_read_off_the_image_where_it_is_not_known():
    known = graphene()
    unknown = Frames((Frame(known[0].values, None, "a", 0),))
    first, second = find_atoms(known), find_atoms(unknown)
    np.testing.assert_allclose(first[["x", "y"]], second[["x", "y"]], atol=1e-3)
    told = find_atoms(unknown, spacing=0.142 / 0.015625)
    assert abs(len(told) - len(first)) <= 0.02 * len(first)


def test_units_of_intensity_do_not_matter():
    frame = graphene()[0]
    raw = find_atoms(Frames((frame,)))
    scaled = Frames((Frame(frame.values * 1e-9 + 1e-7, frame.pixel_size),))
    other = find_atoms(scaled)
    np.testing.assert_allclose(other[["x", "y"]], raw[["x", "y"]], atol=0.02)
    np.testing.assert_allclose(other["intensity"] * 1e9, raw["intensity"], rtol=0.02)


@pytest.mark.slow
def test_lazy_frames_are_not_kept():
    movie, seen, most = graphene(num_frames=4, size=96, pixel_size=0.02), [], []

    def load(image):
        image = image.copy()
        seen.append(weakref.ref(image))
        most.append(sum(one() is not None for one in seen))
        return image

    frames = [
        dataclasses.replace(
            frame, source=lambda image=frame.values: load(image), name=frame.name
        )
        for frame in movie
    ]
    lazy = dataclasses.replace(movie, frames=tuple(frames))
    pd.testing.assert_frame_equal(find_atoms(lazy), find_atoms(movie))
    assert len(seen) >= 4
    assert max(most) <= 2  # the one being read, and the one before


def test_channels():
    frame = graphene()[0]
    empty = np.random.default_rng(0).normal(size=frame.shape)
    both = Frame(np.stack([empty, frame.values], axis=-1), frame.pixel_size)
    movie = Frames((both,), channels=("bright field", "dark field"))
    found = find_atoms(movie, channel="dark field")
    assert len(found) == len(find_atoms(movie, channel=1)) > 100
    with pytest.raises(ValueError, match="channel"):
        find_atoms(movie, channel=2)
    with pytest.raises(ValueError, match="dark"):
        find_atoms(movie, channel="dark")


@pytest.mark.parametrize("seed", range(5))
def test_noise_holds_no_atoms(seed):
    noise = np.random.default_rng(seed).normal(10.0, 1.0, (128, 128))
    movie = Frames((Frame(noise, 0.0156, "noise.tif", 3),))
    for spacing in (None, 0.142):
        with pytest.raises(DataError, match="noise.tif: expected atoms; found") as e:
            find_atoms(movie, spacing=spacing)
        assert "\n" not in str(e.value)


def test_a_smooth_image_holds_no_atoms():
    rows, columns = np.mgrid[:96, :96]
    noise = np.random.default_rng(0).normal(0, 0.01, (96, 96))
    with pytest.raises(DataError, match="found none"):
        find_atoms(Frames((Frame(rows + 0.5 * columns + noise, None, "ramp"),)))


@pytest.mark.slow
def test_a_single_atom():
    rows, columns = np.mgrid[:96, :96]
    spot = np.exp(-((columns - 40.3) ** 2 + (rows - 52.6) ** 2) / (2 * 3.0**2))
    image = 5 * spot + np.random.default_rng(0).normal(0, 0.5, (96, 96))
    found = find_atoms(Frames((Frame(image, None, "one"),)), spacing=10.0)
    best = found.sort_values("intensity").iloc[-1]
    assert np.hypot(best["x"] - 40.3, best["y"] - 52.6) < 0.5


def test_bad_input():
    frame = graphene()[0]
    with pytest.raises(DataError, match="number of its own"):
        find_atoms(Frames((frame, frame)))
    with pytest.raises(ValueError, match="spacing"):
        find_atoms(Frames((frame,)), spacing=-1.0)
    with pytest.raises(ValueError, match="false_share"):
        find_atoms(Frames((frame,)), false_share=0.9)


def test_real_si_in_graphene(shared_data):
    """A frame whose three C beside the Si are listed with it."""
    movie = read(shared_data / "stem_graphene_si/library/Si1C3/50.hdf5")
    given = [(125.5, 100.7), (154.0, 117.2), (123.3, 132.5), (134.2, 116.1)]
    found = find_atoms(movie)
    distance = KDTree(found[["x", "y"]]).query(given)[0] * movie.pixel_size
    assert distance.max() < 0.05
    brightest = found.sort_values("intensity").iloc[-1]
    assert np.hypot(brightest["x"] - 134.2, brightest["y"] - 116.1) < 3
    assert 130 < len(found) < 170  # 153 sites in 4 square nm
