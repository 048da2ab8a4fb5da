"""From silver to a model."""

from network_anomalies.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
