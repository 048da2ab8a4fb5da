"""Stored bytes held to the registry."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import pyarrow
import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, RowMapping, Table, func, select, true

from network_anomalies.contract import coerce_events, find_violations
from network_anomalies.errors import ProjectError
from network_anomalies.parts import digest_content, to_canonical_table
from network_anomalies.registry.engine import ensure_schema
from network_anomalies.registry.runs import abandon_dead_runs
from network_anomalies.registry.tables import ingestion_batches, ingestion_events
from network_anomalies.upkeep.stores import StoredFile, Stores, list_files

Facts = tuple[dict[str, Any], dict[str, int]] | None


@dataclass
class Verification:
    """What was found: objects that were checked, mismatches in words, files that no batch names."""

    objects: int = 0
    rows: int = 0
    abandoned: int = 0
    mismatches: list[str] = field(default_factory=list)
    orphans: list[StoredFile] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Say it line by line, the sum last."""
        yield from (f"MISMATCH {mismatch}" for mismatch in self.mismatches)
        yield from (f"orphan {orphan.path} ({orphan.size_bytes} bytes)" for orphan in self.orphans)
        if self.abandoned:
            yield f"{self.abandoned} dead runs marked ABANDONED"
        sums = f"{self.objects} objects, {self.rows} rows verified"
        yield f"{sums}; {len(self.mismatches)} mismatches, {len(self.orphans)} orphans"


def verify_stores(stores: Stores, start: date | None, end: date | None) -> Verification:
    """Re-read the objects of every revision from ``start`` to ``end``, both included; None is open.

    Checked are sha256, size, rows, digest of the rows, the contract, and each batch's sum; one object is held in
    memory at a time, and read once however many revisions share it.
    """
    ensure_schema(stores.engine)
    found = Verification(abandoned=abandon_dead_runs(stores.engine))
    known: dict[str, Facts] = {}
    for row in _read_objects(stores, start, end):
        path = "/".join((stores.buckets["raw"], row["source"], str(row["logical_date"]), row["file_name"]))
        if path not in known:
            known[path] = _examine_object(stores, path, row["logical_date"])
            found.objects += 1
            found.rows += row["record_count"]
        found.mismatches += [f"{path}: {fault}" for fault in _compare(known[path], row)]
    found.mismatches += _check_sums(stores, start, end)
    stored = list_files(stores.lake, stores.buckets["raw"])
    found.orphans = [file for file in stored if file.path not in known and _is_within(stores, file, start, end)]
    return found


def place_of(stores: Stores, file: StoredFile) -> tuple[str, date] | None:
    """Return the source and date that a file in the RAW bucket belongs to by its path, or None."""
    parts = PurePosixPath(file.path).relative_to(stores.buckets["raw"]).parts
    try:
        source, day, _ = parts
        return source, date.fromisoformat(day)
    except ValueError:
        return None


def _examine_object(stores: Stores, path: str, logical_date: date) -> Facts:
    """Return what the bytes say, in the registry's words, and the rules that their rows break; None if missing.

    Bytes that are no events say None for rows and content, which no registered object does.
    """
    try:
        data = stores.lake.cat_file(path)
    except FileNotFoundError:
        return None
    facts: dict[str, Any] = {"object_sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    try:
        table = to_canonical_table(pq.read_table(BytesIO(data)))
        violations = find_violations(coerce_events(table.to_pandas()), logical_date)
    except (pyarrow.ArrowException, OSError, ProjectError, KeyError):
        return facts | {"record_count": None, "content_sha256": None}, {}
    facts |= {"record_count": table.num_rows, "content_sha256": digest_content(table)}
    return facts, violations["rule"].value_counts().to_dict()


def _compare(facts: Facts, row: RowMapping) -> list[str]:
    if facts is None:
        return ["the object is missing"]
    values, broken = facts
    if values["object_sha256"] != row["object_sha256"]:
        found = f"{values['size_bytes']} bytes, sha256 {values['object_sha256'][:12]}"
        return [f"{found}; registered {row['size_bytes']}, {row['object_sha256'][:12]}"]
    faults = [f"{name} is {value}, registered {row[name]}" for name, value in values.items() if value != row[name]]
    return faults + [f"{count} rows break {rule}" for rule, count in broken.items()]


def _read_objects(stores: Stores, start: date | None, end: date | None) -> list[Any]:
    columns = ingestion_events.c
    query = select(ingestion_events).where(_within(ingestion_events, start, end))
    with stores.engine.connect() as connection:
        ordered = query.order_by(columns.source, columns.logical_date, columns.revision, columns.part)
        return list(connection.execute(ordered).mappings())


def _check_sums(stores: Stores, start: date | None, end: date | None) -> list[str]:
    """Hold each batch's row to the sums of its objects' rows."""
    batches, events = ingestion_batches.c, ingestion_events.c
    sums = (func.count(events.part), func.coalesce(func.sum(events.record_count), 0))
    query = (
        select(batches.run_id, batches.parts, batches.accepted, *sums)
        .outerjoin(ingestion_events, events.run_id == batches.run_id)
        .where(_within(ingestion_batches, start, end))
        .group_by(batches.run_id, batches.parts, batches.accepted)
    )
    with stores.engine.connect() as connection:
        rows = connection.execute(query).all()
    return [
        f"batch {run_id}: {parts} parts, {accepted} rows; its objects give {objects}, {records}"
        for run_id, parts, accepted, objects, records in rows
        if (parts, accepted) != (objects, records)
    ]


def _within(table: Table, start: date | None, end: date | None) -> ColumnElement[bool]:
    after = table.c.logical_date >= start if start else true()
    before = table.c.logical_date <= end if end else true()
    return after & before


def _is_within(stores: Stores, file: StoredFile, start: date | None, end: date | None) -> bool:
    """Tell whether a file belongs to the range; one that belongs to no date does if the range is open."""
    place = place_of(stores, file)
    if place is None:
        return start is None and end is None
    return (start is None or place[1] >= start) and (end is None or place[1] <= end)
