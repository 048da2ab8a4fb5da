"""The RAW part of a lost or older registry, made again from the manifests of the lake."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from sqlalchemy import Connection, and_, func, select, true
from sqlalchemy.exc import IntegrityError

from network_anomalies.errors import ProjectError, explain
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
    """What became of a day.

    Attributes:
        day: source and date.
        restored: the revisions that were inserted.
        known: how many revisions were there already.
        notes: what else there is to say, in words.
        refusal: why nothing was done, or "".
    """

    day: SourceDay
    restored: Sequence[int] = ()
    known: int = 0
    notes: Sequence[str] = ()
    refusal: str = ""

    def lines(self, verb: str) -> Iterator[str]:
        """Say it line by line."""
        name = f"{self.day[0]} on {self.day[1]}"
        if self.refusal:
            yield f"REFUSED {name}: {self.refusal}"
        if self.restored:
            yield f"{verb} {name}: revision {', '.join(map(str, self.restored))}"
        yield from (f"kept {name}: {note}" for note in self.notes)


@dataclass
class Restoration:
    """The sum of what became of all days."""

    restored: int = 0
    known: int = 0
    refused: int = 0
    days: defaultdict[str, list[date]] = field(default_factory=lambda: defaultdict(list))

    def add(self, outcome: DayOutcome) -> None:
        """Count a day."""
        source, day = outcome.day
        self.restored += len(outcome.restored)
        self.known += outcome.known
        self.refused += bool(outcome.refusal)
        if outcome.restored:
            self.days[source].append(day)

    def lines(self, verb: str, env: str | None) -> Iterator[str]:
        """Say the sum, what the lake cannot tell, and the commands that make it again."""
        if self.restored:
            yield "not restored: runs that committed nothing, silver, models, champions, alerts. Make them again:"
        option = f" --env {env}" if env else ""
        for source, days in sorted(self.days.items()):
            dates = f"--start {min(days)} --end {max(days)}"
            yield f"  kedro backfill {dates} --pipelines modelling --params source={source}{option}"
        yield f"{verb} {self.restored} revisions; {self.known} known already, {self.refused} days refused"


def restore_registry(stores: Stores, only_list: bool = False) -> Iterator[DayOutcome]:
    """Insert into the registry what it lacks of the commits that the lake has manifests of, day by day.

    Each day is one transaction under that day's lock. What the registry knows stays as it is. A day whose manifests
    cannot be trusted, or contradict the registry, is refused, and the others go on.

    Args:
        stores: the lake, and the registry, which may be lost, empty, or an older copy.
        only_list: say what would be done, do nothing.

    Raises:
        ProjectError: a served registry has no schema, or the lake has objects of before there were manifests only.
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
    """Look again under the day's lock, and insert what is still missing."""
    of_day = and_(ingestion_batches.c.source == day[0], ingestion_batches.c.logical_date == day[1])
    with hold_lock(stores.engine, *day) as held:
        if not held:
            raise ProjectError("a run of it is at work: run `kedro restore` again when that is done")
        with transaction(stores.engine, _ask_for(manifests)) as connection:
            registered = read_commits(connection, of_day)
            plan = plan_day(manifests, registered)
            if plan.missing:
                insert_commits(connection, plan, registered, stores.uris["raw"])
    return plan


def _ask_for(manifests: Iterable[StoredManifest]) -> TookPlace:
    """Return the question whether the batches of all manifests are in the registry."""
    runs = {manifest.commit.batch["run_id"] for manifest in manifests if manifest.commit}

    def ask(connection: Connection) -> bool:
        columns = ingestion_batches.c
        found = select(func.count()).select_from(ingestion_batches).where(columns.run_id.in_(runs))
        return connection.execute(found).scalar() == len(runs)

    return ask


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
