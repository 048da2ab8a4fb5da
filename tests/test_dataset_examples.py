"""The examples in the docstrings of the datasets run, and each class has one for the catalog and one for Python."""

import doctest
import importlib
import inspect
import itertools
import textwrap

import pytest
import yaml
from conftest import ROOT
from kedro.io import AbstractDataset

FOLDER = ROOT / "src/network_anomalies/datasets"
MODULES = [
    importlib.import_module(f"network_anomalies.datasets.{path.stem}")
    for path in sorted(FOLDER.glob("*.py"))
    if path.stem != "__init__"
]
CLASSES = [
    kind
    for module in MODULES
    for kind in vars(module).values()
    if inspect.isclass(kind) and issubclass(kind, AbstractDataset) and kind.__module__ == module.__name__
]


def read_examples(text: str) -> dict:
    """Return the catalog entries that a docstring shows."""
    lines = text.partition(".. code-block:: yaml\n")[2].splitlines()
    block = itertools.takewhile(lambda line: not line or line.startswith(" "), lines)
    return yaml.safe_load(textwrap.dedent("\n".join(block))) or {}


def run_examples(module) -> doctest.TestResults:
    return doctest.testmod(module, optionflags=doctest.ELLIPSIS)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_examples_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert run_examples(module).failed == 0


def test_there_are_nine_datasets_at_most():
    assert len(CLASSES) <= 9


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_dataset_has_an_example_for_python_and_one_for_the_catalog(kind):
    assert doctest.DocTestParser().get_examples(kind.__doc__)
    entries = read_examples(inspect.getdoc(kind))
    assert entries
    for name, entry in entries.items():
        options = {key: value for key, value in entry.items() if key not in ("type", "dataset", "filename_suffix")}
        types = [entry["type"], entry.get("dataset", {}).get("type", "")]
        assert any(text.endswith(f".{kind.__name__}") for text in types), name
        if types[0].endswith(f".{kind.__name__}"):
            inspect.signature(kind).bind(**options)


def test_an_example_that_is_wrong_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "wrong_example.py").write_text('"""\n>>> 1 + 1\n3\n"""\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert run_examples(importlib.import_module("wrong_example")).failed == 1
