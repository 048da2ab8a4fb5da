"""The project's pipelines, by name."""

from kedro.pipeline import Pipeline

from network_anomalies.pipelines import ingestion, realism


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline. `full` is ingestion and the stages after it, and what `kedro run` runs."""
    full = ingestion.create_pipeline()
    return {
        "ingestion": ingestion.create_pipeline(),
        "log_ingestion": ingestion.create_log_pipeline(),
        "realism": realism.create_pipeline(),
        "full": full,
        "__default__": full,
    }
