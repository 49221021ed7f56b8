from pathlib import Path

import nbformat
import pytest

FILES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# What is made smaller of each, and the figures that it draws.
TOY = {
    "01_from_images_to_maps": (
        {"NUM_FRAMES, SIZE = 6, 256": "NUM_FRAMES, SIZE = 1, 128", "None": "2"},
        5,
    ),
    "02_angles_in_doubt": ({"= 3000, 40, 500": "= 200, 4, 20"}, 4),
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_outputs_are_committed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_notebook_runs_at_toy_size(path, tmp_path):
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    settings = next(cell for cell in notebook.cells if cell.cell_type == "code")
    changes, num_figures = TOY[path.stem]
    for full, toy in changes.items():
        assert full in settings.source, "sizes stand in the first code cell"
        settings.source = settings.source.replace(full, toy)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources).execute()
    drawn = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(drawn) == num_figures
