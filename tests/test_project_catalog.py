"""The catalog says which pipeline makes what is missing, and commands and kedro-viz show every entry."""

import json
import subprocess
import sys

import pytest
import yaml
from conftest import DAY, ROOT
from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner, ThreadRunner
from test_conventions import read_catalog

from network_anomalies.errors import ProjectError, explain
from network_anomalies.runs.catalog import UNUSED, ProjectCatalog, find_makers

LIST_LAYERS = """
import json
from pathlib import Path
from kedro.framework.project import pipelines
from kedro_viz.data_access import data_access_manager
from kedro_viz.server import load_and_populate_data
load_and_populate_data(Path(), include_hooks=False)
find = data_access_manager.get_sorted_layers_for_registered_pipeline
print(json.dumps({name: find(name) for name in pipelines}))
"""


def run_kedro(project, *arguments: str) -> subprocess.CompletedProcess[str]:
    (project.root / "src").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "kedro", *arguments]
    return subprocess.run(command, cwd=project.root, capture_output=True, text=True, timeout=120, check=False)


def list_described(groups: dict) -> set[str]:
    return {name for group in groups.values() for kinds in group.values() for names in kinds.values() for name in names}


def test_a_command_lists_every_entry(embedded):
    described = yaml.safe_load(run_kedro(embedded, "catalog", "describe-datasets").stdout)
    entries = set(embedded.session(logical_date=DAY).load_context().config_loader["catalog"])
    assert list_described(described) == entries
    assert not [
        kinds for group in described.values() for kinds in (group.get("defaults"), group.get("factories")) if kinds
    ]
    assert list_described({UNUSED: described[UNUSED]}) == {"flows", "raw_network_events", "pipeline_runs"}


def test_a_command_lists_the_entries_of_the_pipelines_that_it_is_asked_for(embedded):
    described = embedded.session(logical_date=DAY).load_context().catalog.describe_datasets(["training"])
    assert described.keys() == {"training"}
    assert list_described(described) == {name for name in pipelines["training"].datasets() if "param" not in name}


@pytest.mark.parametrize(
    ("name", "makers"),
    [
        ("raw_parts", ["ingestion", "log_ingestion"]),
        ("quality_report", ["ingestion", "log_ingestion"]),
        ("daily_report", ["scoring"]),
        ("realism_report", ["realism"]),
        ("replayed_parts", ["replay"]),
        ("log_files", []),
    ],
)
def test_the_makers_of_a_dataset_are_the_stages_that_output_it(name, makers):
    assert find_makers(name) == makers


def test_the_makers_of_a_persons_dataset_are_a_persons_pipelines(monkeypatch):
    top = Pipeline([Node(len, inputs="silver_events", outputs="top_talkers", name="find_top_talkers")])
    monkeypatch.setitem(pipelines, "top_talkers", top)
    assert find_makers("top_talkers") == ["top_talkers"]


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner])
def test_a_run_that_lacks_a_file_says_which_pipeline_makes_it(embedded, runner):
    with pytest.raises(ProjectError) as raised, embedded.session(logical_date=DAY) as session:
        session.run(pipeline_names=["evaluation"], node_names=["assemble_evaluation"], runner=runner())
    missing = "evaluation_metrics of that source and date is not there yet: run the evaluation pipeline of that day"
    assert explain(raised.value).startswith(missing)


def test_a_file_that_cannot_be_read_is_not_called_missing(embedded):
    embedded.run(generator__n_events=10)
    catalog = embedded.session(logical_date=DAY).load_context().catalog
    (report,) = embedded.root.rglob("quality_report.json")
    report.write_text("{")
    with pytest.raises(DatasetError) as raised:
        catalog.load("quality_report")
    assert "run the" not in str(raised.value)


def test_a_name_that_nobody_declared_is_an_error_of_kedro(embedded):
    catalog = embedded.session(logical_date=DAY).load_context().catalog
    with pytest.raises(DatasetError, match="'silver_event' not found in the catalog"):
        catalog.load("silver_event")


def test_what_is_there_is_loaded_without_asking_whether_it_is(embedded, monkeypatch):
    embedded.run(generator__n_events=10)
    monkeypatch.setattr(ProjectCatalog, "exists", lambda *_: pytest.fail("asked"))
    catalog = embedded.session(logical_date=DAY).load_context().catalog
    assert catalog.load("quality_report")["counts"]["accepted"] == 10
    assert len(catalog.load("raw_parts")) == 1


def test_kedro_viz_shows_the_layers_of_every_pipeline_in_the_order_of_the_data():
    catalog = read_catalog(ROOT, "base")
    entries = {name for name, entry in catalog.items() if entry.get("metadata")}
    done = subprocess.run(
        [sys.executable, "-c", LIST_LAYERS], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    layers = json.loads(done.stdout.splitlines()[-1])
    for name, pipeline in pipelines.items():
        own = {catalog[dataset]["metadata"]["kedro-viz"]["layer"] for dataset in pipeline.datasets() & entries}
        shown = [layer for layer in layers[name] if layer in own]
        assert own and shown == sorted(own), name


def test_a_chart_can_be_previewed(embedded):
    from plotly.graph_objects import Bar, Figure

    catalog = embedded.session(logical_date=DAY).load_context().catalog
    catalog.save("score_distribution", Figure(Bar(x=["a"], y=[2])))
    assert catalog["score_distribution"].preview()["data"][0]["y"] == [2]
    assert catalog.load("score_distribution").data[0].x == ("a",)
