"""The project's pipelines, by name."""

from kedro.pipeline import Pipeline

from network_anomalies.pipelines import (
    evaluation,
    ingestion,
    realism,
    registration,
    scoring,
    training,
    transformation,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline. `full` is ingestion and the modelling stages after it, and what `kedro run` runs."""
    stages = {
        "ingestion": ingestion.create_pipeline(),
        "transformation": transformation.create_pipeline(),
        "training": training.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
        "registration": registration.create_pipeline(),
        "scoring": scoring.create_pipeline(),
    }
    full = sum(stages.values(), Pipeline([]))
    return {
        **stages,
        "log_ingestion": ingestion.create_log_pipeline(),
        "realism": realism.create_pipeline(),
        "full": full,
        "__default__": full,
    }
