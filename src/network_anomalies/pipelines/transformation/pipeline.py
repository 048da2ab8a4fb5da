"""From committed RAW to silver."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.transformation.nodes import assemble_transformation, transform_slices


def create_pipeline() -> Pipeline:
    """Make silver of the current revision of a day."""
    run = ["params:source", "params:logical_date", "params:run_id"]
    return Pipeline(
        [
            Node(
                transform_slices,
                inputs=[
                    *("raw_slices", "ingestion_events", "params:transformation"),
                    *("params:workers", "silver_folders"),
                ],
                outputs=["silver_events", "day_summary", "silver_reports"],
                name="transform_slices",
            ),
            Node(
                assemble_transformation,
                inputs=["silver_reports", "ingestion_events", "params:transformation", *run],
                outputs="transformation_events",
                name="assemble_transformation",
            ),
        ]
    )
