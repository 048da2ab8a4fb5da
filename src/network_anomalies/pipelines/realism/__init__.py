"""How real the synthetic traffic looks."""

from network_anomalies.pipelines.realism.pipeline import create_pipeline

__all__ = ["create_pipeline"]
