"""What a terminal shows of incidents and alerts: lines of any width, and the same as JSON."""

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime

from network_anomalies.detection.alerts.facts import say_fact
from network_anomalies.errors import show_hidden
from network_anomalies.records.alerts import Alert, Incident, JudgedAlert, KindShares
from network_anomalies.records.verdicts import Verdict
from network_anomalies.registry.alert_triage import AlertLineage, Found, SourceTriage
from network_anomalies.upkeep.alert_flows import FirstFlows, write_query

INDENT = "  "
LEAST_WIDTH = 40
SHOWN_EARLIER = 10
LONGEST = 2000

Plain = Mapping[str, object]
"""A record as JSON has it."""


def list_lines(found: Sequence[SourceTriage], width: int) -> Iterator[str]:
    """Yield the lines of a list: of each source its incidents, then its alerts, then what to know of their kinds."""
    for triage in found:
        raised = [judged for judged in triage.alerts if judged.state not in ("suppressed", "dismissed")]
        suppressed = len(triage.alerts) - len(raised)  # as ``count_by_day`` counts
        when = f"on {triage.day}" if triage.day else "on every day"
        counts = f"{_count(len(triage.incidents), 'incident')}, {_count(len(raised), 'alert')}, {suppressed} suppressed"
        yield from _wrap(f"{triage.source} {when}: {counts}", width)
        for incident in triage.incidents:
            yield from _list_incident(incident, width)
        for judged in triage.alerts:
            yield from _list_alert(judged, width)
        yield from _warn(triage.shares, width)
    first = next((name for triage in found for name in _list_ids(triage)), None)
    if first:
        yield from _wrap(f"next: kedro alerts show {first}", width)


def show_incident(found: Found, width: int) -> Iterator[str]:
    """Yield what is known of an incident: its alerts in the order of time, and what was decided about them."""
    incident = found.incident
    assert incident is not None  # noqa: S101 (the id was that of an incident)
    yield from _list_incident(incident, width)
    yield ""
    yield "TIMELINE"
    for judged in found.alerts:
        yield from _list_alert(judged, width)
    yield from _show_past(found, width)


def show_alert(found: Found, flows: FirstFlows, lineage: AlertLineage | None, width: int) -> Iterator[str]:
    """Yield what is known of an alert: facts, first flows and the query of all, lineage, what was before."""
    (judged,) = found.alerts
    alert = judged.alert
    yield from _list_alert(judged, width)
    if found.incident:
        yield from _wrap(f"part of incident {found.incident.incident_id} ({found.incident.state})", width, 1)
    yield from _wrap(f"MITRE ATT&CK {alert.technique}", width, 1) if alert.technique else ()
    yield from _head("FACTS")
    said = [say_fact(fact) for fact in alert.facts] or ["none were recorded: score the day again"]
    for text in said:
        yield from _wrap(text, width, 1)
    yield from _wrap(_say_first(found), width, 1)
    yield from _head("FLOWS")
    yield from _wrap(f"{alert.flows:,} from {_say_time(alert.first_seen)} to {_say_time(alert.last_seen)}", width, 1)
    yield from _list_flows(flows, width)
    # In one piece, however long: a person copies it.
    yield f'{INDENT}all: kedro query "{write_query(alert)}" --source {alert.source} --start {alert.logical_date}'
    yield from _head("LINEAGE")
    yield from _show_lineage(alert, lineage, width)
    yield from _show_past(found, width)


def describe_decision(found: Found, decided: Sequence[Verdict], width: int) -> Iterator[str]:
    """Yield what was decided, and what became of the incident."""
    for verdict in decided:
        yield from _wrap(f"{_say_verdict(verdict)}: alert {verdict.alert_id} {verdict.kind} {verdict.entity}", width)
    if found.incident:
        yield from _wrap(f"incident {found.incident.incident_id} is {found.incident.state}", width)


def to_json(triage: SourceTriage) -> Plain:
    """Return a list of incidents and alerts as plain values."""
    return {
        "source": triage.source,
        "logical_date": str(triage.day) if triage.day else None,
        "incidents": [_to_plain(asdict(incident)) for incident in triage.incidents],
        "alerts": [_alert_to_plain(judged) for judged in triage.alerts],
        "kinds": [asdict(shares) | {"mostly_dismissed": shares.is_mostly_dismissed} for shares in triage.shares],
    }


def found_to_json(found: Found) -> Plain:
    """Return an alert or incident with all that is known of it as plain values."""
    return {
        "incident": _to_plain(asdict(found.incident)) if found.incident else None,
        "alerts": [_alert_to_plain(judged) for judged in found.alerts],
        "earlier": [_alert_to_plain(judged) for judged in found.earlier],
        "verdicts": [_to_plain(asdict(verdict)) for verdict in found.verdicts],
    }


def _alert_to_plain(judged: JudgedAlert) -> Plain:
    alert = judged.alert
    plain = _to_plain({name: value for name, value in vars(alert).items() if name != "facts"})
    facts = [{**fact.model_dump(exclude_none=True), "sentence": say_fact(fact)} for fact in alert.facts]
    return {
        **plain,
        "state": judged.state,
        "facts": facts,
        "flows_query": write_query(alert),
        "verdict": _to_plain(asdict(judged.verdict)) if judged.verdict else None,
    }


def _to_plain(values: Plain) -> Plain:
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}


