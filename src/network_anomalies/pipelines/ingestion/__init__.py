"""From events of any source to committed RAW."""

from network_anomalies.pipelines.ingestion.pipeline import create_log_pipeline, create_pipeline, create_replay_pipeline

__all__ = ["create_log_pipeline", "create_pipeline", "create_replay_pipeline"]
