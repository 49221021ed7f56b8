import json

import numpy as np
import pytest

from benchmarks import movie


@pytest.mark.slow
def test_a_movie_is_made_and_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(movie, "SIDE", 96)
    monkeypatch.setattr(movie, "AT_ONCE", 2)
    movie.make_movie(tmp_path, 3)
    frames = np.load(tmp_path / "movie.npy")
    assert frames.shape == (3, 96, 96)
    assert frames.dtype == np.float32
    assert np.ptp(frames, axis=(1, 2)).min() > 0
    row = movie.measure(tmp_path, 16)
    assert row["frames"] == 3
    assert 0 < row["patches"] < row["atoms"]
    assert row["patches GB"] == row["patches"] * 16 * 16 * 4 / 2**30
    assert 0 < row["GB after a frame"] <= row["GB after finding"] <= row["peak GB"]


@pytest.mark.parametrize(("peak", "kept"), [(1.4, True), (1.6, False)])
def test_asked_stands_beside_reached(monkeypatch, tmp_path, capsys, peak, kept):
    asked = []

    def alone(what, folder, number):
        asked.append((what, number))
        return json.dumps({"frames": 7, "peak GB": peak})

    monkeypatch.setattr(movie, "_alone", alone)
    movie.main(["--frames", "7", "--size", "16", "--out", str(tmp_path)])
    assert asked == [(movie.MAKE, 7), (movie.MEASURE, 16)]
    (row,) = json.loads((tmp_path / "movie.json").read_text())["rows"]
    assert (row["asked GB"], row["kept"]) == (1.5, kept)
    assert f"| {peak} | 1.5 |" in capsys.readouterr().out
