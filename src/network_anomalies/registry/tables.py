"""The registry's tables, the same on SQLite and PostgreSQL. Migrations stand beside, in ``migrations/versions``."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class Instant(TypeDecorator[datetime]):
    """A UTC instant: ``timestamptz`` on PostgreSQL, text in UTC on SQLite; always aware in Python."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Send the instant in UTC."""
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give the instant back in UTC; SQLite forgets the zone."""
        if value is None:
            return None
        instant: datetime = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return instant


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RUN_STATES = ("RUNNING", "SUCCESS", "UNCHANGED", "FAILED", "ABANDONED")
BATCH_STATES = ("SUCCESS", "SUPERSEDED")
BATCH_COUNTS = ("not_a_flow", "unparsable", "early", "late", "rejected", "duplicates_dropped", "accepted")
"""The fates of a batch's lines. They add up to ``lines_in``, and the table itself holds them to it."""


def _one_of(states: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"status IN {states}", name="status")


pipeline_runs = Table(
    "pipeline_runs",
    metadata,
    Column("run_id", String(100), primary_key=True),
    Column("parent_run_id", String(100)),
    Column("pipeline", Text, nullable=False),
    Column("source", String(63), nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("env", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("status", String(10), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("failed_node", Text),
    Column("error", Text),
    Column("code_version", Text, nullable=False),
    Column("params_sha256", String(64), nullable=False),
    _one_of(RUN_STATES),
    Index("ix_pipeline_runs_source", "source", "logical_date"),
)

ingestion_batches = Table(
    "ingestion_batches",
    metadata,
    Column("run_id", String(100), ForeignKey("pipeline_runs.run_id"), primary_key=True),
    Column("source", String(63), nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", String(10), nullable=False),
    Column("committed_at", Instant, nullable=False),
    Column("lines_in", BigInteger, nullable=False),
    *(Column(count, BigInteger, nullable=False) for count in BATCH_COUNTS),
    Column("duplicates", BigInteger, nullable=False),
    Column("imputed", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("min_timestamp", Instant, nullable=False),
    Column("max_timestamp", Instant, nullable=False),
    Column("contract_version", String(20), nullable=False),
    Column("params_sha256", String(64), nullable=False),
    _one_of(BATCH_STATES),
    CheckConstraint("lines_in = " + " + ".join(BATCH_COUNTS), name="balance"),
    UniqueConstraint("source", "logical_date", "revision", name="uq_ingestion_batches_revision"),
    Index(
        "uq_ingestion_batches_current",
        "source",
        "logical_date",
        unique=True,
        sqlite_where=text("status = 'SUCCESS'"),
        postgresql_where=text("status = 'SUCCESS'"),
    ),
)

ingestion_events = Table(
    "ingestion_events",
    metadata,
    Column("run_id", String(100), ForeignKey("ingestion_batches.run_id"), primary_key=True),
    Column("source", String(63), nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("ingested_at", Instant, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("object_uri", Text, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column("rejected_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("object_sha256", String(64), nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("min_timestamp", Instant, nullable=False),
    Column("max_timestamp", Instant, nullable=False),
    Column("contract_version", String(20), nullable=False),
    Column("status", String(10), nullable=False),
    _one_of(BATCH_STATES),
    Index("ix_ingestion_events_source", "source", "logical_date"),
)

source_files = Table(
    "source_files",
    metadata,
    Column("run_id", String(100), ForeignKey("ingestion_batches.run_id"), primary_key=True),
    Column("path", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("lines", BigInteger, nullable=False),
    Column("not_a_flow", BigInteger, nullable=False),
    Column("unparsable", BigInteger, nullable=False),
    Column("early", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False),
    Column("imputed", BigInteger, nullable=False),
    Column("truncated", Boolean, nullable=False),
)
