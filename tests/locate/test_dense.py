import numpy as np
import pytest

from jaxrvae._checks import DataError
from jaxrvae.data.containers import Frame, Latents
from jaxrvae.locate import dense
from jaxrvae.locate.dense import encode_dense


class Reader:
    """Content: the value at the middle and the mean of each patch."""

    def __init__(self):
        self.most = 0

    def encode(self, patches):
        self.most = max(self.most, len(patches))
        values = patches.values
        number, middle = len(values), values.shape[1] // 2
        content = np.stack([values[:, middle, middle], values.mean((1, 2))], 1)
        zeros = np.zeros(number)
        return Latents(
            content=content,
            content_std=np.zeros_like(content),
            angle=values[:, middle, middle] / 1e3,
            angle_std=zeros,
            angle_modes=np.zeros((number, 1, 2)),
            shift=np.zeros((number, 2)),
            shift_std=np.zeros((number, 2)),
            scale=np.ones(number),
            class_probabilities=np.ones((number, 1)),
            symmetry=np.ones(number, int),
            table=patches.table,
        )


@pytest.fixture
def frame():
    return Frame(np.random.default_rng(0).normal(size=(30, 41)))


def test_maps_stand_where_the_frame_does(frame):
    found = encode_dense(Reader(), frame, 7, normalize=None)
    rows, columns = found.y.astype(int), found.x.astype(int)
    seen = frame.values[np.ix_(rows, columns)]
    np.testing.assert_allclose(found.content[..., 0], seen, atol=1e-5)
    np.testing.assert_allclose(found.angle, seen / 1e3, atol=1e-5)
    assert found.shift.shape == (len(rows), len(columns), 2)


def test_memory_is_bounded_and_pieces_fit(frame, monkeypatch):
    at_once = encode_dense(Reader(), frame, 7)
    monkeypatch.setattr(dense, "CHUNK", 49 * 50)
    reader = Reader()
    pieces = encode_dense(reader, frame, 7)
    assert reader.most == 50
    np.testing.assert_array_equal(pieces.content, at_once.content)


def test_table_has_the_points_of_the_maps(frame):
    found = encode_dense(Reader(), frame, 8, 3)
    table = found.to_dataframe(frame=4)
    assert len(table) == found.angle.size
    row, col = 2, 3
    mine = table[(table.x == found.x[col]) & (table.y == found.y[row])].iloc[0]
    assert mine["content_1"] == found.content[row, col, 1]
    assert mine["frame"] == 4


def test_window_beyond_the_frame_is_refused(frame):
    with pytest.raises(DataError, match="room"):
        encode_dense(Reader(), frame, 64)
