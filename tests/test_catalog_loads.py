"""Every entry of the catalog loads as what a notebook user expects, or says in one line what to run first."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from conftest import DAY, DAY_BEFORE, SMALL_DAY
from duckdb import DuckDBPyRelation
from plotly.graph_objects import Figure
from test_ingestion import HEADER, write_log, zeek_line

from network_anomalies.detection import Model
from network_anomalies.detection.scoring.summary import Summary
from network_anomalies.errors import explain
from network_anomalies.records.champion import Champion
from network_anomalies.records.evaluation import EvaluationReceipt
from network_anomalies.records.receipt import StageReceipt
from network_anomalies.records.training import TrainingReceipt
from network_anomalies.records.transformation import TransformationReceipt

FRAME, TEXT = pd.DataFrame, str
STORED = {
    "ingestion": {
        **dict.fromkeys(("ingested_events", "raw_network_events", "quarantined_events", "ground_truth"), FRAME),
        **dict.fromkeys(("current_objects", "ingestion_events", "source_record", "current_revisions"), FRAME),
        **dict.fromkeys(("current_batch", "batch_files"), FRAME),
        **dict.fromkeys(("quality_report", "raw_parts", "current_parts", "rejected_parts", "raw_slices"), dict),
        "flows": DuckDBPyRelation,
        "truth_events": StageReceipt,
    },
    "transformation": {
        "silver_events": FRAME,
        "silver_slices": dict,
        "day_summary": Summary,
        "summary_reader": partial,
        "history_slices": list,
        "transformation_events": TransformationReceipt,
    },
    "training": {"anomaly_model": Model, "training_events": TrainingReceipt},
    "evaluation": {
        **dict.fromkeys(("score_distribution", "precision_recall"), Figure),
        "evaluation_metrics": dict,
        "evaluation_events": EvaluationReceipt,
    },
    "registration": {"champion_model": Champion, "model_card": TEXT},
    "scoring": {
        **dict.fromkeys(("scores", "alerts", "known_alerts", "verdicts", "incidents"), FRAME),
        **dict.fromkeys(("alert_lines", "alert_findings"), FRAME),
        **dict.fromkeys(("flows_per_hour", "flows_per_protocol", "flow_sizes"), Figure),
        **dict.fromkeys(("rejects_per_rule", "flow_scores", "alerts_per_hour"), Figure),
        **dict.fromkeys(("daily_report", "report_index"), TEXT),
        "day_profiles": dict,
        "scoring_events": StageReceipt,
    },
}
"""What loads once a pipeline has run, and as what."""
AT_ONCE = {
    **dict.fromkeys(("source_days", "recent_evaluations"), FRAME),
    **dict.fromkeys(("alerts", "current_objects", "ingestion_events", "current_revisions", "batch_files"), FRAME),
    **dict.fromkeys(("ground_truth", "pipeline_runs", "known_alerts", "verdicts", "incidents"), FRAME),
    **dict.fromkeys(("previous_champion", "truth_events"), type(None)),
    **dict.fromkeys(("part_folders", "silver_folders", "score_folders", "spool_folders"), list),
}
"""What loads before any run: without rows."""
WITHIN_A_RUN = "this dataset has content only during a run"


def load_all(project, **params) -> dict[str, Any]:
    """Load every entry; an error stands for itself."""
    catalog = project.session(logical_date=DAY, **params).load_context().catalog
    names = [name for name in catalog.keys() if not name.startswith("param")]  # noqa: SIM118 (a catalog is no dict)
    return {name: attempt(lambda name=name: catalog.load(name)) for name in names}


def attempt(load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:
        return error


def check(loaded: dict[str, Any], pipelines: list[str], **others: type) -> None:
    """Hold what was loaded to what the pipelines that ran should have left."""
    expected = AT_ONCE | {name: kind for pipeline in pipelines for name, kind in STORED[pipeline].items()} | others
    for name, value in loaded.items():
        if name in expected:
            assert isinstance(value, expected[name]), (name, value)
            continue
        assert isinstance(value, Exception), name
        check_error(name, value, later={made for made, names in STORED.items() if name in names})


def check_error(name: str, error: Exception, later: set[str]) -> None:
    text, said = str(error), explain(error)
    assert "Traceback" not in text and "\n" not in said, name
    assert text.splitlines()[-1].endswith(said), (name, text)
    if later:
        assert "run the " in said and min(later) in said.partition("run the ")[2], (name, said)
    elif name == "log_files":
        assert said.startswith("no log files at ")
    elif name in ("realism_report", "realism_plot"):
        assert "run the realism pipeline" in said
    elif name != "mlflow_run":
        assert said.startswith(WITHIN_A_RUN), (name, said)


def test_every_entry_is_expected_to_load_or_lives_within_a_run(embedded):
    catalog = embedded.session(logical_date=DAY).load_context().catalog
    config = embedded.session(logical_date=DAY).load_context().config_loader["catalog"]
    transient = {
        name for name, entry in config.items() if entry["type"].endswith((".CollectedDataset", "MemoryDataset"))
    }
    stored = {name for names in STORED.values() for name in names}
    others = {
        "log_files",
        "mlflow_run",
        "previous_champion",
        "realism_report",
        "realism_plot",
        "pipeline_runs",
    } | AT_ONCE.keys()
    assert set(catalog) - stored - transient - {name for name in catalog if name.startswith("param")} <= others


def test_before_a_run(anywhere):
    check(load_all(anywhere), [])
    check(load_all(anywhere, source="zeek"), [])


def test_after_an_ingestion(anywhere):
    anywhere.run(logical_date=DAY_BEFORE)
    anywhere.run(generator__n_events=20)
    loaded = load_all(anywhere)
    check(loaded, ["ingestion"])
    for name in ("ingested_events", "raw_network_events"):
        assert len(loaded[name]) == 20, name
        assert set(loaded[name]["timestamp"].dt.strftime("%Y-%m-%d")) == {DAY}, name
    assert len(loaded["quarantined_events"]) == 0
    assert {"timestamp", "rule", "reason", "run_id"} <= set(loaded["quarantined_events"].columns)


def test_after_a_run_that_ended_early(anywhere):
    with anywhere.session(logical_date=DAY, **SMALL_DAY) as session:
        session.run(pipeline_names=["full"], to_nodes=["assemble_transformation"])
    check(load_all(anywhere, **SMALL_DAY), ["ingestion", "transformation"], truth_events=type(None))
    assert len(anywhere.load("silver_events")) == 3000


def test_after_a_run_that_committed_nothing(anywhere):
    with anywhere.session(logical_date=DAY, **SMALL_DAY) as session:
        session.run(pipeline_names=["full"], to_nodes=["plan_events"])
    check(load_all(anywhere, **SMALL_DAY), [])


def test_after_a_whole_run(anywhere):
    anywhere.run("full", **SMALL_DAY)
    loaded = load_all(anywhere, **SMALL_DAY)
    check(loaded, list(STORED))
    for name in ("raw_network_events", "ingested_events", "silver_events", "scores"):
        assert len(loaded[name]) == 3000, name
    assert loaded["scores"]["timestamp"].is_monotonic_increasing
    assert loaded["raw_slices"].keys() == loaded["silver_slices"].keys() == {"00", "06", "12", "18"}
    assert sum(len(read()) for read in loaded["silver_slices"].values()) == 3000
    assert sum(len(read()) for read in loaded["current_parts"].values()) == 3000
    assert loaded["daily_report"].startswith("<!doctype html>")
    assert {line.name for line in loaded["precision_recall"].data} >= {"candidate"}
    assert len(loaded["alert_lines"]) == len(loaded["alerts"])
    assert len(repr(loaded["history_slices"])) < 500


def test_after_a_whole_run_of_logs(anywhere):
    flows = [zeek_line(200 * row, host=f"10.0.0.{row % 20}", server=f"192.0.2.{row % 5}") for row in range(430)]
    write_log(anywhere, "conn.log", HEADER + "".join(flows) + zeek_line(5, proto="nonsense"))
    anywhere.run("log_full", source="zeek")
    loaded = load_all(anywhere, source="zeek")
    log_files = loaded.pop("log_files")
    assert [path.rpartition("/")[2] for path in log_files] == ["conn.log"]
    check(loaded, list(STORED), truth_events=type(None))
    assert (len(loaded["raw_network_events"]), len(loaded["quarantined_events"])) == (430, 1)
    assert loaded["ground_truth"].empty and loaded["truth_events"] is None
    assert len(loaded["batch_files"]) == 1
    assert loaded["source_record"][["name", "kind", "format"]].to_numpy().tolist() == [["zeek", "logs", "zeek"]]
    assert len(loaded["rejected_parts"]["0001"]()) == 1
