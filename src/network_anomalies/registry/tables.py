"""The registry's tables, the same on SQLite and PostgreSQL. Their migrations are in ``migrations/versions``."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
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

from network_anomalies.records.batch import FATES
from network_anomalies.records.verdicts import JUDGEMENTS


class Instant(TypeDecorator[datetime]):
    """A UTC instant: ``timestamptz`` on PostgreSQL, text on SQLite, a ``datetime`` with time zone in Python."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC, for the database."""
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC; SQLite does not store the time zone."""
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
MODEL_STATES = ("CHAMPION", "CHALLENGER", "RETIRED")
SOURCE_KINDS = ("synthetic", "logs")
INCIDENT_STATES = ("open", "confirmed", "closed")


def _one_of(states: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(f"status IN {states}", name="status")


def _one_current(name: str, columns: tuple[str, ...], status: str) -> Index:
    """Return the index that makes a database refuse a second current row."""
    where = text(f"status = '{status}'")
    return Index(name, *columns, unique=True, sqlite_where=where, postgresql_where=where)


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
    Column("selection", Text),
    _one_of(RUN_STATES),
    Index("ix_pipeline_runs_source", "source", "logical_date"),
)

sources = Table(
    "sources",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("format", Text),
    Column("first_seen", Instant, nullable=False),
    CheckConstraint(f"kind IN {SOURCE_KINDS}", name="kind"),
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
    *(Column(count, BigInteger, nullable=False) for count in FATES),
    Column("duplicates", BigInteger, nullable=False),
    Column("imputed", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("min_timestamp", Instant, nullable=False),
    Column("max_timestamp", Instant, nullable=False),
    Column("contract_version", String(20), nullable=False),
    Column("params_sha256", String(64), nullable=False),
    Column("manifest_uri", Text),
    Column("manifest_sha256", String(64)),
    _one_of(BATCH_STATES),
    CheckConstraint("lines_in = " + " + ".join(FATES), name="balance"),
    UniqueConstraint("source", "logical_date", "revision", name="uq_ingestion_batches_revision"),
    _one_current("uq_ingestion_batches_current", ("source", "logical_date"), "SUCCESS"),
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

quarantine_objects = Table(
    "quarantine_objects",
    metadata,
    Column("run_id", String(100), ForeignKey("ingestion_batches.run_id"), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("file_name", Text, nullable=False),
    Column("object_uri", Text, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("object_sha256", String(64), nullable=False),
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

stage_events = Table(
    "stage_events",
    metadata,
    # A number rather than a time says which row is the latest: clocks differ between machines, and are corrected.
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
    Column("run_id", String(100), ForeignKey("pipeline_runs.run_id"), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("source", String(63), nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("inputs_sha256", String(64), nullable=False),
    Column("outputs", JSON, nullable=False),
    Column("record_sha256", String(64)),
    Column("limits", JSON(none_as_null=True)),
    Index("ix_stage_events_source", "source", "logical_date", "stage"),
)

transformation_events = Table(
    "transformation_events",
    metadata,
    Column("run_id", String(100), ForeignKey("pipeline_runs.run_id"), primary_key=True),
    Column("source", String(63), nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("transformed_at", Instant, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("feature_spec_sha256", String(64), nullable=False),
    Column("input_objects", JSON, nullable=False),
    Column("output_objects", JSON, nullable=False),
    Column("status", String(10), nullable=False),
    _one_of(BATCH_STATES),
    _one_current("uq_transformation_events_current", ("source", "logical_date"), "SUCCESS"),
)

training_events = Table(
    "training_events",
    metadata,
    Column("run_id", String(100), ForeignKey("pipeline_runs.run_id"), primary_key=True),
    Column("source", String(63), nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("trained_at", Instant, nullable=False),
    Column("model_uri", Text, nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("train_start", Instant, nullable=False),
    Column("train_end", Instant, nullable=False),
    Column("test_end", Instant, nullable=False),
    Column("record_count", BigInteger, nullable=False),
    Column("input_objects", JSON, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("feature_spec_sha256", String(64), nullable=False),
    Column("library_versions", JSON, nullable=False),
    Column("code_version", Text, nullable=False),
    Index("ix_training_events_source", "source", "logical_date"),
)

evaluation_events = Table(
    "evaluation_events",
    metadata,
    Column("run_id", String(100), ForeignKey("pipeline_runs.run_id"), primary_key=True),
    Column("source", String(63), nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("evaluated_at", Instant, nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("champion_sha256", String(64)),
    Column("labelled", Boolean, nullable=False),
    Column("metrics", JSON, nullable=False),
    Index("ix_evaluation_events_source", "source", "logical_date"),
)

models = Table(
    "models",
    metadata,
    Column("source", String(63), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("model_sha256", String(64), nullable=False),
    Column("model_uri", Text, nullable=False),
    Column("card_uri", Text, nullable=False),
    Column("training_run_id", String(100), ForeignKey("training_events.run_id"), nullable=False),
    Column("run_id", String(100), ForeignKey("pipeline_runs.run_id"), nullable=False),
    Column("registered_at", Instant, nullable=False),
    Column("promoted_at", Instant),
    Column("status", String(10), nullable=False),
    Column("reason", Text, nullable=False),
    _one_of(MODEL_STATES),
    UniqueConstraint("source", "model_sha256", name="uq_models_model_sha256"),
    _one_current("uq_models_champion", ("source",), "CHAMPION"),
)

promotions = Table(
    "promotions",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
    Column("source", String(63), nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("version", Integer, nullable=False),
    Column("promoted_at", Instant, nullable=False),
    Column("promoted_by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("run_id", String(100), ForeignKey("pipeline_runs.run_id")),
    Column("status", String(10), nullable=False),
    _one_of(BATCH_STATES),
    ForeignKeyConstraint(["source", "version"], ["models.source", "models.version"], name="fk_promotions_model"),
    _one_current("uq_promotions_current", ("source", "logical_date"), "SUCCESS"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("source", String(63), primary_key=True),
    Column("logical_date", Date, primary_key=True),
    Column("kind", String(40), primary_key=True),
    Column("entity", String(45), primary_key=True),
    Column("run_id", String(100), ForeignKey("pipeline_runs.run_id"), nullable=False),
    Column("transformation_run_id", String(100), ForeignKey("transformation_events.run_id"), nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("peer", String(45)),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("flows", BigInteger, nullable=False),
    Column("score", Float, nullable=False),
    Column("severity", String(10), nullable=False),
    Column("technique", String(20)),
    Column("sentence", Text, nullable=False),
    Column("suppressed_by", Text),
    Column("alert_id", String(12), nullable=False),
    Column("facts", JSON(none_as_null=True)),
    ForeignKeyConstraint(["source", "model_version"], ["models.source", "models.version"], name="fk_alerts_model"),
    Index("ix_alerts_alert_id", "alert_id"),
)

verdicts = Table(
    "verdicts",
    metadata,
    # Alerts are replaced when their day is scored again. A verdict stays, so it refers to no row of theirs.
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), Identity(), primary_key=True),
    Column("alert_id", String(12), nullable=False),
    Column("source", String(63), nullable=False),
    Column("logical_date", Date, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("entity", String(45), nullable=False),
    Column("peer", String(45)),
    Column("verdict", String(10), nullable=False),
    Column("reason", Text, nullable=False),
    Column("until", Date),
    Column("decided_at", Instant, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("last_scored", Date, nullable=False),
    CheckConstraint(f"verdict IN {JUDGEMENTS}", name="verdict"),
    CheckConstraint("(verdict = 'dismissed') = (until IS NOT NULL)", name="until"),
    Index("ix_verdicts_source", "source", "alert_id"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("incident_id", String(12), primary_key=True),
    Column("source", String(63), nullable=False),
    Column("state", String(10), nullable=False),
    Column("severity", String(10), nullable=False),
    Column("score", Float, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("first_day", Date, nullable=False),
    Column("last_day", Date, nullable=False),
    Column("alerts", Integer, nullable=False),
    Column("entities", JSON, nullable=False),
    Column("kinds", JSON, nullable=False),
    Column("sentence", Text, nullable=False),
    CheckConstraint(f"state IN {INCIDENT_STATES}", name="state"),
    Index("ix_incidents_source", "source", "last_day"),
)

incident_alerts = Table(
    "incident_alerts",
    metadata,
    Column("incident_id", String(12), ForeignKey("incidents.incident_id"), primary_key=True),
    Column("alert_id", String(12), primary_key=True),
    Index("ix_incident_alerts_alert_id", "alert_id"),
)

_WRITE = ("SELECT", "INSERT", "UPDATE")
RIGHTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(sorted(metadata.tables), _WRITE),
    # A day's alerts and a source's incidents are replaced. Verdicts are only added.
    **dict.fromkeys(("alerts", "incidents", "incident_alerts"), (*_WRITE, "DELETE")),
    "verdicts": ("SELECT", "INSERT"),
    **dict.fromkeys(("alembic_version", "alert_lineage", "current_objects"), ("SELECT",)),
}
"""Rights that a run's user needs in PostgreSQL, by table and view; `kedro setup` needs the right to make them."""
