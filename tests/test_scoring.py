"""Scoring: every flow scored once, the alerts of a day, who answers for them, and what people are shown."""

import json
from datetime import date

import pandas as pd
import pytest
from conftest import DAY, SMALL_DAY
from hypothesis import given
from hypothesis import strategies as st
from test_transformation import fails

from network_anomalies.detection.alerts.triage import allow_findings, rate_severity, take_budget
from network_anomalies.parameters import AllowedParameters
from network_anomalies.pipelines.scoring.ecs import format_alerts

TODAY = date.fromisoformat(DAY)
ECS = {
    *("@timestamp", "ecs.version", "event.id", "event.kind", "event.category", "event.type", "event.dataset"),
    *("event.start", "event.end", "event.risk_score", "event.severity", "rule.name", "message"),
    *("threat.framework", "threat.technique.id", "host.ip", "destination.ip"),
}


def allow(entity, kind="*", expires="2024-12-31"):
    return {"entity": entity, "kind": kind, "owner": "ops", "expires": expires, "reason": "known"}


def make_findings(*rows):
    return pd.DataFrame(rows, columns=["kind", "entity", "score"]).astype({"score": "float64"})


def make_alerts(**changes):
    row = {
        **{"source": "lab", "logical_date": TODAY, "kind": "scan", "entity": "10.0.0.1", "peer": None, "flows": 3},
        **dict.fromkeys(("created_at", "first_seen", "last_seen"), pd.Timestamp(f"{DAY}T10:00Z")),
        **{"score": 80.0, "severity": "high", "technique": "T1046", "sentence": "it scans", "suppressed_by": None},
        **{"run_id": "r1", "model_version": 1, "transformation_run_id": "t1"},
    }
    return pd.DataFrame([row | changes])


def test_every_flow_of_the_day_is_scored_once(modelled_days):
    silver, scores = modelled_days.load("silver_events"), modelled_days.load("scores")
    assert len(scores) == len(silver) == SMALL_DAY["generator__n_events"]
    names = ["timestamp", "src_ip", "dst_ip", "bytes"]
    assert scores[names].astype("str").equals(silver[names].astype("str"))
    assert scores["score"].notna().all()
    (champion,) = [row for row in modelled_days.records("models") if row["status"] == "CHAMPION"]
    alerts = modelled_days.load("alerts")
    version = alerts["model_version"].unique().tolist()
    assert version == [champion["version"]]
    assert set(scores["model_sha256"]) == {champion["model_sha256"]}


def test_the_staged_attacks_are_among_the_alerts_and_each_entity_and_kind_is_there_once(modelled_days):
    alerts, truth = modelled_days.load("alerts"), modelled_days.load("ground_truth")
    for scenario in ("fast_scan", "brute_force"):
        attackers = set(truth.loc[truth["scenario"] == scenario, "src_ip"])
        assert attackers & set(alerts["entity"]), scenario
    assert not alerts.duplicated(["kind", "entity"]).any()
    assert alerts["score"].is_monotonic_decreasing and alerts["score"].between(0, 100).all()
    assert (alerts["first_seen"] <= alerts["last_seen"]).all()
    assert alerts["first_seen"].dt.date.eq(TODAY).all()


def test_the_budget_keeps_the_highest(modelled):
    every = modelled.load("alerts")
    assert len(every) > 1
    modelled.run("scoring", alerts__budget=1)
    (kept,) = modelled.load("alerts").to_dict("records")
    assert kept["score"] == every["score"].max()


def test_a_rerun_changes_nothing_and_other_findings_replace(modelled):
    before, stored = modelled.rows("alerts"), modelled.objects("reports")
    assert modelled.run("scoring") == "UNCHANGED"
    assert modelled.rows("alerts").equals(before)
    assert modelled.objects("reports") == stored
    modelled.run("transformation", transformation__slice_hours=12)
    assert modelled.run("scoring") == "SUCCESS"
    now = modelled.rows("alerts")
    assert len(now) == len(now.drop_duplicates(["logical_date", "kind", "entity"]))
    assert len(modelled.load("scores")) == SMALL_DAY["generator__n_events"]


