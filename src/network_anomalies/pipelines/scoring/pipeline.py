"""From the champion and a day's silver to alerts."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.scoring.nodes import (
    assemble_scoring,
    format_alerts,
    name_day_attacks,
    raise_alerts,
    score_slices,
    write_report,
)
from network_anomalies.runs.inputs import choose_alerts_policy


def create_pipeline() -> Pipeline:
    """Score a day with the champion, raise its alerts and report on it."""
    return Pipeline(
        [
            Node(
                choose_alerts_policy,
                inputs=["params:alerts", "params:generator", "source_record", "transformation_events"],
                outputs="alerts_policy",
                name="choose_alerts_policy",
            ),
            Node(
                name_day_attacks,
                inputs=["day_summary", "champion_model", "transformation_events", "params:detectors"],
                outputs="named_findings",
                name="name_day_attacks",
            ),
            Node(
                score_slices,
                inputs=[
                    *("silver_slices", "champion_model", "transformation_events", "named_findings"),
                    "params:detectors",
                ],
                outputs=["scores", "flagged_conversations", "score_reports"],
                name="score_slices",
            ),
            Node(
                raise_alerts,
                inputs=[
                    *("flagged_conversations", "named_findings", "day_summary", "champion_model"),
                    *("transformation_events", "alerts_policy", "params:detectors", "params:run_id"),
                ],
                outputs="alerts",
                name="raise_alerts",
            ),
            Node(
                format_alerts,
                inputs="alerts",
                outputs="alert_lines",
                name="format_alerts",
            ),
            Node(
                write_report,
                inputs=["alerts", "champion_model", "transformation_events", "alerts_policy"],
                outputs="daily_report",
                name="write_report",
            ),
            Node(
                assemble_scoring,
                inputs=[
                    *("score_reports", "transformation_events", "champion_model", "alerts_policy"),
                    *("params:detectors", "params:run_id", "alert_lines", "daily_report"),
                ],
                outputs="scoring_events",
                name="assemble_scoring",
            ),
        ]
    )
