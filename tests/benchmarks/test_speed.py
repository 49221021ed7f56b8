import pytest

from benchmarks import speed


def test_ratios_are_against_the_peer_with_the_same_pose():
    rows = [row for row in speed.ROWS if row.peer != "atomai"]
    figures = {
        ("affine", "rt"): 2000.0,
        ("default", "rt"): 8000.0,
        ("steerable", "r"): 50_000.0,
        ("pyroVED iVAE", "rt"): 200.0,
        ("pyroVED iVAE", "r"): 100.0,
    }
    results = [
        [
            {"images_per_second": factor * figures[row.name, row.pose], "peak_gb": 1.0}
            for factor in (0.5, 1.0, 1.2)
        ]
        for row in rows
    ]
    lines = speed.summary(rows, results)
    assert [line["times pyroVED"] for line in lines] == pytest.approx(
        [10, 40, 500, 1, 1]
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
    assert order == 2 * [("affine", "rt"), ("default", "rt"), ("steerable", "r")]
    assert "2/2 steerable" in capsys.readouterr().out
