"""The table of `kedro status`: how far each day of each source is, why, and what to type next."""

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from itertools import groupby

from network_anomalies.backfill.choices import Project, format_params
from network_anomalies.backfill.plan import Judged, choose_days, require_source
from network_anomalies.records.source_history import INGESTION_OF, Kind, SourceRecords
from network_anomalies.registry.engine import open_registry
from network_anomalies.registry.overview import list_sources, read_source
from network_anomalies.runs.progress import StageState, judge_days
from network_anomalies.runs.stages import INGESTION, MODELLING

SHOWN_DAYS = 14
WIDTH = 120


def report_status(project: Project, source: str | None, last: int | None, today: date) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        project: whose parameters count.
        source: whose days; None for all sources.
        last: show so many days up to yesterday; None for the last ones that the registry knows.
        today: in UTC.

    Raises:
        ProjectError: there is no such source.
    """
    engine = open_registry(project.registry)
    known = list_sources(engine)
    if source is not None:
        require_source(source, known)
    elif not known:
        yield f"nothing has run yet: {' '.join(['kedro run', *_name_env(project)])}"
        return
    commands = []
    for name in [source] if source else known:
        records = read_source(engine, name, known[name])
        days = choose_shown_days(records, last, today)
        judged = judge_days(records, project.choices, days)
        yield from format_source(records, judged)
        if hidden := sum(day < days[0] for day in records.list_days()):
            yield f"{hidden} earlier days are not shown: --last {(today - records.list_days()[0]).days} shows them"
        yield ""
        commands.append(format_command([state for states in judged.values() for state in states], known[name], project))
    wanted = [command for command in commands if command]
    yield from (f"next: {command}" for command in wanted)
    if not wanted:
        yield "nothing is missing"


def choose_shown_days(records: SourceRecords, last: int | None, today: date) -> list[date]:
    """Return the ``last`` days before today; or those from the first to the last one known, the latest of them.

    A run without a date that fails is of yesterday: it does not hide the days of a source that are all older.
    """
    if last is not None:
        return choose_days(None, None, last, today)
    known = records.list_days()
    latest, shown = known[-1], timedelta(days=SHOWN_DAYS - 1)
    with_events = max(records.batches, default=latest)
    end = latest if latest - with_events <= shown else with_events
    return choose_days(max(known[0], end - shown), end, None, max(today, end))


def format_source(records: SourceRecords, judged: Judged) -> Iterator[str]:
    """Yield a source's table, a row per day and a column per stage, and the reasons below it."""
    stages = (INGESTION_OF[records.kind], *MODELLING)
    yield f"source {records.source} ({'flow logs' if records.kind == 'logs' else 'synthetic events'})"
    yield "  ".join(["date      ", *stages]).rstrip()
    for day, states in judged.items():
        yield "  ".join([str(day), *(f"{state.state:{len(state.stage)}}" for state in states)]).rstrip()
    yield from _format_reasons(judged)


def _format_reasons(judged: Judged) -> Iterator[str]:
    """Yield why stages are not done, a line for neighbouring days with the same reasons."""
    told = {day: "; ".join(_list_reasons(states)) for day, states in judged.items()}
    for reasons, group in groupby(told, key=lambda day: told[day]):
        days = list(group)
        named = f"{days[0]} to {days[-1]}" if len(days) > 1 else f"{days[0]}"
        if reasons:
            yield from textwrap.wrap(f"{named}: {reasons}", WIDTH, subsequent_indent="  ")
    if any(state.waits_for for states in judged.values() for state in states):
        yield "A stale stage without a reason waits for one before it."


def _list_reasons(states: Iterable[StageState]) -> Iterator[str]:
    yield from (f"{state.stage} {state.state}: {state.why}" for state in states if state.why and not state.waits_for)


def format_command(states: Sequence[StageState], kind: Kind, project: Project) -> str:
    """Return the command that runs all that is not done of a source's days, "" if everything is."""
    undone = [state for state in states if state.state != "done"]
    if not undone:
        return ""
    days, stages = sorted({state.day for state in undone}), {state.stage for state in undone}
    if stages <= set(INGESTION):
        pipelines = INGESTION_OF[kind]
    elif stages & set(INGESTION):
        pipelines = "log_full" if kind == "logs" else "full"
    else:
        pipelines = "modelling"
    stale = ["--stale"] if any(state.state == "stale" for state in undone) else []
    usual = None if "source" in project.params else project.choices.parameters.source
    named = {} if undone[0].source == usual else {"source": undone[0].source}
    given = {name: value for name, value in project.params.items() if name != "source"}
    params = ["--params", shlex.quote(format_params(named | given))] if named | given else []
    span = ["--start", str(days[0]), "--end", str(days[-1]), "--pipelines", pipelines]
    return " ".join(["kedro", "backfill", *stale, *span, *_name_env(project), *params])


def _name_env(project: Project) -> list[str]:
    return ["--env", project.env] if project.env else []
