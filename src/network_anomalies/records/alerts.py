"""Alerts and incidents, as they are shown to people and exported."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from math import isnan
from typing import Any, Literal, Self

from network_anomalies.detection.alerts.facts import Fact, say_fact
from network_anomalies.detection.alerts.triage import SEVERITIES
from network_anomalies.records.verdicts import Latest, Subject, Verdict, find_dismissal, list_latest

IncidentState = Literal["open", "confirmed", "closed"]
AlertState = Literal["open", "confirmed", "dismissed", "closed", "suppressed"]
SHOWN_ENTITIES = 3
ENOUGH_VERDICTS, MOSTLY = 5, 0.5
"""From so many verdicts on, a kind of which more than this share was dismissed is called mostly dismissed."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """An alert, a row of the table ``alerts``.

    Attributes:
        alert_id: see ``verdicts.name_alert``.
        source: whose events.
        logical_date: the UTC day.
        kind: what was found; ``anomaly`` where no named detector has a word for it.
        entity: the host that it is about.
        peer: the other host, if there is one.
        first_seen: the first of its flows.
        last_seen: the last of its flows.
        flows: how many.
        score: 0 to 100.
        severity: of the score.
        technique: of MITRE ATT&CK, if there is one.
        sentence: what was found, in words.
        suppressed_by: who answers for it: the owner of an exception, or a verdict; None if it is raised.
        run_id: the run that raised it.
        created_at: when.
        model_version: of the champion that scored the day.
        transformation_run_id: the run that made the silver that was scored.
        facts: what was measured, the limit first; none where an earlier version recorded none.
    """

    alert_id: str
    source: str
    logical_date: date
    kind: str
    entity: str
    peer: str | None
    first_seen: datetime
    last_seen: datetime
    flows: int
    score: float
    severity: str
    technique: str | None
    sentence: str
    suppressed_by: str | None
    run_id: str
    created_at: datetime
    model_version: int
    transformation_run_id: str
    facts: tuple[Fact, ...] = ()

    @property
    def subject(self) -> Subject:
        """What a verdict about it is about."""
        return Subject(self.alert_id, self.logical_date, self.kind, self.entity, self.peer)

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Self:
        """Return the alert of a row, of a table or of a frame, whose missing texts are NaN.

        Columns that this class does not have are left out, and the row may lack facts.
        """
        values = {each.name: _to_known(row[each.name]) for each in fields(cls) if each.name != "facts"}
        return cls(**values, facts=tuple(Fact.model_validate(fact) for fact in row.get("facts") or ()))


@dataclass(frozen=True)
class JudgedAlert:
    """An alert with what people say about it.

    Attributes:
        alert: the alert; its ``suppressed_by`` is what suppresses it now.
        state: ``open`` if nobody has said anything, ``suppressed`` if an exception or an earlier dismissal answers for
            it, else its verdict.
        verdict: the verdict about this alert that counts, None if there is none.
    """

    alert: Alert
    state: AlertState
    verdict: Verdict | None


@dataclass(frozen=True)
class KindShares:
    """How many alerts of a kind there are, and what people said about alerts of that kind on any day.

    Attributes:
        kind: of the alerts.
        alerts: how many, without those that an exception or an earlier dismissal suppresses.
        suppressed: how many more such a one suppresses.
        confirmed: how many alerts of any day are confirmed.
        dismissed: how many alerts of any day are dismissed.
    """

    kind: str
    alerts: int
    suppressed: int
    confirmed: int
    dismissed: int

    @property
    def is_mostly_dismissed(self) -> bool:
        """Whether people dismiss most alerts of the kind that they judge."""
        judged = self.confirmed + self.dismissed
        return judged >= ENOUGH_VERDICTS and self.dismissed > MOSTLY * judged


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Alerts that belong together: of one entity over kinds and days, and of entities that share a peer.

    Attributes:
        incident_id: 12 hexadecimal digits, made of the id of its first alert.
        source: whose events.
        state: ``open``; ``confirmed`` if an alert is; ``closed`` if every alert is dismissed or closed.
        severity: the highest of its alerts that are not dismissed (of all, if all are).
        score: the highest of the same alerts.
        first_seen: of the first flow.
        last_seen: of the last flow.
        first_day: of the first alert.
        last_day: of the last alert.
        alerts: how many.
        entities: the hosts, the one with the highest score first.
        kinds: of the alerts, in the same order.
        sentence: all of it in words.
        alert_ids: of its alerts, in order of day, first flow and id.
    """

    incident_id: str
    source: str
    state: IncidentState
    severity: str
    score: float
    first_seen: datetime
    last_seen: datetime
    first_day: date
    last_day: date
    alerts: int
    entities: tuple[str, ...]
    kinds: tuple[str, ...]
    sentence: str
    alert_ids: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class SourceIncidents:
    """All incidents of a source. They replace those that were there.

    Attributes:
        source: whose events.
        incidents: by id.
        most_days: days without an alert after which an incident is not extended any more.
    """

    source: str
    incidents: Sequence[Incident] = field(repr=False)
    most_days: int


