"""The whole way of a day: the order of the stages, day after day, each alone, and days that are out of the ordinary."""

import re
import shutil
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from conftest import DAY, DAY_BEFORE, NEXT_DAY, SHARED, SMALL_DAY, Project
from kedro.framework.project import pipelines
from kedro.pipeline import Node, Pipeline
from kedro.runner import ThreadRunner
from test_ingestion import HEADER, write_log, zeek_line
from test_transformation import fails

from network_anomalies.upkeep import verify_stores

MODELLING = ("transformation", "training", "evaluation", "registration", "scoring")
REAL_DAY = SHARED / "data/unlabelled/zeek-tsv-2024-04-19.conn.log"
# Kedro runs a node once those are done that its inputs come from, in whatever order else: this is what it must know.
ORDER = [
    *("assemble_batch", "transform_slices", "assemble_transformation", "split_window", "train_model"),
    *("score_test_flows", "evaluate_models", "decide_promotion", "assemble_model", "score_slices", "raise_alerts"),
]


def find_disorder(pipeline: Pipeline, order: list[str]) -> list[tuple[str, str]]:
    """Return the neighbours in an order of which the graph does not make the second wait for the first."""
    return [
        (first, second)
        for first, second in pairwise(order)
        if second not in {node.name for node in pipeline.from_nodes(first).nodes}
    ]


def test_the_graph_keeps_the_stages_in_order_for_every_runner():
    assert find_disorder(pipelines["full"], ORDER) == []
    after = {node.name for node in pipelines["full"].from_nodes("assemble_batch").nodes}
    assert {node.name for stage in MODELLING for node in pipelines[stage].nodes} <= after
    assert find_disorder(pipelines["full"], ["label_events", "evaluate_models"]) == []
    assert find_disorder(pipelines["full"], ["write_model_card", "assemble_model"]) == []


def test_a_stage_that_does_not_wait_is_noticed():
    hasty = Pipeline(
        [Node(len, "raw", "receipt", name="assemble_batch"), Node(len, "stored", "silver", name="transform_slices")]
    )
    assert find_disorder(hasty, ["assemble_batch", "transform_slices"]) == [("assemble_batch", "transform_slices")]


