"""Both stores at one moment, as plain clients read them: SQL, Parquet and sha256, no code of the project."""

import hashlib
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import pyarrow
import pyarrow.parquet as pq
from faults_places import Place
from sqlalchemy import Connection, inspect, text

FATES = ("not_a_flow", "unparsable", "early", "late", "rejected", "duplicates_dropped", "accepted")


@dataclass(frozen=True)
class Stored:
    """A file of the lake; ``rows`` is None if it is no Parquet."""

    sha256: str
    size: int
    rows: int | None


@dataclass(frozen=True)
class Run:
    """A row of `pipeline_runs`."""

    run_id: str
    source: str
    day: str
    status: str


@dataclass(frozen=True)
class Batch:
    """A row of `ingestion_batches`; ``fates`` is the sum of what became of its lines."""

    run_id: str
    source: str
    day: str
    revision: int
    status: str
    parts: int
    accepted: int
    rejected: int
    lines_in: int
    fates: int
    content_sha256: str
    manifest_uri: str | None
    manifest_sha256: str | None

    @property
    def key(self) -> tuple[str, str, int]:
        """Source, day and revision."""
        return self.source, self.day, self.revision

    @property
    def facts(self) -> tuple[object, ...]:
        """What a commit fixes for ever."""
        return self.run_id, self.parts, self.accepted, self.rejected, self.lines_in, self.content_sha256


@dataclass(frozen=True)
class Part:
    """A row of `ingestion_events`, or of `quarantine_objects` (whose batch alone has day, revision and status)."""

    run_id: str
    part: int
    uri: str
    rows: int
    size: int
    sha256: str
    source: str = ""
    day: str = ""
    revision: int = 0
    status: str = ""


@dataclass(frozen=True)
class Snapshot:
    """Both stores at one moment.

    Attributes:
        raw, quarantine: the files of these buckets, by URI.
        local: the local copies, by path.
        readable: run id and URI of each row of the view `current_objects`.
        kinds: the table `sources`, name and kind.
        from_logs: the runs that have source files.
    """

    raw: dict[str, Stored]
    quarantine: dict[str, Stored]
    local: dict[str, Stored] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    batches: tuple[Batch, ...] = ()
    parts: tuple[Part, ...] = ()
    rejects: tuple[Part, ...] = ()
    readable: tuple[tuple[str, str], ...] = ()
    kinds: tuple[tuple[str, str], ...] = ()
    from_logs: frozenset[str] = frozenset()

    def orphans(self) -> set[str]:
        """Return the URIs of files in the RAW bucket that no batch names."""
        named = {part.uri for part in self.parts} | {batch.manifest_uri for batch in self.batches}
        return {uri for uri in self.raw if uri not in named and not is_unfinished(uri)}


def read_snapshot(place: Place) -> Snapshot:
    """Read both stores: the registry first, since a commit names only what is stored already."""
    tables = _read_registry(place)
    files = (place.read_objects("raw"), place.read_objects("quarantine"), place.read_copies())
    raw, quarantine, local = ({uri: _examine(data) for uri, data in read.items()} for read in files)
    return Snapshot(raw, quarantine, local, **tables)


def _read_registry(place: Place) -> dict[str, Any]:
    # Opening a SQLite file that is not there would make one.
    if place.env == "embedded" and not place.database.exists():
        return {}
    with place.engine.connect() as connection:
        if not inspect(connection).has_table("ingestion_batches"):
            return {}
        run = "run_id, source, CAST(logical_date AS VARCHAR(10))"
        stored = "run_id, part, object_uri, record_count, size_bytes, object_sha256"
        counts = f"parts, accepted, rejected, lines_in, {' + '.join(FATES)}, content_sha256"
        revised = f"{run}, revision, status, {counts}, manifest_uri, manifest_sha256"
        place_of_part = "source, CAST(logical_date AS VARCHAR(10)), revision, status"
        runs = _select(connection, f"{run}, status FROM pipeline_runs")
        parts = _select(connection, f"{stored}, {place_of_part} FROM ingestion_events")
        logs = _select(connection, "run_id FROM source_files")
        return {
            "runs": tuple(Run(*row) for row in runs),
            "batches": tuple(Batch(*row) for row in _select(connection, f"{revised} FROM ingestion_batches")),
            "parts": tuple(Part(*row) for row in parts),
            "rejects": tuple(Part(*row) for row in _select(connection, f"{stored} FROM quarantine_objects")),
            "readable": tuple(_select(connection, "run_id, object_uri FROM current_objects")),
            "kinds": tuple(_select(connection, "name, kind FROM sources")),
            "from_logs": frozenset(run_id for (run_id,) in logs),
        }


def _select(connection: Connection, rest: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(text(f"SELECT {rest}"))]


@cache
def _count_rows(data: bytes) -> int | None:
    try:
        return int(pq.read_table(BytesIO(data)).num_rows)
    except (pyarrow.ArrowException, OSError):
        return None


def _examine(data: bytes) -> Stored:
    return Stored(hashlib.sha256(data).hexdigest(), len(data), _count_rows(data))


def is_unfinished(uri: str) -> bool:
    """Tell whether a file is what a killed write on a local disk leaves: hidden, never under an object's name."""
    name = PurePosixPath(uri).name
    return name.startswith(".") and name.endswith(".tmp")