def test_suppressed_alerts_are_stored_and_counted_and_shown_apart(modelled, caplog):
    caplog.set_level("INFO", "network_anomalies")
    chosen = modelled.load("alerts")["entity"].iloc[0]
    assert modelled.run("scoring", alerts__budget=1, alerts__allowlist=[allow(f"{chosen}/32")]) == "SUCCESS"
    alerts = modelled.load("alerts")
    assert set(alerts.loc[alerts["entity"] == chosen, "suppressed_by"]) == {"ops"}
    raised = alerts[alerts["suppressed_by"].isna()]
    assert chosen not in set(raised["entity"]) and len(raised) == 1  # suppressed ones take no budget
    assert f"1 raised, {len(alerts) - 1} suppressed" in caplog.text
    assert chosen not in modelled.load("alert_lines").to_json()
    assert chosen in modelled.load("daily_report").partition('<h2 id="suppressed">')[2]


@pytest.mark.parametrize(
    ("allowed", "suppressed"),
    [
        (allow("10.0.0.1"), [True, True, False]),
        (allow("10.0.0.0/24"), [True, True, False]),
        (allow("2001:db8::/32"), [False, False, True]),
        (allow("0.0.0.0/0", kind="ddos"), [True, False, False]),
        (allow("10.0.0.1", expires=DAY), [True, True, False]),
        (allow("10.0.0.1", expires="2024-04-18"), [False, False, False]),
        (allow("10.0.0.2"), [False, False, False]),
    ],
)
def test_an_exception_holds_for_its_addresses_its_kind_and_until_its_day(allowed, suppressed):
    findings = make_findings(("ddos", "10.0.0.1", 90), ("beacon", "10.0.0.1", 80), ("ddos", "2001:db8::7", 70))
    judged = allow_findings(findings, [AllowedParameters(**allowed)], TODAY)
    assert judged["suppressed_by"].notna().tolist() == suppressed


def test_the_first_exception_that_holds_answers(make_events):
    exceptions = [allow("10.0.0.0/8", expires="2024-01-01"), allow("10.0.0.1"), allow("10.0.0.0/8") | {"owner": "b"}]
    judged = allow_findings(
        make_findings(("scan", "10.0.0.1", 1)), [AllowedParameters(**each) for each in exceptions], TODAY
    )
    assert judged["suppressed_by"].tolist() == ["ops"]


@pytest.mark.parametrize("entity", ["10.0.0.1/8", "10.0.0", "host.example", ""])
def test_an_exception_for_no_network_is_refused_by_name(embedded, entity):
    with pytest.raises(Exception, match=r"parameter alerts.allowlist.0.entity is"):
        embedded.load("params:alerts", alerts__allowlist=[allow(entity)])


@given(st.lists(st.floats(0, 100), max_size=12), st.integers(1, 15))
def test_a_budget_takes_the_highest_scores_in_order(scores, budget):
    findings = make_findings(*(("scan", f"10.0.0.{place}", score) for place, score in enumerate(scores)))
    taken = take_budget(allow_findings(findings, [], TODAY), budget)
    assert taken["score"].tolist() == sorted(scores, reverse=True)[:budget]


def test_severity_has_its_edges():
    scores = pd.Series([0, 59.9, 60, 74.9, 75, 89.9, 90, 100.0])
    assert rate_severity(scores).tolist() == ["low"] * 2 + ["medium"] * 2 + ["high"] * 2 + ["critical"] * 2


def test_alert_lines_are_json_by_the_names_of_ecs(modelled_days):
    (path,) = [path for path in modelled_days.objects("reports") if path.endswith(f"{DAY}/alerts.jsonl")]
    lines = [json.loads(line) for line in modelled_days.stored(path).decode().splitlines()]
    alerts = modelled_days.load("alerts")
    assert len(lines) == len(alerts)
    for line, alert in zip(lines, alerts.itertuples(), strict=True):
        assert set(line) >= ECS
        assert (line["host.ip"], line["rule.name"], line["message"]) == ([alert.entity], alert.kind, alert.sentence)
        assert pd.Timestamp(line["event.start"]) == alert.first_seen
        assert pd.Timestamp(line["@timestamp"]).tz is not None
        assert line["event.category"] == ["network"] and line["event.kind"] == "alert"
    assert len({line["event.id"] for line in lines}) == len(lines)


def test_a_day_without_alerts_has_no_lines():
    none = make_alerts().iloc[:0]
    assert format_alerts(none).to_json(orient="records", lines=True).strip() == ""
    assert set(format_alerts(none).columns) >= ECS


def test_without_a_champion_scoring_says_what_to_run(embedded):
    small = SMALL_DAY | {"generator__n_events": 60}
    embedded.run("ingestion", "transformation", **small)
    said = fails(embedded, "scoring", **small)
    assert said.startswith(f"source synthetic has no champion for {DAY}: run the training, evaluation")
    assert embedded.rows("alerts").empty
