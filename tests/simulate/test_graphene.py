import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import KDTree
from skimage.registration import phase_cross_correlation

from jaxrvae.simulate import simulate
from jaxrvae.simulate.graphene import BOND, Scan, Sheet, simulate_graphene

PIXEL = 0.015625  # nm


def quiet_sheet(**options):
    """Without defects or strain."""
    plain = {"silicon_fraction": 0.0, "vacancy_fraction": 0.0, "strain": 0.0}
    return Sheet(**(plain | options))


def bond_directions(atoms, index, count):
    """Radians, counter-clockwise as displayed, to the nearest atoms of one frame."""
    points = atoms[["x", "y"]].to_numpy()
    _, nearest = KDTree(points).query(points[index], k=count + 1)
    dx, dy = (points[nearest[:, 1:]] - points[index, None]).transpose(2, 0, 1)
    return np.arctan2(-dy, dx)


def inner(atoms, size, margin=20):
    return (
        atoms[["x", "y"]]
        .apply(lambda p: p.between(margin, size - 1 - margin))
        .all(axis=1)
    )


@pytest.fixture(scope="module")
def movie():
    return simulate(
        "graphene", seed=1, num_grains=2, num_frames=3, fourfold_fraction=0.01
    )


def test_movie_and_table(movie):
    atoms = movie.truth["atoms"]
    assert movie.values.shape == (3, 256, 256)
    assert movie.values.dtype == np.float32
    assert movie.pixel_size == PIXEL
    assert movie.metadata["unit"] == "counts"
    np.testing.assert_array_equal(movie.numbers, [0, 1, 2])
    assert set(atoms["frame"]) == {0, 1, 2}
    assert atoms[["x", "y"]].min().min() >= -0.5
    assert atoms[["x", "y"]].max().max() < 255.5
    kinds = {"C", "Si", "Si4", "next to Si", "next to vacancy", "boundary"}
    assert set(atoms["site"]) == kinds
    silicon = atoms["site"].isin(["Si", "Si4"])
    assert ((atoms["element"] == "Si") == silicon).all()
    assert not atoms.duplicated(["frame", "atom"]).any()
    assert (
        atoms["direction"].notna().sum() == atoms["site"].str.startswith("next").sum()
    )


def test_bond_length_and_density():
    frames = simulate_graphene(2, quiet_sheet(), Scan(num_frames=1))
    atoms = frames.truth["atoms"]
    points = atoms[["x", "y"]].to_numpy()
    gaps, _ = KDTree(points).query(points[inner(atoms, 256)], k=4)
    np.testing.assert_allclose(gaps[:, 1:] * PIXEL, BOND, rtol=1e-4)
    expected = 4**2 * 4 / (3 * np.sqrt(3) * BOND**2)
    assert abs(len(atoms) - expected) < 5 * np.sqrt(4 * 4 / BOND)


def test_angle_is_the_direction_of_a_bond_and_grains_differ_by_the_angle_told():
    sheet = quiet_sheet(num_grains=2, angle=0.2, grain_angle=0.5)
    atoms = simulate_graphene(3, sheet, Scan(num_frames=1, size=300)).truth["atoms"]
    index = np.flatnonzero((atoms["site"] == "C") & inner(atoms, 300))
    directions = bond_directions(atoms, index, 3)
    angle = atoms["angle"].to_numpy()[index]
    np.testing.assert_allclose(
        np.exp(3j * directions), np.exp(3j * angle)[:, None] * np.ones(3), atol=1e-3
    )
    assert np.abs(angle).max() <= np.pi / 3
    six = np.exp(6j * angle)
    for grain, told in enumerate([0.2, 0.7]):
        np.testing.assert_allclose(
            six[atoms["grain"].to_numpy()[index] == grain], np.exp(6j * told), atol=1e-6
        )


