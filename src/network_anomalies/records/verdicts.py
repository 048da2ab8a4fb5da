"""What people decide about alerts, and which alerts a decision suppresses."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, get_args

import pandas as pd

Judgement = Literal["confirmed", "dismissed", "closed"]
JUDGEMENTS: tuple[Judgement, ...] = get_args(Judgement)


@dataclass(frozen=True)
class Subject:
    """What a verdict is about: an alert, or the same habit on another day.

    Attributes:
        alert_id: of the alert.
        logical_date: its day.
        kind: what was found.
        entity: the host that it is about.
        peer: the other host, if there is one.
    """

    alert_id: str
    logical_date: date
    kind: str
    entity: str
    peer: str | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A decision of a person about an alert. It is never changed: a later one about the same alert replaces it.

    Attributes:
        sequence: its number; of the verdicts of an alert the highest counts.
        alert_id: of the alert.
        source: of the alert, as are the next four.
        logical_date: the day of the alert.
        kind: the kind of the alert.
        entity: the host that the alert is about.
        peer: the other host of a dismissed habit; None if it holds for every peer.
        verdict: ``confirmed``: it is an incident; ``dismissed``: it is none, and the habit is suppressed; ``closed``:
            the work on it is done.
        reason: why.
        until: of a dismissal, the last day on which the habit is suppressed.
        decided_at: when.
        decided_by: the person.
        last_scored: the latest day of the source that had alerts or none when it was decided, but had been scored.
    """

    sequence: int
    alert_id: str
    source: str
    logical_date: date
    kind: str
    entity: str
    peer: str | None
    verdict: Judgement
    reason: str
    until: date | None
    decided_at: datetime
    decided_by: str
    last_scored: date

    def covers(self, subject: Subject) -> bool:
        """Tell whether this is a dismissal of a habit that holds on the day of an alert."""
        same = (self.kind, self.entity) == (subject.kind, subject.entity) and self.peer in (None, subject.peer)
        return same and self.until is not None and self.logical_date <= subject.logical_date <= self.until

    @property
    def name(self) -> str:
        """The verdict in words, as ``suppressed_by`` has it."""
        return f"verdict {self.sequence} by {self.decided_by}"


@dataclass(frozen=True)
class Latest:
    """The verdicts that count, by the id of their alert. Closing an alert takes back nothing that was said of it.

    Attributes:
        said: the latest of ``confirmed`` and ``dismissed``.
        closed: a ``closed`` that is later than that.
    """

    said: Mapping[str, Verdict] = field(default_factory=dict)
    closed: Mapping[str, Verdict] = field(default_factory=dict)

    def find(self, alert_id: str) -> Verdict | None:
        """Return the latest verdict about an alert, or None."""
        return self.closed.get(alert_id) or self.said.get(alert_id)

    def is_settled(self, alert_id: str) -> bool:
        """Tell whether an alert is dismissed or closed."""
        verdict = self.find(alert_id)
        return verdict is not None and verdict.verdict != "confirmed"


def name_alert(source: str, logical_date: date, kind: str, entity: str) -> str:
    """Return the id of an alert: 12 hexadecimal digits, the same after a rerun or a new revision of the day.

    >>> name_alert("office", date(2024, 4, 19), "beaconing", "10.0.0.7")
    '040bc170411e'
    """
    return hashlib.sha256(f"{source}/{logical_date}/{kind}/{entity}".encode()).hexdigest()[:12]


def list_latest(verdicts: Iterable[Verdict]) -> Latest:
    """Return the verdicts that count. Of the verdicts about an alert the highest number is the latest."""
    said: dict[str, Verdict] = {}
    closed: dict[str, Verdict] = {}
    for verdict in sorted(verdicts, key=lambda each: each.sequence):
        if verdict.verdict == "closed":
            closed[verdict.alert_id] = verdict
        else:
            said[verdict.alert_id] = verdict
            closed.pop(verdict.alert_id, None)
    return Latest(said, closed)


def read_verdicts(frame: pd.DataFrame) -> Latest:
    """Return the verdicts that count from a frame with the columns of the table ``verdicts``."""
    return list_latest(Verdict(**row) for row in frame.to_dict("records"))


def list_subjects(alerts: pd.DataFrame, day: date) -> list[Subject]:
    """Return what verdicts about some alerts of a day are about, in the order of the rows.

    Args:
        alerts: ``alert_id``, ``kind``, ``entity``, and ``peer`` (null for none).
        day: their day.
    """
    peers = alerts["peer"].astype("object").where(alerts["peer"].notna(), None)
    rows = zip(alerts["alert_id"], alerts["kind"], alerts["entity"], peers, strict=True)
    return [Subject(alert_id, day, kind, entity, peer) for alert_id, kind, entity, peer in rows]


def find_dismissal(latest: Latest, subject: Subject) -> Verdict | None:
    """Return the dismissal that suppresses an alert, the latest if there are more; None if there is none.

    A verdict about the alert itself comes before one about the same habit on another day.
    """
    if own := latest.said.get(subject.alert_id):
        return own if own.verdict == "dismissed" else None
    found = [verdict for verdict in latest.said.values() if verdict.covers(subject)]
    return max(found, key=lambda verdict: verdict.sequence, default=None)


def judge_habit(latest: Latest, subject: Subject, days: int) -> Judgement | None:
    """Return what people said of a habit up to the day of a finding: the latest verdict that is about it, or None.

    Args:
        latest: the verdicts that count.
        subject: the finding.
        days: how long a confirmation counts. A dismissal counts until its own date.
    """
    first = subject.logical_date - timedelta(days=days)
    found = [
        verdict
        for verdict in latest.said.values()
        if verdict.covers(subject)
        or (
            verdict.verdict == "confirmed"
            and (verdict.kind, verdict.entity) == (subject.kind, subject.entity)
            and first <= verdict.logical_date <= subject.logical_date
        )
    ]
    return max(found, key=lambda verdict: verdict.sequence).verdict if found else None


def list_dismissed(latest: Latest, subjects: Collection[Subject], budget: int) -> list[str]:
    """Return the ids of those alerts of a day whose dismissal decides which alerts the day has.

    Args:
        latest: the verdicts that count.
        subjects: the day's alerts that no exception suppresses.
        budget: how many alerts a day may have. A day with fewer has all that were found, dismissed or not.
    """
    if len(subjects) < budget:
        return []
    return sorted(subject.alert_id for subject in subjects if find_dismissal(latest, subject))
