"""Alerts as Detection Findings of the Open Cybersecurity Schema Framework (OCSF)."""

from collections.abc import Iterator
from datetime import datetime

import pandas as pd

from network_anomalies import __version__
from network_anomalies.records.alert_counts import take_raised
from network_anomalies.records.alerts import Alert

OCSF_VERSION = "1.8.0"
FINDINGS, DETECTION_FINDING, CREATE, NEW = 2, 2004, 1, 1
"""Numbers of the category, the class, the activity and the status."""
SEVERITY_IDS = {"low": 2, "medium": 3, "high": 4, "critical": 5}
RULE, STATISTICAL = 1, 3
"""Types of an analytic: named detectors are rules, `anomaly` compares with the past."""
IP_ADDRESS = 2
"""Type of an observable."""


def format_findings(alerts: pd.DataFrame) -> pd.DataFrame:
    """Return the alerts that are not suppressed as Detection Findings (class 2004) of OCSF 1.8.0.

    Returns:
        Frame with the attributes of the class as columns; nested objects are dicts without nulls. Times are
        milliseconds since 1970-01-01 (UTC).
    """
    rows = take_raised(alerts).astype("object")
    raised = [Alert.from_row(row) for row in rows.where(rows.notna(), None).to_dict("records")]
    return pd.DataFrame(
        {
            "class_uid": DETECTION_FINDING,
            "class_name": "Detection Finding",
            "category_uid": FINDINGS,
            "category_name": "Findings",
            "activity_id": CREATE,
            "activity_name": "Create",
            "type_uid": DETECTION_FINDING * 100 + CREATE,
            "time": [to_milliseconds(alert.created_at) for alert in raised],
            "start_time": [to_milliseconds(alert.first_seen) for alert in raised],
            "end_time": [to_milliseconds(alert.last_seen) for alert in raised],
            "severity_id": [SEVERITY_IDS[alert.severity] for alert in raised],
            "severity": [alert.severity.capitalize() for alert in raised],
            "status_id": NEW,
            "status": "New",
            "is_alert": True,
            "risk_score": [round(alert.score) for alert in raised],
            "count": [alert.flows for alert in raised],
            "message": [alert.sentence for alert in raised],
            "metadata": [_describe_origin() for _ in raised],
            "finding_info": [_describe_finding(alert) for alert in raised],
            "evidences": [[_describe_hosts(alert)] for alert in raised],
            "observables": [list(_list_observables(alert)) for alert in raised],
            "unmapped": [_keep_lineage(alert) for alert in raised],
        }
    )


def to_milliseconds(moment: datetime) -> int:
    """Return a moment as OCSF writes it: whole milliseconds since 1970-01-01 in UTC, rounded down."""
    return int(moment.timestamp() * 1000)


def _describe_origin() -> dict[str, object]:
    product = {"name": "network-anomalies", "vendor_name": "network-anomalies", "version": __version__}
    return {"version": OCSF_VERSION, "product": product}


def _describe_finding(alert: Alert) -> dict[str, object]:
    finding: dict[str, object] = {
        "uid": alert.alert_id,
        "title": f"{alert.kind} of {alert.entity}",
        "desc": alert.sentence,
        "types": [alert.kind],
        "created_time": to_milliseconds(alert.created_at),
        "first_seen_time": to_milliseconds(alert.first_seen),
        "last_seen_time": to_milliseconds(alert.last_seen),
        "analytic": {"name": alert.kind, "type_id": STATISTICAL if alert.kind == "anomaly" else RULE},
    }
    return finding | ({"attacks": [_describe_attack(alert.technique)]} if alert.technique else {})


def _describe_attack(technique: str) -> dict[str, object]:
    """Return a MITRE ATT&CK technique; T1071.001 is a sub-technique of T1071."""
    attack: dict[str, object] = {"technique": {"uid": technique.partition(".")[0]}}
    return attack | ({"sub_technique": {"uid": technique}} if "." in technique else {})


def _describe_hosts(alert: Alert) -> dict[str, object]:
    hosts: dict[str, object] = {"src_endpoint": {"ip": alert.entity}}
    return hosts | ({"dst_endpoint": {"ip": alert.peer}} if alert.peer else {})


def _list_observables(alert: Alert) -> Iterator[dict[str, object]]:
    yield {"name": "evidences[].src_endpoint.ip", "type_id": IP_ADDRESS, "value": alert.entity}
    if alert.peer:
        yield {"name": "evidences[].dst_endpoint.ip", "type_id": IP_ADDRESS, "value": alert.peer}


def _keep_lineage(alert: Alert) -> dict[str, object]:
    """Return what leads from the finding to the registry, and has no attribute in OCSF."""
    return {
        "source": alert.source,
        "logical_date": str(alert.logical_date),
        "run_id": alert.run_id,
        "model_version": int(alert.model_version),
    }
