"""Verdicts: rows that are only added. Of the verdicts of an alert the one with the highest number counts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, RowMapping, insert, select

from network_anomalies.records.verdicts import Latest, Verdict, list_latest
from network_anomalies.registry.tables import verdicts


def read_verdicts(engine: Engine, source: str) -> pd.DataFrame:
    """Return every verdict about the alerts of a source, in their order, with the columns of the table."""
    with engine.connect() as connection:
        frame = pd.DataFrame(_find(connection, source), columns=verdicts.c.keys(), dtype="object")
    return frame.astype({"sequence": "int64"})


def find_verdicts(connection: Connection, source: str) -> list[Verdict]:
    """Return every verdict about the alerts of a source, in their order."""
    return [Verdict(**row) for row in _find(connection, source)]


def find_latest(connection: Connection, source: str) -> Latest:
    """Return the verdicts about the alerts of a source that count."""
    return list_latest(find_verdicts(connection, source))


def insert_verdicts(connection: Connection, decided: Sequence[Verdict]) -> None:
    """Add verdicts; the database numbers them in their order, whatever their ``sequence`` says."""
    for verdict in decided:
        row: Mapping[str, Any] = asdict(verdict)
        connection.execute(insert(verdicts), {name: value for name, value in row.items() if name != "sequence"})


def _find(connection: Connection, source: str) -> Sequence[RowMapping]:
    query = select(verdicts).where(verdicts.c.source == source).order_by(verdicts.c.sequence)
    return connection.execute(query).mappings().all()
