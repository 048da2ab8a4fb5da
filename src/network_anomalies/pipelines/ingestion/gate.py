"""Nodes of the gate: what meets the contract becomes RAW, what does not goes to quarantine, everything is counted."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial

import pandas as pd
import pyarrow as pa

from network_anomalies.events.contract import CONTRACT_VERSION, coerce_events, find_violations, to_text
from network_anomalies.events.parts import encode_part, find_duplicates, to_canonical_table
from network_anomalies.parameters import GateParameters, WorkersParameters
from network_anomalies.pipelines.ingestion.encoding import describe_part, encode_rejects, prefer_stored
from network_anomalies.records.batch import (
    UNPARSABLE_RULE,
    EventPart,
    JudgedPart,
    LineCounts,
    PartReport,
    SourceReport,
)
from network_anomalies.work.calls import Folder, Made, Objects, make_objects

Judges = Mapping[str, Callable[[], JudgedPart]]
"""Numbers of parts to functions that judge them."""


def validate_events(
    event_parts: Mapping[str, EventPart],
    source_report: SourceReport,
    current_objects: pd.DataFrame,
    gate: GateParameters,
    source: str,
    logical_date: date,
    workers: WorkersParameters,
    part_folders: Sequence[Folder],
) -> Iterator[tuple[Objects, Objects, Objects, PartReport]]:
    """Hold the parts to the contract; lines that cannot be read go to quarantine.

    Args:
        event_parts: the parts, by their numbers.
        source_report: of the node that made the parts.
        current_objects: the objects of the current revision; a part whose rows they hold is not stored anew.
        gate: the gate's parameters.
        source: whose events.
        logical_date: the UTC day.
        workers: who works on the parts.
        part_folders: where Dask workers save them: quarantine and RAW.

    Yields:
        Quarantine objects, local copies and RAW objects, each a name to a function that returns Parquet bytes until
        the next part is asked for; and the part's report. If Dask workers have saved the objects, only the report.
    """
    judges = {
        number: partial(_judge_part, part, logical_date, gate.drop_duplicates) for number, part in event_parts.items()
    }
    yield from store_parts(judges, source_report, current_objects, gate, source, logical_date, workers, part_folders)


def store_parts(
    judges: Judges,
    source_report: SourceReport,
    current_objects: pd.DataFrame,
    gate: GateParameters,
    source: str,
    logical_date: date,
    workers: WorkersParameters,
    part_folders: Sequence[Folder],
) -> Iterator[tuple[Objects, Objects, Objects, PartReport]]:
    """Judge the parts and encode what is to be stored of them.

    Args:
        judges: the parts' numbers to functions that judge them.
        source_report: of the node that made the parts.
        current_objects: the objects of the current revision.
        gate: the gate's parameters.
        source: whose events.
        logical_date: the UTC day.
        workers: who works on the parts.
        part_folders: where Dask workers save them: quarantine and RAW.

    Yields:
        What ``validate_events`` does.
    """
    provenance = {
        "contract_version": CONTRACT_VERSION,
        "source": source,
        "logical_date": str(logical_date),
        "params_sha256": source_report.params_sha256,
        **_name_files([file.path for file in source_report.files]),
    }
    encode = partial(_encode_part, current_objects.set_index("part"), gate.preview_rows, provenance)
    calls = [partial(encode, int(part), judge) for part, judge in judges.items()]
    for (rejects, events), report in make_objects(calls, workers, part_folders):
        yield rejects, events, events, report


def _judge_part(part: EventPart, day: date, drop_duplicates: bool) -> JudgedPart:
    read = part.read()
    return judge_lines(read) if part.unparsable else replace(judge_events(read, day, drop_duplicates), files=part.files)


def _encode_part(
    stored: pd.DataFrame, preview_rows: int, provenance: Mapping[str, str], part: int, judge: Callable[[], JudgedPart]
) -> list[Made[PartReport]]:
    judged = judge()
    accepted, counts = judged.accepted, judged.counts
    events: dict[str, bytes] = {}
    rejects: dict[str, bytes] = {}
    raw = quarantine = None
    if accepted.num_rows:
        data = encode_part(accepted, {**provenance, **_name_files(judged.files)})
        made = describe_part(accepted, data, part, counts.rejected)
        raw = prefer_stored(made, stored)
        if raw.object_sha256 == made.object_sha256:
            events = {_to_name(made.file_name): data}
    if len(judged.rejects):
        quarantine, rejected = encode_rejects(judged.rejects, part, provenance)
        rejects = {_to_name(quarantine.file_name): rejected}
    head = accepted.slice(0, preview_rows).to_pandas() if part == 1 else None
    rules = judged.rejects["rule"].value_counts().to_dict()
    return [Made(PartReport(part, counts, rules, raw, quarantine, head), [rejects, events])]


def _name_files(files: Sequence[str]) -> dict[str, str]:
    return {"source_files": json.dumps(files)} if files else {}


def _to_name(file_name: str) -> str:
    return file_name.removesuffix(".parquet")


def judge_events(events: pd.DataFrame, logical_date: date, drop_duplicates: bool) -> JudgedPart:
    """Tell apart what a part holds.

    Args:
        events: as they came, with the contract's columns.
        logical_date: the UTC day.
        drop_duplicates: whether exact duplicates are left out.
    """
    coerced = coerce_events(events)
    start = pd.Timestamp(logical_date, tz="UTC")
    early = (coerced["timestamp"] < start).to_numpy()
    late = (coerced["timestamp"] >= start + pd.Timedelta(days=1)).to_numpy()
    other_days = early | late
    today = coerced[~other_days] if other_days.any() else coerced
    violations = find_violations(today, logical_date)
    accepted = to_canonical_table(today.drop(index=violations.index) if len(violations) else today)
    duplicates = find_duplicates(accepted)
    if drop_duplicates and duplicates.any():
        accepted = accepted.filter(pa.array(~duplicates))
    received = events.iloc[violations.index][list(coerced.columns)].apply(to_text)
    rejects = received.assign(row=violations.index, rule=violations["rule"].array, reason=violations["reason"].array)
    counts = LineCounts(
        lines_in=len(events),
        early=int(early.sum()),
        late=int(late.sum()),
        rejected=len(rejects),
        duplicates=int(duplicates.sum()),
        duplicates_dropped=int(duplicates.sum()) if drop_duplicates else 0,
        accepted=accepted.num_rows,
    )
    return JudgedPart(accepted, rejects, counts)


def judge_lines(lines: pd.DataFrame) -> JudgedPart:
    """Put lines that cannot be read into quarantine, as they stand.

    Args:
        lines: ``file``, ``line``, ``text``, ``reason``, ``format``, ``header``.
    """
    rejects = lines.assign(row=lines.index, rule=UNPARSABLE_RULE)
    return JudgedPart(pa.table({}), rejects, LineCounts(lines_in=len(lines), unparsable=len(lines)))
