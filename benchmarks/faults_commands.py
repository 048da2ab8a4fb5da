"""Commands for the fault campaign: how they are drawn, run to their end, and killed."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta

from faults_places import Place, write_log
from faults_starter import Starter, kill_session, wait_for_session

OUTPUT = "output.log"

SMALL = "generator.n_events=3000,generator.part_events=500"
SLICES = "transformation.slice_hours=6"
FIRST_DAY = date(2026, 1, 5)
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 180
"""After so long a command that was not killed counts as one that hangs."""
STOP_SECONDS = 30
"""So long may a command take to end after SIGTERM."""


@dataclass(frozen=True)
class Command:
    """A command of the project, as words after its name; ``name`` is the campaign's own word for it."""

    name: str
    words: tuple[str, ...]

    @property
    def is_run(self) -> bool:
        """Whether it opens one row of `pipeline_runs`."""
        return self.words[0] == "run"


@dataclass(frozen=True)
class Kind:
    """A kind of command.

    Attributes:
        weight: how often it is drawn.
        length: a first guess at how long it takes, as a multiple of `setup`, and how many lines it prints; measured
            as soon as it ran.
        make: draws one for a place; the number is the step's.
        needs: the subcommand and the pipeline without which it is left out.
    """

    weight: int
    length: tuple[float, int]
    make: Callable[[random.Random, Place, int], tuple[str, ...]]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its output, and how long it took.

    ``code`` is None if it, or a process that it started, went on for too long and was killed.
    """

    code: int | None
    output: str
    seconds: float

    @property
    def last_line(self) -> str:
        """The last line it printed, which names the cause if it failed."""
        return (self.output.strip().splitlines() or [""])[-1]


@dataclass(frozen=True)
class Moment:
    """A moment in the life of a command: so many seconds after it has printed so many lines."""

    lines: int
    seconds: float


@dataclass(frozen=True)
class Strike:
    """A kill: which signal, whether the process still ran to get it, and how it ended."""

    number: signal.Signals
    struck: bool
    ended: Ended


def _ingest(draw: random.Random, _place: Place, _step: int) -> tuple[str, ...]:
    seed = draw.choice((7, 7, 8, 9))  # another seed gives other events, and so a new revision
    return _run("ingestion", f"logical_date={_draw_day(draw, 5)},{SMALL},generator.seed={seed}")


def _ingest_logs(draw: random.Random, place: Place, _step: int) -> tuple[str, ...]:
    return _run("log_ingestion", _draw_log(draw, place))


def _run_all(draw: random.Random, _place: Place, _step: int) -> tuple[str, ...]:
    return _run("full", f"logical_date={_draw_day(draw, 2)},{SMALL},{SLICES}")


def _run_all_on_logs(draw: random.Random, place: Place, _step: int) -> tuple[str, ...]:
    return _run("log_full", f"{_draw_log(draw, place)},{SLICES}")


def _backfill(draw: random.Random, _place: Place, step: int) -> tuple[str, ...]:
    start = FIRST_DAY + timedelta(days=100 + 2 * step)  # days that nothing has filled yet
    end = start + timedelta(days=1)
    jobs = str(draw.choice((1, 2)))
    return "backfill", "--start", str(start), "--end", str(end), "--jobs", jobs, "--params", SMALL


def _run(pipeline: str, params: str) -> tuple[str, ...]:
    return "run", "--pipelines", pipeline, "--params", params


def _draw_day(draw: random.Random, days: int) -> date:
    return FIRST_DAY + timedelta(days=draw.randrange(days))


def _draw_log(draw: random.Random, place: Place) -> str:
    day = _draw_day(draw, 3)
    path = write_log(place.root, str(day), draw.randrange(3))
    return f"source=sensor,logical_date={day},logs.path={path},logs.part_events=100"


KINDS = {
    "ingestion": Kind(16, (1.2, 60), _ingest),
    "log_ingestion": Kind(7, (1.2, 60), _ingest_logs),
    "full": Kind(1, (3.5, 150), _run_all),
    "log_full": Kind(1, (3.5, 150), _run_all_on_logs, ("log_full",)),
    "backfill": Kind(3, (1.8, 3), _backfill),
    "verify": Kind(2, (1.0, 2), lambda draw, place, step: ("verify",)),
    "setup": Kind(2, (1.0, 6), lambda draw, place, step: ("setup",)),
    "restore": Kind(2, (1.0, 2), lambda draw, place, step: ("restore",), ("restore",)),
}


def find_kinds() -> dict[str, Kind]:
    """Return the kinds of commands that this version of the project has."""
    from network_anomalies.cli import cli
    from network_anomalies.pipeline_registry import register_pipelines

    there = {*cli.commands, *register_pipelines()}
    return {name: kind for name, kind in KINDS.items() if there.issuperset(kind.needs)}


def draw_command(draw: random.Random, kinds: dict[str, Kind], place: Place, step: int) -> Command:
    """Draw a kind by its weight, and a command of it."""
    name = draw.choices(list(kinds), [kind.weight for kind in kinds.values()])[0]
    return Command(name, kinds[name].make(draw, place, step))


def run_command(starter: Starter, place: Place, command: Command) -> Ended:
    """Run a command to its end."""
    begin = time.monotonic()
    process = _start(starter, place, command)
    code = starter.wait(PATIENCE_SECONDS)
    return _end(starter, place, process, code, begin)


def strike_command(starter: Starter, place: Place, command: Command, moment: Moment, number: signal.Signals) -> Strike:
    """Run a command and kill it at a moment.

    SIGKILL goes to every process that it started too; SIGTERM to its first, which has to stop the others.
    """
    begin = time.monotonic()
    process = _start(starter, place, command)
    code = None
    while code is None and _count_lines(place) < moment.lines:
        code = starter.wait(POLL_SECONDS)
    if code is None:
        code = starter.wait(moment.seconds)
    struck = code is None
    if struck:
        if number == signal.SIGKILL:
            kill_session(process)
        else:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        code = starter.wait(STOP_SECONDS)
    return Strike(number, struck, _end(starter, place, process, code, begin))


def _count_lines(place: Place) -> int:
    output = place.root / OUTPUT
    return output.read_bytes().count(b"\n") if output.exists() else 0


def _start(starter: Starter, place: Place, command: Command) -> int:
    (place.root / OUTPUT).unlink(missing_ok=True)
    words = (*command.words, "--env", place.env)
    return starter.start(words, place.root, place.variables, place.root / OUTPUT)


def _end(starter: Starter, place: Place, process: int, code: int | None, begin: float) -> Ended:
    """Describe how a command ended; what is left of it is killed."""
    if not wait_for_session(process, STOP_SECONDS if code is not None else 0):
        kill_session(process)
        if code is None:
            starter.wait(STOP_SECONDS)
        code = None
    output = place.root / OUTPUT
    seconds = time.monotonic() - begin
    return Ended(code, output.read_text() if output.exists() else "", seconds)
