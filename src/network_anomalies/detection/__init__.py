"""Anomaly detection on the six columns of events: pure functions of frames, without Kedro and without I/O."""

from network_anomalies.detection.context import add_context
from network_anomalies.detection.detector import AnomalyDetector
from network_anomalies.detection.history import merge_histories, remember
from network_anomalies.detection.judging import Evidence, conclude, judge_slice
from network_anomalies.detection.model import fit, score
from network_anomalies.detection.storage import from_bytes, pack_summary, to_bytes, unpack_summary
from network_anomalies.detection.summary import merge_summaries, summarise

__all__ = [
    "AnomalyDetector",
    "Evidence",
    "add_context",
    "conclude",
    "fit",
    "from_bytes",
    "judge_slice",
    "merge_histories",
    "merge_summaries",
    "pack_summary",
    "remember",
    "score",
    "summarise",
    "to_bytes",
    "unpack_summary",
]
