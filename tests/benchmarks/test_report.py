import json

import numpy as np

from benchmarks import _report


def test_table_keeps_three_figures_and_marks_what_is_missing():
    rows = [{"model": "a", "R": 0.98765, "n": 12345}, {"model": "b", "ok": True}]
    lines = _report.table(rows).splitlines()
    assert lines[0] == "| model | R | n | ok |"
    assert lines[1] == "|---|---:|---:|---:|"
    assert lines[2:] == ["| a | 0.988 | 12,345 | - |", "| b | - | - | yes |"]


def test_written_files_hold_the_same_rows_and_the_facts(tmp_path):
    rows = [{"R": np.float32(0.5), "seeds": np.arange(2)}]
    path = _report.write(tmp_path / "new", "glyphs", rows, _report.facts(), "By hand.")
    content = json.loads(path.with_suffix(".json").read_text())
    assert content["rows"] == [{"R": 0.5, "seeds": [0, 1]}]
    assert content["facts"]["cores"] >= 1
    text = path.read_text()
    assert text.startswith("# Glyphs\n\nBy hand.\n\n| R | seeds |")
    assert "- versions: " in text
    assert "numpy " in text


def test_facts_name_installed_packages_only():
    versions = _report.facts(["numpy", "no-such-package"])["versions"]
    assert list(versions) == ["numpy"]
