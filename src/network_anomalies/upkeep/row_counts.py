"""How many rows the datasets of the last run hold, as kedro-viz takes them."""

import json
from pathlib import Path

from sqlalchemy import Engine, select

from network_anomalies.records.alert_counts import count_alerts
from network_anomalies.registry.alert_rows import read_alerts
from network_anomalies.registry.batches import read_batch
from network_anomalies.registry.engine import HEAD, read_version
from network_anomalies.registry.incident_rows import read_incidents
from network_anomalies.registry.stage_rows import read_transformation
from network_anomalies.registry.tables import pipeline_runs

RowCounts = dict[str, dict[str, int]]
"""Name of a dataset to ``rows`` and, where it is known, ``file_size`` in bytes."""


def count_rows(engine: Engine) -> RowCounts:
    """Return the rows of the source and day that the last successful run was about; nothing without such a run."""
    columns = pipeline_runs.c
    query = select(columns.source, columns.logical_date).where(columns.status.in_(("SUCCESS", "UNCHANGED")))
    if read_version(engine) != HEAD:
        return {}
    with engine.connect() as connection:
        last = connection.execute(query.order_by(columns.started_at.desc()).limit(1)).first()
    if last is None or (batch := read_batch(engine, *last)) is None:
        return {}
    raw = {"rows": int(batch["accepted"]), "file_size": int(batch["size_bytes"])}
    counts = {name: raw for name in ("ingested_events", "raw_parts", "raw_network_events", "raw_slices")}
    counts["quarantined_events"] = {"rows": int(batch["rejected"]) + int(batch["unparsable"])}
    if silver := read_transformation(engine, *last):
        flows = {"rows": silver.record_count}
        counts |= {name: flows for name in ("silver_events", "silver_slices", "scores")}
        counts["alerts"] = {"rows": count_alerts(read_alerts(engine, *last)).raised}
        counts["incidents"] = {"rows": len(read_incidents(engine, *last))}
    return counts


def write_row_counts(engine: Engine, project_path: Path) -> None:
    """Write the counts where kedro-viz looks for them: ``.viz/stats.json`` of the project."""
    path = project_path / ".viz/stats.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(count_rows(engine)))
