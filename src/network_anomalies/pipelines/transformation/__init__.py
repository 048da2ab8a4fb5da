"""From committed RAW to silver."""

from network_anomalies.pipelines.transformation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
