"""The steps of a fault campaign on one environment: kill a command, look, run it again, look again."""

import random
import re
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from faults_checks import (
    HISTORY,
    check_abandoned,
    check_all,
    check_complete_manifests,
    check_failed,
    check_kept,
    check_unchanged,
)
from faults_commands import KINDS, Command, Ended, Kind, Moment, draw_command, run_command, strike_command
from faults_places import Place, lose_registry, make_place, save_registry
from faults_snapshot import Snapshot, read_snapshot
from faults_starter import Starter
from faults_tally import Tally, count_kill

WAIT_SECONDS = 60
"""So much longer than usual may a rerun take: the dead run's lock is free by then."""
FRESH, REPEAT, TERM, SAVE, EARLY, EVEN = 0.05, 0.6, 0.2, 0.2, 0.25, 0.5
"""Chances: of a project without stores, of one more kill, of SIGTERM, of a new older copy of the registry, of a moment
before the work as well; and of either of two."""
EVER = tuple(HISTORY)
SETUP = Command("setup", ("setup",))
TEN = Command("ten events", ("run", "--pipelines", "ingestion", "--params", "generator.n_events=10"))


@dataclass
class Length:
    """How long an undisturbed command takes, and how many lines it prints."""

    seconds: float
    lines: int


@dataclass
class Campaign:
    """A campaign on one environment.

    Attributes:
        servers: the environment variables of ``--env minio``, empty for `embedded`.
        folder: where projects are made.
        kinds: what commands are drawn from.
        place: the project of nearly all steps.
        last: its stores as last seen.
        saved: whether there is an older copy of its registry.
        context: the step at work, in words.
    """

    env: str
    servers: dict[str, str]
    seed: int
    folder: Path
    kinds: dict[str, Kind]
    starter: Starter
    place: Place = field(init=False)
    last: Snapshot = field(default_factory=lambda: Snapshot({}, {}))
    saved: bool = False
    context: str = ""
    lengths: dict[str, Length] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.place = self.make_place()

    def make_place(self) -> Place:
        """Make a project for which nothing is set up."""
        return make_place(self.folder, self.env, f"faults-{self.tally.steps}", self.servers)

    def hold(self, promise: str, faults: list[str]) -> None:
        """Count a promise as asked, and report what breaks it, each fault once."""
        self.tally.asked[promise] += 1
        for fault in faults:
            line = f"{promise}: {fault}"
            if not any(line in told for told in self.tally.violations):
                told = f"{self.env}, seed {self.seed}, {self.context}: {line}"
                self.tally.violations.append(told)
                self.tally.broken[promise] += 1
                print(f"VIOLATION {told}", flush=True)

    def look(self, place: Place, before: Snapshot, history: tuple[str, ...] = EVER) -> Snapshot:
        """Read the stores, and ask every promise that holds at any moment."""
        now = read_snapshot(place)
        for promise, faults in check_all(before, now, history).items():
            self.hold(promise, faults)
        return now

    def run(self, place: Place, command: Command) -> Ended:
        """Run a command to its end; it must succeed, and not much later than usual."""
        usual = self.length(command.name).seconds if self.lengths else WAIT_SECONDS
        ended = run_command(self.starter, place, command)
        words = " ".join(command.words)
        self.hold("reruns succeed", [f"{words}: {ended.code}, {ended.last_line}"] if ended.code != 0 else [])
        late = ended.seconds > usual + WAIT_SECONDS
        self.hold("no wait over a minute", [f"{words} took {ended.seconds:.0f} s"] if late else [])
        return ended

    def length(self, name: str) -> Length:
        """Return how long a command takes: measured, or a guess from `setup`."""
        seconds, lines = KINDS.get(name, KINDS["ingestion"]).length
        return self.lengths.get(name, Length(seconds * self.lengths["setup"].seconds, lines))


def run_campaign(campaign: Campaign, kills: int, deadline: float) -> Tally:
    """Take steps until so many kills are made or the time is up; ``deadline`` is of the monotonic clock."""
    begin, tally = time.monotonic(), campaign.tally
    campaign.context = "setup"
    ended = campaign.run(campaign.place, SETUP)
    campaign.lengths["setup"] = measure(ended)
    while tally.kills.total() < kills and time.monotonic() < deadline:
        tally.steps += 1
        take_step(campaign)
    campaign.context = "end"
    check_verify(campaign)
    tally.seconds = time.monotonic() - begin
    return tally


def take_step(campaign: Campaign) -> None:
    """Kill a command, then run it until it changes nothing, and ask the promises in between."""
    step = campaign.tally.steps
    draw = random.Random(f"{campaign.seed} {campaign.env} {step}")
    if draw.random() < FRESH:
        set_up_anew(campaign, draw)
        return
    kinds = {name: kind for name, kind in campaign.kinds.items() if campaign.saved or name != "restore"}
    command = draw_command(draw, kinds, campaign.place, step)
    if command.name == "restore":
        restore(campaign, command, draw)
    else:
        now = kill(campaign, campaign.place, command, draw, campaign.last)
        campaign.last = rerun(campaign, campaign.place, command, now)
    if step % 4 == 0:
        check_verify(campaign)
    if "restore" in campaign.kinds and draw.random() < SAVE:
        save_registry(campaign.place)
        campaign.saved = True


