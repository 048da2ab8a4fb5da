"""The ways into RAW. They differ in where the events come from, and in nothing else."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.ingestion.account import (
    assemble_batch,
    check_quality,
    preview_batch,
    summarise_quality,
)
from network_anomalies.pipelines.ingestion.gate import store_parts, validate_events
from network_anomalies.pipelines.ingestion.replay import count_rejects, describe_replay, plan_replay
from network_anomalies.pipelines.ingestion.sources import (
    assemble_truth,
    choose_log_formats,
    index_log_files,
    label_events,
    plan_events,
    plan_parts,
    slice_logs,
)

DAY = ["params:source", "params:logical_date"]
WORK = ["params:workers", "part_folders"]
STORED = ["quarantined_events", "ingested_events", "raw_parts", "part_reports"]


def create_pipeline() -> Pipeline:
    """Take the synthetic events of a day to RAW and the registry."""
    return _create_commit() + Pipeline(
        [
            Node(
                plan_events,
                inputs=["params:generator", "params:logical_date"],
                outputs="synthetic_day",
                name="plan_events",
            ),
            Node(
                plan_parts,
                inputs=["synthetic_day", "params:generator", "params:gate"],
                outputs=["event_parts", "source_report"],
                name="plan_parts",
            ),
            Node(
                validate_events,
                inputs=["event_parts", "source_report", "current_objects", "params:gate", *DAY, *WORK],
                outputs=STORED,
                name="validate_events",
            ),
            Node(
                label_events,
                inputs=["synthetic_day", "ingestion_events"],
                outputs=["ground_truth", "truth_reports"],
                name="label_events",
            ),
            Node(
                assemble_truth,
                inputs=["truth_reports", "ingestion_events", "params:run_id"],
                outputs="truth_events",
                name="assemble_truth",
            ),
        ]
    )


def create_log_pipeline() -> Pipeline:
    """Take the flow logs of a day to RAW and the registry."""
    return _create_commit() + Pipeline(
        [
            Node(
                choose_log_formats,
                inputs=["log_files", "params:logs"],
                outputs="known_files",
                name="choose_log_formats",
            ),
            Node(
                index_log_files,
                inputs=[
                    *("known_files", "params:logs", "params:gate", "params:logical_date"),
                    *("params:workers", "spool_folders"),
                ],
                outputs=["log_index", "source_report"],
                name="index_log_files",
            ),
            Node(
                slice_logs,
                inputs=["log_index", "params:logs", "params:logical_date"],
                outputs="event_parts",
                name="slice_logs",
            ),
            Node(
                validate_events,
                inputs=["event_parts", "source_report", "current_objects", "params:gate", *DAY, *WORK],
                outputs=STORED,
                name="validate_events",
            ),
        ]
    )


def create_replay_pipeline() -> Pipeline:
    """Put the quarantined rows of a day through today's gate again, and commit what passes as a new revision."""
    return _create_commit() + Pipeline(
        [
            Node(
                count_rejects,
                inputs=["rejected_parts", "params:replay"],
                outputs="reject_counts",
                name="count_rejects",
            ),
            Node(
                describe_replay,
                inputs=[
                    *("current_batch", "source_record", "batch_files", "reject_counts"),
                    *("params:replay", "params:logs", "params:gate"),
                ],
                outputs="source_report",
                name="describe_replay",
            ),
            Node(
                plan_replay,
                inputs=[
                    *("current_parts", "rejected_parts", "reject_counts"),
                    *("params:replay", "params:logs", "params:gate", "params:logical_date"),
                ],
                outputs="replayed_parts",
                name="plan_replay",
            ),
            Node(
                store_parts,
                inputs=["replayed_parts", "source_report", "current_objects", "params:gate", *DAY, *WORK],
                outputs=STORED,
                name="store_parts",
            ),
        ]
    )


def _create_commit() -> Pipeline:
    return Pipeline(
        [
            Node(
                summarise_quality,
                inputs=["part_reports", "source_report", *DAY, "params:run_id"],
                outputs="quality_summary",
                name="summarise_quality",
            ),
            Node(
                preview_batch,
                inputs=["part_reports", "quality_summary"],
                outputs=None,
                name="preview_batch",
            ),
            Node(
                check_quality,
                inputs=["part_reports", "quality_summary", "params:gate"],
                outputs="quality_report",
                name="check_quality",
            ),
            Node(
                assemble_batch,
                inputs=["part_reports", "quality_summary", "source_report", "quality_report"],
                outputs="ingestion_events",
                name="assemble_batch",
            ),
        ]
    )
