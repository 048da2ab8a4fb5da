"""From the champion and a day's silver to alerts."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.scoring.day_nodes import (
    compare_days,
    count_days,
    draw_day,
    profile_day,
    write_index,
    write_report,
)
from network_anomalies.pipelines.scoring.ecs import format_alerts
from network_anomalies.pipelines.scoring.nodes import (
    assemble_scoring,
    gather_findings,
    group_alerts,
    name_day_attacks,
    raise_alerts,
    score_slices,
)
from network_anomalies.pipelines.scoring.ocsf import format_findings
from network_anomalies.runs.inputs import choose_alerts_policy


def create_pipeline() -> Pipeline:
    """Score a day with the champion, raise its alerts and report on it."""
    return raise_day() + report_day()


def raise_day() -> Pipeline:
    """Score a day with the champion, raise its alerts, group them, and make the receipt, which waits for the report."""
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
                inputs=[
                    *("summary_reader", "champion_model", "transformation_events"),
                    *("params:detectors", "params:workers"),
                ],
                outputs="named_findings",
                name="name_day_attacks",
            ),
            Node(
                score_slices,
                inputs=[
                    *("silver_slices", "champion_model", "transformation_events", "named_findings"),
                    *("params:detectors", "params:workers", "score_folders"),
                ],
                outputs=["scores", "flagged_conversations", "score_reports", "slice_profiles"],
                name="score_slices",
            ),
            Node(
                gather_findings,
                inputs=[
                    *("flagged_conversations", "named_findings", "summary_reader"),
                    *("params:detectors", "params:workers"),
                ],
                outputs=["day_findings", "findings_summary"],
                name="gather_findings",
            ),
            Node(
                raise_alerts,
                inputs=[
                    *("day_findings", "findings_summary", "champion_model", "transformation_events"),
                    *("verdicts", "alerts_policy", "params:detectors", "params:run_id"),
                ],
                outputs=["alerts", "entity_activity"],
                name="raise_alerts",
            ),
            Node(
                group_alerts,
                inputs=["alerts", "known_alerts", "verdicts", "alerts_policy", "params:source"],
                outputs="incidents",
                name="group_alerts",
            ),
            Node(
                format_alerts,
                inputs="alerts",
                outputs="alert_lines",
                name="format_alerts",
            ),
            Node(
                format_findings,
                inputs="alerts",
                outputs="alert_findings",
                name="format_findings",
            ),
            Node(
                assemble_scoring,
                inputs=[
                    *("score_reports", "transformation_events", "champion_model", "known_alerts", "verdicts"),
                    *("alerts_policy", "params:detectors", "params:run_id"),
                    *("incidents", "alert_lines", "alert_findings", "daily_report"),
                ],
                outputs="scoring_events",
                name="assemble_scoring",
            ),
        ]
    )


def report_day() -> Pipeline:
    """Compare a day with those before it, and write its figures and its report."""
    return Pipeline(
        [
            Node(
                profile_day,
                inputs="slice_profiles",
                outputs=["day_profile", "day_profiles"],
                name="profile_day",
            ),
            Node(
                count_days,
                inputs=["source_days", "alerts", "known_alerts", "verdicts", "transformation_events"],
                outputs=["counted_days", "verdict_counts"],
                name="count_days",
            ),
            Node(
                compare_days,
                inputs=[
                    *("day_profile", "day_profiles", "counted_days"),
                    *("recent_evaluations", "champion_model", "params:evaluation"),
                ],
                outputs="day_changes",
                name="compare_days",
            ),
            Node(
                draw_day,
                inputs=["day_profile", "quality_report", "alerts"],
                outputs=[
                    *("flows_per_hour", "flows_per_protocol", "flow_sizes"),
                    *("rejects_per_rule", "flow_scores", "alerts_per_hour"),
                ],
                name="draw_day",
            ),
            Node(
                write_report,
                inputs=[
                    *("alerts", "incidents", "entity_activity", "day_changes"),
                    *("verdict_counts", "quality_report", "champion_model", "transformation_events"),
                ],
                outputs="daily_report",
                name="write_report",
            ),
            Node(
                write_index,
                inputs=["counted_days", "daily_report", "params:source"],
                outputs="report_index",
                name="write_index",
            ),
        ]
    )
