import pytest

from benchmarks import walls


@pytest.mark.slow
def test_walls_of_a_simulated_film(monkeypatch):
    monkeypatch.setattr(walls, "FILM", {"num_frames": 2, "size": 96})
    monkeypatch.setattr(walls, "SEEDS", (0,))
    row = walls.worst(0.05)
    assert row["right"] > 0.95
    assert row["found"] > 0.5
    assert row["distance, px"] < 1.5
