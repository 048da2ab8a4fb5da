"""Flow log formats. To add one: a module with a ``LogFormat``, an entry in ``FORMATS``, a test on a few lines."""

from network_anomalies.formats import zeek
from network_anomalies.formats.base import LogFormat, OpenFile, ParsedLines

__all__ = ["FORMATS", "LogFormat", "OpenFile", "ParsedLines"]

FORMATS: dict[str, LogFormat] = {"zeek": zeek.FORMAT}