def set_up_anew(campaign: Campaign, draw: random.Random) -> None:
    """Kill `setup`, or a first embedded run, on stores that are not there yet; a run must succeed then."""
    place = campaign.make_place()
    command = TEN if place.env == "embedded" and draw.random() < EVEN else SETUP
    now = rerun(campaign, place, command, kill(campaign, place, command, draw, Snapshot({}, {})))
    rerun(campaign, place, TEN, now)


def restore(campaign: Campaign, command: Command, draw: random.Random) -> None:
    """Lose the registry, or bring an older one back; kill `restore`; run it: every batch is there again."""
    place, before = campaign.place, campaign.last
    lose_registry(place, bring_back=draw.random() < EVEN)
    if place.servers:
        campaign.run(place, SETUP)
    now = kill(campaign, place, command, draw, before, ("RAW immutable",))
    campaign.last = rerun(campaign, place, command, now)
    campaign.hold("restore brings all back", check_kept(before, campaign.last))
    check_verify(campaign)


def kill(
    campaign: Campaign,
    place: Place,
    command: Command,
    draw: random.Random,
    before: Snapshot,
    history: tuple[str, ...] = EVER,
) -> Snapshot:
    """Start and kill a command, now and then several times in a row, and ask the promises after each kill."""
    again = True
    while again:
        number = signal.SIGTERM if draw.random() < TERM else signal.SIGKILL
        moment, length = draw_moment(campaign.length(command.name), draw), campaign.length(command.name)
        at = f"{moment.lines} of {length.lines} lines and {moment.seconds:.2f} of {length.seconds:.2f} s"
        campaign.context = f"step {campaign.tally.steps}, {number.name} after {at} to {' '.join(command.words)}"
        strike = strike_command(campaign.starter, place, command, moment, number)
        now = campaign.look(place, before, history)
        count_kill(campaign.tally, command, strike, before, now)
        campaign.hold("only SIGTERM makes FAILED", check_failed(before, now) if number == signal.SIGKILL else [])
        campaign.hold("a signal ends it", [strike.ended.output[-500:]] if strike.ended.code is None else [])
        before, again = now, draw.random() < REPEAT
    return now


def draw_moment(length: Length, draw: random.Random) -> Moment:
    """Draw when to kill: one in four times over the whole length, else when one of its lines has come, and a bit later.

    Lines come while stages work; reading the configuration, half of a run's length, prints none. They also tell how far
    a command is when others keep the machine busy, and seconds do not.
    """
    if draw.random() < EARLY or not length.lines:
        return Moment(0, draw.random() * length.seconds)
    return Moment(draw.randrange(length.lines), draw.random() * length.seconds / length.lines)


def measure(ended: Ended) -> Length:
    """Return the length of a command that was not disturbed."""
    return Length(ended.seconds, ended.output.count("\n"))


def rerun(campaign: Campaign, place: Place, command: Command, now: Snapshot) -> Snapshot:
    """Run a killed command twice: it succeeds and closes the dead run's row, then it changes nothing."""
    campaign.run(place, command)
    once = campaign.look(place, now)
    campaign.hold("dead runs ABANDONED", check_abandoned(now, once))
    campaign.hold("manifests complete", check_complete_manifests(once))
    ended = campaign.run(place, command)
    twice = campaign.look(place, once)
    campaign.hold("second rerun UNCHANGED", check_unchanged(once, twice))
    if command.name == "setup":
        campaign.hold("second rerun UNCHANGED", re.findall(r".*\bmade\b.*", ended.output))
    campaign.lengths[command.name] = measure(ended)
    return twice


def check_verify(campaign: Campaign) -> None:
    """`verify` finds no mismatch, and lists exactly the files that no batch names as orphans."""
    place = campaign.place
    ended = campaign.run(place, Command("verify", ("verify",)))
    campaign.last = campaign.look(place, campaign.last)
    campaign.hold("verify: 0 mismatches", re.findall(r"^MISMATCH.*", ended.output, re.MULTILINE))
    listed = set(re.findall(r"^orphan (.+?) \(", ended.output, re.MULTILINE))
    raw = {place.uri(path) for path in listed if path.startswith(place.bucket("raw"))}
    finished = {uri for uri in raw if not PurePosixPath(uri).name.endswith(".tmp")}
    wrong = finished ^ campaign.last.orphans()
    campaign.hold("orphans listed", [f"{uri} is no orphan, or not listed" for uri in sorted(wrong)])
