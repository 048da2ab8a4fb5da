"""From the champion and a day's silver to alerts."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.scoring.nodes import format_alerts, raise_alerts, score_slices, write_report


def create_pipeline() -> Pipeline:
    """Score a day with the champion, raise its alerts and report on it."""
    return Pipeline(
        [
            Node(
                score_slices,
                inputs=["silver_events", "champion_model", "transformation_events"],
                outputs=["scores", "flagged_conversations"],
                name="score_slices",
            ),
            Node(
                raise_alerts,
                inputs=[
                    *("flagged_conversations", "silver_day", "champion_model", "transformation_events"),
                    *("params:alerts", "params:run_id"),
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
                inputs=["alerts", "champion_model", "transformation_events", "params:alerts"],
                outputs="daily_report",
                name="write_report",
            ),
        ]
    )
