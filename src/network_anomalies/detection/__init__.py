"""Anomaly detection on events: pure functions of frames, without Kedro and without I/O.

On slices of whole UTC hours: ``add_context``, ``summarise`` and ``merge_summaries`` (a day), ``remember`` and
``merge_histories`` (the past), ``fit``, ``name_attacks``, ``judge_slice``; then ``conclude``. ``AnomalyDetector`` is
the same on one frame.
"""

from network_anomalies.detection.alerts.explain import explain_events
from network_anomalies.detection.alerts.findings import FINDING_COLUMNS, TECHNIQUES
from network_anomalies.detection.detector import AnomalyDetector
from network_anomalies.detection.judging import conclude, judge_slice, list_limits, name_attacks, take_hours
from network_anomalies.detection.judging_pieces import judge_pieces_of_slice, judge_talks
from network_anomalies.detection.limits import DetectorLimits
from network_anomalies.detection.rules.anomalies import choose_alerts, find_anomalies, flag_conversations
from network_anomalies.detection.rules.named import detect
from network_anomalies.detection.scoring.context import CONTEXT_COLUMNS, add_context
from network_anomalies.detection.scoring.fitting import fit, fit_reference
from network_anomalies.detection.scoring.history import History, merge_histories, remember
from network_anomalies.detection.scoring.model import Model, ModelParameters, score
from network_anomalies.detection.scoring.piece_scores import score_pieces
from network_anomalies.detection.scoring.pieces import describe_pieces, summarise_pieces
from network_anomalies.detection.scoring.storage import (
    FEATURE_SPEC,
    feature_spec_sha256,
    from_bytes,
    merge_packed,
    pack_summary,
    to_bytes,
    unpack_summary,
)
from network_anomalies.detection.scoring.summary import Summary, describe_slice, merge_summaries, summarise

__all__ = [
    "CONTEXT_COLUMNS",
    "FEATURE_SPEC",
    "FINDING_COLUMNS",
    "TECHNIQUES",
    "AnomalyDetector",
    "DetectorLimits",
    "History",
    "Model",
    "ModelParameters",
    "Summary",
    "add_context",
    "choose_alerts",
    "conclude",
    "describe_pieces",
    "describe_slice",
    "detect",
    "explain_events",
    "feature_spec_sha256",
    "find_anomalies",
    "fit",
    "fit_reference",
    "flag_conversations",
    "from_bytes",
    "judge_pieces_of_slice",
    "judge_slice",
    "judge_talks",
    "list_limits",
    "merge_histories",
    "merge_packed",
    "merge_summaries",
    "name_attacks",
    "pack_summary",
    "remember",
    "score",
    "score_pieces",
    "summarise",
    "summarise_pieces",
    "take_hours",
    "to_bytes",
    "unpack_summary",
]
