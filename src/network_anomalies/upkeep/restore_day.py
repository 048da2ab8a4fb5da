"""What the manifests of one day mean for the registry: which revisions it lacks, and what they contradict."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, and_, insert, select, update

from network_anomalies.errors import ProjectError
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
    """What is to be done about a day.

    Attributes:
        missing: manifests of the revisions that the registry lacks, in their order.
        known: how many revisions the registry and the lake have alike.
        notes: what else there is to say, in words.
    """

    missing: Sequence[StoredManifest]
    known: int
    notes: Sequence[str]


def plan_day(manifests: Sequence[StoredManifest], registered: Sequence[Commit]) -> DayPlan:
    """Compare the manifests of a day to what the registry knows of it.

    Raises:
        ProjectError: a manifest cannot be trusted, two are of one revision, or one contradicts the registry.
    """
    if faults := [manifest.fault for manifest in manifests if manifest.fault]:
        raise ProjectError("; ".join(faults))
    revisions: dict[int, StoredManifest] = {}
    for manifest in manifests:
        other = revisions.setdefault(manifest.name.revision, manifest)
        if other is not manifest:
            raise ProjectError(
                f"manifests {other.path} and {manifest.path} are of one revision: move the wrong one away"
            )
    known = {commit.batch["revision"]: commit for commit in registered}
    for revision in sorted(known.keys() & revisions.keys()):
        _require_equal(known[revision], revisions[revision])
    missing = [revisions[revision] for revision in sorted(revisions.keys() - known.keys())]
    return DayPlan(missing, len(known.keys() & revisions.keys()), list(_describe_gaps(set(revisions), set(known))))


def insert_commits(connection: Connection, plan: DayPlan, registered: Sequence[Commit], raw_uri: str) -> None:
    """Insert the revisions that a day lacks, and make the highest one of all current.

    Raises:
        ProjectError: a manifest contradicts what the registry knows of its source or run.
    """
    source, day = plan.missing[0].day
    for manifest in plan.missing:
        if manifest.commit:
            _insert(connection, manifest, manifest.commit, raw_uri)
            _record_ingestion(connection, manifest.commit.batch)
    ahead = [commit.batch for commit in registered if commit.batch["revision"] > plan.missing[-1].name.revision]
    if ahead:
        _record_ingestion(connection, ahead[-1])  # the latest row of the log is to be that of the current revision
    highest = ahead[-1]["revision"] if ahead else plan.missing[-1].name.revision
    for table in (ingestion_batches, ingestion_events):
        columns = table.c
        of_day = and_(columns.source == source, columns.logical_date == day)
        connection.execute(update(table).where(of_day).values(status="SUPERSEDED"))
        connection.execute(update(table).where(of_day, columns.revision == highest).values(status="SUCCESS"))


def _require_equal(registered: Commit, manifest: StoredManifest) -> None:
    if manifest.commit and (found := compare_commits(registered, manifest.commit)):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise ProjectError(
            f"the registry contradicts manifest {manifest.path}: {found[0]}{more}; "
            "see `kedro verify`, then mend the registry or move the manifest away"
        )


def _describe_gaps(stored: set[int], known: set[int]) -> Iterator[str]:
    if ahead := sorted(known - stored):
        named = ", ".join(map(str, ahead))
        yield f"revision {named} is in the registry and has no manifest: it is kept, `kedro verify` writes it"
    if lost := sorted(set(range(1, max(stored | known))) - stored - known):
        yield f"revision {', '.join(map(str, lost))} has neither a manifest nor a row: its objects stay as they are"


def _insert(connection: Connection, manifest: StoredManifest, commit: Commit, raw_uri: str) -> None:
    batch, superseded = commit.batch, {"status": "SUPERSEDED"}
    _settle_source(connection, manifest, commit)
    _settle_run(connection, manifest, commit)
    named = {"manifest_uri": f"{raw_uri}/{manifest.path}", "manifest_sha256": manifest.sha256}
    connection.execute(insert(ingestion_batches), dict(batch) | named | superseded)
    for table, rows in (
        (ingestion_events, [{**row, **superseded} for row in commit.objects]),
        (quarantine_objects, list(commit.quarantine)),
        (source_files, list(commit.files)),
    ):
        if rows:
            connection.execute(insert(table), rows)


def _record_ingestion(connection: Connection, batch: Row) -> None:
    """Add the row of ``stage_events`` that the commit added; what its run wrote beside the batch is not known."""
    facts = list_ingestion_facts(batch["params_sha256"], batch["contract_version"])
    about = (batch["source"], batch["logical_date"])
    insert_stage(connection, StageEvent(batch["run_id"], "ingestion", *about, facts, ()))


def _settle_source(connection: Connection, manifest: StoredManifest, commit: Commit) -> None:
    """Make a source's row, or hold the one that is there to the manifest; its first batch is the earliest."""
    due, seen = commit.source or {}, commit.batch["committed_at"]
    named = sources.c.name == due["name"]
    known = connection.execute(select(sources).where(named)).mappings().first()
    if known is None:
        connection.execute(insert(sources), {**due, "first_seen": seen})
        return
    _refuse_others(f"source {due['name']}", dict(known), due, manifest)
    if known["first_seen"] > seen:
        connection.execute(update(sources).where(named).values(first_seen=seen))


def _settle_run(connection: Connection, manifest: StoredManifest, commit: Commit) -> None:
    """Make the row of the run that committed, or complete the one that is there: an older copy saw it at work."""
    due = commit.run or {}
    this_run = pipeline_runs.c.run_id == due["run_id"]
    outcome = {"status": "SUCCESS", "finished_at": commit.batch["committed_at"]}
    known = connection.execute(select(pipeline_runs).where(this_run)).mappings().first()
    if known is None:
        connection.execute(insert(pipeline_runs), {**due, **outcome})
        return
    _refuse_others(f"run {due['run_id']}", dict(known), due, manifest)
    connection.execute(update(pipeline_runs).where(this_run).values(**outcome, failed_node=None, error=None))


def _refuse_others(name: str, known: Row, due: Row, manifest: StoredManifest) -> None:
    for column, value in due.items():
        if known[column] != value:
            raise ProjectError(
                f"the registry contradicts manifest {manifest.path}: {column} of {name} is {known[column]}, "
                f"{value} in the manifest; mend the registry or move the manifest away"
            )
