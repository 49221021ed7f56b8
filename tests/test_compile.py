import os
import subprocess
import sys

import pytest

import jaxrvae as jr

SCRIPT = """
import jax, jax.numpy as jnp
import jaxrvae as jr
print(jr.keep_compiled())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
print(jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.ones((3, 3)))[0, 0])
"""


def run(folder):
    """What a process prints, and the compiled programs it leaves."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"JAXRVAE_CACHE": str(folder)},
    )
    assert not done.stderr
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("*-cache")}
    return done.stdout, kept


def test_a_second_process_takes_what_the_first_compiled(tmp_path):
    folder = tmp_path / "new" / "cache"
    said, first = run(folder)
    assert said.startswith(str(folder))
    assert first
    assert run(folder) == (said, first)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(jr.RunError, match=r"file.*cannot be kept.*JAXRVAE_CACHE"):
        jr.keep_compiled(tmp_path / "file" / "cache")


def test_the_command_line_goes_on_without_a_folder(tmp_path, monkeypatch, capsys):
    from jaxrvae.cli import main

    (tmp_path / "file").touch()
    monkeypatch.setenv("JAXRVAE_CACHE", str(tmp_path / "file"))
    assert main(["run", str(tmp_path / "none.npy"), "--out", str(tmp_path)]) == 1
    cache, missing = capsys.readouterr().err.splitlines()
    assert "cannot be kept" in cache
    assert "none.npy" in missing
