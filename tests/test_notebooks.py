"""The notebooks run from top to bottom, on either kind of stores, and say what to run first where there is no data."""

import re
import shutil
from itertools import islice
from pathlib import Path

import nbformat
import pytest
from conftest import DAY, ROOT, SMALL_DAY, Project, make_once
from nbclient import NotebookClient
from test_ingestion import HEADER, write_log, zeek_line

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ["01_explore_a_day", "02_data_quality", "03_triage_alerts", "04_train_and_compare"]
PLOT = "application/vnd.plotly.v1+json"
NO_VERDICT, VERDICT = 'verdict, reason = ""', 'verdict, reason = "confirm"'
IMPORT = re.compile(r"^(?:from|import) (\w+)", re.MULTILINE)
INSTALLED = ("IPython", "network_anomalies", "numpy", "pandas", "plotly")
"""What notebooks may import: it is there without extras."""
COMMANDS = ("kedro run", "run the ")


def add_notebooks(root: Path) -> Path:
    """Make a project one that notebooks work in; return their folder."""
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    folder = root / "notebooks"
    folder.mkdir()
    return folder


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Return a notebook with its outputs: of DAY, chosen as the notebook says; one decides about an alert."""
    notebook = nbformat.read(path, as_version=4)
    chosen = f"%load_ext kedro.ipython\n%reload_kedro --params=logical_date={DAY}"
    for cell in list_code(notebook):
        cell.source = cell.source.replace("%load_ext kedro.ipython", chosen).replace(NO_VERDICT, VERDICT)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def list_code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def check_outputs(notebook: nbformat.NotebookNode) -> None:
    """Require that every cell but the first shows something of its own, and that there are pictures."""
    for cell in list_code(notebook)[1:]:
        shown = [
            output
            for output in cell.outputs
            if output.output_type == "execute_result" or PLOT in output.get("data", {})
        ]
        assert shown, cell.source
    assert any(PLOT in output.get("data", {}) for cell in list_code(notebook) for output in cell.outputs)


@pytest.fixture(scope="module")
def scored(modelled_days: Project) -> Project:
    """A copy of the two modelled days, with a folder for notebooks."""

    def copy(folder: Path) -> None:
        shutil.copytree(modelled_days.root, folder / "project")
        add_notebooks(folder / "project")

    return Project(make_once("notebooks", copy) / "project")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(scored, path):
    notebook = execute(path, scored.root / "notebooks")
    if path.stem == "04_train_and_compare":
        assert "text/markdown" in list_code(notebook)[-1].outputs[-1].data
        list_code(notebook)[-1].outputs[-1].output_type = "execute_result"
    check_outputs(notebook)


@pytest.mark.slow(reason="it models a day on the servers before two notebooks can read it")
def test_the_notebooks_read_the_servers(ready, monkeypatch):
    ready.run("full", **SMALL_DAY)
    folder = add_notebooks(ready.root)
    monkeypatch.setenv("KEDRO_ENV", "minio")
    for path in NOTEBOOKS:
        if path.stem in ("01_explore_a_day", "03_triage_alerts"):
            check_outputs(execute(path, folder))
    verdicts = ready.rows("verdicts")
    assert verdicts[["verdict", "reason"]].to_numpy().tolist() == [["confirmed", "seen in the notebook"]]


def test_without_data_one_sentence_says_what_to_run(embedded):
    notebooks = [nbformat.read(path, as_version=4) for path in NOTEBOOKS]
    together = nbformat.v4.new_notebook(cells=[cell for notebook in notebooks for cell in list_code(notebook)])
    folder = add_notebooks(embedded.root)
    NotebookClient(together, timeout=120, allow_errors=True, resources={"metadata": {"path": str(folder)}}).execute()
    cells = iter(together.cells)
    for notebook in notebooks:
        outputs = [output for cell in islice(cells, len(list_code(notebook))) for output in cell.outputs]
        said = [output.text for output in outputs if output.output_type == "stream"]
        first = next(text for text in said if not text.startswith("The kedro.ipython extension is already loaded"))
        assert first.startswith("Error: ") and first.count("\n") == 1
        assert any(command in first for command in COMMANDS)


def test_a_day_of_one_flow_has_a_quality(embedded):
    write_log(embedded, "conn.log", HEADER + zeek_line(30))
    assert embedded.run("log_ingestion", source="office") == "SUCCESS"
    names = {"catalog": embedded.session(source="office", logical_date=DAY).load_context().catalog}
    for cell in list_code(nbformat.read(ROOT / "notebooks/02_data_quality.ipynb", as_version=4))[1:]:
        exec(cell.source, names)
    assert len(names["times"]) == 1


def find_faults(notebook: nbformat.NotebookNode) -> list[str]:
    """Say what must not be committed: outputs, numbers of executions, a verdict, long cells, other packages."""
    faults = []
    for cell in list_code(notebook):
        if cell.outputs or cell.execution_count is not None:
            faults.append("has outputs")
        if "verdict, reason" in cell.source and NO_VERDICT not in cell.source:
            faults.append("decides about an alert")
        if len(cell.source.splitlines()) > 12:
            faults.append("is long")
        faults += [f"imports {name}" for name in IMPORT.findall(cell.source) if name not in INSTALLED]
    return faults


def test_notebooks_are_committed_without_outputs():
    assert [path.stem for path in NOTEBOOKS] == NAMES
    assert [fault for path in NOTEBOOKS for fault in find_faults(nbformat.read(path, as_version=4))] == []


def test_a_notebook_with_outputs_is_noticed():
    cell = nbformat.v4.new_code_cell("from sklearn.metrics import auc\n" + f"{VERDICT}\n" * 13, execution_count=1)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    assert find_faults(notebook) == ["has outputs", "decides about an alert", "is long", "imports sklearn"]
