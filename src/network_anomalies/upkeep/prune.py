"""Retention: what may be deleted after a time. Committed RAW objects never are."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath

import fsspec
from sqlalchemy import select

from network_anomalies.registry.runs import hold_lock
from network_anomalies.registry.tables import ingestion_events
from network_anomalies.upkeep.stores import StoredFile, Stores, list_files
from network_anomalies.upkeep.verify import place_of


def prune_stores(stores: Stores, orphans: list[StoredFile], now: datetime, delete: bool) -> Iterator[str]:
    """Delete, or without ``delete`` just name, what is older than ``retention`` keeps it.

    Args:
        stores: the lake, the local copies and the registry.
        orphans: files in the RAW bucket that no batch names.
        now: the instant that ages are measured from.
        delete: whether to delete.
    """
    keep, local = stores.retention, fsspec.filesystem("file")
    copies = [file for file in list_files(local, str(stores.local_copies)) if not file.path.endswith("/.gitkeep")]
    rejects = list_files(stores.lake, stores.buckets["quarantine"])
    verb = "deleted" if delete else "would delete"
    for file in _older(copies, now, keep.local_days):
        if delete:
            local.rm_file(file.path)
        yield f"{verb} local copy {file.path}"
    for file in _older(rejects, now, keep.quarantine_days):
        if delete:
            stores.lake.rm_file(file.path)
        yield f"{verb} quarantine {file.path}"
    for file in _older(orphans, now, keep.orphan_days):
        if delete and not _delete_orphan(stores, file):
            yield f"kept orphan {file.path}: a run of its date is at work, or has committed it"
        else:
            yield f"{verb} orphan {file.path}"


def _older(files: list[StoredFile], now: datetime, days: int) -> list[StoredFile]:
    return [file for file in files if now - file.modified > timedelta(days=days)]


def _delete_orphan(stores: Stores, file: StoredFile) -> bool:
    """Delete under the lock of the orphan's date: a run at work may be about to commit it, or may have since."""
    place = place_of(stores, file)
    if place is None:
        stores.lake.rm_file(file.path)
        return True
    with hold_lock(stores.engine, *place) as held:
        deletable = held and not _is_committed(stores, *place, PurePosixPath(file.path).name)
        if deletable:
            stores.lake.rm_file(file.path)
    return deletable


def _is_committed(stores: Stores, source: str, logical_date: date, file_name: str) -> bool:
    columns = ingestion_events.c
    named = (columns.source == source, columns.logical_date == logical_date, columns.file_name == file_name)
    query = select(columns.part).where(*named)
    with stores.engine.connect() as connection:
        return connection.execute(query).first() is not None
