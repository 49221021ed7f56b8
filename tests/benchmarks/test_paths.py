import pytest

from benchmarks import paths


@pytest.mark.slow
def test_strings_of_the_toy(monkeypatch):
    monkeypatch.setattr(paths, "SEEDS", 2)
    monkeypatch.setattr(paths, "pairs_a_second", lambda work, number: 100.0)
    rows = paths.known_strings()
    assert rows[0]["worst"] < 0.005
    assert rows[1]["worst"] < 0.01
    assert [row["kept"] for row in rows] == [True, "-", True]


def test_worst_is_the_least_where_at_least_is_asked():
    assert paths.row("speed", [60.0, 40.0], ">= 50", False)["worst"] == 40.0
    assert paths.row("error", [0.1, 0.3], "<= 0.2", False)["worst"] == 0.3
