"""Incidents: what the alerts of a source and the verdicts about them give, kept as rows."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import date

import pandas as pd
from sqlalchemy import ColumnElement, Connection, Engine, delete, insert, select

from network_anomalies.records.alerts import (
    Alert,
    Incident,
    SourceIncidents,
    find_incidents,
    from_plain,
    to_plain,
)
from network_anomalies.registry.tables import alerts, incident_alerts, incidents
from network_anomalies.registry.transactions import transaction
from network_anomalies.registry.verdict_rows import find_latest

logger = logging.getLogger(__name__)
_IN_ORDER = (alerts.c.logical_date, alerts.c.first_seen, alerts.c.alert_id)
_OF_ALERT = alerts.c.alert_id == incident_alerts.c.alert_id
AT_ONCE = 500
"""How many rows a statement deletes: SQLite takes a limited number of values."""


def replace_incidents(engine: Engine, grouped: SourceIncidents) -> None:
    """Replace the incidents of a source.

    They are grouped again under a lock: another day of the source, or a verdict, may have come since.
    """
    source, most_days = grouped.source, grouped.most_days

    def are_stored(connection: Connection) -> bool:
        return _find_stored(connection, source) == _group(connection, source, most_days)

    with transaction(engine, are_stored) as connection:
        found = regroup(connection, source, most_days)
    if found != list(grouped.incidents):
        logger.info("Alerts or verdicts of source %s came meanwhile: its incidents were grouped again", source)


def regroup(connection: Connection, source: str, most_days: int) -> list[Incident]:
    """Make the incidents of a source anew from its alerts and verdicts; rows that stay the same are left alone."""
    lock_incidents(connection)
    stored = _find_stored(connection, source)
    found = _group(connection, source, most_days)
    _delete(connection, sorted(incident_id for incident_id, known in stored.items() if found.get(incident_id) != known))
    fresh = [incident for incident_id, incident in found.items() if stored.get(incident_id) != incident]
    if fresh:
        connection.execute(insert(incidents), [to_plain(incident) for incident in fresh])
        rows = [{"incident_id": each.incident_id, "alert_id": alert} for each in fresh for alert in each.alert_ids]
        connection.execute(insert(incident_alerts), rows)
    return list(found.values())


def read_incidents(engine: Engine, source: str, logical_date: date) -> pd.DataFrame:
    """Return the incidents that have alerts of a day, closed ones last, then by score, the highest first."""
    of_day = select(incident_alerts.c.incident_id).join(alerts, alerts.c.alert_id == incident_alerts.c.alert_id)
    of_day = of_day.where(alerts.c.source == source, alerts.c.logical_date == logical_date)
    query = (
        select(incidents)
        .where(incidents.c.incident_id.in_(of_day))
        .order_by(incidents.c.state == "closed", incidents.c.score.desc(), incidents.c.incident_id)
    )
    with engine.connect() as connection:
        return pd.DataFrame(connection.execute(query).mappings().all(), columns=incidents.c.keys())


def find_alerts(
    connection: Connection, source: str, *chosen: ColumnElement[bool], with_facts: bool = False
) -> list[Alert]:
    """Return the alerts of a source that some conditions choose, as the table has them, in order of days and flows.

    Facts take the most time to read, and are seldom needed.
    """
    columns = [column for column in alerts.c if with_facts or column.name != "facts"]
    query = select(*columns).where(alerts.c.source == source, *chosen).order_by(*_IN_ORDER)
    return [Alert.from_row(row) for row in connection.execute(query).mappings()]


def find_stored_incidents(connection: Connection, source: str, *of_alerts: ColumnElement[bool]) -> list[Incident]:
    """Return the incidents that have alerts which some conditions choose, as the tables have them, by id."""
    if not of_alerts:
        return list(_find_stored(connection, source).values())
    query = select(incident_alerts.c.incident_id).join(alerts, _OF_ALERT).where(alerts.c.source == source, *of_alerts)
    chosen = list(connection.execute(query.distinct()).scalars())
    return list(_find_stored(connection, source, chosen).values())


def lock_incidents(connection: Connection) -> None:
    """Let one grouping follow the other, as SQLite does by itself; readers do not wait."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE incidents IN SHARE ROW EXCLUSIVE MODE")


def _group(connection: Connection, source: str, most_days: int) -> dict[str, Incident]:
    found = find_incidents(find_alerts(connection, source), find_latest(connection, source), most_days)
    return {incident.incident_id: incident for incident in found}


def _find_stored(connection: Connection, source: str, chosen: Sequence[str] | None = None) -> dict[str, Incident]:
    """Return the stored incidents by id, all or chosen ones; alerts that are gone are left out of ``alert_ids``."""
    query = select(incident_alerts).join(alerts, _OF_ALERT).order_by(*_IN_ORDER)
    of_source = select(incidents).where(incidents.c.source == source).order_by(incidents.c.incident_id)
    if chosen is None:
        query = query.where(alerts.c.source == source)
    else:  # by the incidents alone: with the source too, SQLite would look at every alert of the source
        query = query.where(incident_alerts.c.incident_id.in_(chosen))
        of_source = of_source.where(incidents.c.incident_id.in_(chosen))
    members: defaultdict[str, list[str]] = defaultdict(list)
    for row in connection.execute(query):
        members[row.incident_id].append(row.alert_id)
    rows = connection.execute(of_source)
    return {row["incident_id"]: from_plain(row, members[row["incident_id"]]) for row in rows.mappings()}


def _delete(connection: Connection, names: Sequence[str]) -> None:
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        for table in (incident_alerts, incidents):
            connection.execute(delete(table).where(table.c.incident_id.in_(some)))
