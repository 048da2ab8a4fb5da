"""Which model is champion, and why."""

from network_anomalies.pipelines.registration.pipeline import create_pipeline

__all__ = ["create_pipeline"]
