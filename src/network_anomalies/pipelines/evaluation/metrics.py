"""Measures of a model: how it ranks flows, what its alerts find, and whether its scores have drifted."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.triage import allow_findings, take_budget
from network_anomalies.detection.drift import measure_stability
from network_anomalies.parameters import AlertsParameters, EvaluationParameters
from network_anomalies.pipelines.evaluation.ranking import rank_flows
from network_anomalies.records.evaluation import (
    AlertMeasures,
    AttackResult,
    Drift,
    ModelMeasures,
    RaisedFinding,
    Ranking,
)

FOCUS_HOSTS = 3
STEALTHY = 0.5
SLACK = pd.Timedelta(hours=1)


def measure_model(label: np.ndarray, scores: np.ndarray, counts: np.ndarray, alerts: AlertMeasures) -> ModelMeasures:
    """Return the measures of a model's alerts and of its ranking of flows, see ``measure_ranking``."""
    return ModelMeasures.model_validate(measure_ranking(label, scores, counts).to_json() | alerts.to_json())


def measure_ranking(label: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> Ranking:
    """Return ROC-AUC and average precision of scores (higher is more anomalous); None without flows of both kinds.

    Each score and label is that of ``counts`` flows.
    """
    if not 0 < label.sum() < len(label):
        return Ranking(roc_auc=None, average_precision=None)
    ranked = rank_flows(label, scores, counts)
    return Ranking(roc_auc=ranked.find_roc_auc(), average_precision=ranked.find_average_precision())


def find_instances(truth: pd.DataFrame) -> pd.DataFrame:
    """Return the attacks in rows of the ground truth.

    Returns:
        A row for each scenario and instance: ``kind``, ``stealth``, ``first_seen``, ``last_seen`` and ``hosts``, its
        main hosts: all sources if there are at most three, and all destinations if there are at most three.
    """
    rows = [
        {
            "scenario": scenario,
            "kind": flows["kind"].iloc[0],
            "stealth": float(flows["stealth"].iloc[0]),
            "first_seen": flows["first_seen"].iloc[0],
            "last_seen": flows["last_seen"].iloc[0],
            "hosts": _find_hosts(flows),
        }
        for (scenario, _), flows in truth.groupby(["scenario", "instance"], sort=True)
    ]
    return pd.DataFrame(rows)


def measure_alerts(
    findings: pd.DataFrame, instances: pd.DataFrame | None, alerts: AlertsParameters, logical_date: date
) -> AlertMeasures:
    """Return the number of alerts within the budget and, if attacks are known, what the alerts found.

    An alert is true if its entity or peer is a main host of an attack, and its time overlaps the attack's time or the
    hour before or after it.
    """
    raised = take_budget(allow_findings(findings, alerts.allowlist, logical_date), alerts.budget)
    by_kind = raised["kind"].value_counts().to_dict()
    if instances is None:
        rows = zip(raised["kind"], raised["entity"], raised["peer"], strict=True)
        named = tuple(RaisedFinding(kind=kind, entity=entity, peer=peer or None) for kind, entity, peer in rows)
        return AlertMeasures(alerts=len(raised), alerts_by_kind=by_kind, raised=named)
    attacks = list(instances.itertuples())
    matches = np.array([_match(raised, attack) for attack in attacks]).reshape(len(attacks), len(raised))
    results = tuple(
        AttackResult(
            scenario=attack.scenario,
            kind=attack.kind,
            stealth=attack.stealth,
            found=bool(matched.any()),
            delay_seconds=_measure_delay(raised["first_seen"][matched], attack.first_seen),
        )
        for attack, matched in zip(attacks, matches, strict=True)
    )
    true = int(matches.any(axis=0).sum())
    return AlertMeasures(
        alerts=len(raised),
        alerts_by_kind=by_kind,
        precision_at_budget=true / len(raised) if len(raised) else None,
        recall_at_budget=_mean([result.found for result in results]),
        recall_of_open_attacks=_mean([result.found for result in results if result.stealth < STEALTHY]),
        false_alerts=len(raised) - true,
        attacks=results,
    )


def measure_drift(
    reference: Sequence[float], scores: np.ndarray, counts: np.ndarray, evaluation: EvaluationParameters
) -> Drift:
    """Return the population stability index (PSI) of scores against quantiles of the training's scores.

    Each score is that of ``counts`` flows. See ``network_anomalies.detection.drift``.
    """
    edges = np.unique(reference[1:-1])
    up_to_edge = (np.searchsorted(reference, edges, side="right") - 1) / (len(reference) - 1)
    expected = np.diff(up_to_edge, prepend=0, append=1)
    flows = int(counts.sum())
    actual = np.bincount(np.searchsorted(edges, scores, side="left"), counts, len(edges) + 1) / max(flows, 1)
    psi = measure_stability(expected, actual)
    enough = flows >= evaluation.drift_rows
    return Drift(psi=psi, drifted=bool(enough and psi >= evaluation.drift_psi), flows_enough=enough)


def _find_hosts(flows: pd.DataFrame) -> list[str]:
    sides = [sorted(flows[side].unique()) for side in ("src_ip", "dst_ip")]
    return [host for side in sides if len(side) <= FOCUS_HOSTS for host in side]


def _match(raised: pd.DataFrame, attack: Any) -> np.ndarray:
    near = (raised["first_seen"] <= attack.last_seen + SLACK) & (raised["last_seen"] >= attack.first_seen - SLACK)
    names_host = raised["entity"].isin(attack.hosts) | raised["peer"].isin(attack.hosts)
    matched: np.ndarray = (near & names_host).to_numpy()
    return matched


def _measure_delay(alerts_began: pd.Series, attack_began: pd.Timestamp) -> float | None:
    """Return the seconds from an attack's start to the first alert, 0 for an earlier alert, None without alerts."""
    if alerts_began.empty:
        return None
    return max(float((alerts_began.min() - attack_began).total_seconds()), 0.0)


def _mean(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None
