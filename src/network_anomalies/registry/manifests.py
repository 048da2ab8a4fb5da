"""Manifests: the registry's rows of a commit as a JSON object in the lake, which `kedro restore` reads.

The bytes depend on the registry's rows only. So a manifest that is missing after a crash can be made again. If a later
migration adds a column to one of these tables, the manifest needs a new version.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Date, Table, select

from network_anomalies.errors import ProjectError
from network_anomalies.registry.row_digests import to_json
from network_anomalies.registry.tables import (
    Instant,
    ingestion_batches,
    ingestion_events,
    pipeline_runs,
    quarantine_objects,
    source_files,
    sources,
)

Row = Mapping[str, Any]

MANIFEST_VERSION = 1
FOLDER = "_manifests"
"""Folder in the RAW bucket, beside the folders of the sources. No name of a source begins with an underscore."""
TABLES = {
    "source": sources,
    "run": pipeline_runs,
    "batch": ingestion_batches,
    "objects": ingestion_events,
    "quarantine": quarantine_objects,
    "files": source_files,
}
"""The tables of a manifest's parts."""
SINGLE = ("source", "run", "batch")
"""Parts that have one row."""
LATER = {
    "sources": {"first_seen"},
    "pipeline_runs": {"status", "finished_at", "failed_node", "error"},
    "ingestion_batches": {"status", "manifest_uri", "manifest_sha256"},
    "ingestion_events": {"status"},
}
"""Columns that a manifest leaves out: unknown at the commit, changed after it, or different after a restore."""
_PATH = re.compile(rf"{FOLDER}/([a-z0-9][a-z0-9_-]*)/(\d{{4}}-\d\d-\d\d)/batch_(\d{{4,}})_([0-9a-f]{{12}})\.json")


@dataclass(frozen=True)
class Manifest:
    """A commit's manifest: its path below the RAW bucket, its bytes and their sha256."""

    path: str
    data: bytes
    sha256: str


@dataclass(frozen=True)
class ManifestName:
    """The parts of a manifest's path: source, date and revision, and the first 12 digits of its sha256."""

    source: str
    logical_date: date
    revision: int
    digits: str


@dataclass(frozen=True)
class Commit:
    """The registry's rows of one committed batch.

    Attributes:
        source: its row of ``sources``, None if the row is missing.
        run: its row of ``pipeline_runs``, None if the row is missing.
        batch: its row of ``ingestion_batches``.
        objects: its rows of ``ingestion_events``, by part.
        quarantine: its rows of ``quarantine_objects``, by part.
        files: its rows of ``source_files``, by path.
    """

    source: Row | None
    run: Row | None
    batch: Row
    objects: Sequence[Row]
    quarantine: Sequence[Row]
    files: Sequence[Row]

    @property
    def name(self) -> str:
        """Source, date and revision in words."""
        return f"{self.batch['source']} on {self.batch['logical_date']}, revision {self.batch['revision']}"

    def rows(self, part: str) -> Sequence[Row]:
        """Return the rows of a part of the manifest, a key of ``TABLES``."""
        content = getattr(self, part)
        return ([content] if content else []) if part in SINGLE else content


def read_commits(connection: Connection, chosen: ColumnElement[bool]) -> list[Commit]:
    """Return the committed batches that meet a condition on ``ingestion_batches``, by source, date and revision."""
    columns = ingestion_batches.c
    ordered = (columns.source, columns.logical_date, columns.revision)
    batches = connection.execute(select(ingestion_batches).where(chosen).order_by(*ordered)).mappings().all()
    run_ids = select(columns.run_id).where(chosen)
    sources_by_name = {row["name"]: dict(row) for row in connection.execute(select(sources)).mappings()}
    rows = {part: _read_rows(connection, table, run_ids) for part, table in TABLES.items() if part not in SINGLE}
    runs = _read_rows(connection, pipeline_runs, run_ids)
    return [
        Commit(
            source=sources_by_name.get(batch["source"]),
            run=next(iter(runs[batch["run_id"]]), None),
            batch=dict(batch),
            **{part: rows_by_run[batch["run_id"]] for part, rows_by_run in rows.items()},
        )
        for batch in batches
    ]


def make_manifest(connection: Connection, run_id: str) -> Manifest:
    """Return the manifest of the batch that a run committed, from the registry's rows."""
    return encode_manifest(read_commits(connection, ingestion_batches.c.run_id == run_id)[0])


