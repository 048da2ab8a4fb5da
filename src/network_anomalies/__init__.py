"""Ingests a day of network events, proves what was stored, and finds anomalies in it."""

__version__ = "0.1.0"
