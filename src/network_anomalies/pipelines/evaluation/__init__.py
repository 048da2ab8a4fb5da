"""Measures of a model on flows later than its training."""

from network_anomalies.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
