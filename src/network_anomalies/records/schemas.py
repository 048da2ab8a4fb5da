"""Schemas of the frames that people load. The catalog checks silver and scores when it loads them."""

import numpy as np
import pandera.pandas as pa

from network_anomalies.detection import CONTEXT_COLUMNS
from network_anomalies.detection.alerts.triage import SEVERITIES
from network_anomalies.events.contract import TIMESTAMP

_COUNT = pa.Check.ge(0)
_FLOW = {
    "timestamp": pa.Column(TIMESTAMP),
    "src_ip": pa.Column(),
    "dst_ip": pa.Column(),
    "bytes": pa.Column("int64", _COUNT),
    "duration": pa.Column("float64", _COUNT),
    "protocol": pa.Column(),
}

SILVER = pa.DataFrameSchema(
    {
        **_FLOW,
        "bytes_per_second": pa.Column("float64", _COUNT, nullable=True),
        "timestamp_hour": pa.Column("int8", pa.Check.in_range(0, 23)),
        "flow_size_category": pa.Column(),
        **{name: pa.Column(checks=_COUNT, nullable=True) for name in CONTEXT_COLUMNS},
    },
    name="silver_events",
)
"""A row is a flow: the event, three columns for people (bytes per second, UTC hour, size), the context columns."""

SCORES = pa.DataFrameSchema(
    {
        **_FLOW,
        "score": pa.Column("float64", pa.Check(np.isfinite)),
        **{f"facet_{place}": pa.Column() for place in (1, 2, 3)},
        **{f"surprise_{place}": pa.Column("float32", pa.Check(np.isfinite)) for place in (1, 2, 3)},
        "finding": pa.Column(),
        "model_sha256": pa.Column(),
    },
    name="scores",
)
"""A row is a flow: the event, its score (higher is more anomalous), its three strongest facets, how surprising each is
(-ln of a share), the kind of the finding that raised the score ("" for none), and the sha256 of the model."""

ALERTS = pa.DataFrameSchema(
    {
        **{name: pa.Column() for name in ("source", "logical_date", "kind", "entity", "run_id", "created_at")},
        **{name: pa.Column() for name in ("transformation_run_id", "model_version", "sentence")},
        "first_seen": pa.Column(),
        "last_seen": pa.Column(),
        "flows": pa.Column(checks=pa.Check.ge(1)),
        "score": pa.Column(checks=pa.Check.in_range(0, 100)),
        "severity": pa.Column(checks=pa.Check.isin(SEVERITIES)),
        **{name: pa.Column(nullable=True) for name in ("peer", "technique", "suppressed_by")},
    },
    checks=pa.Check(lambda alerts: alerts["first_seen"] <= alerts["last_seen"], name="first_seen_before_last_seen"),
    unique=["kind", "entity"],
    name="alerts",
)
"""A row is an alert, see the table ``alerts``."""
