import json
import sys
import types

import pytest

from benchmarks import demo


@pytest.mark.parametrize("status", [0, 2])
def test_child_reports_compilation_and_passes_the_exit_status_on(
    monkeypatch, tmp_path, status
):
    def command_line():
        import jax
        import jax.numpy as jnp

        assert sys.argv == ["jaxrvae", "demo"]
        jax.jit(lambda x: jnp.sin(x) + status)(jnp.ones(3))
        return status

    cli = types.ModuleType("jaxrvae.cli")
    cli.main = command_line
    monkeypatch.setitem(sys.modules, "jaxrvae.cli", cli)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    with pytest.raises(SystemExit) as end:
        demo.run_child(str(tmp_path / "clock.json"), ["demo"])
    assert end.value.code == status
    found = json.loads((tmp_path / "clock.json").read_text())
    assert found["compile, s"] > 0
    assert found["programs"] >= 1


def test_limits_stand_beside_what_was_measured(monkeypatch, tmp_path, capsys):
    found = {"wall, s": 200.0, "peak memory, GB": 1.5, "compile, s": 9.0, "programs": 7}
    monkeypatch.setattr(demo, "measure", lambda folder: found)
    demo.main(["--out", str(tmp_path)])
    rows = json.loads((tmp_path / "demo.json").read_text())["rows"]
    assert [row["kept"] for row in rows] == [False, True, True]
    assert "| wall, s | 200 | 180 | no |" in capsys.readouterr().out
