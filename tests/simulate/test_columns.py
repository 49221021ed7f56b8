import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import maximum_filter
from scipy.spatial import KDTree

from jaxrvae.simulate import simulate

CALM = {"num_frames": 1, "size": 128}


def xy(table):
    return table[["x", "y"]].to_numpy()


def test_brightness_goes_with_the_number_to_the_power_of_1_7():
    movie = simulate("lattice", seed=0, **CALM)
    atoms = movie.truth["atoms"].groupby("formula")["brightness"].first()
    assert atoms["Mo"] == pytest.approx((42 / 6) ** 1.7)
    assert atoms["S2"] == pytest.approx(2 * (16 / 6) ** 1.7)


@pytest.mark.parametrize("structure", ["graphene", "mos2", "perovskite"])
def test_positions_are_the_maxima_of_the_image(structure):
    options = {"dose": 1e9, "background": 0.0, "source": 0.04, **CALM}
    movie = simulate("lattice", 1, structure=structure, **options)
    image = movie[0].values
    atoms = movie.truth["atoms"]
    inside = atoms[["x", "y"]].apply(lambda p: p.between(6, 121)).all(axis=1)
    atoms = atoms[inside & (atoms["brightness"] > 0.03 * atoms["brightness"].max())]
    atoms = atoms[atoms["formula"] != "O"]  # drowned by the tails of the others
    peaks = (image == maximum_filter(image, 5)) & (image > 0.05 * image.max())
    found = np.argwhere(peaks)[:, ::-1]
    gap, _ = KDTree(found).query(xy(atoms))
    assert gap.max() < 1.5
    assert np.median(gap) < 0.6


def test_vacancies_and_dopants_come_in_the_shares_asked():
    options = {"vacancy_fraction": 0.1, "double_vacancy_fraction": 0.05}
    movie = simulate(
        "lattice", 2, num_frames=1, size=512, dopant_fraction=0.08, **options
    )
    atoms, gone = movie.truth["atoms"], movie.truth["vacancies"]
    sulphur, metal = (atoms[atoms["sublattice"] == i] for i in (1, 0))
    n = len(sulphur) + len(gone)
    for count, share in [((sulphur["missing"] == 1).sum(), 0.1), (len(gone), 0.05)]:
        assert abs(count / n - share) < 5 * np.sqrt(share * (1 - share) / n)
    doped = metal["element"] == "V"
    assert abs(doped.mean() - 0.08) < 5 * np.sqrt(0.08 * 0.92 / len(metal))
    assert (metal["site"] == np.where(doped, "dopant", "lattice")).all()
    np.testing.assert_allclose(metal["brightness"][doped], (23 / 6) ** 1.7)
    single = sulphur[sulphur["missing"] == 1]
    np.testing.assert_allclose(single["brightness"], (16 / 6) ** 1.7)
    assert (single["site"] == "vacancy").all()


def test_columns_lose_atoms_at_the_rate_told_and_never_gain():
    movie = simulate("lattice", 3, num_frames=8, size=200, loss_rate=0.05)
    atoms, gone = movie.truth["atoms"], movie.truth["vacancies"]
    left = atoms[atoms["sublattice"] == 1].pivot(
        index="atom", columns="frame", values="missing"
    )
    left = left.fillna(2).to_numpy()
    steps = np.diff(left, axis=1)
    assert (steps >= 0).all()
    alive = left[:, :-1] < 2
    n = alive.sum()
    assert abs(steps[alive].mean() - 0.05) < 5 * np.sqrt(0.05 * 0.95 / n)
    assert len(gone) == (left == 2).sum()


def test_displacements_lead_back_to_the_undistorted_lattice():
    options = {"angle": 0.2, "displacement": 0.03, "tilt": 0.1, **CALM}
    movie = simulate("lattice", 4, structure="perovskite", **options)
    atoms = movie.truth["atoms"]
    home = xy(atoms) - atoms[["displacement_x", "displacement_y"]].to_numpy()
    a = 0.39 / 0.015625
    corner = home[(atoms["sublattice"] == 0).argmax()]
    turned = (
        (home - corner)
        * [1, -1]
        @ np.array([[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]])
    )
    parts = 2 * turned / a  # every column lies on a half of the cell
    np.testing.assert_allclose(parts, np.rint(parts), atol=1e-3)
    b = atoms[atoms["sublattice"] == 1]
    length = np.hypot(b["displacement_x"], b["displacement_y"]) * 0.015625
    assert length.max() <= 0.03 + 1e-9
    assert set(b["domain"]) == {0, 1, 2}
    up = b["displacement_y"] * np.where(b["domain"] == 1, 1, -1)
    assert (up > 0).mean() > 0.95  # pixels, y down: the middle domain points down


def test_any_structure():
    class Atoms:
        positions = np.array([[0, 0, 0], [1.25, 0.72, 0.0]])
        numbers = np.array([5, 7])
        cell = np.array([[2.5, 0, 0], [1.25, 2.165, 0], [0, 0, 7.0]])

    movie = simulate("lattice", 0, structure=Atoms(), **CALM)
    assert set(movie.truth["atoms"]["element"]) == {"B", "N"}


def test_same_seed_same_movie_and_options_remake_it():
    options = {"vacancy_fraction": 0.05, "loss_rate": 0.01, "jitter": 0.5, "drift": 1.0}
    first, again, other = (
        simulate("lattice", s, num_frames=2, size=64, strain=0.01, **options)
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(first.values, again.values)
    pd.testing.assert_frame_equal(first.truth["atoms"], again.truth["atoms"])
    assert not np.array_equal(first.values, other.values)
    remade = simulate("lattice", 0, **first.truth["options"])
    np.testing.assert_array_equal(first.values, remade.values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure": "mos"}, "Did you mean 'mos2'"),
        ({"structure": "mos2", "tilt": 0.1}, "are a perovskite's"),
        ({"vacancy_fraction": 1.2}, "vacancy_fraction must lie in"),
        ({"dopant": "Vv"}, "element must be one of"),
        ({"layers": 0}, "layers must be >= 1"),
        ({"structure": "perovskite", "domain_wall": 45}, "domain_wall must be one of"),
        ({"strain": (0.01, 0.0)}, "strain must be one number or 3"),
        ({"pixel_size": 0.1}, "pixel_size must be at most"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        simulate("lattice", **options)
