"""What holds for every environment, pipeline and module; each rule with a case that breaks it."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT, Project
from kedro.framework.project import pipelines
from kedro.pipeline import Node, Pipeline

from network_anomalies.events.contract import COLUMNS
from network_anomalies.pipeline_registry import SHARED
from network_anomalies.records.batch import FATES
from network_anomalies.registry.tables import metadata
from network_anomalies.runs.configuration import ProjectConfigLoader
from network_anomalies.runs.stages import STAGES

REFERENCES = {
    *("MINIO_ENDPOINT_URL", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"),
    *("PG_HOST", "PG_USER", "PG_PASSWORD", "PG_DATABASE"),
}
ROOT_MODULES = {
    *("__init__", "__main__", "compat", "errors", "hooks", "parameters", "pipeline_registry", "settings"),
}
KEDROS_OWN = {"__main__", "nodes", "pipeline"}
PACKAGE = ROOT / "src/network_anomalies"
NODE_NAME = re.compile(r"^[a-z]+(_[a-z]+)+$")


def read_catalog(root: Path, env: str) -> dict:
    options = {"base_env": "base", "default_run_env": "embedded", "merge_strategy": {"globals": "soft"}}
    return dict(ProjectConfigLoader(root / "conf", env=env, runtime_params={}, **options)["catalog"])


def find_values(entry: dict, *keys: str) -> list:
    """Return the values of some keys of a catalog entry, at any depth."""
    own = [value for key, value in entry.items() if key in keys]
    return own + [found for value in entry.values() if isinstance(value, dict) for found in find_values(value, *keys)]


def find_undeclared(pipeline: Pipeline, declared: set[str]) -> set[str]:
    return {name for name in pipeline.datasets() if not name.startswith(("params:", "parameters"))} - declared


def find_odd_names(pipeline: Pipeline) -> set[str]:
    return {node.name for node in pipeline.nodes if not NODE_NAME.match(node.name.rpartition(".")[2])}


def find_misnamed(pipeline: Pipeline) -> set[str]:
    """Return the nodes whose name is not their function's."""
    return {node.name for node in pipeline.nodes if node.name != node.func.__name__}


def count_untyped(folder: Path) -> int:
    """Return the lines of a folder that say a dict may hold anything."""
    lines = (line for path in folder.rglob("*.py") for line in path.read_text().splitlines())
    return sum("dict[str, Any]" in line for line in lines)


def find_truth_readers(pipeline: Pipeline) -> set[str]:
    """Return the nodes that take the ground truth, or anything that was made of it."""
    reached, nodes = {"ground_truth"}, set()
    for node in pipeline.nodes:
        if reached & set(node.inputs):
            reached |= set(node.outputs)
            nodes.add(node.name)
    return nodes


def test_every_environment_has_the_same_datasets():
    base = set(read_catalog(ROOT, "base"))
    assert {env: set(read_catalog(ROOT, env)) for env in ("embedded", "minio")} == {"embedded": base, "minio": base}


def test_an_environment_with_a_dataset_of_its_own_is_noticed(embedded):
    (embedded.root / "conf/minio/catalog.yml").write_text("more: {type: MemoryDataset}")
    assert set(read_catalog(embedded.root, "minio")) - set(read_catalog(embedded.root, "base")) == {"more"}


def test_base_declares_the_lake_and_the_registry_that_are_served():
    catalog = read_catalog(ROOT, "base")
    assert catalog["raw_parts"]["path"].startswith("s3://cybersec-ml-raw/synthetic/")
    assert {name for name, entry in catalog.items() if "postgres" in find_values(entry, "credentials")} == {
        *("pipeline_runs", "source_record", "current_revisions", "current_objects", "current_batch", "current_parts"),
        *(
            "source_days",
            "recent_evaluations",
            "rejected_parts",
            "batch_files",
            "ingestion_events",
            "truth_events",
            "alerts",
            "known_alerts",
        ),
        *("verdicts", "incidents"),
        *("transformation_events", "training_events", "evaluation_events", "scoring_events"),
        *("raw_network_events", "ingested_events", "quarantined_events", "ground_truth", "raw_slices", "flows"),
        *("silver_events", "silver_slices", "day_summary", "summary_reader", "history_slices", "scores"),
        *("part_folders", "silver_folders", "score_folders", "spool_folders"),
        *("anomaly_model", "model_card", "previous_champion", "champion_model"),
    }
    for name in ("raw_parts", "quarantined_events", "silver_events", "champion_model", "daily_report"):
        assert "minio" in find_values(catalog[name], "credentials"), name
    assert not list((ROOT / "conf/base").glob("credentials*"))


