"""Measures of a model: how it ranks flows, what its alerts find, and whether its scores have drifted."""

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from network_anomalies.detection.alerts.triage import allow_findings, take_budget
from network_anomalies.parameters import AlertsParameters, EvaluationParameters

FOCUS_HOSTS = 3
STEALTHY = 0.5
SLACK = pd.Timedelta(hours=1)
SMALLEST_SHARE = 1e-4


def measure_ranking(label: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """Return ROC-AUC and average precision of scores (higher = more anomalous), None without both kinds of flows."""
    if not 0 < label.sum() < len(label):
        return {"roc_auc": None, "average_precision": None}
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "roc_auc": float(roc_auc_score(label, scores)),
        "average_precision": float(average_precision_score(label, scores)),
    }


def find_instances(truth: pd.DataFrame) -> pd.DataFrame:
    """Return the attacks that took place among some flows.

    Args:
        truth: rows of the ground truth about attacks.

    Returns:
        A row per scenario and instance: ``kind``, ``stealth``, ``first_seen``, ``last_seen`` and ``hosts``, those at
        the heart of it: of sources and destinations the sides with at most three.
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
) -> dict[str, Any]:
    """Return how many alerts there are within the budget and, where attacks are known, what they found.

    An alert is true if it names a host at the heart of an attack, as entity or peer, during it or up to an hour around
    it. ``delay_seconds`` is from an attack's start to the first flow that its first alert points to.
    """
    raised = take_budget(allow_findings(findings, alerts.allowlist, logical_date), alerts.budget)
    counts = {"alerts": len(raised), "alerts_by_kind": raised["kind"].value_counts().to_dict()}
    if instances is None:
        return counts
    hits = np.array([_match(raised, attack) for attack in instances.itertuples()]).reshape(len(instances), len(raised))
    found = np.asarray(hits.any(axis=1))
    starts = raised["first_seen"].to_numpy()
    delays = [
        max((starts[hit].min() - attack.first_seen).total_seconds(), 0.0) if hit.any() else None
        for hit, attack in zip(hits, instances.itertuples(), strict=True)
    ]
    by_attack = instances.assign(found=found, delay_seconds=pd.Series(delays, dtype="object"))
    true = int(hits.any(axis=0).sum())
    return counts | {
        "precision_at_budget": true / len(raised) if len(raised) else None,
        "recall_at_budget": float(found.mean()),
        "recall_of_open_attacks": _mean(found[instances["stealth"].to_numpy() < STEALTHY]),
        "false_alerts": len(raised) - true,
        "attacks": by_attack[["scenario", "kind", "stealth", "found", "delay_seconds"]].to_dict("records"),
    }


def measure_drift(reference: list[float], scores: np.ndarray, evaluation: EvaluationParameters) -> dict[str, Any]:
    """Return the population stability index of scores against quantiles of the training's, and whether it counts.

    PSI is the sum of (a - e) ln(a / e) over bins with expected share e and actual share a. It is an effect size, unlike
    a p-value, which any difference makes small if there are flows enough; of few flows it says nothing.
    """
    edges = np.unique(reference[1:-1])
    up_to_edge = (np.searchsorted(reference, edges, side="right") - 1) / (len(reference) - 1)
    expected = np.maximum(np.diff(up_to_edge, prepend=0, append=1), SMALLEST_SHARE)
    actual = np.bincount(np.searchsorted(edges, scores, side="left"), minlength=len(edges) + 1) / max(len(scores), 1)
    actual = np.maximum(actual, SMALLEST_SHARE)
    psi = float(np.sum((actual - expected) * np.log(actual / expected)))
    enough = len(scores) >= evaluation.drift_rows
    return {"psi": psi, "drifted": bool(enough and psi >= evaluation.drift_psi), "flows_enough": enough}


def _find_hosts(flows: pd.DataFrame) -> list[str]:
    sides = [sorted(flows[side].unique()) for side in ("src_ip", "dst_ip")]
    return [host for side in sides if len(side) <= FOCUS_HOSTS for host in side]


def _match(raised: pd.DataFrame, attack: Any) -> np.ndarray:
    near = (raised["first_seen"] <= attack.last_seen + SLACK) & (raised["last_seen"] >= attack.first_seen - SLACK)
    named = raised["entity"].isin(attack.hosts) | raised["peer"].isin(attack.hosts)
    matched: np.ndarray = (near & named).to_numpy()
    return matched


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