def test_angle_follows_the_strain():
    sheet = quiet_sheet(strain=0.01)
    atoms = simulate_graphene(4, sheet, Scan(num_frames=1)).truth["atoms"]
    index = np.flatnonzero(inner(atoms, 256))
    third = np.exp(3j * bond_directions(atoms, index, 3)).mean(1)
    error = np.angle(third / np.exp(3j * atoms["angle"].to_numpy()[index])) / 3
    turned = (
        np.angle(np.exp(6j * atoms["angle"]) / np.exp(6j * atoms["angle"]).mean()) / 6
    )
    assert np.abs(error).max() < 1e-3  # second order in the strain
    assert turned.std() > 3e-3


def test_direction_and_angle_beside_defects(movie):
    atoms = movie.truth["atoms"].query("frame == 1").reset_index(drop=True)
    points = atoms[["x", "y"]].to_numpy()
    silicon = np.flatnonzero(atoms["element"] == "Si")
    beside = np.flatnonzero((atoms["site"] == "next to Si") & inner(atoms, 256))
    gap, which = KDTree(points[silicon]).query(points[beside])
    assert gap.max() * PIXEL < 0.2
    dx, dy = (points[silicon[which]] - points[beside]).T
    np.testing.assert_allclose(
        np.arctan2(-dy, dx), atoms["direction"].to_numpy()[beside], atol=1e-4
    )
    four = np.flatnonzero((atoms["site"] == "Si4") & inner(atoms, 256))
    assert len(four)
    directions = bond_directions(atoms, four, 4)
    # the four bonds lie at +-41 degrees about the axis, and opposite
    expected = atoms["angle"].to_numpy()[four]
    found = np.angle(np.exp(2j * directions).mean(1)) / 2
    assert np.abs(np.angle(np.exp(2j * (found - expected))) / 2).max() < np.radians(3)


def test_every_pixel_is_poisson_about_the_model_that_the_truth_tells():
    scan = Scan(num_frames=2, size=128, dose=3e6, drift=(3.0, -2.0))
    frames = simulate_graphene(5, Sheet(num_grains=2), scan)
    noise = frames.truth["noise"]
    rows, columns = np.mgrid[:128, :128]
    inside = slice(16, -16)  # the tails of atoms outside the field are not told
    for frame in frames:
        atoms = frames.truth["atoms"].query(f"frame == {frame.number}")
        mean = np.full((128, 128), noise["background"])
        for x, y, element in atoms[["x", "y", "element"]].itertuples(index=False):
            r2 = (columns - x) ** 2 + (rows - y) ** 2
            mean += noise["peak"][element] * np.exp(-r2 / (2 * noise["sigma"] ** 2))
        mean, counts = mean[inside, inside], frame.values[inside, inside]
        residual = (counts - mean) / np.sqrt(mean)
        n = residual.size
        assert abs(residual.mean()) < 5 / np.sqrt(n)
        spread = np.sqrt((2 + (1 / mean).mean()) / n)  # fourth moment of a Poisson
        assert abs((residual**2).mean() - 1) < 5 * spread
    told = frames.truth["counts_per_pixel"]
    total = frames.values.size
    assert abs(frames.values.mean() - told) < 5 * np.sqrt(told / total)


def test_signal_by_dose_and_by_snr():
    low, high = Scan(dose=1e5), Scan(dose=2e5)
    assert high.peak == pytest.approx(2 * low.peak)
    scan = Scan(snr=1.5, background=0.5)
    assert scan.peak / np.sqrt(scan.peak * scan.background) == pytest.approx(1.5)
    assert Scan().sigma * PIXEL * 2 * np.sqrt(2 * np.log(2)) == pytest.approx(0.1)
    bound = simulate_graphene(0, scan=Scan(num_frames=1, size=32)).truth["noise"]
    assert bound["position_bound"]["Si"] < bound["position_bound"]["C"]
    assert bound["peak"]["Si"] / bound["peak"]["C"] == pytest.approx((14 / 6) ** 1.7)


