"""The notebooks run from top to bottom on an ingested day."""

import shutil

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_yesterdays_events(embedded, path):
    shutil.copytree(ROOT / "src", embedded.root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    folder = embedded.root / "notebooks"
    folder.mkdir()
    done = embedded.cli("run", "--pipeline", "ingestion", "--params", "generator.n_events=500")
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output.output_type for cell in code[1:] for output in cell.outputs]
    assert shown.count("execute_result") == len(code) - 1


def test_notebooks_are_committed_without_outputs():
    cells = [cell for path in NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells]
    assert cells
    assert not [cell for cell in cells if cell.get("outputs")]