def test_the_minio_environment_holds_references_and_no_values():
    text = (ROOT / "conf/minio/credentials.yml").read_text()
    assert set(re.findall(r"oc\.env:(\w+)\}", text)) == REFERENCES


def test_every_dataset_of_every_pipeline_is_declared_and_every_node_named():
    declared = set(read_catalog(ROOT, "base"))
    for name, pipeline in pipelines.items():
        assert not find_undeclared(pipeline, declared), name
        assert not find_odd_names(pipeline), name


def test_an_undeclared_dataset_and_an_unnamed_node_are_noticed():
    pipeline = Pipeline([Node(len, inputs="raw_partz", outputs="count")])
    assert find_undeclared(pipeline, {"raw_parts", "count"}) == {"raw_partz"}
    assert len(find_odd_names(pipeline)) == 1


def test_every_node_is_named_like_its_function():
    for name in pipelines:
        assert not find_misnamed(pipelines[name]), name


def test_a_node_with_another_name_than_its_functions_is_noticed():
    nodes = [Node(find_values, "entry", "values", name=name) for name in ("find_values", "collect_values")]
    assert find_misnamed(Pipeline(nodes[:1])) == set()
    assert find_misnamed(Pipeline(nodes[1:])) == {"collect_values"}


def test_dicts_of_anything_are_at_the_edges_only():
    assert count_untyped(PACKAGE) < 30


def test_a_dict_of_anything_is_counted(tmp_path):
    (tmp_path / "nodes.py").write_text("Report = dict[str, Any]\n\ndef count(rows: dict[str, int]) -> int: ...\n")
    assert count_untyped(tmp_path) == 1


def test_the_default_pipeline_is_full():
    assert pipelines["__default__"] == pipelines["full"]
    assert {node.name for node in pipelines["ingestion"].nodes} <= {node.name for node in pipelines["full"].nodes}


