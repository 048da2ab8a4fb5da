"""The report of a flow in Prefect's UI."""

from prefect.artifacts import create_markdown_artifact

from network_anomalies.orchestration.tasks import PipelineOutcome


def publish_report(outcomes: list[PipelineOutcome], key: str) -> None:
    """Store a Markdown report of the flow's pipelines; the UI shows all reports of a ``key`` together."""
    create_markdown_artifact(format_report(outcomes), key=key, description=f"{key} on {outcomes[-1].logical_date}")


def format_report(outcomes: list[PipelineOutcome]) -> str:
    """Return a report with a row for each pipeline, and the state of the day after the last one."""
    day = outcomes[-1]
    facts = {
        "events accepted": "none" if day.accepted is None else f"{day.accepted:,}",
        "events rejected": "none" if day.rejected is None else f"{day.rejected:,}",
        "objects": "<br>".join(f"`{uri}`" for uri in day.uris) or "none",
        "alerts": f"{day.alerts:,}",
    }
    return "\n".join(
        [
            f"# {day.source}, {day.logical_date}",
            "",
            "| pipeline | status | run |",
            "|---|---|---|",
            *(f"| {outcome.pipeline} | {outcome.status} | `{outcome.run_id}` |" for outcome in outcomes),
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in facts.items()),
        ]
    )
