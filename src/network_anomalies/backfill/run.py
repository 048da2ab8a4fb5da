"""The work of a backfill: several days at once as far as silver, then the models day after day."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date

import pandas as pd

from network_anomalies.backfill.plan import MAKING, Plan, choose_stages, judge_plan, narrow
from network_anomalies.backfill.status import format_command
from network_anomalies.backfill.workers import UNMODELLED, BackfilledDay, DayRun, run_days
from network_anomalies.errors import ProjectError
from network_anomalies.records.source_history import SourceRecords
from network_anomalies.runs.signals import raise_on_signals
from network_anomalies.runs.stages import MODELLING

logger = logging.getLogger("network_anomalies.terminal")  # shown on the terminal, see conf/logging.yml

SUCCEEDED = ("SUCCESS", "UNCHANGED", UNMODELLED)


@dataclass
class _Tally:
    """What became of the days so far, and which of them are not at their end."""

    records: SourceRecords
    open_days: set[date]
    outcomes: dict[date, BackfilledDay] = field(default_factory=dict)

    def add(self, outcome: BackfilledDay, is_last: bool) -> None:
        """Add what became of a run, to that of the day's former run if there is one."""
        day = outcome.logical_date
        self.outcomes[day] = _join(self.outcomes.get(day), outcome)
        if is_last or outcome.status not in SUCCEEDED:
            self.open_days.discard(day)
        logger.info("%s: %s", day, outcome.status)

    def has_failed(self, day: date) -> bool:
        return day in self.outcomes and self.outcomes[day].status not in SUCCEEDED

    def describe(self, day: date) -> BackfilledDay:
        """Return a day's row of the table."""
        if day in self.open_days:
            return BackfilledDay(day, "STOPPED")
        batch = self.records.batches.get(day)
        return self.outcomes.get(day) or BackfilledDay(day, "DONE", batch.accepted if batch else None)


def run_backfill(plan: Plan, echo: Callable[[str], None]) -> None:
    """Run what is to be run; echo the table of all days.

    First come ingestion and transformation, several days at once. Then come training to scoring, one day after
    another: a day's training reads the silver of the days before, its evaluation the champion before it. What a day
    needs of that is judged anew when its turn comes.

    Raises:
        ProjectError: a day failed.
        Interrupted: the backfill was asked to stop; its table has been echoed.
    """
    records, judged = judge_plan(plan)
    chosen = choose_stages(judged, plan.wanted, plan.stale)
    tally = _Tally(records, {day for day, stages in chosen.items() if stages})
    started, restore_signals = time.monotonic(), raise_on_signals()
    try:
        making = narrow(chosen, MAKING)
        days = (DayRun(day, stages) for day, stages in making.items() if stages)
        with closing(run_days(days, plan.settings)) as finished:
            for outcome in finished:
                tally.add(outcome, is_last=making[outcome.logical_date] == chosen[outcome.logical_date])
        with closing(run_days(_list_modelling(plan, tally), replace(plan.settings, jobs=1))) as finished:
            for outcome in finished:
                tally.add(outcome, is_last=True)
    finally:
        restore_signals()
        echo(format_table(tally.describe(day) for day in sorted(plan.wanted)))
    _conclude(plan, tally, time.monotonic() - started, echo)


def _list_modelling(plan: Plan, tally: _Tally) -> Iterator[DayRun]:
    """Yield one day after another, each judged when it is asked for: the days before it are done by then."""
    wanted = narrow(plan.wanted, MODELLING[1:])
    for day in sorted(day for day in wanted if wanted[day] and not tally.has_failed(day)):
        _, judged = judge_plan(replace(plan, wanted={day: wanted[day]}))
        # Where the day's own events or silver are new, the rest of the day follows, also without --stale.
        stages = choose_stages(judged, wanted, plan.stale or day in tally.outcomes)[day]
        if not stages:
            tally.open_days.discard(day)
            continue
        tally.open_days.add(day)
        yield DayRun(day, stages)


def _conclude(plan: Plan, tally: _Tally, seconds: float, echo: Callable[[str], None]) -> None:
    """Say how many days were run, and what is left to do.

    Raises:
        ProjectError: a day failed.
    """
    failed = sum(tally.has_failed(day) for day in tally.outcomes)
    echo(f"{len(tally.outcomes)} of {len(plan.wanted)} days were run, {failed} failed; {seconds:.1f} s")
    _, judged = judge_plan(plan)
    left = [state for day, states in judged.items() for state in states if state.stage in plan.wanted[day]]
    stale = {state.day for state in left if state.state == "stale" and not tally.has_failed(state.day)}
    if stale and (command := format_command([state for state in left if state.day in stale], plan.kind, plan.project)):
        echo(f"days that are stale: {len(stale)}, next: {command}")
    if failed:
        raise ProjectError(f"{failed} of {len(plan.wanted)} days failed: see the table, mend the cause, then run again")


def _join(former: BackfilledDay | None, latter: BackfilledDay) -> BackfilledDay:
    """Return what became of a day by two runs."""
    if former is None:
        return latter
    status = former.status if latter.status == "UNCHANGED" else latter.status
    accepted = former.accepted if latter.accepted is None else latter.accepted
    return replace(latter, status=status, accepted=accepted, seconds=(former.seconds or 0) + (latter.seconds or 0))


def format_table(outcomes: Iterable[BackfilledDay]) -> str:
    """Return a row per day: date, status, accepted, seconds, error."""
    rows = [
        {
            "date": outcome.logical_date,
            "status": outcome.status,
            "accepted": "" if outcome.accepted is None else outcome.accepted,
            "seconds": "" if outcome.seconds is None else f"{outcome.seconds:.1f}",
            "error": outcome.error,
        }
        for outcome in outcomes
    ]
    return str(pd.DataFrame(rows).to_string(index=False))
