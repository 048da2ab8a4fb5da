"""What `kedro viz` shows: a site of bounded previews without credentials, charts of the day, rows of the last run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import browse, serve
from conftest import ROOT, SMALL_DAY, copy_project, make_once

CHARTS = ("flows_per_hour", "flows_per_protocol", "flow_sizes", "rejects_per_rule", "flow_scores", "alerts_per_hour")
MOST_PREVIEW = 40_000
MARK = "k3dr0-s3cret-0123"
"""Part of the registry's URL, which is a credential."""


def build_site(folder: Path) -> None:
    """Build the site of a project in which yesterday was modelled, as a person does."""
    project = copy_project(folder / "project")
    shutil.copytree(ROOT / "src", project.root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    credentials = project.root / "conf/embedded/credentials.yml"
    credentials.write_text(credentials.read_text().replace("registry.db", f"{MARK}.db"))
    small = {name: value for name, value in SMALL_DAY.items() if name != "logical_date"}
    with project.session(**small) as session:
        session.run(pipeline_names=["full"])
    command = [sys.executable, "-m", "kedro", "viz", "build", "--include-previews"]
    subprocess.run(command, cwd=project.root, check=True, capture_output=True, timeout=240)


@pytest.fixture(scope="module")
def site() -> Path:
    return make_once("viz", build_site) / "project/build"


def read_nodes(site: Path) -> dict[str, dict]:
    """Return what the site says of each dataset and node, by name."""
    names = {node["id"]: node["name"] for node in json.loads((site / "api/main").read_text())["nodes"]}
    files = {path.name: json.loads(path.read_text()) for path in (site / "api/nodes").iterdir()}
    return {name: files[place] for place, name in names.items() if place in files}


@pytest.mark.slow(reason="a day is modelled and kedro-viz builds its site")
def test_previews_are_bounded_and_charts_are_charts(site):
    nodes = read_nodes(site)
    for name in CHARTS:
        assert nodes[name]["preview_type"] == "PlotlyPreview", name
        assert nodes[name]["preview"]["data"][0]["y"] is not None
    for name in ("scores", "alerts", "raw_parts"):
        assert nodes[name].get("stats"), name
    assert len(nodes["scores"]["preview"]["data"]) == len(nodes["silver_slices"]["preview"]["data"]) == 20
    assert nodes["scores"]["stats"]["rows"] == SMALL_DAY["generator__n_events"]
    sizes = {name: len(json.dumps(node.get("preview"))) for name, node in nodes.items()}
    assert {name: size for name, size in sizes.items() if size > MOST_PREVIEW} == {}


@pytest.mark.slow(reason="it needs the site that kedro-viz builds")
def test_the_site_holds_no_credentials(site):
    assert MARK in (site.parent / "conf/embedded/credentials.yml").read_text()
    texts = [path.read_text(errors="ignore") for path in (site / "api").rglob("*") if path.is_file()]
    assert len(texts) > 50 and not [text for text in texts if MARK in text]


@pytest.mark.slow(reason="it needs the site that kedro-viz builds")
def test_a_browser_shows_the_pipeline_its_layers_and_a_chart(site):
    chart = next(
        node["id"] for node in json.loads((site / "api/main").read_text())["nodes"] if node["name"] == "flows_per_hour"
    )
    with serve(site) as address:
        page = browse(f"{address}/?pid=__default__&sid={chart}")
    for text in ("validate_events", "score_slices", "2 ingested", "8 report", "Flows by hour (UTC)"):
        assert text in page, text


def test_every_node_has_a_docstring():
    from kedro.framework.project import pipelines

    for pipeline in pipelines.values():
        assert not [node.name for node in pipeline.nodes if not node.func.__doc__]
