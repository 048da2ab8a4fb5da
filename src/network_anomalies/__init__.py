"""Ingest a day of network events, prove what was stored, find the anomalies in it."""

__version__ = "0.1.0"
