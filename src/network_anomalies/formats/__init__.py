"""Flow log formats. To add one, see ``docs/formats.md``: a module, an entry in ``FORMATS``, a test on a few lines."""

from network_anomalies.errors import ContractError
from network_anomalies.formats import argus, mapped_csv, mapped_parquet, nfdump, suricata, vpc, zeek, zeek_json
from network_anomalies.formats.base import LogFormat, LogOptions, OpenFile, ParsedLines, TableFormat

__all__ = ["FORMATS", "TABLE_FORMATS", "LogFormat", "LogOptions", "OpenFile", "ParsedLines", "detect_format"]

FORMATS: dict[str, LogFormat] = {
    "zeek": zeek.FORMAT,
    "zeek_json": zeek_json.FORMAT,
    "suricata_eve": suricata.FORMAT,
    "argus": argus.FORMAT,
    "nfdump": nfdump.FORMAT,
    "aws_vpc": vpc.FORMAT,
    "csv": mapped_csv.FORMAT,
}
"""Formats whose files are lines of text."""
TABLE_FORMATS: dict[str, TableFormat] = {"parquet": mapped_parquet.FORMAT}
"""Formats whose files are tables."""


def detect_format(first_block: bytes, name: str) -> str:
    """Return the name of the format that a file is in.

    Args:
        first_block: the beginning of the file, decompressed.
        name: the file's name, for the message.

    Raises:
        ContractError: no format fits, or two do.
    """
    formats: dict[str, LogFormat | TableFormat] = {**FORMATS, **TABLE_FORMATS}
    fitting = [known for known, log_format in formats.items() if log_format.matches(first_block)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise ContractError(f"{name} may be {' or '.join(fitting)}: say which with logs.format")
    raise ContractError(
        f"{name} is in no format that is known by its beginning ({', '.join(sorted(formats))}): give a flow log, or "
        "set logs.format to csv with a logs.mapping"
    )
