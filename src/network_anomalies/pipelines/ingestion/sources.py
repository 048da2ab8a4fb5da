"""Nodes that make a day's events, as lazy parts: synthetic ones, and those of real logs."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial

import pandas as pd
import pyarrow as pa

from network_anomalies.errors import ContractError
from network_anomalies.events.parts import digest_contents, encode_part
from network_anomalies.formats import LogFile, OpenFile, choose_formats
from network_anomalies.formats.log_file import Reading, describe_reading, list_imputed
from network_anomalies.formats.slices import (
    SECOND,
    Fragment,
    LogIndex,
    UnparsableLines,
    index_log,
    index_logs,
    merge_indexes,
    plan_slices,
    plan_unparsable,
    read_slice,
    read_unparsable,
    start_of,
    take_span,
)
from network_anomalies.formats.spool import SpoolFolder, StoredSpool
from network_anomalies.generator import PlannedDay, draw_part, label_parts, plan_day
from network_anomalies.parameters import GateParameters, GeneratorParameters, LogsParameters, WorkersParameters
from network_anomalies.records.batch import EventPart, SourceReport, add_counts, describe_days
from network_anomalies.records.receipt import LakeObject, StageReceipt
from network_anomalies.runs.inputs import digest_log_choices, digest_synthetic_choices, list_truth_facts
from network_anomalies.work.calls import map_calls

logger = logging.getLogger(__name__)

Parts = dict[str, EventPart]


def plan_events(generator: GeneratorParameters, logical_date: date) -> PlannedDay:
    """Plan the synthetic events of a day, keyed by seed and date; nothing is drawn yet."""
    return plan_day(generator, logical_date)


def plan_parts(
    synthetic_day: PlannedDay, generator: GeneratorParameters, gate: GateParameters
) -> tuple[Parts, SourceReport]:
    """Plan the parts of a synthetic day; the gate draws the events of each when it comes to it.

    Returns:
        Parts, by their numbers; and what the batch is made of.
    """
    parts = {f"{part:04d}": EventPart(partial(draw_part, synthetic_day, part)) for part in synthetic_day.parts}
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


def choose_log_formats(log_files: dict[str, OpenFile], logs: LogsParameters) -> dict[str, LogFile]:
    """Find out which format each log file is in.

    Raises:
        ContractError: there is no such format, or files are in no format or in two.
    """
    known, foreign = choose_formats(log_files, logs.format, logs.skip_foreign)
    if foreign:
        logger.warning("%s files are in no flow log format and are left out: %s", len(foreign), ", ".join(foreign))
    return known


def index_log_files(
    known_files: dict[str, LogFile],
    logs: LogsParameters,
    gate: GateParameters,
    logical_date: date,
    workers: WorkersParameters,
    spool_folders: Sequence[SpoolFolder],
) -> tuple[LogIndex, SourceReport]:
    """Read every log file once: keep what is of the day, count the rest, and say what each file is.

    Args:
        known_files: the files, by path.
        logs: how they are read.
        gate: the gate's parameters, which the batch depends on too.
        logical_date: the UTC day.
        workers: who reads the files.
        spool_folders: the folder where Dask workers keep what is of the day until the parts are made.

    Returns:
        The index of the day's flows; and what the batch is made of.

    Raises:
        ContractError: a file is not of its format.
    """
    reading = describe_reading(logs, logical_date)
    if workers.dask:
        index = _index_on_workers(known_files, reading, workers, *spool_folders)
    else:
        index = index_logs(known_files, reading)
    left_out = add_counts(file.counts for file in index.files)
    report = SourceReport(
        kind="logs",
        format=", ".join(sorted({file.format for file in known_files.values()})),
        params_sha256=digest_log_choices(logs, gate),
        files=index.files,
        left_out=left_out,
        imputed=dict(+index.imputed),
        other_days=dict(index.other_days),
    )
    return index, report


def _index_on_workers(
    files: dict[str, LogFile], reading: Reading, workers: WorkersParameters, folder: SpoolFolder
) -> LogIndex:
    spool = StoredSpool(folder)
    calls = [
        partial(index_log, path, file, reading, StoredSpool(folder, f"{place:06d}"))
        for place, (path, file) in enumerate(files.items())
    ]
    index = merge_indexes(map_calls(calls, workers), spool)
    spool.remove_after([*(found.place for found in index.fragments), *(found.place for found in index.unparsable)])
    return index


def slice_logs(log_index: LogIndex, logs: LogsParameters, logical_date: date) -> Parts:
    """Cut the day's flows into parts that do not overlap in time; parts with the unparsable lines follow.

    Raises:
        ContractError: the logs hold no flow of the day.
    """
    if not log_index.fragments:
        seen = add_counts(file.counts for file in log_index.files)
        days = describe_days(log_index.other_days) or "no flow at all"
        raise ContractError(
            f"no flows of {logical_date} among {seen.lines_in} lines, which hold {days}: "
            "check logical_date and logs.path"
        )
    start, imputed = start_of(logical_date), list_imputed(logs)
    spans = [
        (start + first * SECOND, start + last * SECOND)
        for first, last in plan_slices(log_index.seconds, logs.part_events)
    ]
    parts = []
    for span in spans:
        within = take_span(log_index, span)
        parts.append(EventPart(partial(read_slice, within, imputed, span), _list_paths(within.fragments)))
    for group in plan_unparsable(log_index, logs.part_events):
        read = partial(read_unparsable, log_index.spool, group)
        parts.append(EventPart(read, _list_paths(group), unparsable=True))
    return {f"{number:04d}": part for number, part in enumerate(parts, start=1)}


def _list_paths(found: Sequence[Fragment | UnparsableLines]) -> list[str]:
    return sorted({item.path for item in found})
