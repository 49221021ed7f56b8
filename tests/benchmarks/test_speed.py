import pytest

from benchmarks import speed


def test_ratios_are_against_the_faster_peer_with_the_same_pose():
    figures = {
        ("affine", "rt"): 2000.0,
        ("default", "rt"): 8000.0,
        ("steerable", "r"): 50_000.0,
        ("coordinate, one Gaussian pose", "rt"): 400.0,
        ("pyroVED iVAE", "rt"): 200.0,
        ("pyroVED iVAE", "r"): 100.0,
        ("AtomAI rVAE", "rt"): 150.0,
        ("AtomAI rVAE", "r"): 125.0,
    }
    results = [
        [
            {"images_per_second": factor * figures[row.name, row.pose], "peak_gb": 1.0}
            for factor in (0.5, 1.0, 1.2)
        ]
        for row in speed.ROWS
    ]
    lines = speed.summary(list(speed.ROWS), results)
    assert [line["times the faster peer"] for line in lines] == pytest.approx(
        [10, 40, 400, 2, 1, 0.8, 0.75, 1]
    )
    assert lines[0]["least"] == 1000
    assert lines[0]["pose"] == "rotation + shift"


def test_rows_take_turns(monkeypatch, capsys):
    order = []

    def fake(row, images, options):
        order.append((row.name, row.pose))
        return {"images_per_second": 1.0, "peak_gb": 1.0}

    monkeypatch.setattr(speed, "measure_once", fake)
    options = speed.arguments(["--repeats", "2", "--ours-only"])
    rows = [row for row in speed.ROWS if speed.chosen(row, options)]
    speed.measure(rows, "images.npy", options)
    ours = [("affine", "rt"), ("default", "rt"), ("steerable", "r")]
    assert order == 2 * [*ours, ("coordinate, one Gaussian pose", "rt")]
    assert "2/2 steerable" in capsys.readouterr().out
