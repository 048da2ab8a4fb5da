"""Which stages of which days a backfill runs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from network_anomalies.backfill.choices import Project
from network_anomalies.backfill.log_days import count_logged_flows
from network_anomalies.backfill.workers import RunSettings
from network_anomalies.errors import ProjectError
from network_anomalies.records.source_history import INGESTION_OF, Kind, SourceRecords
from network_anomalies.registry.batches import check_kind
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.overview import list_sources, read_source
from network_anomalies.runs.identity import make_run_id
from network_anomalies.runs.progress import StageState, judge_days
from network_anomalies.runs.session import RuntimeParameters
from network_anomalies.runs.stages import GROUPS, INGESTION, MODELLING, STAGES, list_stages

Judged = Mapping[date, Sequence[StageState]]
MAKING = (*INGESTION, MODELLING[0])
"""Stages that depend on no other day."""


@dataclass(frozen=True)
class Share:
    """One of ``of`` shares of the days, numbered from 0."""

    number: int
    of: int

    def take(self, days: list[date]) -> list[date]:
        """Return every ``of``-th day: days that lie together are about equally large."""
        return days[self.number :: self.of]


WHOLE = Share(0, 1)


@dataclass(frozen=True)
class Request:
    """What a person asks for.

    Attributes:
        days: None for every day that the log files hold flows of, or with ``stale`` that the registry knows.
        names: pipelines; None for the source's ingestion, or with ``stale`` for the stages that a day was run with.
        stale: whether stale stages run too.
        jobs: how many days are at work at once.
        share: of the days; other processes take the others.
    """

    days: list[date] | None
    names: list[str] | None
    stale: bool
    jobs: int
    share: Share = WHOLE


@dataclass(frozen=True)
class Plan:
    """A backfill.

    Attributes:
        project: whose parameters count.
        settings: what all runs share.
        source: whose days.
        kind: of the source.
        wanted: per day the stages that are to be done at the end.
        stale: whether stale stages run too.
    """

    project: Project
    settings: RunSettings
    source: str
    kind: Kind
    wanted: Mapping[date, tuple[str, ...]]
    stale: bool


def parse_share(text: str) -> Share:
    """Read a share as `I/N`, such as 0/4 to 3/4.

    >>> parse_share("1/3").take([date(2024, 4, day) for day in (1, 2, 3, 4, 5)])
    [datetime.date(2024, 4, 2), datetime.date(2024, 4, 5)]

    Raises:
        ProjectError: it is none.
    """
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or int(match[1]) >= int(match[2]):
        raise ProjectError(f"--share {text}: give I/N, such as 0/4 for the first of four shares and 3/4 for the last")
    return Share(int(match[1]), int(match[2]))


def choose_days(start: date | None, end: date | None, last: int | None, today: date) -> list[date]:
    """Return the days of a range, or the ``last`` ones before ``today``.

    >>> [str(day) for day in choose_days(None, None, 2, date(2024, 3, 1))]
    ['2024-02-28', '2024-02-29']

    Raises:
        ProjectError: no range or two, one that ends before it starts, or one that reaches into the future.
    """
    if (last is None) == (start is None and end is None) or (last is None and None in (start, end)):
        raise ProjectError("give either --start and --end, or --last")
    if last is not None:
        if not 0 < last < today.toordinal():
            raise ProjectError(f"--last {last}: give the number of days up to yesterday, 1 or more")
        start, end = today - timedelta(days=last), today - timedelta(days=1)
    assert start and end  # noqa: S101
    if end < start:
        raise ProjectError(f"--end {end} is before --start {start}: swap them")
    if end > today:
        raise ProjectError(f"--end {end} is in the future: today is {today} in UTC")
    return [start + timedelta(days=offset) for offset in range((end - start).days + 1)]


def check_request(request: Request) -> None:
    """Refuse what cannot be meant, before anything is opened.

    Raises:
        ProjectError: there is no range; a pipeline is not one that a day goes through; both ingestions are named; jobs
            is below 1; or other processes have days that the named stages depend on.
    """
    reads_logs = "log_ingestion" in list_stages(request.names or ())
    if request.days is None and not request.stale and not reads_logs:
        raise ProjectError("give either --start and --end, or --last; or --stale for every day that was run before")
    if request.jobs < 1:
        raise ProjectError(f"--jobs {request.jobs}: give the number of days to run at once, 1 or more")
    if request.share != WHOLE and (request.days is None or not set(list_stages(request.names or ())) <= set(MAKING)):
        raise ProjectError(
            f"--share needs a range of days, and stages that depend on no other day ({', '.join(MAKING)}): "
            "run the others over all days when the shares are done"
        )
    if request.names is None:
        return
    if not request.names:
        raise ProjectError("--pipelines names none: leave it out, or name one")
    known = [*STAGES, *GROUPS]
    if unknown := sorted(set(request.names) - {*known, "__default__"}):
        raise ProjectError(f"no day goes through a pipeline {', '.join(unknown)}: there are {', '.join(known)}")
    if set(INGESTION) <= set(list_stages(request.names)):
        raise ProjectError("ingestion and log_ingestion have different sources: backfill one, then the other")


def plan_backfill(request: Request, project: Project) -> Plan:
    """Return the plan of what a person asks for.

    Raises:
        ProjectError: the source holds events of the other kind; or nothing is known of it and no days were given.
    """
    source = project.choices.parameters.source
    engine = open_registry(project.registry)
    known = list_sources(engine)
    stages = tuple(list_stages(request.names)) if request.names else ()
    kind: Kind = "logs" if "log_ingestion" in stages else known.get(source, "synthetic")
    if set(INGESTION) & set(stages):
        kind = "logs" if "log_ingestion" in stages else "synthetic"
        check_kind(engine, source, kind)
    if request.days is None and request.stale:
        require_source(source, known)
    records = read_source(engine, source, kind)
    days = records.list_days() if request.days is None else request.share.take(request.days)
    if "log_ingestion" in stages:
        logged = count_logged_flows(project, request.days, datetime.now(UTC).date())
        project = replace(project, choices=replace(project.choices, logged=logged))
        if request.days is None:
            days = sorted({*logged, *(days if request.stale else ())})
    if stages or not request.stale:
        wanted = dict.fromkeys(days, stages or (INGESTION_OF[kind],))
    else:
        wanted = {day: list_former_stages(records, day) for day in days}
    shared: RuntimeParameters = {"parent_run_id": make_run_id(datetime.now(UTC))} | project.params | {"source": source}
    settings = RunSettings(project.root, project.env, shared, project.registry, request.jobs)
    return Plan(project, settings, source, kind, wanted, request.stale)


def require_source(source: str, known: Mapping[str, Kind]) -> None:
    """Refuse a source of which nothing is known.

    Raises:
        ProjectError: names those that there are.
    """
    if source not in known:
        there = f"there are {', '.join(known)}" if known else "there is none yet, `kedro run` makes the first"
        raise ProjectError(f"the registry has no source {source}: {there}")


def list_former_stages(records: SourceRecords, day: date) -> tuple[str, ...]:
    """Return the stages that a day has been through: up to the last one that was recorded."""
    stages = (INGESTION_OF[records.kind], *STAGES[len(INGESTION) :])
    recorded = [(("ingestion" if stage in INGESTION else stage), day) in records.stages for stage in stages]
    return stages[: max((place for place, found in enumerate(recorded, start=1) if found), default=0)]


def judge_plan(plan: Plan) -> tuple[SourceRecords, dict[date, list[StageState]]]:
    """Return what the registry has of the plan's source, and how far its days are now."""
    records = read_source(open_registry(plan.project.registry), plan.source, plan.kind)
    return records, judge_days(records, plan.project.choices, plan.wanted)


