"""Measures of a model on flows later than its training."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.evaluation.nodes import (
    assemble_evaluation,
    evaluate_models,
    gather_test_findings,
    name_test_attacks,
    plot_evaluation,
    score_test_flows,
)
from network_anomalies.runs.inputs import choose_alerts_policy


def create_pipeline() -> Pipeline:
    """Measure the date's model and the champion before it on flows of the date that neither was trained on."""
    return Pipeline(
        [
            Node(
                choose_alerts_policy,
                inputs=["params:alerts", "params:generator", "source_record", "transformation_events"],
                outputs="alerts_policy",
                name="choose_alerts_policy",
            ),
            Node(
                name_test_attacks,
                inputs=[
                    *("silver_slices", "day_summary", "transformation_events", "training_events", "anomaly_model"),
                    *("previous_champion", "params:detectors"),
                ],
                outputs="test_basis",
                name="name_test_attacks",
            ),
            Node(
                score_test_flows,
                inputs=[
                    *("silver_slices", "test_basis", "transformation_events", "anomaly_model"),
                    *("previous_champion", "ground_truth", "params:detectors"),
                ],
                outputs="test_scores",
                name="score_test_flows",
            ),
            Node(
                gather_test_findings,
                inputs=["test_scores", "test_basis", "day_summary", "transformation_events", "params:detectors"],
                outputs="test_findings",
                name="gather_test_findings",
            ),
            Node(
                evaluate_models,
                inputs=[
                    *("test_scores", "test_findings", "test_basis", "ground_truth", "training_events"),
                    *("params:evaluation", "alerts_policy", "params:logical_date"),
                ],
                outputs="evaluation_metrics",
                name="evaluate_models",
            ),
            Node(
                plot_evaluation,
                inputs="test_scores",
                outputs=["score_distribution", "precision_recall"],
                name="plot_evaluation",
            ),
            Node(
                assemble_evaluation,
                inputs=[
                    *("evaluation_metrics", "training_events", "transformation_events", "truth_events"),
                    *("params:evaluation", "alerts_policy", "params:detectors", "params:run_id"),
                ],
                outputs="evaluation_events",
                name="assemble_evaluation",
            ),
        ]
    )
