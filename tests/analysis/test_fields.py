import numpy as np
import pandas as pd
import pytest

from jaxrvae._checks import DataError
from jaxrvae.analysis.fields import make_field


def test_every_square_holds_its_rows_mean():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.uniform(0, 19, (300, 2)), columns=["x", "y"])
    table["a"] = rng.normal(size=300)
    field = make_field(table, "a", 5, shape=(4, 5))
    for row in range(4):
        for col in range(5):
            inside = (np.floor((table.x + 0.5) / 5) == col) & (
                np.floor((table.y + 0.5) / 5) == row
            )
            mean = table.a[inside].mean()
            assert field[row, col] == pytest.approx(mean, nan_ok=True)
    assert np.isnan(field[:, 4]).all()


def test_angles_are_averaged_modulo_their_symmetry():
    third = 2 * np.pi / 3
    table = pd.DataFrame({"x": 0.0, "y": 0.0, "angle": [0.1, 0.3 + third, 0.2 - third]})
    assert make_field(table, "angle", 1, symmetry=3)[0, 0] == pytest.approx(0.2)


def test_missing_columns_are_refused():
    with pytest.raises(DataError, match="x, y and a"):
        make_field(pd.DataFrame({"x": [1.0]}), "a", 1)
