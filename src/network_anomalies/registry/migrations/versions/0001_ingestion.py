"""Runs, batches, their objects and source files, and which objects are current."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "pipeline_runs",
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("parent_run_id", sa.String(length=100), nullable=True),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("env", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_node", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("params_sha256", sa.String(length=64), nullable=False),
        sa.CheckConstraint(
            "status IN ('RUNNING', 'SUCCESS', 'UNCHANGED', 'FAILED', 'ABANDONED')", name=op.f("ck_pipeline_runs_status")
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_pipeline_runs")),
    )
    op.create_index("ix_pipeline_runs_source", "pipeline_runs", ["source", "logical_date"], unique=False)

    op.create_table(
        "ingestion_batches",
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lines_in", sa.BigInteger(), nullable=False),
        sa.Column("not_a_flow", sa.BigInteger(), nullable=False),
        sa.Column("unparsable", sa.BigInteger(), nullable=False),
        sa.Column("early", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("duplicates_dropped", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("duplicates", sa.BigInteger(), nullable=False),
        sa.Column("imputed", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("min_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("max_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("contract_version", sa.String(length=20), nullable=False),
        sa.Column("params_sha256", sa.String(length=64), nullable=False),
        sa.CheckConstraint("status IN ('SUCCESS', 'SUPERSEDED')", name=op.f("ck_ingestion_batches_status")),
        sa.CheckConstraint(
            "lines_in = not_a_flow + unparsable + early + late + rejected + duplicates_dropped + accepted",
            name=op.f("ck_ingestion_batches_balance"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.run_id"], name=op.f("fk_ingestion_batches_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_ingestion_batches")),
        sa.UniqueConstraint("source", "logical_date", "revision", name="uq_ingestion_batches_revision"),
    )
    op.create_index(
        "uq_ingestion_batches_current",
        "ingestion_batches",
        ["source", "logical_date"],
        unique=True,
        sqlite_where=sa.text("status = 'SUCCESS'"),
        postgresql_where=sa.text("status = 'SUCCESS'"),
    )

    op.create_table(
        "ingestion_events",
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ingested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("object_uri", sa.Text(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("rejected_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("object_sha256", sa.String(length=64), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("min_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("max_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("contract_version", sa.String(length=20), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.CheckConstraint("status IN ('SUCCESS', 'SUPERSEDED')", name=op.f("ck_ingestion_events_status")),
        sa.ForeignKeyConstraint(["run_id"], ["ingestion_batches.run_id"], name=op.f("fk_ingestion_events_run_id")),
        sa.PrimaryKeyConstraint("run_id", "part", name=op.f("pk_ingestion_events")),
    )
    op.create_index("ix_ingestion_events_source", "ingestion_events", ["source", "logical_date"], unique=False)

    op.create_table(
        "source_files",
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("not_a_flow", sa.BigInteger(), nullable=False),
        sa.Column("unparsable", sa.BigInteger(), nullable=False),
        sa.Column("early", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False),
        sa.Column("imputed", sa.BigInteger(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["ingestion_batches.run_id"], name=op.f("fk_source_files_run_id")),
        sa.PrimaryKeyConstraint("run_id", "path", name=op.f("pk_source_files")),
    )
    op.execute(
        """
        CREATE VIEW current_objects AS
        SELECT run_id, source, logical_date, revision, part, ingested_at, file_name, object_uri, record_count,
               rejected_count, size_bytes, object_sha256, content_sha256, min_timestamp, max_timestamp, contract_version
        FROM ingestion_events
        WHERE status = 'SUCCESS'
        """
    )
