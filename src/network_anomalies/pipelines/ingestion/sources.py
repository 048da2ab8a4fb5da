"""Nodes that make a day's events, as lazy parts: synthetic ones, and those of real logs."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import partial

import pandas as pd
import pyarrow as pa

from network_anomalies.errors import ContractError
from network_anomalies.events.parts import digest_contents, encode_part
from network_anomalies.formats import FORMATS, OpenFile
from network_anomalies.formats.slices import SECOND, LogIndex, index_logs, plan_slices, read_slice, start_of
from network_anomalies.generator import PlannedDay, draw_part, label_parts, plan_day
from network_anomalies.parameters import GateParameters, GeneratorParameters, LogsParameters
from network_anomalies.records.batch import SourceReport, add_counts
from network_anomalies.records.receipt import LakeObject, StageReceipt
from network_anomalies.runs.inputs import digest_log_choices, digest_synthetic_choices, list_truth_facts

Parts = dict[str, Callable[[], pd.DataFrame]]


def plan_events(generator: GeneratorParameters, logical_date: date) -> PlannedDay:
    """Plan the synthetic events of a day, keyed by seed and date; nothing is drawn yet."""
    return plan_day(generator, logical_date)


def plan_parts(
    synthetic_day: PlannedDay, generator: GeneratorParameters, gate: GateParameters
) -> tuple[Parts, SourceReport]:
    """Plan the parts of a synthetic day; the gate draws the events of each when it comes to it.

    Returns:
        Parts, a name to a function that draws its events; and what the batch is made of.
    """
    parts: Parts = {f"{part:04d}": partial(draw_part, synthetic_day, part) for part in synthetic_day.parts}
    return parts, SourceReport("synthetic", None, digest_synthetic_choices(generator, gate))


def label_events(
    synthetic_day: PlannedDay, ingestion_events: pd.DataFrame
) -> Iterator[tuple[dict[str, bytes], LakeObject]]:
    """Say what the synthetic events of a committed day really were: see ``generator.truth`` for the columns.

    Args:
        synthetic_day: the plan that the events were drawn from.
        ingestion_events: the commit's receipt; there is no truth about a day that was not stored.

    Yields:
        An object, its name to Parquet bytes; and a record of it.
    """
    for parts in synthetic_day.runs:
        table = pa.Table.from_pandas(label_parts(synthetic_day, parts), preserve_index=False)
        data = encode_part(table, {"revision": str(ingestion_events["revision"].iloc[0])})
        digest = hashlib.sha256(data).hexdigest()
        name = f"truth_{parts[0]:04d}_{digest[:12]}"
        yield {name: data}, LakeObject(uri=f"{name}.parquet", sha256=digest)


def assemble_truth(truth_reports: list[LakeObject], ingestion_events: pd.DataFrame, run_id: str) -> StageReceipt:
    """Make the receipt of the ground truth: the objects that hold it, and the batch that it is about."""
    return StageReceipt(
        run_id=run_id,
        source=ingestion_events["source"].iloc[0],
        logical_date=ingestion_events["logical_date"].iloc[0],
        inputs=list_truth_facts(digest_contents(ingestion_events["content_sha256"])),
        outputs=truth_reports,
    )


def index_log_files(
    log_files: dict[str, OpenFile], logs: LogsParameters, gate: GateParameters, logical_date: date
) -> tuple[LogIndex, SourceReport]:
    """Read every log file once: what lies where, and what each file is.

    Returns:
        The index of the day's flows; and what the batch is made of.

    Raises:
        ContractError: there is no such format, or a file is not of it.
    """
    if logs.format not in FORMATS:
        raise ContractError(f"logs.format is {logs.format!r}: this project reads {', '.join(sorted(FORMATS))}")
    index = index_logs(log_files, FORMATS[logs.format], logical_date, logs.block_bytes)
    impute = logs.missing_duration == "zero"
    files = [file if impute else replace(file, imputed=0) for file in index.files]
    left_out = add_counts(file.counts for file in files)
    return index, SourceReport("logs", logs.format, digest_log_choices(logs, gate), files, left_out)


def slice_logs(log_files: dict[str, OpenFile], log_index: LogIndex, logs: LogsParameters, logical_date: date) -> Parts:
    """Cut the day's flows into parts that do not overlap in time, each read only when it is asked for.

    Raises:
        ContractError: the logs hold no flow of the day.
    """
    if not log_index.blocks:
        seen = add_counts(file.counts for file in log_index.files)
        raise ContractError(
            f"no flows of {logical_date} among {seen.lines_in} lines ({seen.early} early, {seen.late} late): "
            "check logical_date and logs.path"
        )
    start = start_of(logical_date)
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
