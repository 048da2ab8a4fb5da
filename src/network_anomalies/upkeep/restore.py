"""`kedro restore`: rebuilds the RAW part of a lost or older registry from the lake's manifests."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Connection, func, select, true
from sqlalchemy.exc import IntegrityError

from network_anomalies.errors import ProjectError, explain
from network_anomalies.registry.conditions import of_day
from network_anomalies.registry.engine import ensure_schema
from network_anomalies.registry.locks import hold_lock
from network_anomalies.registry.manifests import FOLDER, Commit, read_commits
from network_anomalies.registry.run_rows import abandon_dead_runs
from network_anomalies.registry.tables import ingestion_batches
from network_anomalies.registry.transactions import TookPlace, transaction
from network_anomalies.upkeep.lake_manifests import StoredManifest, read_manifests
from network_anomalies.upkeep.restore_day import DayPlan, SourceDay, insert_commits, plan_day
from network_anomalies.upkeep.stores import Stores, list_files


@dataclass(frozen=True)
class DayOutcome:
    """The result for a day.

    Attributes:
        day: source and date.
        restored: the revisions that were inserted.
        known: number of revisions that were in the registry already.
        notes: remarks in words.
        refusal: why nothing was done, or "".
    """

    day: SourceDay
    restored: Sequence[int] = ()
    known: int = 0
    notes: Sequence[str] = ()
    refusal: str = ""

    def lines(self, verb: str) -> Iterator[str]:
        """Yield the result in words, line by line."""
        name = f"{self.day[0]} on {self.day[1]}"
        if self.refusal:
            yield f"REFUSED {name}: {self.refusal}"
        if self.restored:
            yield f"{verb} {name}: revision {', '.join(map(str, self.restored))}"
        yield from (f"kept {name}: {note}" for note in self.notes)


@dataclass
class Restoration:
    """The sums of all days."""

    restored: int = 0
    known: int = 0
    refused: int = 0
    days: defaultdict[str, list[date]] = field(default_factory=lambda: defaultdict(list))

    def add(self, outcome: DayOutcome) -> None:
        """Add a day to the sums."""
        source, day = outcome.day
        self.restored += len(outcome.restored)
        self.known += outcome.known
        self.refused += bool(outcome.refusal)
        if outcome.restored:
            self.days[source].append(day)

    def lines(self, verb: str, env: str | None) -> Iterator[str]:
        """Yield what was not restored, the commands that make it again, and the sums."""
        if self.restored:
            yield "not restored: runs that committed nothing, silver, models, champions, alerts. Make them again:"
        option = f" --env {env}" if env else ""
        for source, days in sorted(self.days.items()):
            dates = f"--start {min(days)} --end {max(days)}"
            yield f"  kedro backfill {dates} --pipelines modelling --params source={source}{option}"
        yield f"{verb} {self.restored} revisions; {self.known} known already, {self.refused} days refused"


def restore_registry(stores: Stores, only_list: bool = False) -> Iterator[DayOutcome]:
    """Insert the commits that have a manifest in the lake and are not in the registry, day by day.

    Each day is one transaction under that day's lock. Existing rows stay as they are. A day whose manifests cannot be
    trusted, or contradict the registry, is refused; the other days go on. With ``only_list`` nothing is changed.

    Raises:
        ProjectError: a PostgreSQL registry has no schema, or RAW has files but no manifest.
    """
    ensure_schema(stores.engine)
    abandon_dead_runs(stores.engine)
    files = list_files(stores.lake, stores.buckets["raw"])
    manifests = _group(read_manifests(stores, files))
    with stores.engine.connect() as connection:
        registered = _group_commits(read_commits(connection, true()))
    if files and not manifests and not registered:
        raise ProjectError(
            f"there are {len(files)} files in RAW and no manifest below {FOLDER}: they were committed before there "
            "were manifests, so only a copy of the registry can tell what they are"
        )
    for day in sorted(manifests.keys() | registered.keys()):
        yield _restore_day(stores, day, manifests.get(day, []), registered.get(day, []), only_list)


def _restore_day(
    stores: Stores, day: SourceDay, manifests: Sequence[StoredManifest], registered: Sequence[Commit], only_list: bool
) -> DayOutcome:
    try:
        plan = plan_day(manifests, registered)
        if plan.missing and not only_list:
            plan = _insert_missing(stores, day, manifests)
    except ProjectError as error:
        return DayOutcome(day, refusal=error.message)
    except IntegrityError as error:
        return DayOutcome(day, refusal=f"the registry refuses the rows of its manifests: {explain(error)}")
    return DayOutcome(day, [manifest.name.revision for manifest in plan.missing], plan.known, plan.notes)


def _insert_missing(stores: Stores, day: SourceDay, manifests: Sequence[StoredManifest]) -> DayPlan:
    """Plan again under the day's lock, and insert what is still missing."""
    with hold_lock(stores.engine, *day) as held:
        if not held:
            raise ProjectError("a run of this day is working: run `kedro restore` again when the run has ended")
        with transaction(stores.engine, _are_registered(manifests)) as connection:
            registered = read_commits(connection, of_day(ingestion_batches, *day))
            plan = plan_day(manifests, registered)
            if plan.missing:
                insert_commits(connection, plan, registered, stores.uris["raw"])
    return plan


def _are_registered(manifests: Iterable[StoredManifest]) -> TookPlace:
    """Return a function that tells whether the batches of all manifests are in the registry."""
    run_ids = {manifest.commit.batch["run_id"] for manifest in manifests if manifest.commit}

    def count_rows(connection: Connection) -> bool:
        query = select(func.count()).select_from(ingestion_batches).where(ingestion_batches.c.run_id.in_(run_ids))
        return connection.execute(query).scalar() == len(run_ids)

    return count_rows


def _group(manifests: Iterable[StoredManifest]) -> dict[SourceDay, list[StoredManifest]]:
    days: defaultdict[SourceDay, list[StoredManifest]] = defaultdict(list)
    for manifest in manifests:
        days[manifest.day].append(manifest)
    return days


def _group_commits(commits: Iterable[Commit]) -> dict[SourceDay, list[Commit]]:
    days: defaultdict[SourceDay, list[Commit]] = defaultdict(list)
    for commit in commits:
        days[commit.batch["source"], commit.batch["logical_date"]].append(commit)
    return days