def _list_incident(incident: Incident, width: int) -> Iterator[str]:
    days = f"{incident.first_day}" + (f" to {incident.last_day}" if incident.last_day != incident.first_day else "")
    about = f"{incident.state} incident  {incident.severity} {incident.score:.0f}  {days}"
    many = _count(incident.alerts, "alert")
    yield from _wrap(f"{incident.incident_id}  {about}  {many}", width, hanging=1)
    yield from _wrap(incident.sentence, width, 2)


def _list_alert(judged: JudgedAlert, width: int) -> Iterator[str]:
    alert = judged.alert
    about = f"{judged.state} alert  {alert.severity} {alert.score:.0f}  {alert.kind}  {alert.entity}"
    yield from _wrap(f"{alert.alert_id}  {about}  {_say_time(alert.first_seen)}", width, hanging=1)
    yield from _wrap(alert.sentence, width, 2)
    if judged.verdict:
        yield from _wrap(f"{_say_verdict(judged.verdict)}: {judged.verdict.reason}", width, 2)
    elif alert.suppressed_by:
        yield from _wrap(f"suppressed by {alert.suppressed_by}", width, 2)


def _warn(shares: Sequence[KindShares], width: int) -> Iterator[str]:
    for kind in shares:
        if kind.is_mostly_dismissed:
            judged = kind.confirmed + kind.dismissed
            said = f"{kind.kind} is mostly dismissed: {kind.dismissed} of {judged} verdicts; look at its limits"
            yield from _wrap(f"{said} (detectors.{kind.kind} in conf/base/parameters_scoring.yml)", width)


def _show_past(found: Found, width: int) -> Iterator[str]:
    yield from _head("EARLIER ALERTS OF THE SAME HOSTS")
    for judged in found.earlier[:SHOWN_EARLIER]:
        yield from _list_alert(judged, width)
    if len(found.earlier) > SHOWN_EARLIER:
        yield from _wrap(f"{len(found.earlier) - SHOWN_EARLIER} more; --json lists all", width, 1)
    if not found.earlier:
        yield from _wrap("none", width, 1)
    yield from _head("VERDICTS")
    for verdict in found.verdicts:
        yield from _wrap(f"{_say_verdict(verdict)} about {verdict.alert_id}: {verdict.reason}", width, 1)
    if not found.verdicts:
        yield from _wrap("none", width, 1)


def _show_lineage(alert: Alert, lineage: AlertLineage | None, width: int) -> Iterator[str]:
    if lineage is None:
        yield from _wrap(f"run {alert.run_id}; the rows that it refers to are not in the registry", width, 1)
        return
    facts = [
        f"raised by run {lineage.run_id}, code {lineage.code_version}",
        f"model version {lineage.model_version} ({lineage.model_sha256[:12]}), {lineage.model_uri}, trained by run "
        f"{lineage.training_run_id}: {lineage.model_reason}",
        f"silver of run {lineage.transformation_run_id}, revision {lineage.revision} of {alert.logical_date}",
        *(f"RAW {uri} ({sha256[:12]})" for uri, sha256 in lineage.objects[:SHOWN_EARLIER]),
        *(f"from {path}" for path in lineage.files[:SHOWN_EARLIER]),
        "limits: " + (", ".join(f"{name} {value}" for name, value in lineage.limits.items()) or "not recorded"),
    ]
    for fact in facts:
        yield from _wrap(fact, width, 1)


def _say_first(found: Found) -> str:
    """Say since when the host has had such alerts."""
    alert = found.alerts[0].alert
    same = [judged.alert for judged in found.earlier if judged.alert.kind == alert.kind]
    if not same:
        return f"first {alert.kind} of {alert.entity}"
    return f"{alert.kind} of {alert.entity} first seen on {same[-1].logical_date}, {len(same)} times before"


def _list_flows(flows: FirstFlows, width: int) -> Iterator[str]:
    if flows.fault:
        yield from _wrap(f"they cannot be read: {flows.fault}", width, 1)
        return
    for row in flows.rows:
        values = dict(zip(flows.columns, row, strict=True))
        ends = [_say_end(values, side) for side in ("src", "dst")]
        amount = f"{values['protocol']}  {values['bytes']} bytes  {values['duration']:.3g} s"
        yield from _wrap(f"{values['timestamp']:%H:%M:%S}  {ends[0]} -> {ends[1]}  {amount}", width, 1, hanging=2)


def _say_end(values: Mapping[str, object], side: str) -> str:
    port = values.get(f"{side}_port")
    known = isinstance(port, int | float) and not math.isnan(port)
    return f"{values[f'{side}_ip']}:{port:.0f}" if known else str(values[f"{side}_ip"])


def _say_verdict(verdict: Verdict) -> str:
    until = f" until {verdict.until}" if verdict.until else ""
    return f"{verdict.verdict}{until} on {verdict.decided_at:%Y-%m-%d %H:%M} by {verdict.decided_by}"


def _say_time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _list_ids(triage: SourceTriage) -> list[str]:
    open_ = [incident.incident_id for incident in triage.incidents if incident.state != "closed"]
    return [*open_, *(judged.alert.alert_id for judged in triage.alerts if judged.state == "open")]


def _head(title: str) -> Iterable[str]:
    return "", title


def _wrap(text: str, width: int, depth: int = 0, hanging: int = 0) -> list[str]:
    """Return a text as lines of a width, indented; control characters and marks of direction are spelled out."""
    indent, more = INDENT * depth, INDENT * (depth + hanging)
    return textwrap.wrap(
        show_hidden(text, LONGEST),
        max(width, LEAST_WIDTH),
        initial_indent=indent,
        subsequent_indent=more,
        break_long_words=False,  # an address of an object is copied whole
        break_on_hyphens=False,
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
