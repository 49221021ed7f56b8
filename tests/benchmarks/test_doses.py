import numpy as np
import pytest

from benchmarks import doses


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
