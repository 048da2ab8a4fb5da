"""Ids and facts of alerts, what people decided about them, and the incidents that they belong to."""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        op.execute("DROP VIEW alert_lineage")  # SQLite changes a table by copying it
    op.add_column("alerts", sa.Column("alert_id", sa.String(length=12), nullable=True))
    op.add_column("alerts", sa.Column("facts", sa.JSON(), nullable=True))
    _name_alerts(op.get_bind())
    with op.batch_alter_table("alerts") as table:
        table.alter_column("alert_id", existing_type=sa.String(length=12), nullable=False)
    op.create_index("ix_alerts_alert_id", "alerts", ["alert_id"], unique=False)
    _create_verdicts()
    _create_incidents()
    _create_lineage("CREATE VIEW" if is_sqlite else "CREATE OR REPLACE VIEW")  # the latter keeps who may read it


def _name_alerts(connection: sa.Connection) -> None:
    """Give the stored alerts their ids, as ``records.verdicts.name_alert`` makes them."""
    rows = connection.execute(sa.text("SELECT source, logical_date, kind, entity FROM alerts")).mappings().all()
    update = sa.text(
        "UPDATE alerts SET alert_id = :alert_id WHERE source = :source AND logical_date = :logical_date "
        "AND kind = :kind AND entity = :entity"
    )
    for row in rows:
        key = f"{row['source']}/{row['logical_date']}/{row['kind']}/{row['entity']}"
        connection.execute(update, dict(row) | {"alert_id": hashlib.sha256(key.encode()).hexdigest()[:12]})


def _create_verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("sequence", SEQUENCE, sa.Identity(), nullable=False),
        sa.Column("alert_id", sa.String(length=12), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("logical_date", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("entity", sa.String(length=45), nullable=False),
        sa.Column("peer", sa.String(length=45), nullable=True),
        sa.Column("verdict", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("last_scored", sa.Date(), nullable=False),
        sa.CheckConstraint("verdict IN ('confirmed', 'dismissed', 'closed')", name=op.f("ck_verdicts_verdict")),
        sa.CheckConstraint("(verdict = 'dismissed') = (until IS NOT NULL)", name=op.f("ck_verdicts_until")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_verdicts")),
    )
    op.create_index("ix_verdicts_source", "verdicts", ["source", "alert_id"], unique=False)


def _create_incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.String(length=12), nullable=False),
        sa.Column("source", sa.String(length=63), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("severity", sa.String(length=10), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("alerts", sa.Integer(), nullable=False),
        sa.Column("entities", sa.JSON(), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'confirmed', 'closed')", name=op.f("ck_incidents_state")),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_incidents")),
    )
    op.create_index("ix_incidents_source", "incidents", ["source", "last_day"], unique=False)
    op.create_table(
        "incident_alerts",
        sa.Column("incident_id", sa.String(length=12), nullable=False),
        sa.Column("alert_id", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.incident_id"], name=op.f("fk_incident_alerts_incident_id")
        ),
        sa.PrimaryKeyConstraint("incident_id", "alert_id", name=op.f("pk_incident_alerts")),
    )
    op.create_index("ix_incident_alerts_alert_id", "incident_alerts", ["alert_id"], unique=False)


def _create_lineage(create: str) -> None:
    """Add the alert's id as the last column: PostgreSQL takes no other place."""
    op.execute(
        f"""
        {create} alert_lineage AS
        SELECT a.source, a.logical_date, a.kind, a.entity, a.score, a.sentence, a.run_id, r.code_version,
               r.params_sha256, r.env, r.host,
               m.version AS model_version, m.model_uri, m.model_sha256, m.reason AS model_reason,
               t.run_id AS training_run_id, t.code_version AS training_code_version,
               t.input_objects AS training_objects, t.parameters AS training_parameters,
               s.run_id AS transformation_run_id, s.feature_spec_sha256, s.output_objects AS silver_objects,
               o.run_id AS ingestion_run_id, o.revision, o.part, o.object_uri, o.object_sha256, o.contract_version,
               o.min_timestamp, o.max_timestamp, f.path AS source_path, f.sha256 AS source_sha256, e.limits, a.alert_id
        FROM alerts a
        JOIN pipeline_runs r ON r.run_id = a.run_id
        JOIN models m ON m.source = a.source AND m.version = a.model_version
        JOIN training_events t ON t.run_id = m.training_run_id
        JOIN transformation_events s ON s.run_id = a.transformation_run_id
        JOIN ingestion_events o
          ON o.source = s.source AND o.logical_date = s.logical_date AND o.revision = s.revision
        LEFT JOIN source_files f ON f.run_id = o.run_id
        LEFT JOIN stage_events e ON e.sequence = COALESCE(
            (SELECT max(x.sequence) FROM stage_events x
             WHERE x.stage = 'scoring' AND x.limits IS NOT NULL AND x.run_id = a.run_id),
            (SELECT max(x.sequence) FROM stage_events x
             WHERE x.stage = 'scoring' AND x.limits IS NOT NULL
               AND x.source = a.source AND x.logical_date = a.logical_date))
        """  # noqa: S608 - no value of anybody's
    )