def test_readers_have_the_columns_they_rely_on():
    assert COLUMNS == ("timestamp", "src_ip", "dst_ip", "bytes", "duration", "protocol")
    assert list(metadata.tables["ingestion_events"].columns.keys()) == [
        *("run_id", "source", "logical_date", "revision", "part", "ingested_at", "file_name", "object_uri"),
        *("record_count", "rejected_count", "size_bytes", "object_sha256", "content_sha256"),
        *("min_timestamp", "max_timestamp", "contract_version", "status"),
    ]
    assert list(metadata.tables["pipeline_runs"].columns.keys()) == [
        *("run_id", "parent_run_id", "pipeline", "source", "logical_date", "env", "host", "status"),
        *("started_at", "finished_at", "failed_node", "error", "code_version", "params_sha256", "selection"),
    ]
    assert {"lines_in", *FATES} <= set(metadata.tables["ingestion_batches"].columns.keys())


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for names in project["optional-dependencies"].values() for name in names),
    ]
    pins = {
        line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    names = {re.split(r"[\[<>=!~ ]", name)[0].lower() for name in wanted} - {"network-anomalies"}
    assert names <= pins
    assert "left-pad" not in pins


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "lint-imports", "--config", root / "pyproject.toml", "--no-cache"]
    path = {"PYTHONPATH": str(root / "src"), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=root, env=path, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("pipelines/ingestion/gate.py", "import os", "Nodes are pure"),
        ("pipelines/ingestion/gate.py", "import network_anomalies.registry.run_rows", "Nodes are pure"),
        ("events/contract.py", "import kedro.io", "does not depend on Kedro"),
        ("events/parts.py", "import network_anomalies.datasets", "Layers"),
        ("generator/day.py", "import plotly", "Heavy libraries"),
        ("cli/options.py", "import prefect", "Heavy libraries"),
        ("detection/scoring/model.py", "import network_anomalies.detection.rules.named", "Detection: rules and alerts"),
        ("cli/options.py", "import network_anomalies.orchestration.flows", "Layers"),
        ("upkeep/stores.py", "import network_anomalies.orchestration.flows", "Layers"),
    ],
)
def test_the_import_rules_break_when_they_should(embedded, module, line, contract):
    shutil.copytree(ROOT / "src", embedded.root / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    path = embedded.root / "src/network_anomalies" / module
    path.write_text(f"{path.read_text()}\n\n{line}\n")
    done = lint_imports(embedded.root)
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(contract in text and "BROKEN" in text for text in done.stdout.splitlines())


def test_the_import_rules_hold():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_session_outside_the_working_directory_uses_its_own_registry(embedded, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert Project(embedded.root).run() == "SUCCESS"
    assert (embedded.root / "data/registry.db").exists()
    assert not list(elsewhere.iterdir())


def test_no_node_but_evaluations_reaches_the_truth():
    readers = {node.name for pipeline in pipelines.values() for node in pipeline.nodes if "ground_truth" in node.inputs}
    assert readers == {"evaluate_models", "score_test_flows"}


def test_nothing_made_of_the_truth_reaches_what_learns():
    learning = {node.name for name in ("transformation", "training") for node in pipelines[name].nodes}
    assert not find_truth_readers(pipelines["full"]) & learning


def test_a_node_that_peeks_at_the_truth_is_noticed():
    peek = Node(lambda truth, events: events, ["ground_truth", "events"], "features", name="peek_ahead")
    learn = Node(lambda features: features, "features", "model", name="learn_it")
    assert find_truth_readers(Pipeline([learn, peek])) == {"peek_ahead", "learn_it"}


def test_the_truth_lies_where_no_other_dataset_looks():
    catalog = read_catalog(ROOT, "base")
    (truth,) = find_values(catalog.pop("ground_truth"), "path")
    others = [path for entry in catalog.values() for path in find_values(entry, "path", "filepath")]
    assert len(others) > len(catalog) / 3
    assert truth.startswith("s3://cybersec-ml-eval/truth/")
    assert not [path for path in others if path.startswith(truth) or truth.startswith(path)]


def find_shared_names(package: Path) -> list[str]:
    """Return the names that two modules, or two classes, of a package share."""
    files = [path for path in package.rglob("*.py") if "versions" not in path.parts and path.stem != "__init__"]
    modules = Counter(path.stem for path in files if path.stem not in KEDROS_OWN)
    trees = [ast.parse(path.read_text()) for path in files]
    classes = Counter(part.name for tree in trees for part in ast.walk(tree) if isinstance(part, ast.ClassDef))
    return sorted(name for counts in (modules, classes) for name, count in counts.items() if count > 1)


def test_the_root_of_the_package_holds_what_everything_needs():
    assert {path.stem for path in PACKAGE.glob("*.py")} == ROOT_MODULES


def test_no_two_modules_or_classes_share_a_name(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "alerts.py").write_text("class Finding: ...")
    (tmp_path / "other/alerts.py").write_text("class Finding: ...")
    assert find_shared_names(tmp_path) == ["Finding", "alerts"]
    assert find_shared_names(PACKAGE) == []


NAMES = ("source", "ingested", "raw", "quarantine", "silver", "model", "score", "report")
LAYERS = [f"{place} {name}" for place, name in enumerate(NAMES, start=1)]
"""The layers of `kedro viz`, in the order in which data goes through them; the number keeps it where it is free."""


def find_backward(pipeline: Pipeline, layers: dict[str, str]) -> set[tuple[str, str]]:
    """Return the layers that are made of one that comes after them: `kedro viz` would then show no layers."""
    reached: dict[str, set[str]] = {}
    backward = set()
    for node in pipeline.nodes:
        before = {layer for name in node.inputs for layer in (*reached.get(name, ()), layers.get(name)) if layer}
        for name in node.outputs:
            reached[name] = before
            made = layers.get(name)
            backward |= {(made, layer) for layer in before if made and LAYERS.index(layer) > LAYERS.index(made)}
    return backward


def test_data_goes_through_the_layers_of_kedro_viz_in_one_direction():
    entries = read_catalog(ROOT, "base").items()
    layers = {name: entry["metadata"]["kedro-viz"]["layer"] for name, entry in entries if entry.get("metadata")}
    assert set(layers.values()) == set(LAYERS)
    assert not {name: found for name, pipeline in pipelines.items() if (found := find_backward(pipeline, layers))}


def test_data_that_goes_back_to_a_layer_is_noticed():
    pipeline = Pipeline([Node(len, "a", "b", name="go_on"), Node(len, "b", "c", name="go_back")])
    layers = {"a": "3 raw", "b": "7 score", "c": "3 raw"}
    assert find_backward(pipeline, layers) == {("3 raw", "7 score")}


def test_a_stage_is_the_tag_of_its_nodes():
    for stage in STAGES:
        for node in pipelines[stage].nodes:
            assert node.tags == set(SHARED.get(node.name, (stage,)))
    assert {node.name for node in pipelines["full"].nodes if len(node.tags) > 1} == set(SHARED)


PUBLIC_ALL_THE_SAME = {"_asdict", "_fields", "_replace", "_mapping"}
"""Names of named tuples and of SQLAlchemy's rows that are documented in spite of the underscore."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC_ALL_THE_SAME


def list_own_names(tree: ast.ClassDef) -> set[str]:
    """Return what a class defines: its functions and classes, and the attributes that it sets on itself."""
    parts = list(ast.walk(tree))
    defined = {part.name for part in parts if isinstance(part, ast.FunctionDef | ast.ClassDef)}
    names = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return (
        defined
        | names
        | {part.attr for part in parts if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)}
    )


def find_foreign_names(package: Path) -> list[str]:
    """Return the private names of libraries that a package uses, as `module: name`, but in its `compat`.

    A private attribute of `self`, or one that `super()` has, is the package's if its class or a class of the package
    that it inherits from defines it. A private attribute of anything else is foreign.
    """
    trees = {path: ast.parse(path.read_text()) for path in sorted(package.rglob("*.py")) if path.stem != "compat"}
    classes = {part.name: part for tree in trees.values() for part in ast.walk(tree) if isinstance(part, ast.ClassDef)}

    def list_names(tree: ast.ClassDef) -> set[str]:
        bases = [classes[base.id] for base in tree.bases if isinstance(base, ast.Name) and base.id in classes]
        return list_own_names(tree).union(*map(list_names, bases))

    found = []
    for path, tree in trees.items():
        owners = [(owner, list_names(owner)) for owner in ast.walk(tree) if isinstance(owner, ast.ClassDef)]
        owned = {id(part): names for owner, names in owners for part in ast.walk(owner)}
        for part in ast.walk(tree):
            if isinstance(part, ast.ImportFrom) and not (part.module or "").startswith("network_anomalies"):
                found += [f"{path.stem}: {name.name}" for name in part.names if is_private(name.name)]
            if isinstance(part, ast.Attribute) and is_private(part.attr):
                is_itself = isinstance(part.value, ast.Name) and part.value.id in ("self", "cls")
                if not (is_itself and part.attr in owned.get(id(part), ())):
                    found.append(f"{path.stem}: {part.attr}")
    return found


FOREIGN = """
from kedro.framework.cli.utils import _split_params, env_option
class Picture(MatplotlibDataset):
    def __init__(self):
        self._kept = 1
    def load(self):
        return self._kept, self._fs, super()._describe()
class Other(Picture):
    def load(self):
        return self._kept, self._protocol, catalog["report"]._describe(), row._mapping
"""


def test_private_names_of_libraries_stand_in_one_module(tmp_path):
    (tmp_path / "picture.py").write_text(FOREIGN)
    (tmp_path / "compat.py").write_text(FOREIGN)
    found = [name.partition(": ")[2] for name in find_foreign_names(tmp_path)]
    assert sorted(found) == ["_describe", "_describe", "_fs", "_protocol", "_split_params"]
    assert find_foreign_names(PACKAGE) == []
