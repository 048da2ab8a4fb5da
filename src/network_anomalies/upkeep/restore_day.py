"""The manifests of one day compared with the registry: which revisions are missing, and what contradicts it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, insert, select, update

from network_anomalies.errors import ProjectError
from network_anomalies.registry.conditions import of_day
from network_anomalies.registry.manifests import Commit, Row
from network_anomalies.registry.stage_log import StageEvent, insert_stage
from network_anomalies.registry.tables import (
    ingestion_batches,
    ingestion_events,
    pipeline_runs,
    quarantine_objects,
    source_files,
    sources,
)
from network_anomalies.runs.inputs import list_ingestion_facts
from network_anomalies.upkeep.lake_manifests import StoredManifest, compare_commits

SourceDay = tuple[str, date]


@dataclass(frozen=True)
class DayPlan:
    """Manifests of the revisions that the registry lacks, number of revisions that it has too, remarks in words."""

    missing: Sequence[StoredManifest]
    known: int
    notes: Sequence[str]


def plan_day(manifests: Sequence[StoredManifest], registered: Sequence[Commit]) -> DayPlan:
    """Compare the manifests of a day with the registry.

    Raises:
        ProjectError: a manifest cannot be trusted, two have the same revision, or one contradicts the registry.
    """
    if faults := [manifest.fault for manifest in manifests if manifest.fault]:
        raise ProjectError("; ".join(faults))
    revisions: dict[int, StoredManifest] = {}
    for manifest in manifests:
        first = revisions.setdefault(manifest.name.revision, manifest)
        if first is not manifest:
            both = f"{first.path} and {manifest.path}"
            raise ProjectError(f"manifests {both} are of one revision: move the wrong one away")
    rows = {commit.batch["revision"]: commit for commit in registered}
    for revision in sorted(rows.keys() & revisions.keys()):
        _require_equal(rows[revision], revisions[revision])
    missing = [revisions[revision] for revision in sorted(revisions.keys() - rows.keys())]
    return DayPlan(missing, len(rows.keys() & revisions.keys()), list(_describe_gaps(set(revisions), set(rows))))


def insert_commits(connection: Connection, plan: DayPlan, registered: Sequence[Commit], raw_uri: str) -> None:
    """Insert the revisions that a day lacks, and make the highest revision current.

    Raises:
        ProjectError: a manifest contradicts the registry's row of its source or run.
    """
    source, day = plan.missing[0].day
    for manifest in plan.missing:
        if manifest.commit:
            _insert(connection, manifest, manifest.commit, raw_uri)
            _record_ingestion(connection, manifest.commit.batch)
    ahead = [commit.batch for commit in registered if commit.batch["revision"] > plan.missing[-1].name.revision]
    if ahead:
        _record_ingestion(connection, ahead[-1])  # the latest row must be that of the current revision
    highest = ahead[-1]["revision"] if ahead else plan.missing[-1].name.revision
    for table in (ingestion_batches, ingestion_events):
        same_day = of_day(table, source, day)
        connection.execute(update(table).where(same_day).values(status="SUPERSEDED"))
        connection.execute(update(table).where(same_day, table.c.revision == highest).values(status="SUCCESS"))


def _require_equal(registered: Commit, manifest: StoredManifest) -> None:
    if manifest.commit and (differences := compare_commits(registered, manifest.commit)):
        more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
        raise ProjectError(
            f"the registry contradicts manifest {manifest.path}: {differences[0]}{more}; "
            "see `kedro verify`, then correct the registry or move the manifest away"
        )


def _describe_gaps(stored: set[int], known: set[int]) -> Iterator[str]:
    if ahead := sorted(known - stored):
        numbers = ", ".join(map(str, ahead))
        yield f"revision {numbers} is in the registry and has no manifest: it is kept, `kedro verify` writes it"
    if lost := sorted(set(range(1, max(stored | known))) - stored - known):
        yield f"revision {', '.join(map(str, lost))} has neither a manifest nor a row: its objects stay as they are"


def _insert(connection: Connection, manifest: StoredManifest, commit: Commit, raw_uri: str) -> None:
    superseded = {"status": "SUPERSEDED"}
    _ensure_source(connection, manifest, commit)
    _ensure_run(connection, manifest, commit)
    manifest_columns = {"manifest_uri": f"{raw_uri}/{manifest.path}", "manifest_sha256": manifest.sha256}
    connection.execute(insert(ingestion_batches), dict(commit.batch) | manifest_columns | superseded)
    for table, rows in (
        (ingestion_events, [{**row, **superseded} for row in commit.objects]),
        (quarantine_objects, list(commit.quarantine)),
        (source_files, list(commit.files)),
    ):
        if rows:
            connection.execute(insert(table), rows)


def _record_ingestion(connection: Connection, batch: Row) -> None:
    """Add the row of ``stage_events`` that the commit added. Other files that its run wrote are not known."""
    facts = list_ingestion_facts(batch["params_sha256"], batch["contract_version"])
    key = (batch["source"], batch["logical_date"])
    insert_stage(connection, StageEvent(batch["run_id"], "ingestion", *key, facts, ()))


def _ensure_source(connection: Connection, manifest: StoredManifest, commit: Commit) -> None:
    """Insert a source's row, or compare the existing row with the manifest; the earliest commit is ``first_seen``."""
    listed, committed_at = commit.source or {}, commit.batch["committed_at"]
    this_source = sources.c.name == listed["name"]
    row = connection.execute(select(sources).where(this_source)).mappings().first()
    if row is None:
        connection.execute(insert(sources), {**listed, "first_seen": committed_at})
        return
    _require_columns(f"source {listed['name']}", dict(row), listed, manifest)
    if row["first_seen"] > committed_at:
        connection.execute(update(sources).where(this_source).values(first_seen=committed_at))


def _ensure_run(connection: Connection, manifest: StoredManifest, commit: Commit) -> None:
    """Insert the row of the run that committed, or close the existing row: an older copy may have it as running."""
    listed = commit.run or {}
    this_run = pipeline_runs.c.run_id == listed["run_id"]
    outcome = {"status": "SUCCESS", "finished_at": commit.batch["committed_at"]}
    row = connection.execute(select(pipeline_runs).where(this_run)).mappings().first()
    if row is None:
        connection.execute(insert(pipeline_runs), {**listed, **outcome})
        return
    _require_columns(f"run {listed['run_id']}", dict(row), listed, manifest)
    connection.execute(update(pipeline_runs).where(this_run).values(**outcome, failed_node=None, error=None))


def _require_columns(name: str, row: Row, listed: Row, manifest: StoredManifest) -> None:
    for column, value in listed.items():
        if row[column] != value:
            raise ProjectError(
                f"the registry contradicts manifest {manifest.path}: {column} of {name} is {row[column]}, "
                f"{value} in the manifest; correct the registry or move the manifest away"
            )
