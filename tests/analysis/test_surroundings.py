import numpy as np
import pandas as pd
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.surroundings import find_surroundings

BOND = 9.0


def honeycomb(deform=None, frame=0, turn=0.3):
    n = np.arange(-6, 7)
    i, j = (a.ravel() for a in np.meshgrid(n, n))
    first = i[:, None] * [np.sqrt(3), 0] + j[:, None] * [np.sqrt(3) / 2, 1.5]
    both = BOND * np.concatenate([first, first + [0, 1.0]])
    both = both[np.hypot(*both.T) < 70]
    cos, sin = np.cos(turn), np.sin(turn)
    both = both @ np.array([[cos, sin], [-sin, cos]])
    if deform is not None:
        both = both @ (np.eye(2) + deform).T
    return pd.DataFrame({"frame": frame, "x": both[:, 0], "y": -both[:, 1]})


def deep(atoms, radius=50):
    return (np.hypot(atoms["x"], atoms["y"]) < radius).to_numpy()


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_affine_strain_comes_back(turn):
    strain = np.array([[0.02, 0.004], [0.004, -0.01]])
    atoms = honeycomb(strain, turn=turn)
    found = find_surroundings(atoms, bond=BOND)[deep(atoms)]
    assert (found["coordination"] == 3).all()
    each = found[["strain_xx", "strain_yy", "strain_xy"]].to_numpy()
    # lengths are linear in the strain up to its square
    np.testing.assert_allclose(
        each, np.tile([0.02, -0.01, 0.004], (len(each), 1)), atol=3 * 0.02**2
    )
    np.testing.assert_allclose(found["dilation"], 0.01, atol=6 * 0.02**2)


def test_turned_lattice_has_no_strain():
    atoms = honeycomb(turn=1.1)
    found = find_surroundings(atoms)[deep(atoms)]
    np.testing.assert_allclose(found["dilation"], 0, atol=1e-9)


def test_vacancy_leaves_three_defects_and_distances_from_them():
    atoms = honeycomb()
    gone = np.hypot(atoms["x"], atoms["y"]).idxmin()
    kept = atoms.drop(gone)
    centre = atoms.loc[gone, ["x", "y"]].to_numpy(float)
    away = np.hypot(*(kept[["x", "y"]].to_numpy() - centre).T)
    found = find_surroundings(kept, defects=away < 1.1 * BOND)
    assert (found["coordination"][away < 1.1 * BOND] == 2).all()
    assert (away < 1.1 * BOND).sum() == 3
    assert (found["defect_distance"] == 0).sum() == 3
    second = (away > 1.6 * BOND) & (away < 1.8 * BOND)
    np.testing.assert_allclose(found["defect_distance"][second], 1.0, rtol=1e-6)


def test_frames_do_not_see_one_another():
    one, other = honeycomb(frame=0), honeycomb(frame=5, turn=0.9)
    other = other.assign(intensity=2.0)
    both = pd.concat([one.assign(intensity=1.0), other], ignore_index=True)
    both = both.sample(frac=1, random_state=0)
    found = find_surroundings(both, bond=BOND)
    alone = find_surroundings(other, bond=BOND)
    mine = found.loc[found.index >= len(one)].sort_index().reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, alone)
    assert (found["intensity"] == 1).all()


def test_lone_atoms_and_bad_tables():
    lone = pd.DataFrame({"frame": [0, 1], "x": [1.0, 2.0], "y": [0.0, 0.0]})
    with pytest.raises(DataError, match="bond"):
        find_surroundings(lone)
    found = find_surroundings(lone, bond=3.0)
    assert found["coordination"].tolist() == [0, 0]
    assert found["dilation"].isna().all()
    assert np.isinf(found["defect_distance"]).all()
    with pytest.raises(DataError, match="expected atoms"):
        find_surroundings(lone.drop(columns="x"))
