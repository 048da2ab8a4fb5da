"""Kinds of sources, inputs and outputs of stages, rejects by revision, manifests, decisions about champions."""

import json
from datetime import date
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UNKNOWN_INPUTS = {"recorded": "before inputs were"}
"""Inputs of stages that ran before this migration: equal to no inputs of today, so such a stage shows as stale."""


def upgrade() -> None:
    op.add_column("pipeline_runs", sa.Column("selection", sa.Text(), nullable=True))
    op.add_column("ingestion_batches", sa.Column("manifest_uri", sa.Text(), nullable=True))
    op.add_column("ingestion_batches", sa.Column("manifest_sha256", sa.String(length=64), nullable=True))
    op.create_table(
        "sources",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("format", sa.Text(), nullable=True),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('synthetic', 'logs')", name=op.f("ck_sources_kind")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sources")),
    )
    op.create_table(
        "quarantine_objects",
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("object_uri", sa.Text(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("object_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["ingestion_batches.run_id"], name=op.f("fk_quarantine_objects_run_id")),
        sa.PrimaryKeyConstraint("run_id", "part", name=op.f("pk_quarantine_objects")),
    )
    op.create_table(
        "stage_events",
        sa.Column("sequence", SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("inputs_sha256", sa.String(length=64), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("record_sha256", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.run_id"], name=op.f("fk_stage_events_run_id")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_stage_events")),
    )
    op.create_index("ix_stage_events_source", "stage_events", ["source", "logical_date", "stage"], unique=False)
    op.create_table(
        "promotions",
        sa.Column("sequence", SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("promoted_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=100), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.CheckConstraint("status IN ('SUCCESS', 'SUPERSEDED')", name=op.f("ck_promotions_status")),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.run_id"], name=op.f("fk_promotions_run_id")),
        sa.ForeignKeyConstraint(["source", "version"], ["models.source", "models.version"], name="fk_promotions_model"),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_promotions")),
    )
    op.create_index(
        "uq_promotions_current",
        "promotions",
        ["source", "logical_date"],
        unique=True,
        sqlite_where=sa.text("status = 'SUCCESS'"),
        postgresql_where=sa.text("status = 'SUCCESS'"),
    )
    connection = op.get_bind()
    _read_kinds(connection)
    _record_stages(connection)
    _date_promotions(connection)


def _read_kinds(connection: sa.Connection) -> None:
    """Only flow logs have source files, and Zeek's was the only format."""
    connection.execute(
        sa.text(
            """
            INSERT INTO sources (name, kind, format, first_seen)
            SELECT b.source,
                   CASE WHEN count(f.run_id) > 0 THEN 'logs' ELSE 'synthetic' END,
                   CASE WHEN count(f.run_id) > 0 THEN 'zeek' END,
                   min(b.committed_at)
            FROM ingestion_batches b LEFT JOIN source_files f ON f.run_id = b.run_id
            GROUP BY b.source
            """
        )
    )


def _record_stages(connection: sa.Connection) -> None:
    """Give every stage that was recorded its row, in the order in which they ran."""
    queries = {
        "ingestion": "SELECT run_id, source, logical_date, committed_at AS at, NULL AS outputs FROM ingestion_batches",
        "transformation": (
            "SELECT run_id, source, logical_date, transformed_at AS at, output_objects AS outputs "
            "FROM transformation_events"
        ),
        "training": (
            "SELECT run_id, source, logical_date, trained_at AS at, model_uri AS uri, model_sha256 AS sha256 "
            "FROM training_events"
        ),
        "evaluation": "SELECT run_id, source, logical_date, evaluated_at AS at, NULL AS outputs FROM evaluation_events",
        "registration": (
            "SELECT m.run_id, m.source, t.logical_date, m.registered_at AS at, NULL AS outputs "
            "FROM models m JOIN training_events t ON t.run_id = m.training_run_id"
        ),
        "scoring": (
            "SELECT run_id, source, logical_date, max(created_at) AS at, NULL AS outputs "
            "FROM alerts GROUP BY run_id, source, logical_date"
        ),
    }
    rows = [
        dict(row) | {"stage": stage}
        for stage, query in queries.items()
        for row in connection.execute(sa.text(query)).mappings()
    ]
    insert = sa.text(
        "INSERT INTO stage_events "
        "(run_id, stage, source, logical_date, recorded_at, inputs, inputs_sha256, outputs) VALUES "
        "(:run_id, :stage, :source, :logical_date, :at, :inputs, '', :outputs)"
    )
    for row in sorted(rows, key=lambda row: str(row["at"])):
        outputs = json.dumps([{"uri": item["uri"], "sha256": item["sha256"]} for item in _list_outputs(row)])
        names = ("run_id", "stage", "source", "logical_date", "at")
        values = {name: row[name] for name in names} | {"inputs": json.dumps(UNKNOWN_INPUTS), "outputs": outputs}
        connection.execute(insert, values)


def _list_outputs(row: dict[str, Any]) -> list[dict[str, Any]]:
    if "uri" in row:
        return [row]
    outputs = row["outputs"] or []
    listed: list[dict[str, Any]] = json.loads(outputs) if isinstance(outputs, str) else outputs
    return listed


def _date_promotions(connection: sa.Connection) -> None:
    """Say from which day on each champion of the past was champion.

    It was from the day that it was trained for, but never from before the champion that it replaced.
    """
    promoted = connection.execute(
        sa.text(
            "SELECT m.source, m.version, m.promoted_at, m.reason, m.run_id, t.logical_date "
            "FROM models m JOIN training_events t ON t.run_id = m.training_run_id "
            "WHERE m.promoted_at IS NOT NULL ORDER BY m.source, m.promoted_at"
        )
    ).mappings()
    latest: dict[str, str | date] = {}
    for row in list(promoted):
        start = max(row["logical_date"], latest.get(row["source"], row["logical_date"]))
        latest[row["source"]] = start
        values = dict(row) | {"logical_date": start}
        connection.execute(
            sa.text(
                "UPDATE promotions SET status = 'SUPERSEDED' WHERE source = :source AND logical_date = :logical_date"
            ),
            {"source": row["source"], "logical_date": start},
        )
        connection.execute(
            sa.text(
                "INSERT INTO promotions "
                "(source, logical_date, version, promoted_at, promoted_by, reason, run_id, status) VALUES "
                "(:source, :logical_date, :version, :promoted_at, 'registration', :reason, :run_id, 'SUCCESS')"
            ),
            values,
        )
