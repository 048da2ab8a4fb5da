"""Anomaly detection on the six columns of events: pure functions of frames, without Kedro and without I/O."""

from network_anomalies.detection.detector import AnomalyDetector

__all__ = ["AnomalyDetector"]