def encode_manifest(commit: Commit) -> Manifest:
    """Return the manifest of a committed batch."""
    parts = {part: [_keep_fixed(TABLES[part], row) for row in commit.rows(part)] for part in TABLES}
    single = {part: next(iter(parts[part]), None) for part in SINGLE}
    data = to_json({"version": MANIFEST_VERSION, **parts, **single}).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    batch = commit.batch
    return Manifest(name_manifest(batch["source"], batch["logical_date"], batch["revision"], sha256), data, sha256)


def decode_manifest(path: str, data: bytes) -> Commit:
    """Return the batch that a manifest's bytes describe; its rows lack the columns of ``LATER``.

    Raises:
        ProjectError: the path is not that of a manifest, the bytes do not have the digest in the path, or this code
            cannot read them.
    """
    name, sha256 = parse_name(path), hashlib.sha256(data).hexdigest()
    if name is None:
        raise ProjectError(f"{path} does not have the name of a manifest: move it away")
    if not sha256.startswith(name.digits):
        raise ProjectError(f"manifest {path} was altered, its bytes have sha256 {sha256[:12]}: put the original back")
    try:
        content = json.loads(data)
        version = int(content["version"])
        if version > MANIFEST_VERSION:
            raise ProjectError(f"manifest {path} has version {version}, newer than this code's: update this code")
        parts = {part: content[part] if part not in SINGLE else [content[part]] for part in TABLES}
        rows = {part: [_parse_row(TABLES[part], row) for row in found] for part, found in parts.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ProjectError(f"{path} is no manifest of this project ({error}): move it away") from error
    commit = Commit(
        source=rows["source"][0],
        run=rows["run"][0],
        batch=rows["batch"][0],
        objects=rows["objects"],
        quarantine=rows["quarantine"],
        files=rows["files"],
    )
    if (name.source, name.logical_date, name.revision) != _identify(commit.batch) or not _is_of_one_batch(commit):
        raise ProjectError(f"manifest {path} is about {commit.name}: it was moved or renamed, put it back")
    return commit


def name_manifest(source: str, logical_date: date, revision: int, sha256: str) -> str:
    """Return a manifest's path below the RAW bucket.

    >>> name_manifest("zeek", date(2024, 4, 19), 2, "ab" * 32)
    '_manifests/zeek/2024-04-19/batch_0002_abababababab.json'
    """
    return f"{FOLDER}/{source}/{logical_date}/batch_{revision:04d}_{sha256[:12]}.json"


def parse_name(path: str) -> ManifestName | None:
    """Return the parts of a manifest's path below the RAW bucket, None if it is not the path of a manifest.

    >>> parse_name("_manifests/zeek/2024-04-19/batch_0002_abababababab.json").revision
    2
    """
    match = _PATH.fullmatch(path)
    try:
        return match and ManifestName(match[1], date.fromisoformat(match[2]), int(match[3]), match[4])
    except ValueError:
        return None


def _identify(row: Row) -> tuple[str, date, int]:
    return row["source"], row["logical_date"], row["revision"]


def _is_of_one_batch(commit: Commit) -> bool:
    """Tell whether all rows are about the batch's run, revision and source."""
    rows = [row for part in TABLES if part != "source" for row in commit.rows(part)]
    same_run = {row["run_id"] for row in rows} == {commit.batch["run_id"]}
    same_batch = all(_identify(row) == _identify(commit.batch) for row in commit.objects)
    return same_run and same_batch and commit.source is not None and commit.source["name"] == commit.batch["source"]


def _read_rows(connection: Connection, table: Table, runs: Any) -> dict[str, list[Row]]:
    rows: defaultdict[str, list[Row]] = defaultdict(list)
    query = select(table).where(table.c.run_id.in_(runs)).order_by(*table.primary_key.columns)
    for row in connection.execute(query).mappings():
        rows[row["run_id"]].append(dict(row))
    return rows


def _list_fixed(table: Table) -> list[Column[Any]]:
    return [column for column in table.c if column.name not in LATER.get(table.name, ())]


def _keep_fixed(table: Table, row: Row) -> Row:
    return {column.name: row[column.name] for column in _list_fixed(table)}


def _parse_row(table: Table, row: Row) -> Row:
    columns = _list_fixed(table)
    if row.keys() != {column.name for column in columns}:
        raise ValueError(f"the columns of {table.name} are not those of this version")
    return {column.name: _parse_value(column, row[column.name]) for column in columns}


def _parse_value(column: Column[Any], value: Any) -> Any:
    if value is None and column.nullable:
        return None
    if isinstance(column.type, Instant):
        return datetime.fromisoformat(value)
    if isinstance(column.type, Date):
        return date.fromisoformat(value)
    if type(value) is not column.type.python_type:
        raise ValueError(f"{column} is {value!r}")
    return value
