"""What a fault campaign did and found, counted and printed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from faults_commands import Command, Strike
from faults_snapshot import Snapshot

LEFT = ("no row", "RUNNING", "FAILED", "SUCCESS", "UNCHANGED", "ABANDONED", "committed", "left objects", "too late")


@dataclass
class Tally:
    """What was done and found.

    Attributes:
        kills: by command and signal.
        outcomes: by command, what the registry said right after the kill.
        asked, broken: by promise, how often it was asked and how often broken.
        violations: each in words.
    """

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0


def count_kill(tally: Tally, command: Command, strike: Strike, before: Snapshot, now: Snapshot) -> None:
    """Count a kill and what it left; a process that had ended by itself was not killed."""
    if not strike.struck:
        tally.outcomes[command.name, "too late"] += 1
        return
    tally.kills[command.name, strike.number.name] += 1
    known = {run.run_id for run in before.runs}
    left = {run.run_id: run.status for run in now.runs if run.run_id not in known}
    tally.outcomes.update((command.name, status) for status in left.values())
    tally.outcomes[command.name, "no row"] += not left
    tally.outcomes[command.name, "committed"] += len({batch.run_id for batch in now.batches} & left.keys())
    new = now.orphans() - before.orphans()
    tally.outcomes[command.name, "left objects"] += bool(new)


def format_tally(env: str, seed: int, tally: Tally) -> Iterator[str]:
    """Say what was killed and what it left, which promises were asked, and what broke them."""
    kills = tally.kills.total()
    signals = {
        number: sum(count for (_, sent), count in tally.kills.items() if sent == number) for _, number in tally.kills
    }
    said = ", ".join(f"{count} {number}" for number, count in sorted(signals.items()))
    yield f"\n{env}, seed {seed}: {kills} kills ({said}) in {tally.steps} steps, {tally.seconds:.0f} s"
    yield f"{'killed':15}{'kills':>6}" + "".join(f"{name:>13}" for name in LEFT)
    for name in sorted({name for name, _ in tally.kills}):
        own = sum(count for (command, _), count in tally.kills.items() if command == name)
        yield f"{name:15}{own:6}" + "".join(f"{tally.outcomes[name, left]:13}" for left in LEFT)
    yield f"{'promise':28}{'asked':>6}{'broken':>8}"
    yield from (f"{name:28}{asked:6}{tally.broken[name]:8}" for name, asked in tally.asked.items())
    yield from (f"VIOLATION {violation}" for violation in tally.violations)
