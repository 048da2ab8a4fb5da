"""The decision which model is champion, and its reason."""

from network_anomalies.pipelines.registration.pipeline import create_pipeline

__all__ = ["create_pipeline"]
