"""What the modelling stages did, the models, the alerts, and the way from an alert down to the bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "evaluation_events",
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("champion_sha256", sa.String(length=64), nullable=True),
        sa.Column("labelled", sa.Boolean(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.run_id"], name=op.f("fk_evaluation_events_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_evaluation_events")),
    )
    op.create_index("ix_evaluation_events_source", "evaluation_events", ["source", "logical_date"], unique=False)
    op.create_table(
        "training_events",
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("model_uri", sa.Text(), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("train_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("train_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("test_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("input_objects", sa.JSON(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("feature_spec_sha256", sa.String(length=64), nullable=False),
        sa.Column("library_versions", sa.JSON(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.run_id"], name=op.f("fk_training_events_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_training_events")),
    )
    op.create_index("ix_training_events_source", "training_events", ["source", "logical_date"], unique=False)
    op.create_table(
        "transformation_events",
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("transformed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("feature_spec_sha256", sa.String(length=64), nullable=False),
        sa.Column("input_objects", sa.JSON(), nullable=False),
        sa.Column("output_objects", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.CheckConstraint("status IN ('SUCCESS', 'SUPERSEDED')", name=op.f("ck_transformation_events_status")),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.run_id"], name=op.f("fk_transformation_events_run_id")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_transformation_events")),
    )
    op.create_index(
        "uq_transformation_events_current",
        "transformation_events",
        ["source", "logical_date"],
        unique=True,
        sqlite_where=sa.text("status = 'SUCCESS'"),
        postgresql_where=sa.text("status = 'SUCCESS'"),
    )
    op.create_table(
        "models",
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("model_uri", sa.Text(), nullable=False),
        sa.Column("card_uri", sa.Text(), nullable=False),
        sa.Column("training_run_id", sa.String(length=100), nullable=False),
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("status IN ('CHAMPION', 'CHALLENGER', 'RETIRED')", name=op.f("ck_models_status")),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.run_id"], name=op.f("fk_models_run_id")),
        sa.ForeignKeyConstraint(
            ["training_run_id"], ["training_events.run_id"], name=op.f("fk_models_training_run_id")
        ),
        sa.PrimaryKeyConstraint("source", "version", name=op.f("pk_models")),
        sa.UniqueConstraint("source", "model_sha256", name="uq_models_model_sha256"),
    )
    op.create_index(
        "uq_models_champion",
        "models",
        ["source"],
        unique=True,
        sqlite_where=sa.text("status = 'CHAMPION'"),
        postgresql_where=sa.text("status = 'CHAMPION'"),
    )
    op.create_table(
        "alerts",
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("entity", sa.String(length=45), nullable=False),
        sa.Column("run_id", sa.String(length=100), nullable=False),
        sa.Column("transformation_run_id", sa.String(length=100), nullable=False),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("peer", sa.String(length=45), nullable=True),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("flows", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("technique", sa.String(length=20), nullable=True),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("suppressed_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.run_id"], name=op.f("fk_alerts_run_id")),
        sa.ForeignKeyConstraint(
            ["source", "model_version"], ["models.source", "models.version"], name="fk_alerts_model"
        ),
        sa.ForeignKeyConstraint(
            ["transformation_run_id"], ["transformation_events.run_id"], name=op.f("fk_alerts_transformation_run_id")
        ),
        sa.PrimaryKeyConstraint("source", "logical_date", "kind", "entity", name=op.f("pk_alerts")),
    )
    op.execute(
        """
        CREATE VIEW alert_lineage AS
        SELECT a.source, a.logical_date, a.kind, a.entity, a.score, a.sentence, a.run_id, r.code_version,
               r.params_sha256, r.env, r.host,
               m.version AS model_version, m.model_uri, m.model_sha256, m.reason AS model_reason,
               t.run_id AS training_run_id, t.code_version AS training_code_version,
               t.input_objects AS training_objects, t.parameters AS training_parameters,
               s.run_id AS transformation_run_id, s.feature_spec_sha256, s.output_objects AS silver_objects,
               o.run_id AS ingestion_run_id, o.revision, o.part, o.object_uri, o.object_sha256, o.contract_version,
               o.min_timestamp, o.max_timestamp, f.path AS source_path, f.sha256 AS source_sha256
        FROM alerts a
        JOIN pipeline_runs r ON r.run_id = a.run_id
        JOIN models m ON m.source = a.source AND m.version = a.model_version
        JOIN training_events t ON t.run_id = m.training_run_id
        JOIN transformation_events s ON s.run_id = a.transformation_run_id
        JOIN ingestion_events o
          ON o.source = s.source AND o.logical_date = s.logical_date AND o.revision = s.revision
        LEFT JOIN source_files f ON f.run_id = o.run_id
        """
    )
