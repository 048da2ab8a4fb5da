"""From the champion and a day's silver to alerts."""

from network_anomalies.pipelines.scoring.pipeline import create_pipeline

__all__ = ["create_pipeline"]
