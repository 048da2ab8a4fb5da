"""From silver to a model."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.training.nodes import split_window, train_model


def create_pipeline() -> Pipeline:
    """Train a model on the days before the date, or on its first hours."""
    run = ["params:source", "params:logical_date", "params:run_id"]
    return Pipeline(
        [
            Node(
                split_window,
                inputs=["history_slices", "params:training", "params:logical_date", "transformation_events"],
                outputs="training_split",
                name="split_window",
            ),
            Node(
                train_model,
                inputs=["training_split", "params:training", *run, "params:workers"],
                outputs=["anomaly_model", "training_events"],
                name="train_model",
            ),
        ]
    )