def test_drift_moves_the_image_as_told():
    scan = Scan(num_frames=3, size=128, dose=1e7, drift=(4.0, -1.5))
    frames = simulate_graphene(6, Sheet(hop_rate=0.0), scan)
    drift = frames.truth["drift"]
    np.testing.assert_allclose(drift[["x", "y"]], [[0, 0], [4, -1.5], [8, -3]])
    first, second, _ = frames.values
    back, *_ = phase_cross_correlation(
        first, second, upsample_factor=10, overlap_ratio=0.5, normalization=None
    )
    np.testing.assert_allclose(back, [1.5, -4.0], atol=0.2)
    atoms = frames.truth["atoms"].pivot(
        index="atom", columns="frame", values=["x", "y"]
    )
    np.testing.assert_allclose((atoms["x"][1] - atoms["x"][0]).dropna(), 4, atol=1e-4)
    np.testing.assert_allclose(
        (atoms["y"][1] - atoms["y"][0]).dropna(), -1.5, atol=1e-4
    )


def test_random_walk_of_the_drift_and_full_field_in_every_frame():
    scan = Scan(num_frames=100, size=24, drift=3.0, snr=3)
    frames = simulate_graphene(7, quiet_sheet(), scan)
    steps = np.diff(frames.truth["drift"][["x", "y"]], axis=0)
    assert abs(steps.std() / 3 - 1) < 5 / np.sqrt(2 * steps.size)
    number = frames.truth["atoms"].groupby("frame").size()
    expected = (24 * PIXEL) ** 2 * 4 / (3 * np.sqrt(3) * BOND**2)
    assert len(number) == 100
    assert abs(number.mean() - expected) < 0.1 * expected


def test_silicon_hops_within_the_movie():
    sheet = quiet_sheet(silicon_fraction=0.02, hop_rate=0.5)
    frames = simulate_graphene(8, sheet, Scan(num_frames=6, size=200))
    atoms = frames.truth["atoms"]
    silicon = atoms[atoms["element"] == "Si"].pivot(index="atom", columns="frame")
    step = np.hypot(silicon["x"].diff(axis=1), silicon["y"].diff(axis=1)) * PIXEL
    moved = step.to_numpy()[np.isfinite(step)] > 0.5 * BOND
    assert moved.any()
    assert not moved.all()
    assert np.nanmax(step) < 1.5 * BOND  # one bond and the relaxation about it
    per_atom = atoms.groupby("atom")["element"].nunique()
    assert (per_atom == 1).all()


def test_same_seed_same_movie():
    options = {"num_frames": 2, "size": 64}
    first, again, other = (simulate("graphene", s, **options) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.values, again.values)
    pd.testing.assert_frame_equal(first.truth["atoms"], again.truth["atoms"])
    assert not np.array_equal(first.values, other.values)
    assert first.truth["options"]["angle"] != other.truth["options"]["angle"]


def test_strain_and_drift_may_be_lists():
    assert Sheet(strain=[0.01, 0, 0]) == Sheet(strain=(0.01, 0, 0))
    assert dataclasses.asdict(Scan(drift=[1, 2]))["drift"] == (1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_grains": 3}, "num_grains must be one of"),
        ({"silicon_fraction": 0.5}, "silicon_fraction must lie in"),
        ({"hop_rate": -0.1}, "hop_rate must lie in"),
        ({"vacancy_fraction": 1.0}, "vacancy_fraction must lie in"),
        ({"strain": -0.01}, "strain must lie in"),
        ({"strain": (0.01, 0.0)}, "strain must be one number or 3"),
        ({"silicon_bond": 0.1}, "silicon_bond must lie in"),
        ({"num_frames": 0}, "num_frames must be >= 1"),
        ({"size": 64.5}, "size must be a whole number"),
        ({"pixel_size": 0.0}, "pixel_size must be finite and > 0"),
        ({"probe": np.inf}, "probe must be finite and > 0"),
        ({"dose": -1.0}, "dose must be finite and > 0"),
        ({"dose": 1e5, "snr": 2.0}, "give dose or snr, not both"),
        ({"drift": -1.0}, "drift must be >= 0"),
        ({"drift": (1.0, 2.0, 3.0)}, "drift must be one number or 2"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        simulate("graphene", **options)
