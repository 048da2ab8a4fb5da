"""The two ways into RAW. They differ in where the events come from, and in nothing else."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.ingestion.gate import (
    assemble_batch,
    preview_batch,
    summarise_quality,
    validate_events,
)
from network_anomalies.pipelines.ingestion.sources import (
    generate_events,
    index_log_files,
    label_events,
    plan_events,
    slice_logs,
)

RUN = ["params:source", "params:logical_date", "params:run_id"]


def create_pipeline() -> Pipeline:
    """Take the synthetic events of a day to RAW and the registry."""
    return _create_gate() + Pipeline(
        [
            Node(
                plan_events,
                inputs=["params:generator", "params:logical_date"],
                outputs="synthetic_day",
                name="plan_events",
            ),
            Node(
                generate_events,
                inputs=["synthetic_day", "params:generator"],
                outputs=["event_parts", "source_report"],
                name="generate_events",
            ),
            Node(
                label_events,
                inputs=["synthetic_day", "ingestion_events"],
                outputs="ground_truth",
                name="label_events",
            ),
        ]
    )


def create_log_pipeline() -> Pipeline:
    """Take the flow logs of a day to RAW and the registry."""
    return _create_gate() + Pipeline(
        [
            Node(
                index_log_files,
                inputs=["log_files", "params:logs", "params:logical_date"],
                outputs=["log_index", "source_report"],
                name="index_log_files",
            ),
            Node(
                slice_logs,
                inputs=["log_files", "log_index", "params:logs", "params:logical_date"],
                outputs="event_parts",
                name="slice_logs",
            ),
        ]
    )


def _create_gate() -> Pipeline:
    return Pipeline(
        [
            Node(
                validate_events,
                inputs=["event_parts", "source_report", "current_objects", "params:gate", *RUN],
                outputs=["quarantined_events", "ingested_events", "raw_parts", "part_reports"],
                name="validate_events",
            ),
            Node(
                summarise_quality,
                inputs=["part_reports", "source_report", *RUN],
                outputs="quality_report",
                name="summarise_quality",
            ),
            Node(
                preview_batch,
                inputs=["part_reports", "quality_report"],
                outputs=None,
                name="preview_batch",
            ),
            Node(
                assemble_batch,
                inputs=["part_reports", "quality_report", "source_report", "params:gate"],
                outputs="ingestion_events",
                name="commit_batch",
            ),
        ]
    )
