"""Evaluation: what its measures say of cases that are known by hand, and what is stored of it."""

import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
import sqlalchemy
from conftest import DAY, DAY_BEFORE
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from test_transformation import fails

from network_anomalies.parameters import AlertsParameters, EvaluationParameters
from network_anomalies.pipelines.evaluation.metrics import (
    find_instances,
    measure_alerts,
    measure_drift,
    measure_ranking,
)
from network_anomalies.pipelines.evaluation.ranking import rank_flows

TODAY = date.fromisoformat(DAY)
DRIFT = EvaluationParameters(drift_psi=0.25, drift_rows=1000)
ALERTS = AlertsParameters(budget=3, incident_days=7, dismissed_days=30, allowlist=[])
FIGURES = ("score_distribution", "precision_recall", "alerts_per_hour")


def at(time):
    return pd.Timestamp(f"{DAY}T{time}Z")


def make_findings(*rows):
    names = ["entity", "peer", "first_seen", "last_seen", "score"]
    findings = pd.DataFrame(rows, columns=names).assign(kind="scan", flows=3, technique="", sentence="")
    return findings.astype(dict.fromkeys(("first_seen", "last_seen"), "datetime64[us, UTC]") | {"score": "float64"})


def make_truth(**changes):
    flows = {
        "scenario": "fast_scan",
        "instance": 0,
        "kind": "horizontal_scan",
        "stealth": 0.0,
        "src_ip": "10.0.0.1",
        "dst_ip": [f"10.9.0.{host}" for host in range(5)],
        "first_seen": at("10:00"),
        "last_seen": at("10:10"),
    }
    return pd.DataFrame(flows | changes)


def measure(findings, truth, **changes):
    return measure_alerts(findings, find_instances(truth), ALERTS.model_copy(update=changes), TODAY)


def test_ranking_is_right_on_a_case_known_by_hand():
    measured = measure_ranking(np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1]), np.ones(4))
    assert measured.to_json() == {"roc_auc": 0.75, "average_precision": pytest.approx((1 + 2 / 3) / 2)}


@pytest.mark.parametrize("label", [[True, True], [False, False], []])
def test_ranking_is_unknown_without_both_kinds_of_flows(label):
    measured = measure_ranking(np.array(label, dtype=bool), np.zeros(len(label)), np.ones(len(label)))
    assert measured.to_json() == {"roc_auc": None, "average_precision": None}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 50)), min_size=2, max_size=60))
def test_ranking_is_that_of_scikit_learn(rows):
    label, scores, counts = (np.array(column) for column in zip(*rows, strict=True))
    assume(0 < label.sum() < len(label))
    ranked, weights = rank_flows(label, scores / 7, counts), {"sample_weight": counts}
    assert ranked.find_roc_auc() == pytest.approx(roc_auc_score(label, scores, **weights), abs=1e-12)
    assert ranked.find_average_precision() == pytest.approx(
        average_precision_score(label, scores, **weights), abs=1e-12
    )
    precision, recall, _ = precision_recall_curve(label, scores, **weights)  # from the lowest score, and one point more
    np.testing.assert_allclose(ranked.precision, precision[-2::-1], rtol=1e-12)
    np.testing.assert_allclose(ranked.recall, recall[-2::-1], rtol=1e-12)


def test_the_many_victims_of_a_scan_are_not_its_heart():
    (attack,) = find_instances(make_truth()).to_dict("records")
    assert attack["hosts"] == ["10.0.0.1"]
    few = find_instances(make_truth().head(3))["hosts"][0]
    assert few == ["10.0.0.1", "10.9.0.0", "10.9.0.1", "10.9.0.2"]


def test_true_and_false_alerts_and_the_delay():
    findings = make_findings(
        ("10.0.0.1", "", at("10:02"), at("10:09"), 90.0), ("10.0.0.7", "", at("10:02"), at("10:09"), 80.0)
    )
    measured = measure(findings, make_truth())
    assert (measured.alerts, measured.false_alerts) == (2, 1)
    assert (measured.precision_at_budget, measured.recall_at_budget) == (0.5, 1.0)
    assert measured.attacks[0].delay_seconds == 120.0
    assert measured.alerts_by_kind == {"scan": 2}


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [("08:00", "08:59", False), ("08:00", "09:00", True), ("11:10", "12:00", True), ("11:11", "12:00", False)],
)
def test_an_alert_is_true_up_to_an_hour_around_the_attack(first, last, found):
    measured = measure(make_findings(("10.0.0.1", "", at(first), at(last), 90.0)), make_truth())
    assert (measured.attacks[0].found, measured.false_alerts) == (found, int(not found))
    assert measured.attacks[0].delay_seconds == (None if not found else 4200.0 if first > "10" else 0.0)


def test_an_alert_that_names_an_attacker_as_peer_is_true():
    findings = make_findings(("10.0.0.9", "10.0.0.1", at("10:00"), at("10:01"), 90.0))
    assert measure(findings, make_truth()).false_alerts == 0


