"""Nodes that make a day's events, as lazy parts: synthetic ones, and those of real logs."""

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Any

import pandas as pd

from network_anomalies.errors import ContractError
from network_anomalies.formats import FORMATS, OpenFile
from network_anomalies.formats.slices import SECOND, LogIndex, index_logs, plan_slices, read_slice, start_of
from network_anomalies.generator import Day, draw_part, label_parts, plan_day
from network_anomalies.parameters import GeneratorParameters, LogsParameters

Parts = dict[str, Callable[[], pd.DataFrame]]
SourceReport = dict[str, Any]


def plan_events(generator: GeneratorParameters, logical_date: str) -> Day:
    """Plan the synthetic events of a day, keyed by seed and date; nothing is drawn yet."""
    return plan_day(generator, date.fromisoformat(logical_date))


def generate_events(synthetic_day: Day, generator: GeneratorParameters) -> tuple[Parts, SourceReport]:
    """Make the synthetic events of a day.

    Returns:
        Parts, a name to a function that draws its events; and the source's report: ``parameters`` that decide the
        content, and no ``files``.
    """
    parts: Parts = {f"{part:04d}": partial(draw_part, synthetic_day, part) for part in synthetic_day.parts}
    chosen = generator.model_dump(exclude={"profiles"}) | {
        "profile": {generator.profile: generator.profiles[generator.profile].model_dump()}
    }
    return parts, {"parameters": chosen, "files": []}


def label_events(synthetic_day: Day, ingestion_events: SourceReport) -> Parts:
    """Say what the synthetic events of a committed day really were: see ``generator.truth`` for the columns.

    Args:
        synthetic_day: the plan that the events were drawn from.
        ingestion_events: the commit's receipt; there is no truth about a day that was not stored.
    """
    return {f"{parts[0]:04d}": partial(label_parts, synthetic_day, parts) for parts in synthetic_day.runs}


def index_log_files(
    log_files: dict[str, OpenFile], logs: LogsParameters, logical_date: str
) -> tuple[LogIndex, SourceReport]:
    """Read every log file once: what lies where, and what each file is.

    Returns:
        The index of the day's flows; and the source's report: ``parameters`` that decide the content, and per file
        of ``files`` its sha256, size, and lines by fate.
    """
    if logs.format not in FORMATS:
        raise ContractError(f"logs.format is {logs.format!r}: this project reads {', '.join(sorted(FORMATS))}")
    index = index_logs(log_files, FORMATS[logs.format], date.fromisoformat(logical_date), logs.block_bytes)
    impute = logs.missing_duration == "zero"
    files = [row if impute else row | {"imputed": 0} for row in index.files]
    return index, {"parameters": logs.model_dump(exclude={"path", "block_bytes"}), "files": files}


def slice_logs(log_files: dict[str, OpenFile], log_index: LogIndex, logs: LogsParameters, logical_date: str) -> Parts:
    """Cut the day's flows into parts that do not overlap in time, each read only when it is asked for.

    Raises:
        ContractError: the logs hold no flow of the day.
    """
    if not log_index.blocks:
        seen = {name: sum(row[name] for row in log_index.files) for name in ("lines", "early", "late")}
        raise ContractError(
            f"no flows of {logical_date} among {seen['lines']} lines ({seen['early']} early, {seen['late']} late): "
            "check logical_date and logs.path"
        )
    start = start_of(date.fromisoformat(logical_date))
    spans = [
        (start + first * SECOND, start + last * SECOND)
        for first, last in plan_slices(log_index.seconds, logs.part_events)
    ]
    return {
        f"{part:04d}": partial(_read_part, log_files, log_index, logs, span) for part, span in enumerate(spans, start=1)
    }


def _read_part(
    log_files: dict[str, OpenFile], log_index: LogIndex, logs: LogsParameters, span: tuple[int, int]
) -> pd.DataFrame:
    events = read_slice(log_files, log_index.blocks, FORMATS[logs.format], span).to_pandas()
    if logs.missing_duration == "zero":
        events["duration"] = events["duration"].fillna(0.0)
    return events
