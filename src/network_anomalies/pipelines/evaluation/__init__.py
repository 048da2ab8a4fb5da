"""How good a model is, out of time."""

from network_anomalies.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
