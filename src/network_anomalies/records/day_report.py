"""What the daily report shows beside the alerts: what is behind them, and the day beside the days before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from network_anomalies.records.day_profile import DayProfile

HABIT_DAYS = 7
"""How many days before a day it is compared with."""


@dataclass(frozen=True)
class Conversation:
    """The flows of a day from one host to another over a protocol.

    Attributes:
        src_ip: the host that sent them.
        dst_ip: the other host.
        protocol: of the flows.
        flows: how many.
        bytes: in all.
        first: time of the first flow.
        last: time of the last flow.
    """

    src_ip: str
    dst_ip: str
    protocol: str
    flows: int
    bytes: int
    first: datetime
    last: datetime


@dataclass(frozen=True)
class EntityActivity:
    """What a host did in a day, as source or destination.

    Attributes:
        hours: its flows by hour of the day.
        conversations: some of them, first those with the peer of an alert and those in the time of an alert.
        total: how many conversations it had.
    """

    hours: Sequence[int]
    conversations: Sequence[Conversation]
    total: int


Activities = Mapping[str, EntityActivity]
"""What hosts did, by address."""


@dataclass(frozen=True)
class Change:
    """A number of the day beside the same number of the days before.

    Attributes:
        name: of the number.
        today: the day's.
        usual: the median of the days before, None without any.
        days: dates and numbers, the earliest first, the day itself last.
    """

    name: str
    today: int
    usual: float | None
    days: Sequence[tuple[date, int]]

    @property
    def share(self) -> float | None:
        """The difference as a share of the usual number; None where that is 0 or not known."""
        return (self.today - self.usual) / self.usual if self.usual else None


@dataclass(frozen=True)
class HistogramDrift:
    """How far a histogram of the day has moved from that of the days before.

    Attributes:
        name: of what is counted.
        psi: population stability index, None if it cannot be told.
        verdict: ``stable``, ``moderate``, ``large``, or why it cannot be told.
    """

    name: str
    psi: float | None
    verdict: str


@dataclass(frozen=True)
class DayChanges:
    """A day beside the days before it.

    Attributes:
        changes: numbers of flows and alerts.
        drift: of each histogram.
        expected: the histograms of the days before, scaled to the flows of the day, by name; empty without such days.
        past_days: the days that the histograms are compared with.
        figures: what was measured of the champion, name and value in words; empty if nothing was.
        measured_on: the day of that evaluation.
        profile: the histograms of the day's flows.
    """

    changes: Sequence[Change]
    drift: Sequence[HistogramDrift]
    expected: Mapping[str, Sequence[float]]
    past_days: Sequence[date]
    figures: Sequence[tuple[str, str]]
    measured_on: date | None
    profile: DayProfile