def choose_stages(judged: Judged, wanted: Mapping[date, Sequence[str]], stale: bool) -> dict[date, tuple[str, ...]]:
    """Return per day the wanted stages to run: those that are not done, and those that wait for one of them.

    Args:
        judged: how far the days are.
        wanted: per day the stages in question.
        stale: whether stale stages run too. Without, a stage may still run since it waits for one of its own day.
    """
    planned: set[tuple[str, date]] = set()
    for day in sorted(judged):
        for state in judged[day]:
            is_due = state.state in ("missing", "failed") or (stale and state.state == "stale" and not state.waits_for)
            follows = any(before in planned and (stale or before[1] == day) for before in state.waits_for)
            if state.stage in wanted[day] and (is_due or follows):
                planned.add((state.stage, day))
    return {day: tuple(state.stage for state in judged[day] if (state.stage, day) in planned) for day in judged}


def narrow(wanted: Mapping[date, Sequence[str]], stages: Sequence[str]) -> dict[date, tuple[str, ...]]:
    """Return the wanted stages of each day that are among ``stages``."""
    return {day: tuple(stage for stage in names if stage in stages) for day, names in wanted.items()}


def list_gaps(plan: Plan) -> str:
    """Return a row per day that has something to run: the day, the stages, and why where there is a reason."""
    _, judged = judge_plan(plan)
    chosen = choose_stages(judged, plan.wanted, plan.stale)
    lines = []
    for day, stages in chosen.items():
        reasons = {state.stage: state.why for state in judged[day] if state.why and not state.waits_for}
        named = [f"{stage} ({reasons[stage]})" if stage in reasons else stage for stage in stages]
        lines += [f"{day}  {', '.join(named)}"] if stages else []
    return "\n".join([*lines, f"{len(lines)} of {len(chosen)} days have something to run"])