def test_what_is_beyond_the_budget_finds_nothing():
    noise = [(f"10.5.0.{host}", "", at("10:02"), at("10:09"), 90.0) for host in range(3)]
    findings = make_findings(*noise, ("10.0.0.1", "", at("10:02"), at("10:09"), 80.0))
    measured = measure(findings, make_truth())
    assert (measured.alerts, measured.recall_at_budget, measured.false_alerts) == (3, 0.0, 3)
    assert measure(findings, make_truth(), budget=4).recall_at_budget == 1.0


def test_open_and_stealthy_attacks_are_told_apart():
    hidden = make_truth(scenario="slow_scan", stealth=0.8, src_ip="10.0.0.2")
    findings = make_findings(("10.0.0.1", "", at("10:02"), at("10:09"), 90.0))
    measured = measure(findings, pd.concat([make_truth(), hidden]))
    assert (measured.recall_at_budget, measured.recall_of_open_attacks) == (0.5, 1.0)
    assert measure(findings, hidden).recall_of_open_attacks is None


def test_no_findings_are_no_alerts_and_no_precision():
    measured = measure(make_findings(), make_truth())
    assert (measured.alerts, measured.precision_at_budget, measured.recall_at_budget) == (0, None, 0.0)
    json.dumps(measured.to_json(), allow_nan=False)


def test_without_truth_there_is_volume_only():
    findings = make_findings(("10.0.0.1", "", at("10:02"), at("10:09"), 90.0))
    measured = measure_alerts(findings, None, ALERTS, TODAY)
    raised = [{"kind": "scan", "entity": "10.0.0.1", "peer": None}]
    assert measured.to_json() == {"alerts": 1, "alerts_by_kind": {"scan": 1}, "raised": raised}


def sketch(scores):
    return np.quantile(scores, np.linspace(0, 1, 21)).tolist()


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1e6), st.booleans())
def test_equal_distributions_have_not_drifted_and_shifted_ones_have(seed, scale, coarse):
    draw = np.random.default_rng(seed).gamma(2.0, scale, (2, 4000))
    reference, scores = np.round(draw / scale) * scale if coarse else draw
    assert measure_drift(sketch(reference), scores, np.ones(len(scores)), DRIFT).psi < 0.1
    shifted = measure_drift(sketch(reference), scores + 5 * scale, np.ones(len(scores)), DRIFT)
    assert shifted.psi > 1 and shifted.drifted


@pytest.mark.parametrize(("score", "drifted"), [(5.0, False), (7.0, True)])
def test_a_reference_of_one_value(score, drifted):
    measured = measure_drift([5.0] * 21, np.array([score]), np.array([2000]), DRIFT)
    assert np.isfinite(measured.psi) and measured.drifted is drifted


def test_few_flows_never_claim_a_drift():
    measured = measure_drift(sketch(np.arange(1000.0)), np.array([1e9]), np.array([999]), DRIFT)
    assert measured.psi > 1 and not measured.drifted and not measured.flows_enough


def test_what_is_stored_is_strict_json_and_the_figures_have_titles(modelled_days):
    for day, row in zip((DAY_BEFORE, DAY), modelled_days.records("evaluation_events"), strict=True):
        metrics = modelled_days.load("evaluation_metrics", logical_date=day)
        assert json.loads(json.dumps(metrics, allow_nan=False)) == row["metrics"]
        assert row["labelled"] and metrics["attack_flows"] > 0
        assert 0 <= metrics["candidate"]["average_precision"] <= 1
    assert metrics["limits"]["brute_force"]["sessions"] == 60
    assert metrics["limits"]["anomaly"]["alert_score"] == modelled_days.load("anomaly_model").alert_score
    assert "| brute_force | sessions | 60 |" in modelled_days.load("model_card")
    assert row["champion_sha256"] == metrics["champion_sha256"] == modelled_days.records("models")[0]["model_sha256"]
    assert metrics["champion"]["average_precision"] is not None
    for name in FIGURES:
        assert modelled_days.load(name).layout.title.text


def test_without_ground_truth_there_is_volume_and_drift(modelled):
    forget_truth(modelled)
    assert modelled.run("evaluation") == "SUCCESS"
    metrics = modelled.load("evaluation_metrics")
    assert not metrics["labelled"] and metrics["attack_flows"] == 0
    measured = {name for name, value in metrics["candidate"].items() if value is not None}
    assert measured == {"alerts", "alerts_by_kind", "raised"}
    assert np.isfinite(metrics["drift"]["psi"])
    assert modelled.load("precision_recall").layout.title.text


def test_a_truth_that_was_altered_is_refused_by_name(modelled):
    (uri,) = [item["uri"] for item in truth_of(modelled, DAY)]
    modelled.damage(uri)
    assert f"{uri.rpartition('/')[2]} was altered" in fails(modelled, "evaluation")


def truth_of(project, day):
    rows = [row for row in project.records("stage_events") if row["stage"] == "truth"]
    return next(row["outputs"] for row in rows[::-1] if str(row["logical_date"])[:10] == day)


def forget_truth(project):
    """Leave the registry as that of a source without ground truth."""
    with project.stores.engine.begin() as connection:
        connection.execute(sqlalchemy.text("DELETE FROM stage_events WHERE stage = 'truth'"))
