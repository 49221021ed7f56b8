import numpy as np
import pytest

from benchmarks import doses
from benchmarks.peers import run_atomap


@pytest.mark.slow
def test_curves_have_a_row_a_method(tmp_path):
    rows = doses.dose_rows(1e5, seeds=(0,))
    assert [row["method"] for row in rows] == list(doses.METHODS)
    for row in rows:
        assert row["F1"] > 0.9
        assert np.isfinite(row["RMS, pm"])
        assert row["RMS, pm"] > 0.5 * row["bound, pm"]
    doses.draw(rows, tmp_path / "doses.png")
    assert (tmp_path / "doses.png").stat().st_size > 1000


def test_what_atomap_is_tuned_by():
    """Three of four right, one twice, one beyond reach: F1 of 2 * 3 / (5 + 4)."""
    truth = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9]])
    places = np.array([[0.5, 0], [9, 1], [1, 9], [0, 9.2], [9, 15]])
    assert run_atomap.agreement(places, truth, 4.5) == 2 * 3 / 9
    assert run_atomap.agreement(places[:0], truth, 4.5) == 0


def test_curves_are_drawn_without_and_with_a_peer(tmp_path):
    row = {"F1": 0.9, "worst F1": 0.8, "RMS, pm": 3.0, "bound, pm": 2.0}
    rows = [
        row | {"method": method, "dose, e/A^2": dose}
        for method in (*doses.METHODS, "atomap")
        for dose in ("1e+03", "1e+04")
    ]
    for name, part in {"a.png": rows, "b.png": rows[:4]}.items():
        doses.draw(part, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
