"""From the generator's parameters to a report on the traffic that they give; it reads no store."""

from kedro.pipeline import Node, Pipeline

from network_anomalies.pipelines.realism.nodes import draw_days, measure_profile, plot_profile


def create_pipeline() -> Pipeline:
    """Compare the synthetic traffic of the date's week with every target."""
    date = "params:logical_date"
    return Pipeline(
        [
            Node(draw_days, inputs=["params:generator", date], outputs="synthetic_days", name="draw_days"),
            Node(measure_profile, inputs=["synthetic_days", date], outputs="realism_report", name="measure_profile"),
            Node(
                plot_profile,
                inputs=["synthetic_days", "realism_report", date],
                outputs="realism_plot",
                name="plot_profile",
            ),
        ]
    )
