"""From the generator's parameters to a report of what they give; reads no store."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.realism.nodes import draw_days, measure_profile, plot_profile


def create_pipeline() -> Pipeline:
    """Measure the synthetic traffic of the date's week against every target."""
    return Pipeline(
        [
            Node(
                draw_days,
                inputs=["params:generator", "params:logical_date"],
                outputs="synthetic_days",
                name="draw_days",
            ),
            Node(
                measure_profile,
                inputs=["synthetic_days", "params:logical_date"],
                outputs="realism_report",
                name="measure_profile",
            ),
            Node(
                plot_profile,
                inputs=["synthetic_days", "realism_report", "params:logical_date"],
                outputs="realism_plot",
                name="plot_profile",
            ),
        ]
    )
