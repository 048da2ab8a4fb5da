"""The decision which model is champion, and its reason."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.registration.nodes import (
    assemble_model,
    decide_promotion,
    describe_for_mlflow,
    write_model_card,
)


def create_pipeline() -> Pipeline:
    """Register the date's model as champion or challenger."""
    return Pipeline(
        [
            Node(
                decide_promotion,
                inputs=[
                    *("evaluation_events", "training_events", "previous_champion", "current_revisions"),
                    *("verdicts", "params:registration"),
                ],
                outputs="decision",
                name="decide_promotion",
            ),
            Node(
                write_model_card,
                inputs=["decision", "evaluation_events", "training_events"],
                outputs="model_card",
                name="write_model_card",
            ),
            Node(
                assemble_model,
                inputs=[
                    *("decision", "evaluation_events", "training_events", "verdicts"),
                    *("params:registration", "params:run_id", "model_card"),
                ],
                outputs="champion_model",
                name="assemble_model",
            ),
            Node(
                describe_for_mlflow,
                inputs=[
                    *("decision", "evaluation_events", "training_events", "anomaly_model"),
                    *("score_distribution", "precision_recall"),
                ],
                outputs="mlflow_run",
                name="describe_for_mlflow",
            ),
        ]
    )
