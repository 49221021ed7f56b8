import pytest

from benchmarks.drift import changing_row, line_row, real_rows, simulated_row


@pytest.mark.slow
def test_rows_hold_what_they_say():
    row = simulated_row(1e5, range(1))
    assert row["seeds that slip"] == 0
    assert row["bound"] < row["RMS, px, of seeds that hold"] < 0.3
    assert changing_row("missing", range(1))["RMS, px, of seeds that hold"] < 0.2
    lines = line_row(1e6, 1.0, range(1))
    assert lines["after"] < 0.4 * lines["before"]


@pytest.mark.slow
def test_the_real_series_is_aligned(shared_data):
    files = sorted((shared_data / "pfm" / "nsid").glob("PZT_final000[1-3].h5"))
    rows = real_rows(files)
    for row in rows[1:]:
        assert row["AmplitudeRetrace: after"] > row["AmplitudeRetrace: before"]
