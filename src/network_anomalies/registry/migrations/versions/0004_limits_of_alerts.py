"""The limits that alerts were raised by, in the record of the scoring and in the lineage of alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("stage_events", sa.Column("limits", sa.JSON(), nullable=True))
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP VIEW alert_lineage")
        create = "CREATE VIEW"
    else:
        create = "CREATE OR REPLACE VIEW"  # keeps who may read it
    # The limits are those of the scoring that raised the alert. If it has no record of them, because it failed or ran
    # before this migration, they are those of the day's latest scoring: it found the same alert, and left it as it was.
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
               o.min_timestamp, o.max_timestamp, f.path AS source_path, f.sha256 AS source_sha256, e.limits
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
