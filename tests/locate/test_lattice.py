import numpy as np
import pandas as pd
import pytest

import jaxrvae as jr
from jaxrvae._checks import DataError


def sheet(seed=0, **options):
    options = {"num_frames": 1, "size": 256, "silicon_fraction": 0.0} | options
    return jr.simulate("graphene", seed=seed, **options)


@pytest.mark.parametrize("seed", range(3))
def test_lattice_is_that_of_the_sheet(seed):
    movie = sheet(seed, strain=0.0, vacancy_fraction=0.02)
    truth = movie.truth["atoms"]
    fit = jr.fit_lattice(truth)
    facts = fit.lattice.iloc[0]
    assert facts["explained"] == 1.0
    assert facts["bond"] == pytest.approx(0.142 / movie.pixel_size, rel=1e-3)
    third = 2 * np.pi / 3
    first = truth[fit.atoms["sublattice"] == 0]
    off = facts["angle"] - first["angle"].iloc[0]
    assert abs((off + third / 2) % third - third / 2) < 1e-3
    inside = fit.vacancies[["x", "y"]].apply(lambda v: v.between(8, 247)).all(axis=1)
    options = movie.truth["options"]
    per_field = options["vacancy_fraction"] * len(truth)
    # every empty site is one: Poisson, five standard errors
    assert abs(inside.sum() - per_field) < 5 * np.sqrt(per_field)


def test_bent_lattices_are_followed():
    """Strain of 3 % that changes within two nanometres, as large as a bond in all."""
    movie = sheet(1, strain=0.03, vacancy_fraction=0.0)
    fit = jr.fit_lattice(movie.truth["atoms"])
    assert fit.lattice["explained"].iloc[0] > 0.995
    assert len(fit.vacancies) == 0
    sites = fit.atoms[["site_a", "site_b", "sublattice"]]
    assert not sites[sites["sublattice"] >= 0].duplicated().any()


def test_sublattices_and_vacancies_of_a_sulfide():
    movie = jr.simulate(
        "lattice",
        seed=1,
        num_frames=1,
        structure="mos2",
        size=256,
        vacancy_fraction=0.03,
        double_vacancy_fraction=0.02,
    )
    truth = movie.truth["atoms"]
    fit = jr.fit_lattice(truth.assign(intensity=truth["brightness"]))
    metal = fit.atoms["sublattice"] == 1
    assert (metal == (truth["element"] == "Mo")).all()
    half = fit.atoms["relative"] < 0.7
    assert (half == (truth["missing"] == 1)).all()
    gone = movie.truth["vacancies"]
    inside = gone[["x", "y"]].apply(lambda v: v.between(12, 243)).all(axis=1)
    for x, y in gone.loc[inside, ["x", "y"]].to_numpy():
        near = np.hypot(fit.vacancies["x"] - x, fit.vacancies["y"] - y)
        assert near.min() < 1.0
    assert (fit.vacancies["sublattice"] == 0).all()


def test_atoms_on_no_site_are_told():
    movie = sheet(2, size=128)
    truth = movie.truth["atoms"][["frame", "x", "y"]]
    centre = pd.DataFrame({"frame": [0], "x": [-99.0], "y": [-99.0]})
    fit = jr.fit_lattice(pd.concat([truth, centre], ignore_index=True), bond=9.1)
    assert fit.atoms["sublattice"].iloc[-1] == -1
    assert np.isnan(fit.atoms["off_site"].iloc[-1])
    assert "relative" not in fit.atoms


@pytest.mark.slow
def test_real_sulfide(shared_data):
    """Mo columns are brighter than S2 by the square of 42/32, about, and a half."""
    movie = jr.read(sorted((shared_data / "stem_mos2").glob("*000-2.npy")))
    fit = jr.fit_lattice(jr.find_atoms(movie))
    levels = fit.atoms.groupby("sublattice")["intensity"].median()
    assert fit.lattice["explained"].iloc[0] > 0.85
    assert levels[1] > 1.7 * levels[0]


def test_what_tells_no_lattice_is_refused():
    few = pd.DataFrame({"frame": 0, "x": np.arange(5.0), "y": np.arange(5.0)})
    with pytest.raises(DataError, match="at least 12 atoms"):
        jr.fit_lattice(few)
    with pytest.raises(DataError, match=r"\['y'\] missing"):
        jr.fit_lattice(few[["frame", "x"]])
    with pytest.raises(ValueError, match="bond must be finite"):
        jr.fit_lattice(few, bond=0.0)
