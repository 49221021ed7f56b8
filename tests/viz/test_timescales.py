import numpy as np
import pandas as pd
import pytest

from jaxrvae.viz import style
from jaxrvae.viz.timescales import draw_timescales

LAGS = [1, 2, 5]


def made():
    rows = []
    for process, true in ((1, 30.0), (2, 9.0)):
        for lag in LAGS:
            row = {"lag": lag, "time": 0.5 * lag, "process": process}
            for name, value in (("counted", true * lag / 8), ("hidden", true)):
                row |= {name: value, f"{name}_low": 0.8 * value}
                row |= {f"{name}_high": 1.3 * value}
            rows.append(row)
    return pd.DataFrame(rows)


def test_every_time_stands_at_its_lag(draw):
    axis = draw(draw_timescales(made(), unit="s")).axes[0]
    filled = [box[0] for box in axis.containers if box[0].get_linestyle() == "-"]
    assert len(filled) == 2
    for line, true in zip(filled, (30.0, 9.0), strict=True):
        np.testing.assert_allclose(line.get_xdata(orig=False), [0.5, 1.0, 2.5])
        np.testing.assert_allclose(line.get_ydata(orig=False), true)
    assert axis.get_xlabel() == "lag (s)"
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert set(labels) == {"process 1", "process 2", "by counts", "below the lag"}


def test_one_lag_into_axes_that_are_given(draw):
    with style.styled():
        figure, axes = style.new_figure(8, 4, 1, 2)
    one = made().query("lag == 2")
    assert draw_timescales(one, ax=axes[0, 0]) is figure
    draw(figure)


def test_other_tables_are_refused():
    with pytest.raises(ValueError, match="implied_timescales"):
        draw_timescales(pd.DataFrame({"lag": [1]}))