def test_a_fresh_project_ends_with_a_champion_alerts_and_a_report(anywhere):
    params = f"logical_date={DAY},generator.n_events=2000,transformation.slice_hours=6"
    arguments = ["--params", params, *(["--env", anywhere.env] if anywhere.env == "minio" else [])]
    done = anywhere.cli("run", *arguments, KEDRO_LOGGING_CONFIG=str(anywhere.root / "conf/logging.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    table = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in done.stdout.splitlines() if "  " in line)
    assert table["run"].endswith(f"source synthetic, date {DAY}: SUCCESS")
    assert table["came in"] == "2000 lines in, 2000 accepted, 0 rejected"
    assert re.match(r"version 1, \S+model\.arrow: first model of this source up to", table["champion"])
    found = re.match(r"(\d+) raised, (\d+) suppressed$", table["alerts"])
    assert found, table
    rows = anywhere.rows("alerts")
    assert (int(found[1]), int(found[2])) == (rows["suppressed_by"].isna().sum(), rows["suppressed_by"].notna().sum())
    assert int(table["incidents"]) == len(anywhere.load("incidents"))
    assert anywhere.stored(table["report"]).startswith(b"<!doctype html>")
    assert "score_slices" in Path(table["log"]).read_text()


def test_threads_give_the_same_day(embedded, modelled_days):
    with embedded.session(logical_date=DAY_BEFORE, **SMALL_DAY) as session:
        session.run(pipeline_names=["full"], runner=ThreadRunner())
    mine, theirs = (project.records("models")[0] for project in (embedded, modelled_days))
    assert mine["model_sha256"] == theirs["model_sha256"]
    alerts = [
        project.load("alerts", logical_date=DAY_BEFORE).drop(columns=["run_id", "transformation_run_id", "created_at"])
        for project in (embedded, modelled_days)
    ]
    pd.testing.assert_frame_equal(*alerts)


def test_the_champion_of_the_past_scores_the_new_day(modelled, caplog):
    champion = modelled.load("champion_model")
    modelled.run(logical_date=NEXT_DAY, **SMALL_DAY)
    modelled.run("transformation", logical_date=NEXT_DAY, **SMALL_DAY)
    assert modelled.run("scoring", logical_date=NEXT_DAY) == "SUCCESS"
    assert set(modelled.load("alerts", logical_date=NEXT_DAY)["model_version"]) == {champion.version}
    assert re.search(rf"champion +version {champion.version},", caplog.text)
    days = set(modelled.rows("alerts")["logical_date"].astype("str").str[:10])
    assert days == {DAY_BEFORE, DAY, NEXT_DAY}


def test_each_stage_runs_alone_from_what_is_stored_and_changes_nothing(modelled):
    tables = ("ingestion_events", "transformation_events", "models", "alerts")
    before = [modelled.rows(table) for table in tables]
    statuses = [modelled.run(stage, **SMALL_DAY) for stage in MODELLING]
    assert statuses == ["UNCHANGED", "SUCCESS", "SUCCESS", "UNCHANGED", "UNCHANGED"]
    assert all(earlier.equals(modelled.rows(table)) for earlier, table in zip(before, tables, strict=True))


def test_a_rerun_of_everything_says_unchanged_and_other_silver_says_success(modelled):
    stored = {layer: modelled.objects(layer) for layer in ("raw", "silver", "models", "reports")}
    assert modelled.run("full", **SMALL_DAY) == "UNCHANGED"
    assert {layer: modelled.objects(layer) for layer in stored} == stored
    assert modelled.run("full", **SMALL_DAY | {"transformation__slice_hours": 12}) == "SUCCESS"


def test_modelling_after_an_ingestion_is_not_unchanged(embedded):
    small = SMALL_DAY | {"generator__n_events": 300}
    embedded.run(**small)
    assert embedded.run("full", **small) == "SUCCESS"


@pytest.mark.parametrize("stage", MODELLING)
def test_a_stage_before_its_turn_fails_by_name(embedded, stage):
    assert re.search(r"run the (ingestion|transformation|training|evaluation)", fails(embedded, stage))


def model(project: Project, lines: list[str]) -> pd.DataFrame:
    """Ingest lines of a Zeek log as the day and run every stage on it; return the alerts."""
    write_log(project, "conn.log", HEADER + "".join(lines))
    project.run("log_ingestion", source="zeek")
    project.run(*MODELLING, source="zeek", transformation__slice_hours=6)
    return project.load("alerts", source="zeek")


def test_the_tiniest_day_goes_all_the_way(embedded):
    assert embedded.run("full", generator__n_events=10) == "SUCCESS"
    assert embedded.run("full", generator__n_events=10) == "UNCHANGED"
    assert len(embedded.load("scores")) == 10


def hours(count: int, **changes: str) -> list[str]:
    return [zeek_line(place * 86_000 / count, **changes) for place in range(count)]


@pytest.mark.parametrize(
    "lines",
    [
        hours(50, duration="0.0"),
        [zeek_line(place * 200, host=f"10.0.0.{place % 9}") for place in range(400)],
        [zeek_line(place * 200, host="10.0.0.1", server=f"10.9.0.{place % 99}") for place in range(400)],
        [line for place in range(8) for line in [zeek_line(place * 10_000.0)] * 30],
    ],
    ids=["one pair", "one protocol", "one host", "equal rows"],
)
def test_a_day_of_one_kind_goes_all_the_way_and_raises_one_alert_at_most(embedded, lines):
    assert len(model(embedded, lines)) <= 1
    metrics = embedded.load("evaluation_metrics", source="zeek")
    assert not metrics["drift"]["drifted"]


def test_a_single_slice_cannot_be_tested_and_the_run_says_so(embedded):
    write_log(embedded, "conn.log", HEADER + zeek_line(1) + zeek_line(2))
    embedded.run("log_ingestion", source="zeek")
    embedded.run("transformation", "training", source="zeek")
    said = fails(embedded, "evaluation", source="zeek")
    assert said.startswith(f"all 1 slices of {DAY} were trained on") and "ingest another day" in said


def test_a_day_full_of_attacks_is_measured_and_alerted_within_the_budget(modelled):
    attacks = {"fast_scan": {"share": 0.5, "hosts": 9}, "brute_force": {"share": 0.4, "hosts": 9}}
    params = SMALL_DAY | {"logical_date": NEXT_DAY, "generator__attacks": attacks, "alerts__budget": 5}
    lookalikes = {name: {"share": 1e-6} for name in ("time_sync", "update_check", "telemetry", "morning_crowd")}
    assert modelled.run("full", **params, generator__lookalikes=lookalikes) == "SUCCESS"
    metrics = modelled.load("evaluation_metrics", logical_date=NEXT_DAY)
    assert metrics["attack_flows"] > 0.85 * metrics["test_flows"]
    alerts = modelled.load("alerts", logical_date=NEXT_DAY)
    assert 0 < alerts["suppressed_by"].isna().sum() <= 5


def test_logs_are_modelled_without_truth(embedded):
    if not REAL_DAY.exists():
        pytest.skip("needs the logs of ../shared")
    shutil.copy(REAL_DAY, embedded.root / "conn.log")
    embedded.run("log_ingestion", source="zeek", logs__path=str(embedded.root / "conn.log"))
    embedded.run(*MODELLING, source="zeek")
    metrics = embedded.load("evaluation_metrics", source="zeek")
    assert not metrics["labelled"] and metrics["candidate"]["average_precision"] is None
    assert len(embedded.load("scores", source="zeek")) == 31_363
    assert embedded.load("champion_model", source="zeek").reason == f"first model of this source up to {DAY}"


def test_verify_finds_nothing_amiss_in_a_modelled_lake(modelled_days):
    found = verify_stores(modelled_days.stores, None, None)
    assert (found.objects, found.mismatches, found.orphans) == (2, [], [])
