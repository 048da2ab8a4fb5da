"""Stored bytes held to the registry."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import ColumnElement, RowMapping, Table, func, select, true

from network_anomalies.contract import coerce_events, find_violations
from network_anomalies.parts import digest_content, to_canonical_table
from network_anomalies.registry.engine import ensure_schema
from network_anomalies.registry.runs import abandon_dead_runs
from network_anomalies.registry.tables import ingestion_batches, ingestion_events
from network_anomalies.upkeep.stores import StoredFile, Stores, list_files


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
    memory at a time.
    """
    ensure_schema(stores.engine)
    found = Verification(abandoned=abandon_dead_runs(stores.engine))
    known: set[tuple[str, str, str]] = set()
    for row in _read_objects(stores, start, end):
        place = (row["source"], str(row["logical_date"]), row["file_name"])
        if place not in known:
            known.add(place)
            found.objects += 1
            found.rows += row["record_count"]
            path = "/".join((stores.buckets["raw"], *place))
            found.mismatches += [f"{path}: {fault}" for fault in _check_object(stores, path, row)]
    found.mismatches += _check_sums(stores, start, end)
    found.orphans = [
        file
        for file in list_files(stores.lake, stores.buckets["raw"])
        if _is_within(file, start, end) and place_of(file) not in known
    ]
    return found


def place_of(file: StoredFile) -> tuple[str, str, str]:
    """Return source, date and name of a file in the RAW bucket, by its path."""
    source, day, name = PurePosixPath(file.path).parts[-3:]
    return source, day, name


def _check_object(stores: Stores, path: str, row: RowMapping) -> list[str]:
    try:
        data = stores.lake.cat_file(path)
    except FileNotFoundError:
        return ["the object is missing"]
    if (digest := hashlib.sha256(data).hexdigest()) != row["object_sha256"]:
        return [f"{len(data)} bytes, sha256 {digest[:12]}; registered {row['size_bytes']}, {row['object_sha256'][:12]}"]
    table = to_canonical_table(pq.read_table(BytesIO(data)))
    found = {
        "size_bytes": len(data),
        "record_count": table.num_rows,
        "content_sha256": digest_content(table),
    }
    faults = [f"{name} is {value}, registered {row[name]}" for name, value in found.items() if value != row[name]]
    violations = find_violations(coerce_events(table.to_pandas()), row["logical_date"])
    return faults + [f"{count} rows break {rule}" for rule, count in violations["rule"].value_counts().items()]


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


def _is_within(file: StoredFile, start: date | None, end: date | None) -> bool:
    day = place_of(file)[1]
    return (start is None or day >= str(start)) and (end is None or day <= str(end))
