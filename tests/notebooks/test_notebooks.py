"""Every notebook runs at toy size and is committed without outputs."""

import os
import warnings
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, monkeypatch):
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in cells), "commit it without outputs"
    monkeypatch.setenv("JAXRVAE_TOY", "1")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setitem(os.environ, "PYDEVD_DISABLE_FILE_VALIDATION", "1")
    with warnings.catch_warnings():  # of the notebook machinery's own libraries
        warnings.simplefilter("ignore")
        from nbclient import NotebookClient

        client = NotebookClient(notebook, timeout=300, kernel_name="python3")
        client.execute(cwd=str(FOLDER))
