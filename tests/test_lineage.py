"""Months later: from an alert, by plain SQL, to the bytes that led to it."""

import hashlib
import json
from io import BytesIO

import pandas as pd
import pytest
from conftest import DAY, SMALL_DAY
from sqlalchemy import text
from test_full import MODELLING
from test_ingestion import HEADER, write_log, zeek_line


def read(value):
    return json.loads(value) if isinstance(value, str) else value


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def walk(project, rows):
    """Hold every object that lineage rows name to its sha256; return the events of their RAW objects."""
    for row in rows:
        for item in (
            *read(row["silver_objects"]),
            *(item for day in read(row["training_objects"]) for item in (*day["silver"], *day["raw"])),
            {"uri": row["model_uri"], "sha256": row["model_sha256"]},
            {"uri": row["object_uri"], "sha256": row["object_sha256"]},
        ):
            assert sha256(project.stored(item["uri"])) == item["sha256"], item
    objects = {row["object_uri"] for row in rows}
    return pd.concat([pd.read_parquet(BytesIO(project.stored(uri))) for uri in sorted(objects)])


@pytest.mark.parametrize("env", ["embedded", "minio"])
def test_an_alert_leads_to_its_bytes(env, request):
    project = request.getfixturevalue("modelled" if env == "embedded" else "ready")
    if env == "minio":
        project.run("full", **SMALL_DAY, generator__part_events=1000)
    rows = [row for row in project.records("alert_lineage") if str(row["logical_date"])[:10] == DAY]
    assert rows
    parts = 1 if env == "embedded" else 3
    for _, about in pd.DataFrame(rows).groupby(["kind", "entity"]):
        assert sorted(about["part"]) == list(range(1, parts + 1))
    events = walk(project, rows[:parts])
    assert {row["entity"] for row in rows} <= set(events["src_ip"]) | set(events["dst_ip"])
    runs = project.rows("pipeline_runs").set_index("run_id")
    for name in ("run_id", "training_run_id", "transformation_run_id", "ingestion_run_id"):
        assert {row[name] for row in rows} <= set(runs.index)
    assert {row["code_version"] for row in rows} == set(runs["code_version"])
    assert {row["params_sha256"] for row in rows} <= set(runs["params_sha256"])
    of_kind = "json_extract(limits, '$.' || kind)" if env == "embedded" else "limits -> kind"
    with project.stores.engine.connect() as connection:
        limits = connection.execute(text(f"SELECT DISTINCT kind, CAST({of_kind} AS text) FROM alert_lineage")).all()
    assert {kind for kind, _ in limits} == {row["kind"] for row in rows}
    assert all(read(of_alert) for _, of_alert in limits)
    assert all(row["model_reason"] and row["contract_version"] and row["feature_spec_sha256"] for row in rows)


LIMIT = """
    SELECT DISTINCT a.flows, json_extract(l.limits, '$.' || l.kind || '.sessions') AS sessions,
           json_extract(l.limits, '$.past.is_known') AS is_known,
           json_extract(l.limits, '$.anomaly.alert_score') AS alert_score
    FROM alert_lineage l JOIN alerts a ON a.source = l.source AND a.logical_date = l.logical_date
     AND a.kind = l.kind AND a.entity = l.entity
    WHERE l.kind = 'brute_force' AND l.logical_date = :day
"""


def find_limits(project):
    with project.stores.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(LIMIT), {"day": DAY})]


def test_an_alert_leads_to_the_limit_that_raised_it(modelled):
    ((flows, sessions, is_known, alert_score),) = find_limits(modelled)
    assert (sessions, is_known) == (60, True) and flows > sessions
    assert alert_score == modelled.load("champion_model").model.alert_score
    modelled.run("scoring", detectors__brute_force={"sessions": {"with_past": flows + 1}})
    assert find_limits(modelled) == []
    modelled.run("scoring", detectors__brute_force={"sessions": {"with_past": flows}})
    assert find_limits(modelled) == [(flows, flows, True, alert_score)]
    (alert,) = [row for row in modelled.records("alerts") if row["kind"] == "brute_force" and row["score"] == 50]
    assert alert["severity"] == "low"


def test_an_alert_that_a_later_scoring_left_as_it_was_leads_to_the_limit_that_raised_it(modelled):
    before = find_limits(modelled)
    assert modelled.run("scoring", detectors__brute_force={"hours": {"with_past": 23}}) == "UNCHANGED"
    assert find_limits(modelled) == before
    scorings = [row["limits"] for row in modelled.records("stage_events") if row["stage"] == "scoring"]
    assert [limits["brute_force"]["hours"] for limits in scorings] == [3, 24, 23]  # the first day had no past


def test_an_alert_without_recorded_limits_leads_to_those_of_the_scoring_that_found_it_again(modelled):
    with modelled.stores.engine.begin() as connection:
        connection.execute(text("UPDATE stage_events SET limits = NULL"))
    assert [sessions for _, sessions, *_ in find_limits(modelled)] == [None]
    modelled.run("scoring")
    assert [sessions for _, sessions, *_ in find_limits(modelled)] == [60]


def test_a_correction_changes_neither_the_alerts_nor_where_they_lead(modelled):
    before = pd.DataFrame(modelled.records("alert_lineage")).astype("str")
    modelled.run(**SMALL_DAY | {"generator__seed": 8})
    modelled.run("transformation", **SMALL_DAY)
    assert pd.DataFrame(modelled.records("alert_lineage")).astype("str").equals(before)
    walk(modelled, modelled.records("alert_lineage"))
    modelled.run("scoring")
    corrected = [row for row in modelled.records("alert_lineage") if str(row["logical_date"])[:10] == DAY]
    assert corrected and {row["revision"] for row in corrected} == {2}


def make_log():
    """Return a day in which one host tries passwords at one server and all the rest talk to two servers."""
    calm = [zeek_line(second, host=f"10.0.1.{second % 40}") for second in range(60, 86_000, 60)]
    guesses = [zeek_line(50_000 + guess, duration="0.5", host="10.0.9.9", server="10.8.0.1") for guess in range(900)]
    return HEADER + "".join(calm + guesses)


def test_an_alert_about_logs_leads_to_the_file(embedded):
    path = write_log(embedded, "conn.log", make_log())
    embedded.run("log_ingestion", source="zeek")
    embedded.run(*MODELLING, source="zeek", transformation__slice_hours=6)
    rows = embedded.records("alert_lineage")
    assert "10.0.9.9" in {row["entity"] for row in rows}
    for row in rows:
        assert row["source_path"] == str(path)
        assert row["source_sha256"] == sha256(path.read_bytes())
    assert not embedded.load("evaluation_metrics", source="zeek")["labelled"]
