"""Flow log formats. To add one, see ``docs/formats.md``: a module, an entry in ``FORMATS``, a test on a few lines."""

from collections.abc import Iterable, Mapping, Sequence

from network_anomalies.errors import ContractError
from network_anomalies.formats import argus, mapped_csv, mapped_parquet, nfdump, suricata, vpc, zeek, zeek_json
from network_anomalies.formats.base import LogFormat, LogOptions, OpenFile, ParsedLines, TableFormat
from network_anomalies.formats.log_file import LogFile, identify_files

__all__ = [
    "AUTO",
    "FORMATS",
    "TABLE_FORMATS",
    "LogFile",
    "LogFormat",
    "LogOptions",
    "OpenFile",
    "ParsedLines",
    "choose_formats",
]

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
UNRECOGNISED = ("csv",)
"""Formats that cannot be told by the beginning of a file."""

AUTO = "auto"
"""Stands for the format that the beginning of each file tells."""
LISTED = 3
"""How many foreign files an error names."""


def choose_formats(
    files: Mapping[str, OpenFile], name: str, skip_foreign: bool
) -> tuple[dict[str, LogFile], list[str]]:
    """Find the format of each file.

    Args:
        files: paths to functions that open a file.
        name: the name of a format, or ``auto``.
        skip_foreign: whether files that are in no such format, or empty, are left out.

    Returns:
        Paths to files with their formats; and a description of each file that is left out.

    Raises:
        ContractError: there is no such format; a file may be in two formats; or files are in no such format, or empty,
            and are not to be left out.
    """
    formats: dict[str, LogFormat | TableFormat] = {**FORMATS, **TABLE_FORMATS}
    if name not in (AUTO, *formats):
        raise ContractError(f"logs.format is {name!r}: give auto, or one of {', '.join(sorted(formats))}")
    if name in UNRECOGNISED or (name != AUTO and not skip_foreign):  # a file of another format says so when it is read
        return {path: LogFile(open_file, name, formats[name]) for path, open_file in files.items()}, []
    fitting, faults = identify_files(files, formats if name == AUTO else {name: formats[name]})
    if twofold := {path: names for path, names in fitting.items() if len(names) > 1}:
        path, names = next(iter(twofold.items()))
        raise ContractError(f"{path} may be {' or '.join(names)}: say which with logs.format")
    foreign = [f"{path} ({faults[path]})" if path in faults else path for path, names in fitting.items() if not names]
    if foreign and (not skip_foreign or len(foreign) == len(fitting)):
        raise ContractError(_describe_foreign(foreign, formats))
    known = {path: names[0] for path, names in fitting.items() if names}
    return {path: LogFile(files[path], name, formats[name]) for path, name in known.items()}, foreign


def _describe_foreign(files: Sequence[str], formats: Iterable[str]) -> str:
    named = ", ".join(files[:LISTED]) + (f" and {len(files) - LISTED} more" if len(files) > LISTED else "")
    return (
        f"in no flow log format: {named}. Move them away, set logs.skip_foreign=true, or name the format with "
        f"logs.format: {', '.join(sorted(formats))} (csv and parquet need logs.mapping)"
    )
