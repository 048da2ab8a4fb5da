"""What people ask about alerts and decide about them: lists, an alert or incident by its id, verdicts."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import Connection, Engine, func, select, text

from network_anomalies.errors import ProjectError
from network_anomalies.records.alerts import (
    Alert,
    Incident,
    JudgedAlert,
    KindShares,
    count_by_kind,
    judge_alert,
    name_incident,
)
from network_anomalies.records.verdicts import Judgement, Verdict, list_latest
from network_anomalies.registry.incident_rows import find_alerts, find_stored_incidents, lock_incidents, regroup
from network_anomalies.registry.tables import alerts, incident_alerts, incidents, stage_events, verdicts
from network_anomalies.registry.transactions import transaction
from network_anomalies.registry.verdict_rows import find_verdicts, insert_verdicts

SHOWN_MATCHES = 5
_ID = re.compile(r"[0-9a-f]{1,12}")


@dataclass(frozen=True, kw_only=True)
class NewVerdict:
    """What a person decides about some alerts.

    Attributes:
        verdict: what.
        reason: why.
        person: who.
        until: of a dismissal, the last day on which the habit is suppressed.
        any_peer: of a dismissal, whether the habit is suppressed with every peer of the entity.
    """

    verdict: Judgement
    reason: str
    person: str
    until: date | None = None
    any_peer: bool = False


@dataclass(frozen=True)
class SourceTriage:
    """The incidents and alerts of a source, and what people said about them.

    Attributes:
        source: its name.
        day: of the alerts; None is every day.
        incidents: those that have one of the alerts; closed ones last, then by score, the highest first.
        alerts: suppressed ones last, then by score, the highest first.
        shares: of the kinds of these alerts.
    """

    source: str
    day: date | None
    incidents: Sequence[Incident]
    alerts: Sequence[JudgedAlert]
    shares: Sequence[KindShares]


@dataclass(frozen=True, kw_only=True)
class AlertLineage:
    """What led to an alert.

    Attributes:
        run_id: the run that raised it.
        code_version: of that run.
        model_version: of the champion that scored the day.
        model_uri: where the model lies.
        model_sha256: of its bytes.
        model_reason: why it is champion.
        training_run_id: the run that trained it.
        transformation_run_id: the run that made the silver that was scored.
        revision: of the day's batch.
        objects: URI and sha256 of each RAW object of the day.
        files: the log files that they were made of, if there are any.
        limits: of the detector of this kind, by name, as they held; none where they were not recorded.
    """

    run_id: str
    code_version: str
    model_version: int
    model_uri: str
    model_sha256: str
    model_reason: str
    training_run_id: str
    transformation_run_id: str
    revision: int
    objects: Sequence[tuple[str, str]]
    files: Sequence[str]
    limits: Mapping[str, object]


@dataclass(frozen=True)
class Found:
    """An alert, or an incident with its alerts, that an id leads to.

    Attributes:
        incident: the incident; of an alert the one that it belongs to, None if it belongs to none.
        alerts: the alert alone, or those of the incident, in order of their days.
        earlier: other alerts of the same entities on the same days or before, the latest first.
        verdicts: every verdict about these alerts and those, in their order.
        is_incident: whether the id is that of an incident.
    """

    incident: Incident | None
    alerts: Sequence[JudgedAlert]
    earlier: Sequence[JudgedAlert]
    verdicts: Sequence[Verdict]
    is_incident: bool


def choose_days(engine: Engine, source: str | None, day: date | None, every_day: bool) -> dict[str, date | None]:
    """Return of which sources to list which day: the given one, else the latest that was scored; None is every day.

    Sources for which a given day was not scored are left out.

    Raises:
        ProjectError: nothing was scored yet, of the source and the day if they are given.
    """
    columns = stage_events.c
    query = select(columns.source, func.max(columns.logical_date)).where(columns.stage == "scoring")
    if day is not None:
        query = query.where(columns.logical_date == day)
    with engine.connect() as connection:
        rows = connection.execute(query.group_by(columns.source).order_by(columns.source)).all()
    latest: dict[str, date] = {row[0]: row[1] for row in rows if source in (None, row[0])}
    if not latest:
        whose = f"source {source} has" if source else "there are"
        which = f"no scores of {day}" if day else "no scored days"
        raise ProjectError(f"{whose} {which}: `kedro run` scores a day, and `kedro status` lists them")
    return {name: day or (None if every_day else last) for name, last in latest.items()}


def read_triage(
    engine: Engine, source: str, day: date | None, only_open: bool = False, with_facts: bool = False
) -> SourceTriage:
    """Return the incidents and alerts of a source.

    Args:
        engine: the registry.
        source: whose alerts.
        day: which day; None is every day.
        only_open: leave out what needs no decision: closed incidents, alerts with a verdict, suppressed alerts.
        with_facts: whether the alerts have their facts.
    """
    chosen = () if day is None else (alerts.c.logical_date == day,)
    with engine.connect() as connection:
        raised, decided = (
            find_alerts(connection, source, *chosen, with_facts=with_facts),
            find_verdicts(connection, source),
        )
        touched = find_stored_incidents(connection, source, *chosen)
    latest = list_latest(decided)
    judged = [judge_alert(alert, latest) for alert in raised]
    return SourceTriage(
        source,
        day,
        sorted(
            (incident for incident in touched if not (only_open and incident.state == "closed")),
            key=lambda incident: (incident.state == "closed", -incident.score, incident.incident_id),
        ),
        sorted(
            (each for each in judged if not only_open or each.state == "open"),
            key=lambda each: (each.alert.suppressed_by is not None, -each.alert.score, each.alert.alert_id),
        ),
        count_by_kind(raised, decided),
    )


def read_lineage(engine: Engine, alert: Alert) -> AlertLineage | None:
    """Return what led to an alert; None if the rows that it refers to are not there."""
    query = text("SELECT * FROM alert_lineage WHERE alert_id = :alert_id ORDER BY part, source_path")
    with engine.connect() as connection:
        rows = connection.execute(query, {"alert_id": alert.alert_id}).mappings().all()
    if not rows:
        return None
    limits = rows[0]["limits"]
    applied = json.loads(limits) if isinstance(limits, str) else limits
    return AlertLineage(
        **{name: rows[0][name] for name in ("run_id", "code_version", "model_version", "model_uri", "model_sha256")},
        **{name: rows[0][name] for name in ("model_reason", "training_run_id", "transformation_run_id", "revision")},
        objects=tuple(dict.fromkeys((row["object_uri"], row["object_sha256"]) for row in rows)),
        files=tuple(dict.fromkeys(row["source_path"] for row in rows if row["source_path"])),
        limits=(applied or {}).get(alert.kind, {}),
    )


def find_by_id(engine: Engine, prefix: str) -> Found:
    """Return the alert or incident whose id begins with some digits.

    Raises:
        ProjectError: there is none, or there are several.
    """
    with engine.connect() as connection:
        source, incident_id, alert_id = _resolve(connection, prefix)
        of_id = alerts.c.alert_id == alert_id
        if incident_id is not None:
            of_id = alerts.c.alert_id.in_(
                select(incident_alerts.c.alert_id).where(incident_alerts.c.incident_id == incident_id)
            )
        about = find_alerts(connection, source, of_id, with_facts=True)
        incident = next(iter(find_stored_incidents(connection, source, of_id)), None)
        entities, last_day = {alert.entity for alert in about}, about[-1].logical_date
        before = (alerts.c.entity.in_(sorted(entities)), alerts.c.logical_date <= last_day)
        known = find_alerts(connection, source, *before, with_facts=True)
        decided = find_verdicts(connection, source)
    latest, names = list_latest(decided), {alert.alert_id for alert in about}
    others = [alert for alert in reversed(known) if alert.alert_id not in names]
    named = names | {alert.alert_id for alert in others}
    return Found(
        incident,
        [judge_alert(alert, latest) for alert in about],
        [judge_alert(alert, latest) for alert in others],
        [verdict for verdict in decided if verdict.alert_id in named],
        is_incident=incident_id is not None,
    )


def record_decision(engine: Engine, prefix: str, decision: NewVerdict, most_days: int) -> tuple[Found, list[Verdict]]:
    """Add a verdict about an alert, or about each alert of an incident, and group the incidents again.

    Args:
        engine: the registry.
        prefix: of the id of an alert or incident.
        decision: what a person decides.
        most_days: days between two alerts of an incident, at most.

    Returns:
        What the id leads to after the decision, and the new verdicts.

    Raises:
        ProjectError: there is no such id, or several; the reason or the person is empty; the dismissal has ended.
    """
    now = datetime.now(UTC)
    _check(decision, now.date())
    found = find_by_id(engine, prefix)
    names = [judged.alert.alert_id for judged in found.alerts]
    source = found.alerts[0].alert.source
    of_decision = verdicts.c.alert_id.in_(names) & (verdicts.c.decided_at == now)

    def is_recorded(connection: Connection) -> bool:
        return connection.execute(select(verdicts.c.sequence).where(of_decision)).first() is not None

    with transaction(engine, is_recorded) as connection:
        lock_incidents(connection)
        scored = select(func.max(stage_events.c.logical_date)).where(stage_events.c.stage == "scoring")
        last = connection.execute(scored.where(stage_events.c.source == source)).scalar()
        insert_verdicts(connection, [_decide(each.alert, decision, now, last) for each in found.alerts])
        regroup(connection, source, most_days)
        decided = [each for each in find_verdicts(connection, source) if each.decided_at == now]
    return find_by_id(engine, names[0] if not found.is_incident else name_incident(names[0])), decided


def _check(decision: NewVerdict, today: date) -> None:
    if not decision.reason.strip():
        raise ProjectError("a decision needs a reason: give --reason TEXT")
    if not decision.person.strip():
        raise ProjectError("a decision needs the name of a person: give --by NAME")
    if decision.until is not None and decision.until < today:
        raise ProjectError(f"--until {decision.until} is over: give today ({today}, UTC) or a later day")


def _decide(alert: Alert, decision: NewVerdict, now: datetime, last_scored: date | None) -> Verdict:
    return Verdict(
        sequence=0,  # the database numbers it
        alert_id=alert.alert_id,
        source=alert.source,
        logical_date=alert.logical_date,
        kind=alert.kind,
        entity=alert.entity,
        peer=None if decision.any_peer else alert.peer,
        verdict=decision.verdict,
        reason=decision.reason,
        until=decision.until,
        decided_at=now,
        decided_by=decision.person,
        last_scored=max(alert.logical_date, last_scored or alert.logical_date),
    )


def _resolve(connection: Connection, prefix: str) -> tuple[str, str | None, str | None]:
    """Return the source of the one alert or incident with a prefix, and the id of the incident or else of the alert."""
    digits = prefix.strip().lower()
    if not _ID.fullmatch(digits):
        raise ProjectError(f"{prefix!r} is no id: an id has up to 12 digits from 0-9 and a-f, see `kedro alerts`")
    matches: list[tuple[str, str | None, str | None]] = []
    query = select(incidents.c.source, incidents.c.incident_id)
    matches += [(*row, None) for row in connection.execute(query.where(incidents.c.incident_id.startswith(digits)))]
    found = select(alerts.c.source, alerts.c.alert_id).where(alerts.c.alert_id.startswith(digits))
    matches += [(row.source, None, row.alert_id) for row in connection.execute(found)]
    matches = matches or _find_former(connection, digits)
    if not matches:
        raise ProjectError(f"there is no alert or incident {digits}: `kedro alerts` lists those of the latest day")
    if len(matches) > 1:
        named = ", ".join(f"{incident or alert} ({source})" for source, incident, alert in matches[:SHOWN_MATCHES])
        raise ProjectError(f"{digits} is the beginning of {len(matches)} ids, {named}: give more digits")
    return matches[0]


def _find_former(connection: Connection, digits: str) -> list[tuple[str, str | None, str | None]]:
    """Return the incidents that had an id before an alert of an earlier day joined them."""
    rows = connection.execute(select(alerts.c.source, alerts.c.alert_id)).all()
    named = [(source, alert_id) for source, alert_id in rows if name_incident(alert_id).startswith(digits)]
    if len(named) != 1:
        return []
    source, alert_id = named[0]
    grouped = find_stored_incidents(connection, source)
    return [(source, incident.incident_id, None) for incident in grouped if alert_id in incident.alert_ids]