def list_fact_sentences(facts: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Return the facts of an alert, as its row has them, in words; none where an earlier version recorded none."""
    return [say_fact(Fact.model_validate(fact)) for fact in facts or ()]


def name_incident(alert_id: str) -> str:
    """Return the id of the incident that begins with an alert.

    An alert of an earlier day may come later and become the first. So every alert of an incident leads to it by this
    name, also the one that it was named after before.
    """
    return hashlib.sha256(f"incident/{alert_id}".encode()).hexdigest()[:12]


def find_incidents(alerts: Iterable[Alert], latest: Latest, most_days: int) -> list[Incident]:
    """Group the alerts of a source into incidents.

    Two alerts belong together if they have the same entity or the same peer and at most ``most_days`` lie between
    their days. An alert that is dismissed or closed takes part with those of the days that had been scored when that
    was decided, and not with later ones: a later day then opens a new incident. Suppressed alerts take no part, except
    those whose own dismissal suppresses them.

    The result depends on the alerts and verdicts only, and not on the order in which the days were scored.

    Args:
        alerts: of one source. Their ``suppressed_by`` is the owner of an exception, and no verdict.
        latest: the verdicts that count.
        most_days: days between two alerts of an incident, at most.

    Returns:
        The incidents by id.
    """
    members = sorted(
        (alert for alert in alerts if takes_part(alert, latest)),
        key=lambda alert: (alert.logical_date, alert.first_seen, alert.alert_id),
    )
    groups = _join([*_link(members, latest, most_days, "entity"), *_link(members, latest, most_days, "peer")], members)
    return sorted((_describe(group, latest) for group in groups), key=lambda incident: incident.incident_id)


def takes_part(alert: Alert, latest: Latest) -> bool:
    """Tell whether an alert belongs to an incident: it is not suppressed by an exception or by an earlier verdict."""
    if alert.suppressed_by is not None:
        return False
    cause = find_dismissal(latest, alert.subject)
    return cause is None or cause.alert_id == alert.alert_id


def judge_alert(alert: Alert, latest: Latest) -> JudgedAlert:
    """Return an alert, as the table has it, with what people say about it now."""
    own = latest.find(alert.alert_id)
    cause = find_dismissal(latest, alert.subject) if alert.suppressed_by is None else None
    shown = replace(alert, suppressed_by=cause.name) if cause else alert
    if not takes_part(alert, latest):
        return JudgedAlert(shown, "suppressed", own)
    return JudgedAlert(shown, own.verdict if own else "open", own)


def count_by_kind(alerts: Iterable[Alert], verdicts: Sequence[Verdict]) -> list[KindShares]:
    """Return the shares of the kinds of some alerts, by kind. What was decided before an alert was closed still counts.

    Args:
        alerts: of one source, as the table has them, such as those of a day.
        verdicts: every verdict about alerts of the source, also of other days.
    """
    latest = list_latest(verdicts)
    said = Counter((verdict.kind, verdict.verdict) for verdict in latest.said.values())
    states = Counter((alert.kind, judge_alert(alert, latest).state == "suppressed") for alert in alerts)
    return [
        KindShares(kind, states[kind, False], states[kind, True], said[kind, "confirmed"], said[kind, "dismissed"])
        for kind in sorted({kind for kind, _ in states})
    ]


def to_plain(incident: Incident) -> dict[str, object]:
    """Return an incident as a row of the table ``incidents``."""
    row = asdict(incident) | {"entities": list(incident.entities), "kinds": list(incident.kinds)}
    del row["alert_ids"]
    return row


def from_plain(row: Mapping[Any, Any], alert_ids: Sequence[str]) -> Incident:
    """Return the incident of a row of the table ``incidents`` and of the ids of its alerts, in their order."""
    lists = {name: tuple(row[name]) for name in ("entities", "kinds")}
    return Incident(**{**row, **lists}, alert_ids=tuple(alert_ids))


def _to_known(value: Any) -> Any:
    """Return a value, None for the NaN of a text that is missing."""
    return None if isinstance(value, float) and isnan(value) else value


def _link(members: Sequence[Alert], latest: Latest, most_days: int, name: str) -> Iterator[list[str]]:
    """Yield the ids of alerts that share an entity or a peer within reach of each other, in order of their days."""
    by_host: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in members:
        if host := getattr(alert, name):
            by_host[host].append(alert)
    for alerts in by_host.values():
        linked, reach = [alerts[0].alert_id], _find_reach(alerts[0], latest, most_days)
        for alert in alerts[1:]:
            if alert.logical_date > reach:
                yield linked
                linked = []
            linked.append(alert.alert_id)
            reach = max(reach, _find_reach(alert, latest, most_days))
        yield linked


def _find_reach(alert: Alert, latest: Latest, most_days: int) -> date:
    """Return the last day whose alerts may join this one."""
    reach = alert.logical_date + timedelta(days=most_days)
    verdict = latest.find(alert.alert_id)
    if verdict and latest.is_settled(alert.alert_id):
        reach = min(reach, verdict.last_scored)
    return max(reach, alert.logical_date)


def _join(links: Iterable[Sequence[str]], members: Sequence[Alert]) -> Iterable[list[Alert]]:
    """Return the groups of alerts that links connect, each in the order of ``members``."""
    root = {alert.alert_id: alert.alert_id for alert in members}

    def find(alert_id: str) -> str:
        while root[alert_id] != alert_id:
            root[alert_id] = root[root[alert_id]]
            alert_id = root[alert_id]
        return alert_id

    for first, *others in links:
        for other in others:
            root[find(other)] = find(first)
    groups: defaultdict[str, list[Alert]] = defaultdict(list)
    for alert in members:
        groups[find(alert.alert_id)].append(alert)
    return groups.values()


def _describe(alerts: Sequence[Alert], latest: Latest) -> Incident:
    """Return the incident of some alerts, which are in their order."""
    kept = [alert for alert in alerts if not _is(alert, latest, "dismissed")] or alerts
    ranked = sorted(kept, key=lambda alert: (-alert.score, alert.alert_id))
    others = [alert for alert in alerts if alert not in kept]
    entities = tuple(dict.fromkeys(alert.entity for alert in [*ranked, *others]))
    kinds = tuple(dict.fromkeys(alert.kind for alert in [*ranked, *others]))
    first_day, last_day = alerts[0].logical_date, alerts[-1].logical_date
    return Incident(
        incident_id=name_incident(alerts[0].alert_id),
        source=alerts[0].source,
        state=_find_state(alerts, latest),
        severity=max((alert.severity for alert in kept), key=SEVERITIES.index),
        score=ranked[0].score,
        first_seen=min(alert.first_seen for alert in alerts),
        last_seen=max(alert.last_seen for alert in alerts),
        first_day=first_day,
        last_day=last_day,
        alerts=len(alerts),
        entities=entities,
        kinds=kinds,
        sentence=_say(entities, kinds, (first_day, last_day), len(alerts), ranked[0].sentence),
        alert_ids=tuple(alert.alert_id for alert in alerts),
    )


def _find_state(alerts: Sequence[Alert], latest: Latest) -> IncidentState:
    if all(latest.is_settled(alert.alert_id) for alert in alerts):
        return "closed"
    return "confirmed" if any(_is(alert, latest, "confirmed") for alert in alerts) else "open"


def _is(alert: Alert, latest: Latest, verdict: str) -> bool:
    said = latest.said.get(alert.alert_id)
    return said is not None and said.verdict == verdict


def _say(entities: Sequence[str], kinds: Sequence[str], days: tuple[date, date], alerts: int, strongest: str) -> str:
    """Say what an incident is about; one alert says it itself."""
    if alerts == 1:
        return strongest
    shown = ", ".join(entities[:SHOWN_ENTITIES])
    more = f" and {len(entities) - SHOWN_ENTITIES} more" if len(entities) > SHOWN_ENTITIES else ""
    when = f"on {days[0]}" if days[0] == days[1] else f"from {days[0]} to {days[1]}"
    return f"{shown}{more}: {alerts} alerts ({', '.join(kinds)}) {when}; the strongest: {strongest}"
