"""Alerts by the field names of the Elastic Common Schema."""

import pandas as pd


def format_alerts(alerts: pd.DataFrame) -> pd.DataFrame:
    """Return the alerts that are not suppressed by the field names of the Elastic Common Schema (8.17)."""
    raised = alerts[alerts["suppressed_by"].isna()]
    days = raised["logical_date"].astype("str")
    identity = raised["source"].str.cat([days, raised["kind"], raised["entity"]], sep="/")
    moments = ("created_at", "first_seen", "last_seen")
    times = {name: raised[name].map(lambda time: time.isoformat()) for name in moments}
    return pd.DataFrame(
        {
            "@timestamp": times["created_at"],
            "ecs.version": "8.17.0",
            "event.id": identity,
            "event.kind": "alert",
            "event.category": [["network"] for _ in range(len(raised))],
            "event.type": [["info"] for _ in range(len(raised))],
            "event.dataset": "network_anomalies.alerts",
            "event.start": times["first_seen"],
            "event.end": times["last_seen"],
            "event.risk_score": raised["score"],
            "event.severity": raised["severity"].map({"low": 21, "medium": 47, "high": 73, "critical": 99}),
            "rule.name": raised["kind"],
            "threat.framework": raised["technique"].map(lambda _: "MITRE ATT&CK", na_action="ignore"),
            "threat.technique.id": raised["technique"].map(lambda name: [name], na_action="ignore"),
            "host.ip": raised["entity"].map(lambda address: [address]),
            "destination.ip": raised["peer"],
            "message": raised["sentence"],
            "network_anomalies.flows": raised["flows"],
            "network_anomalies.model_version": raised["model_version"],
            "network_anomalies.run_id": raised["run_id"],
        }
    )
