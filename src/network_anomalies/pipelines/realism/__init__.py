"""How close synthetic traffic is to targets of realism."""

from network_anomalies.pipelines.realism.pipeline import create_pipeline

__all__ = ["create_pipeline"]
