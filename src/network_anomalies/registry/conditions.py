"""Conditions that many queries of the registry share."""

from datetime import date

from sqlalchemy import ColumnElement, Table, and_


def of_day(table: Table, source: str, day: date) -> ColumnElement[bool]:
    """Return the condition that a row of ``table`` is about a source and day."""
    return and_(table.c.source == source, table.c.logical_date == day)


def is_current(table: Table, source: str, day: date) -> ColumnElement[bool]:
    """Return the condition that a row of ``table`` is the current one of a source and day."""
    return and_(of_day(table, source, day), table.c.status == "SUCCESS")
